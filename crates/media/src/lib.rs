#![doc = include_str!("../README.md")]

mod clock;
mod config;
mod demux;
mod event;
mod feedback;
mod receive;
mod reports;
mod rtcp_in;
mod rtcp_out;
mod send;
mod session;
mod stats;

pub use config::{Codec, Config, Feedback, MediaKind, ReceiverConfig, ReceiverId, SenderConfig, SenderId};
pub use event::{Event, OutgoingPacket, SendError, SourceSequence};
pub use session::Session;
pub use stats::{Drops, ReceiveStats, RemoteReceiver, RemoteSender, SendStats};
