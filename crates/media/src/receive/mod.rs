//! The receiving side: statistics, duplicates, missing packets, retransmissions, per SSRC.

mod consumed;
mod missing;
mod reception;
mod rtx;
mod stream;
mod window;

pub(crate) use missing::NackPolicy;
pub(crate) use rtx::decapsulate;
pub(crate) use stream::{Accepted, MediaStream, RtxStream, Stream, StreamKind};
