//! DTLS in memory: handshakes of both ends on one thread, records of 1,200 B, and what an idle connection holds, beside
//! the cipher alone and beside dimpl.

mod handshakes;
mod memory;
mod ours;
mod records;
#[cfg(feature = "peers")]
mod theirs;

use crate::figures::Figures;
use std::time::Duration;

/// What a handshake sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    pub bytes: usize,
    pub datagrams: usize,
}

/// Everything about DTLS.
pub fn measure(time: Duration, figures: &mut Figures) -> Result<(), String> {
    handshakes::measure(figures)?;
    records::measure(time, figures)?;
    memory::measure(figures)
}
