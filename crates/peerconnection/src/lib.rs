#![doc = include_str!("../README.md")]

mod channels;
mod config;
mod data_channel;
mod data_channel_inbox;
mod data_channel_receive;
mod data_channel_send;
mod data_channel_table;
#[cfg(test)]
mod data_channel_tests;
pub mod dcep;
mod demux;
mod description;
mod error;
mod event;
pub mod jsep;
mod media_session;
mod negotiate;
mod peer_connection;
mod relaying;
mod state;
mod stats;
mod tracks;
mod transport;

pub use config::{AnswerSetup, Config};
pub use data_channel::{
    ChannelCounters, ChannelFailure, ChannelId, DataChannel, DataChannelInit, Message, MessageKind, Piece,
};
pub use description::{CandidateInit, SdpType, SessionDescription, UnknownSdpType};
pub use dunlin_dtls::Certificate;
pub use dunlin_ice::{
    FailureReason, FailureReport, HiddenHosts, OpenPath, PairReport, RelayId, Report as IceReport,
    ServerError, ServerReport, ServerState, Servers as IceServers, StreamFrames, StunServer, Subnet,
    TcpFrames, TransportPolicy, TurnCredentials, TurnServer, uri,
};
pub use dunlin_media::{OutgoingPacket, SourceSequence};
pub use dunlin_rtp::{Packet, PayloadType, SequenceNumber, Ssrc, Timestamp};
pub use error::{
    AddCandidateError, CreateChannelError, DescriptionError, PieceError, SendMessageError, TransceiverError,
};
pub use event::Event;
pub use jsep::{
    CodecCapability, Codecs, Direction, HeaderExtensions, MediaKind, NegotiatedCodec, ReceiveParameters,
    SendParameters, Transceiver, TransceiverId, TransceiverInit,
};
pub use peer_connection::PeerConnection;
pub use state::{
    ChannelState, ConnectionState, DtlsState, IceConnectionState, IceGatheringState, SignalingState,
};
pub use stats::Stats;
pub use tracks::RtpPacket;
pub use transport::TransportDrops;
