#![doc = include_str!("../README.md")]
// The facade is where the clock, the locks and the sharing live; everything below takes them by argument.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod byte_stream;
mod channel_state;
mod config;
mod core;
mod data_channel;
mod description;
mod discarded;
mod driver;
pub mod echo;
mod endpoint;
mod error;
mod event;
mod ice_server;
mod interface_watch;
mod interfaces;
mod mailbox;
mod mdns;
mod mdns_responder;
mod message_stream;
pub mod nat;
mod peer_connection;
mod peer_tcp;
mod relay_dtls;
mod relay_path;
mod relays;
mod routes;
mod socket;
mod tls;
mod together;
mod track;
mod track_state;
mod train;
#[cfg(feature = "turn-server")]
pub mod turn_server;
mod unreachable;
mod wakers;
mod watch;

pub use bytes::Bytes;
pub use dunlin_net::{Path, Transport};

pub use crate::byte_stream::ByteStream;
pub use crate::config::{AddressPolicy, Config, EndpointConfig, PeerConfig};
pub use crate::data_channel::DataChannel;
pub use crate::description::{IceCandidate, ParseSignalError, SdpType, SessionDescription};
pub use crate::endpoint::Endpoint;
pub use crate::error::{
    AddCandidateError, BindError, ConnectionError, CreateChannelError, DescriptionError, Error, SendError,
    TransceiverError, WriteError,
};
pub use crate::event::{Event, Events};
pub use crate::ice_server::IceServer;
pub use crate::message_stream::{MessageReader, MessageWriter};
pub use crate::peer_connection::PeerConnection;
pub use crate::tls::TlsRoots;
pub use crate::track::{Feedback, TrackReceiver, TrackSender, Transceiver};
pub use dunlin_peerconnection::{
    AnswerSetup, Certificate, ChannelCounters, ChannelFailure, ChannelState, CodecCapability, Codecs,
    ConnectionState, DataChannelInit, Direction, DtlsState, HeaderExtensions, HiddenHosts,
    IceConnectionState, IceGatheringState, IceReport, MediaKind, Message, MessageKind, NegotiatedCodec,
    OutgoingPacket, PairReport, PayloadType, RtpPacket, ServerError, ServerReport, ServerState,
    SignalingState, SourceSequence, Stats, Subnet, Timestamp, TransceiverInit,
    TransportPolicy as IceTransportPolicy,
};

/// The programs in the guides compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/book/signalling.md")]
struct Guides;

/// The programs in the guides compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/book/data-channels.md")]
struct DataChannelGuide;
