//! Whose datagram is this: DTLS or SRTP, by the first byte (RFC 7983 as updated by RFC 9443).
//!
//! STUN and TURN never get here: ICE has taken them.

/// What the first byte says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A DTLS record.
    Dtls,
    /// An SRTP packet.
    Rtp,
    /// An SRTCP packet.
    Rtcp,
    /// Nothing that a peer connection speaks.
    Unknown,
}

/// Classifies a datagram.
#[must_use]
pub(crate) fn classify(data: &[u8]) -> Class {
    match data {
        [20..=63, ..] => Class::Dtls,
        // "the RTCP packet types in the ranges 192-223" share the second byte with the marker bit and the
        // payload type of RTP (RFC 5761, section 4).
        [128..=191, 192..=223, ..] => Class::Rtcp,
        [128..=191, _, ..] => Class::Rtp,
        _ => Class::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_of_rfc_9443_and_5761() {
        assert_eq!(classify(&[22, 254, 253]), Class::Dtls);
        assert_eq!(classify(&[0x2f]), Class::Dtls);
        assert_eq!(classify(&[0x80, 111]), Class::Rtp);
        assert_eq!(classify(&[0x90, 0x80 | 96]), Class::Rtp);
        assert_eq!(classify(&[0x80, 0x80 | 63]), Class::Rtp);
        assert_eq!(classify(&[0x80, 200]), Class::Rtcp);
        for first in [0, 3, 16, 64, 79, 80, 127, 192, 255] {
            assert_eq!(classify(&[first, 0]), Class::Unknown, "{first}");
        }
        assert_eq!(classify(&[]), Class::Unknown);
        assert_eq!(classify(&[0x80]), Class::Unknown);
    }
}
