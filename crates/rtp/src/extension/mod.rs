//! RTP header extensions: the general mechanism (RFC 8285) and one file per element.

mod abs_capture_time;
mod abs_send_time;
mod audio_level;
mod kind;
mod map;
mod playout_delay;
mod text;
mod timestamp_offset;
mod transport_sequence;
mod video_orientation;

pub use abs_capture_time::AbsCaptureTime;
pub use abs_send_time::AbsSendTime;
pub use audio_level::AudioLevel;
pub use kind::ExtensionKind;
pub use map::ExtensionMap;
pub use playout_delay::PlayoutDelay;
pub use text::parse_text;
pub use timestamp_offset::TimestampOffset;
pub use transport_sequence::TransportSequence;
pub use video_orientation::{Rotation, VideoOrientation};

/// "Defined by profile" of the one-byte form (RFC 8285, section 4.2).
pub const ONE_BYTE_PROFILE: u16 = 0xbede;
/// "Defined by profile" of the two-byte form with appbits 0 (RFC 8285, section 4.3).
pub const TWO_BYTE_PROFILE: u16 = 0x1000;

/// The form of the elements in an extension block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    OneByte,
    TwoByte,
}

/// The elements of one header extension, in order: `(id, data)`. It ends at the first malformed one.
#[derive(Debug, Clone)]
pub struct Extensions<'a> {
    form: Form,
    rest: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// The elements in `body` if `profile` is one of RFC 8285, else none.
    #[must_use]
    pub fn new(profile: u16, body: &'a [u8]) -> Self {
        match profile {
            ONE_BYTE_PROFILE => Self {
                form: Form::OneByte,
                rest: body,
            },
            // RFC 8285, section 4.3: the low four bits are appbits, which "MUST be ignored by the receiver".
            0x1000..=0x100f => Self {
                form: Form::TwoByte,
                rest: body,
            },
            _ => Self::none(),
        }
    }

    /// No element.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            form: Form::OneByte,
            rest: &[],
        }
    }

    /// Splits an element off: id, bytes of its head, bytes of its data. None: the extension ends here.
    fn head(&self, first: u8) -> Option<(u8, usize, usize)> {
        match self.form {
            Form::OneByte => {
                let (id, len) = (first >> 4, usize::from(first & 0x0f) + 1);
                // RFC 8285, sections 4.1.2 and 4.2: id 15, and id 0 with a length: "processing of the entire
                // extension MUST terminate at that point".
                (id != 0 && id != 15).then_some((id, 1, len))
            }
            Form::TwoByte => self.rest.get(1).map(|len| (first, 2, usize::from(*len))),
        }
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // RFC 8285, section 4.1.2: "When a padding byte is found, it is ignored, and the parser moves on to
        // interpreting the next byte."
        while let [0, rest @ ..] = self.rest {
            self.rest = rest;
        }
        let first = *self.rest.first()?;
        let element = self.head(first).and_then(|(id, head, len)| {
            let data = self.rest.get(head..head + len)?;
            Some((id, data, head + len))
        });
        let Some((id, data, used)) = element else {
            self.rest = &[];
            return None;
        };
        self.rest = &self.rest[used..];
        Some((id, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(profile: u16, body: &[u8]) -> Vec<(u8, &[u8])> {
        Extensions::new(profile, body).collect()
    }

    /// The figure of RFC 8285, section 4.2.
    #[test]
    fn one_byte_elements_with_padding_between_them() {
        let body = [0x10, 1, 0x21, 2, 3, 0, 0, 0x33, 4, 5, 6, 7];
        assert_eq!(
            elements(0xbede, &body),
            [(1, &[1][..]), (2, &[2, 3]), (3, &[4, 5, 6, 7])]
        );
    }

    /// The figure of RFC 8285, section 4.3.
    #[test]
    fn two_byte_elements_may_be_empty() {
        let body = [1, 0, 2, 1, 9, 0, 3, 4, 4, 5, 6, 7];
        let expected = [(1, &[][..]), (2, &[9]), (3, &[4, 5, 6, 7])];
        assert_eq!(elements(0x1000, &body), expected);
        assert_eq!(elements(0x100f, &body), expected, "appbits are ignored");
    }

    #[test]
    fn ids_15_and_0_with_a_length_end_the_extension() {
        assert_eq!(elements(0xbede, &[0x10, 1, 0xf0, 2, 0x20, 3]), [(1, &[1][..])]);
        assert_eq!(elements(0xbede, &[0x10, 1, 0x01, 2, 3, 0x20]), [(1, &[1][..])]);
        assert_eq!(
            elements(0x1000, &[15, 1, 7]),
            [(15, &[7][..])],
            "15 is an id of the two-byte form"
        );
    }

    #[test]
    fn an_element_that_overruns_the_block_is_dropped_with_what_follows() {
        assert_eq!(elements(0xbede, &[0x10, 1, 0x23, 2]), [(1, &[1][..])]);
        assert_eq!(elements(0x1000, &[1, 1, 1, 2, 9, 3]), [(1, &[1][..])]);
        assert_eq!(elements(0x1000, &[1]), []);
        assert_eq!(elements(0x1234, &[0x10, 1]), [], "another profile");
    }
}
