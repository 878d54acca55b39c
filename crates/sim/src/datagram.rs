//! What the world may know of a datagram without breaking determinism: its protocol, and a size that two runs of
//! one seed agree on.

/// The protocol, by the first byte (RFC 7983, section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Protocol {
    /// STUN.
    Stun = 1,
    /// DTLS, but for application data: its first messages are neither encrypted nor of the same size in every run.
    DtlsHandshake,
    /// DTLS application data.
    DtlsData,
    /// TURN ChannelData.
    ChannelData,
    /// RTP or RTCP, encrypted or not.
    Rtp,
    /// Anything else.
    Other,
}

/// The size on which links and traces count for a datagram of a DTLS handshake.
///
/// An ECDSA signature in DER has 70 to 72 bytes, and a certificate's serial number up to nine: the backend draws
/// them, not the seed. Whatever depends on the true size (the time on a link of finite rate, the trace) would differ
/// between two runs of one seed.
const HANDSHAKE_SIZE: usize = 640;

impl Protocol {
    /// The protocol of a datagram.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        match data.first() {
            Some(0..=3) => Protocol::Stun,
            Some(23) => Protocol::DtlsData,
            Some(20..=63) => Protocol::DtlsHandshake,
            Some(64..=79) => Protocol::ChannelData,
            Some(128..=191) => Protocol::Rtp,
            _ => Protocol::Other,
        }
    }
}

/// The size that links and traces count with.
#[must_use]
pub fn nominal_size(data: &[u8]) -> usize {
    if Protocol::of(data) == Protocol::DtlsHandshake {
        HANDSHAKE_SIZE
    } else {
        data.len()
    }
}
