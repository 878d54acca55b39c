//! What the packet of a chunk said about marks (RFC 3168).

/// Whether the packet of a chunk said that it may be marked (ECT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Plain,
    Capable {
        /// The one chunk of its packet that is counted.
        is_first: bool,
    },
}
