//! SCTP for data channels, sans-IO (RFC 9260, 3758, 6525, 8260, 8261, 9653; ECN by RFC 4960, appendix A).
#![doc = include_str!("../README.md")]

mod association;
mod config;
mod connect;
mod cookie;
mod ecn;
mod event;
mod heartbeat;
mod packet;
mod path_change;
mod path_mtu;
mod pieces;
mod receive;
mod recovery;
mod send;
mod shutdown;
mod state;
mod stats;
mod stream_reset;
mod tcb;
mod timer;
mod transfer;
mod types;

pub use association::Association;
pub use config::{Config, CongestionControl, Scheduler};
pub use ecn::EcnState;
pub use event::{CloseReason, Event, MessageKey, Reconfiguration, SendError};
pub use send::{Reliability, SendOptions};
pub use stats::{Drops, Stats};
pub use types::{Ppid, Ssn, StreamId, Tsn};
