//! Writing an RTP header with its extension (RFC 3550, section 5.1; RFC 8285, section 4).

use crate::extension::{ONE_BYTE_PROFILE, TWO_BYTE_PROFILE};
use crate::{Csrcs, MIN_HEADER_LEN, PayloadType, SequenceNumber, Ssrc, Timestamp};

/// The fields of a header to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderFields {
    /// The marker bit.
    pub marker: bool,
    /// Whether the packet ends in padding; the caller writes it.
    pub padding: bool,
    /// The payload type.
    pub payload_type: PayloadType,
    /// The sequence number.
    pub sequence: SequenceNumber,
    /// The media timestamp.
    pub timestamp: Timestamp,
    /// The synchronization source.
    pub ssrc: Ssrc,
    /// The contributing sources.
    pub csrcs: Csrcs,
}

/// Why a header cannot be written. Nothing was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// RFC 8285, section 4.1.2: "The ID value 0 is reserved for padding".
    #[error("0 is not an extension id")]
    ExtensionId,
    /// An element of more than 255 bytes, or elements of more than 2^16 words.
    #[error("an extension of {0} bytes is too long")]
    ExtensionTooLong(usize),
}

/// Bytes that [`write_header`] appends for these extension elements.
#[must_use]
pub fn header_len(csrcs: usize, extensions: &[(u8, &[u8])]) -> usize {
    let fixed = MIN_HEADER_LEN + 4 * csrcs;
    if extensions.is_empty() {
        return fixed;
    }
    let per_element = if fits_one_byte_form(extensions) { 1 } else { 2 };
    let body: usize = extensions.iter().map(|(_, data)| per_element + data.len()).sum();
    fixed + 4 + body.next_multiple_of(4)
}

/// Appends an RTP header.
///
/// The one-byte form is taken when every element fits it: RFC 8285, section 4.1.2: "Transmitters SHOULD NOT
/// use the two-byte header form when all extensions are small enough for the one-byte header form."
///
/// # Errors
/// [`WriteError`] when an extension element cannot be written; `out` is left as it was.
pub fn write_header(
    out: &mut Vec<u8>,
    fields: &HeaderFields,
    extensions: &[(u8, &[u8])],
) -> Result<(), WriteError> {
    let total = header_len(0, extensions) - MIN_HEADER_LEN;
    for (id, data) in extensions {
        if *id == 0 {
            return Err(WriteError::ExtensionId);
        }
        if data.len() > 255 {
            return Err(WriteError::ExtensionTooLong(data.len()));
        }
    }
    let words =
        u16::try_from(total.saturating_sub(4) / 4).map_err(|_| WriteError::ExtensionTooLong(total))?;

    let csrcs = fields.csrcs.as_slice();
    let first = 0x80
        | u8::from(fields.padding) << 5
        | u8::from(!extensions.is_empty()) << 4
        | u8::try_from(csrcs.len()).unwrap_or(0);
    out.push(first);
    out.push(u8::from(fields.marker) << 7 | fields.payload_type.get());
    out.extend_from_slice(&fields.sequence.0.to_be_bytes());
    out.extend_from_slice(&fields.timestamp.0.to_be_bytes());
    out.extend_from_slice(&fields.ssrc.0.to_be_bytes());
    for csrc in csrcs {
        out.extend_from_slice(&csrc.0.to_be_bytes());
    }
    if extensions.is_empty() {
        return Ok(());
    }
    let one_byte = fits_one_byte_form(extensions);
    let profile = if one_byte {
        ONE_BYTE_PROFILE
    } else {
        TWO_BYTE_PROFILE
    };
    out.extend_from_slice(&profile.to_be_bytes());
    out.extend_from_slice(&words.to_be_bytes());
    let body_start = out.len();
    for (id, data) in extensions {
        let len = u8::try_from(data.len()).unwrap_or(0);
        if one_byte {
            out.push(id << 4 | len.wrapping_sub(1));
        } else {
            out.extend_from_slice(&[*id, len]);
        }
        out.extend_from_slice(data);
    }
    out.resize(body_start + 4 * usize::from(words), 0);
    Ok(())
}

fn fits_one_byte_form(extensions: &[(u8, &[u8])]) -> bool {
    extensions
        .iter()
        .all(|(id, data)| (1..=14).contains(id) && (1..=16).contains(&data.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;

    fn fields() -> HeaderFields {
        HeaderFields {
            marker: true,
            padding: false,
            payload_type: PayloadType::new(111).unwrap(),
            sequence: SequenceNumber(7),
            timestamp: Timestamp(8),
            ssrc: Ssrc(9),
            csrcs: Csrcs::NONE,
        }
    }

    #[test]
    fn the_form_follows_from_the_elements() {
        for (extensions, profile, len) in [
            (&[(1, &[1u8][..]), (14, &[2; 16])][..], 0xbede, 4 + 20),
            (&[(15, &[1][..])], 0x1000, 4 + 4),
            (&[(1, &[][..])], 0x1000, 4 + 4),
            (&[(1, &[3; 17][..])], 0x1000, 4 + 20),
        ] {
            let mut out = Vec::new();
            write_header(&mut out, &fields(), extensions).unwrap();
            assert_eq!(out.len(), header_len(0, extensions));
            assert_eq!(out.len(), 12 + len);
            let header = Header::parse(&out).unwrap();
            assert_eq!(header.extension.unwrap().profile, profile);
            assert_eq!(header.extensions(&out).collect::<Vec<_>>(), extensions);
        }
    }

    #[test]
    fn a_header_without_extensions_has_no_extension_block() {
        let mut out = Vec::new();
        write_header(&mut out, &fields(), &[]).unwrap();
        assert_eq!(out, [0x80, 0xef, 0, 7, 0, 0, 0, 8, 0, 0, 0, 9]);
    }

    #[test]
    fn what_cannot_be_written_leaves_the_buffer_as_it_was() {
        let mut out = vec![1];
        assert_eq!(
            write_header(&mut out, &fields(), &[(0, &[1])]),
            Err(WriteError::ExtensionId)
        );
        let long = [0; 256];
        assert_eq!(
            write_header(&mut out, &fields(), &[(1, &long)]),
            Err(WriteError::ExtensionTooLong(256))
        );
        assert_eq!(out, [1]);
    }
}
