//! Why bytes are not a message, and why a message is not authentic.

/// Why bytes are not a STUN message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Fewer than the 20 bytes of a header.
    #[error("{0} bytes are too few for a STUN header")]
    TooShort(usize),
    /// The first two bits are not zero, or the magic cookie is missing: another protocol.
    #[error("not STUN: the first two bits or the magic cookie differ")]
    NotStun,
    /// The length field is not a multiple of four, or not the length of what follows the header.
    #[error("the header announces {announced} bytes of attributes, {actual} are there")]
    Length {
        /// What the header says.
        announced: usize,
        /// What follows the header.
        actual: usize,
    },
    /// An attribute runs past the end of the message.
    #[error("attribute {kind:#06x} runs past the end of the message")]
    Attribute {
        /// The type of the attribute.
        kind: u16,
    },
}

/// Why a message is not accepted as coming from an owner of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrityError {
    /// There is neither MESSAGE-INTEGRITY nor MESSAGE-INTEGRITY-SHA256.
    #[error("the message carries no integrity attribute")]
    Missing,
    /// The attribute's value has a length that no MAC has.
    #[error("the integrity attribute has {0} bytes")]
    Length(usize),
    /// The MAC does not fit: changed, forged, or made with another key.
    #[error("the message integrity does not match")]
    Mismatch,
}
