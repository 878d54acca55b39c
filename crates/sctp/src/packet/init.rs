//! INIT and INIT ACK (RFC 9260, sections 3.3.2 and 3.3.3) with the parameters of RFC 3758, 5061, 6525, 8260 and 9653.

use byteorder::{BigEndian, ByteOrder};

use super::parameter::{self, Parameters, Unknown, write_parameter};
use super::{CHUNK_HEADER_LEN, write_chunk};
use crate::types::Tsn;

/// Bytes of an INIT chunk without parameters.
const FIXED_LEN: usize = 20 - CHUNK_HEADER_LEN;
/// RFC 9653, section 4: the error detection method identifier of SCTP over DTLS.
const DTLS_METHOD: u32 = 1;
/// Unknown parameters that are reported back, in bytes at most: an answer must not outgrow its question.
const MAX_REPORTED: usize = 512;

/// What an endpoint can do beyond RFC 9260.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Capabilities {
    /// FORWARD TSN (RFC 3758).
    pub(crate) partial_reliability: bool,
    /// RE-CONFIG (RFC 6525).
    pub(crate) reconfiguration: bool,
    /// I-DATA (RFC 8260).
    pub(crate) interleaving: bool,
    /// I-FORWARD-TSN (RFC 8260).
    pub(crate) interleaved_partial_reliability: bool,
    /// The sender of this INIT accepts packets with a zero checksum (RFC 9653).
    pub(crate) zero_checksum: bool,
    /// PAD (RFC 4820), listed as a sign: packets of any size are taken, so the path may be probed with them (decision 15).
    pub(crate) padding: bool,
    /// ECNE and CWR (RFC 4960, appendix A).
    pub(crate) ecn: bool,
}

impl Capabilities {
    /// As one byte, for the state cookie.
    pub(crate) fn bits(self) -> u8 {
        u8::from(self.partial_reliability)
            | u8::from(self.reconfiguration) << 1
            | u8::from(self.zero_checksum) << 2
            | u8::from(self.interleaving) << 3
            | u8::from(self.interleaved_partial_reliability) << 4
            | u8::from(self.padding) << 5
            | u8::from(self.ecn) << 6
    }

    pub(crate) fn from_bits(bits: u8) -> Self {
        Self {
            partial_reliability: bits & 1 != 0,
            reconfiguration: bits & 2 != 0,
            zero_checksum: bits & 4 != 0,
            interleaving: bits & 8 != 0,
            interleaved_partial_reliability: bits & 16 != 0,
            padding: bits & 32 != 0,
            ecn: bits & 64 != 0,
        }
    }
}

/// What an INIT or an INIT ACK says about its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Init {
    pub(crate) tag: u32,
    pub(crate) window: u32,
    pub(crate) outbound_streams: u16,
    pub(crate) inbound_streams: u16,
    pub(crate) initial_tsn: Tsn,
    pub(crate) capabilities: Capabilities,
}

/// A received INIT or INIT ACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceivedInit<'a> {
    pub(crate) init: Init,
    /// The State Cookie (INIT ACK).
    pub(crate) cookie: Option<&'a [u8]>,
    /// The suggested increment of the cookie's life in milliseconds (INIT).
    pub(crate) cookie_preservative: Option<u32>,
    /// A Host Name Address parameter is there: to be answered with an ABORT.
    pub(crate) host_name: bool,
    /// Unknown parameters to report, each whole and padded, one after the other.
    pub(crate) unrecognized: Vec<u8>,
}

impl<'a> ReceivedInit<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = value.split_at_checked(FIXED_LEN)?;
        let mut received = Self {
            init: Init {
                tag: BigEndian::read_u32(&fixed[0..4]),
                window: BigEndian::read_u32(&fixed[4..8]),
                outbound_streams: BigEndian::read_u16(&fixed[8..10]),
                inbound_streams: BigEndian::read_u16(&fixed[10..12]),
                initial_tsn: Tsn(BigEndian::read_u32(&fixed[12..16])),
                capabilities: Capabilities::default(),
            },
            cookie: None,
            cookie_preservative: None,
            host_name: false,
            unrecognized: Vec::new(),
        };
        for parameter in Parameters(rest) {
            let parameter = parameter.ok()?;
            if !received.take(parameter) {
                break;
            }
        }
        Some(received)
    }

    /// Takes in one parameter; `false` says that the rest must not be processed.
    fn take(&mut self, parameter: parameter::RawParameter<'a>) -> bool {
        let capabilities = &mut self.init.capabilities;
        match parameter.kind {
            parameter::kind::STATE_COOKIE => self.cookie = Some(parameter.value),
            parameter::kind::COOKIE_PRESERVATIVE if parameter.value.len() == 4 => {
                self.cookie_preservative = Some(BigEndian::read_u32(parameter.value));
            }
            parameter::kind::HOST_NAME => self.host_name = true,
            parameter::kind::FORWARD_TSN => capabilities.partial_reliability = true,
            parameter::kind::SUPPORTED_EXTENSIONS => {
                let lists = |kind| parameter.value.contains(&kind);
                capabilities.reconfiguration |= lists(super::kind::RE_CONFIG);
                capabilities.partial_reliability |= lists(super::kind::FORWARD_TSN);
                capabilities.interleaving |= lists(super::kind::I_DATA);
                capabilities.interleaved_partial_reliability |= lists(super::kind::I_FORWARD_TSN);
                capabilities.padding |= lists(super::kind::PAD);
            }
            parameter::kind::ZERO_CHECKSUM => {
                capabilities.zero_checksum |=
                    parameter.value.len() == 4 && BigEndian::read_u32(parameter.value) == DTLS_METHOD;
            }
            // RFC 8261, section 5: over DTLS addresses mean nothing. The others are known and ask for nothing.
            parameter::kind::IPV4_ADDRESS
            | parameter::kind::IPV6_ADDRESS
            | parameter::kind::UNRECOGNIZED
            | parameter::kind::COOKIE_PRESERVATIVE
            | parameter::kind::SUPPORTED_ADDRESS_TYPES => {}
            // "This TLV contains no parameters".
            parameter::kind::ECN_CAPABLE => capabilities.ecn |= parameter.value.is_empty(),
            kind => {
                let unknown = Unknown::parameter(kind);
                if unknown.report && self.unrecognized.len() + parameter.whole.len() <= MAX_REPORTED {
                    self.unrecognized.extend_from_slice(parameter.whole);
                    super::pad(&mut self.unrecognized, parameter.whole.len());
                }
                return !unknown.stop;
            }
        }
        true
    }
}

impl Init {
    /// Appends an INIT (`kind` 1) or an INIT ACK (`kind` 2, with `cookie` and the parameters to report).
    pub(crate) fn write(&self, out: &mut Vec<u8>, kind: u8, cookie: Option<&[u8]>, unrecognized: &[u8]) {
        write_chunk(out, kind, 0, |out| {
            let mut fixed = [0; FIXED_LEN];
            BigEndian::write_u32(&mut fixed[0..4], self.tag);
            BigEndian::write_u32(&mut fixed[4..8], self.window);
            BigEndian::write_u16(&mut fixed[8..10], self.outbound_streams);
            BigEndian::write_u16(&mut fixed[10..12], self.inbound_streams);
            BigEndian::write_u32(&mut fixed[12..16], self.initial_tsn.0);
            out.extend_from_slice(&fixed);
            if let Some(cookie) = cookie {
                write_parameter(out, parameter::kind::STATE_COOKIE, cookie);
            }
            if self.capabilities.partial_reliability {
                write_parameter(out, parameter::kind::FORWARD_TSN, &[]);
            }
            if self.capabilities.zero_checksum {
                write_parameter(out, parameter::kind::ZERO_CHECKSUM, &DTLS_METHOD.to_be_bytes());
            }
            if self.capabilities.ecn {
                write_parameter(out, parameter::kind::ECN_CAPABLE, &[]);
            }
            for whole in Parameters(unrecognized).flatten() {
                write_parameter(out, parameter::kind::UNRECOGNIZED, whole.whole);
            }
            // Last, because a chunk's length leaves out only the padding of its last parameter.
            let can = &self.capabilities;
            let mut extensions = [0; 5];
            let mut count = 0;
            for (present, kind) in [
                (can.reconfiguration, super::kind::RE_CONFIG),
                (can.partial_reliability, super::kind::FORWARD_TSN),
                (can.interleaving, super::kind::I_DATA),
                (can.interleaved_partial_reliability, super::kind::I_FORWARD_TSN),
                (can.padding, super::kind::PAD),
            ] {
                if present {
                    extensions[count] = kind;
                    count += 1;
                }
            }
            if count > 0 {
                write_parameter(out, parameter::kind::SUPPORTED_EXTENSIONS, &extensions[..count]);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Chunks, HEADER_LEN, kind};

    const INIT: Init = Init {
        tag: 0x896c_dd1d,
        window: 5 << 20,
        outbound_streams: 65535,
        inbound_streams: 1024,
        initial_tsn: Tsn(0xe079_651d),
        capabilities: Capabilities {
            partial_reliability: true,
            reconfiguration: true,
            interleaving: true,
            interleaved_partial_reliability: true,
            zero_checksum: true,
            padding: true,
            ecn: true,
        },
    };

    #[test]
    fn an_init_ack_round_trips_with_its_cookie_and_reports() {
        let mut report = Vec::new();
        write_parameter(&mut report, 0xc0ff, b"hello");
        let mut out = vec![0; HEADER_LEN];
        INIT.write(&mut out, kind::INIT_ACK, Some(b"cookie"), &report);
        assert_eq!(out.len() % 4, 0);
        let chunk = Chunks::new(&out).next().unwrap().unwrap();
        let parsed = ReceivedInit::parse(chunk.value).unwrap();
        assert_eq!(parsed.init, INIT);
        assert_eq!(parsed.cookie, Some(&b"cookie"[..]));
        assert!(!parsed.host_name);
        assert!(parsed.unrecognized.is_empty());
    }

    /// The INIT chunk of draft-hancke-tsvwg-snap-00, as Chromium sends it.
    #[test]
    fn a_chromium_init_is_understood() {
        let chunk = b"\x01\x00\x00\x1e\x89\x6c\xdd\x1d\x00\x50\x00\x00\xff\xff\xff\xff\xe0\x79\x65\x1d\
            \xc0\x00\x00\x04\x80\x08\x00\x06\x82\xc0";
        let parsed = ReceivedInit::parse(&chunk[4..]).unwrap();
        assert_eq!(
            parsed.init,
            Init {
                inbound_streams: 65535,
                capabilities: Capabilities {
                    partial_reliability: true,
                    reconfiguration: true,
                    ..Capabilities::default()
                },
                ..INIT
            }
        );
    }

    #[test]
    fn unknown_parameters_stop_or_go_on_and_are_reported_by_their_high_bits() {
        let mut value = vec![0; FIXED_LEN];
        write_parameter(&mut value, 0x8123, b"skip");
        write_parameter(&mut value, 0xc123, b"say");
        write_parameter(&mut value, parameter::kind::FORWARD_TSN, &[]);
        write_parameter(&mut value, 0x4123, b"stop");
        write_parameter(&mut value, parameter::kind::STATE_COOKIE, b"never");
        let parsed = ReceivedInit::parse(&value).unwrap();
        assert!(parsed.init.capabilities.partial_reliability);
        assert_eq!(parsed.cookie, None);
        let reported: Vec<_> = Parameters(&parsed.unrecognized)
            .map(|parameter| parameter.unwrap().kind)
            .collect();
        assert_eq!(reported, [0xc123, 0x4123]);
    }

    /// CVE-2019-20503 (usrsctp): address parameters cut short must not be read beyond their end.
    #[test]
    fn every_truncation_of_an_init_is_refused_or_parsed() {
        let mut out = Vec::new();
        INIT.write(&mut out, kind::INIT, Some(b"cookie"), &[]);
        write_parameter(&mut out, parameter::kind::IPV6_ADDRESS, &[1, 2, 3]);
        for end in 4..out.len() {
            let _ = ReceivedInit::parse(&out[4..end]);
        }
    }
}
