//! What a peer connection tells its owner.

use std::net::IpAddr;

use dunlin_ice::{OpenPath, ServerReport};
use dunlin_net::Path;

use crate::data_channel::ChannelId;
use crate::description::CandidateInit;
use crate::jsep::TransceiverId;
use crate::state::{ConnectionState, IceConnectionState, IceGatheringState, SignalingState};
use crate::tracks::RtpPacket;

/// What `PeerConnection::poll_event` answers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Offer and answer moved on.
    SignalingState(SignalingState),
    /// Gathering moved on.
    IceGatheringState(IceGatheringState),
    /// ICE moved on.
    IceConnectionState(IceConnectionState),
    /// The aggregate of ICE and DTLS moved on.
    ConnectionState(ConnectionState),
    /// A local candidate to signal; an empty `candidate` ends them.
    IceCandidate(CandidateInit),
    /// A new offer would change the session (webrtc-pc, section 4.7.3).
    NegotiationNeeded,
    /// Datagrams now take this path.
    SelectedPath(Path),
    /// The peer will send media on this transceiver.
    Track {
        /// The transceiver whose receiver gets the media.
        transceiver: TransceiverId,
        /// The ids of the media streams that the peer put the track into.
        streams: Vec<String>,
    },
    /// The peer stopped sending on this transceiver (direction, rejection or BYE).
    TrackEnded(TransceiverId),
    /// An RTP packet arrived for a transceiver.
    Rtp {
        /// The transceiver whose receiver got it.
        transceiver: TransceiverId,
        /// The packet, decrypted.
        packet: RtpPacket,
    },
    /// The peer asks for a key frame on what this transceiver sends (PLI or FIR).
    KeyframeRequest(TransceiverId),
    /// The peer opened a data channel.
    DataChannel(ChannelId),
    /// A channel of ours became usable.
    ChannelOpen(ChannelId),
    /// A channel has something to `receive`; told once until `receive` answered `None`.
    ChannelReadable(ChannelId),
    /// What a channel has buffered fell to its low threshold.
    BufferedAmountLow(ChannelId),
    /// A channel is being closed by the peer.
    ChannelClosing(ChannelId),
    /// A channel is closed; no event of it follows.
    ChannelClosed(ChannelId),
    /// The owner is to open a way to a TURN server: see `PeerConnection::relay_path_opened`.
    OpenPath(OpenPath),
    /// The way that was opened is not needed any more; what was polled for it still goes out.
    ClosePath(Path),
    /// The owner is to ask the local network who answers to this name, and to say so with
    /// [`name_resolved`](crate::PeerConnection::name_resolved) or
    /// [`name_not_resolved`](crate::PeerConnection::name_not_resolved).
    ResolveName(String),
    /// The owner is to answer the local network who asks for this name that it is this address of this host
    /// ([`Config::hidden_hosts`](crate::Config::hidden_hosts)), until the name is withdrawn or the connection closed.
    PublishName {
        /// A version 4 UUID and `.local`.
        name: String,
        /// What it stands for.
        address: IpAddr,
    },
    /// A name that was published is not used any more.
    WithdrawName(String),
    /// A STUN or TURN server gives nothing (any more); the connection may do without (`icecandidateerror`).
    ServerFailed(ServerReport),
    /// The connection failed: why, in words that its user can act on. When ICE found no path, lines follow that tell
    /// the servers, the candidates and the pairs.
    Failed(String),
    /// The peer ended the session (DTLS close_notify or SCTP abort); the reason in words.
    ClosedByPeer(String),
}
