//! Versions of the protocol.

/// A version of the protocol; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Version {
    /// DTLS 1.2 (RFC 6347).
    Dtls12,
    /// DTLS 1.3 (RFC 9147).
    Dtls13,
}

impl Version {
    /// The version on the wire: 0xFEFD for 1.2, 0xFEFC for 1.3.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Version::Dtls12 => 0xFEFD,
            Version::Dtls13 => 0xFEFC,
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Version::Dtls12 => "DTLS 1.2",
            Version::Dtls13 => "DTLS 1.3",
        })
    }
}
