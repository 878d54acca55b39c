#![doc = include_str!("../README.md")]

pub mod extension;
pub mod rtcp;

mod header;
mod ids;
mod packet;
mod sequence;
mod timestamp;
mod write;

pub use extension::{ExtensionKind, ExtensionMap};
pub use header::{Csrcs, ExtensionBlock, Header, MIN_HEADER_LEN};
pub use ids::{PayloadType, Ssrc};
pub use packet::{Packet, is_rtcp};
pub use sequence::{ExtendedSequence, SequenceNumber, SequenceUnwrapper};
pub use timestamp::{NtpTime, Timestamp};
pub use write::{HeaderFields, WriteError, header_len, write_header};

/// Why bytes are not an RTP or RTCP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The bytes end before the field that is named.
    #[error("too short for {0}")]
    TooShort(&'static str),
    /// The version field is not 2.
    #[error("version {0}, not 2")]
    Version(u8),
    /// The padding count is zero, or reaches beyond the payload.
    #[error("padding count {0} does not fit")]
    Padding(u8),
    /// A field has a value that its RFC rules out.
    #[error("invalid {0}")]
    Invalid(&'static str),
}
