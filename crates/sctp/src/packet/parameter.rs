//! Parameters (RFC 9260, section 3.2.1): the TLVs inside INIT, INIT ACK, RE-CONFIG and HEARTBEAT.

use byteorder::{BigEndian, ByteOrder};

use super::pad;

/// Parameter types that INIT and INIT ACK may carry.
pub(crate) mod kind {
    pub(crate) const HEARTBEAT_INFO: u16 = 1;
    pub(crate) const IPV4_ADDRESS: u16 = 5;
    pub(crate) const IPV6_ADDRESS: u16 = 6;
    pub(crate) const STATE_COOKIE: u16 = 7;
    pub(crate) const UNRECOGNIZED: u16 = 8;
    pub(crate) const COOKIE_PRESERVATIVE: u16 = 9;
    pub(crate) const HOST_NAME: u16 = 11;
    pub(crate) const SUPPORTED_ADDRESS_TYPES: u16 = 12;
    pub(crate) const ECN_CAPABLE: u16 = 0x8000;
    /// RFC 9653, section 4.
    pub(crate) const ZERO_CHECKSUM: u16 = 0x8001;
    /// RFC 5061, section 4.2.7.
    pub(crate) const SUPPORTED_EXTENSIONS: u16 = 0x8008;
    /// RFC 3758, section 3.1.
    pub(crate) const FORWARD_TSN: u16 = 0xc000;
}

/// Bytes of a parameter header.
pub(crate) const PARAMETER_HEADER_LEN: usize = 4;

/// What the two highest bits of an unknown type ask for (section 3.2.1, Table 3; chunks alike, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// "Stop processing this parameter and do not process any further parameters within this chunk."
    pub(crate) stop: bool,
    /// "Report the unrecognized parameter."
    pub(crate) report: bool,
}

impl Unknown {
    /// By the two highest bits, given as a number.
    fn from_bits(bits: u16) -> Self {
        Self {
            stop: bits & 0b10 == 0,
            report: bits & 0b01 != 0,
        }
    }

    pub(crate) fn parameter(kind: u16) -> Self {
        Self::from_bits(kind >> 14)
    }

    pub(crate) fn chunk(kind: u8) -> Self {
        Self::from_bits(u16::from(kind >> 6))
    }
}

/// A parameter as it lies in its chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawParameter<'a> {
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
    /// Header and value, without padding: what a report quotes.
    pub(crate) whole: &'a [u8],
}

/// The parameters of a chunk in order; `Err(())` is the last item when the rest is not one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameters<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<RawParameter<'a>, super::Truncated>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.0);
        if rest.len() < PARAMETER_HEADER_LEN {
            return Some(Err(super::Truncated));
        }
        let len = usize::from(BigEndian::read_u16(&rest[2..4]));
        if len < PARAMETER_HEADER_LEN || len > rest.len() {
            return Some(Err(super::Truncated));
        }
        self.0 = rest.get(super::padded(len)..).unwrap_or_default();
        let whole = &rest[..len];
        Some(Ok(RawParameter {
            kind: BigEndian::read_u16(rest),
            value: &whole[PARAMETER_HEADER_LEN..],
            whole,
        }))
    }
}

/// Appends a parameter, padded.
pub(crate) fn write_parameter(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = PARAMETER_HEADER_LEN + value.len();
    debug_assert!(len <= usize::from(u16::MAX));
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(value);
    pad(out, len);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_round_trip_and_the_last_one_may_lack_its_padding() {
        let mut out = Vec::new();
        write_parameter(&mut out, kind::SUPPORTED_EXTENSIONS, &[130, 192]);
        write_parameter(&mut out, kind::STATE_COOKIE, b"x");
        let end = out.len() - 3;
        let parsed: Vec<_> = Parameters(&out[..end])
            .map(|parameter| parameter.unwrap())
            .collect();
        assert_eq!(parsed.len(), 2);
        assert_eq!(
            (parsed[0].kind, parsed[0].value),
            (kind::SUPPORTED_EXTENSIONS, &[130, 192][..])
        );
        assert_eq!(parsed[1].value, b"x");
        assert!(Parameters(&out[..end - 1]).any(|parameter| parameter.is_err()));
    }

    #[test]
    fn the_high_bits_say_what_to_do_with_the_unknown() {
        assert_eq!(
            Unknown::parameter(0x0020),
            Unknown {
                stop: true,
                report: false
            }
        );
        assert_eq!(
            Unknown::parameter(0x4020),
            Unknown {
                stop: true,
                report: true
            }
        );
        assert_eq!(
            Unknown::parameter(0x8020),
            Unknown {
                stop: false,
                report: false
            }
        );
        assert_eq!(
            Unknown::chunk(0xff),
            Unknown {
                stop: false,
                report: true
            }
        );
    }
}
