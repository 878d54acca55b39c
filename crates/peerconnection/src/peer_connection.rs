//! The connection itself: it wires descriptions to the transport, the transport to channels and transceivers.
//!
//! The commands are in `negotiate` (descriptions, candidates), `channels` (data) and `tracks` (media).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_dtls::Certificate;
use dunlin_ice::{Agent, FailureReport, GatheringState, State as IceState};
use dunlin_net::{Ecn, Path, Transmit, Transport as NetTransport};
use dunlin_sctp::{Association, Reconfiguration};
use log::{debug, info};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::config::Config;
use crate::data_channel::ChannelFailure;
use crate::data_channel_table::Channels;
use crate::dcep::MAX_OPEN_LEN;
use crate::event::Event;
use crate::media_session::MediaSession;
use crate::negotiate::Negotiation;
use crate::state::{ConnectionState, DtlsState, IceConnectionState, IceGatheringState, SignalingState};
use crate::tracks::Tracks;
use crate::transport::{Transport, TransportEvent};

/// Time between HEARTBEATs of an idle association (RFC 9260, section 8.3).
const HEARTBEAT: Duration = Duration::from_secs(120);
/// Bytes of a piece of a message that is too large to be kept.
const PIECE: usize = 64 * 1024;

/// A WebRTC peer connection (RFC 9429; W3C webrtc-pc) without any input or output of its own.
///
/// The owner feeds it datagrams and time, sends what [`PeerConnection::poll_transmit`] appends, and reads
/// [`PeerConnection::poll_event`]. Everything that a command or a datagram causes has happened when the call
/// returns; what is to be sent waits in `poll_transmit`.
pub struct PeerConnection {
    pub(crate) kept: Kept,
    /// When `new` was called.
    pub(crate) made: Instant,
    pub(crate) now: Instant,
    pub(crate) transport: Transport,
    pub(crate) negotiation: Negotiation,
    pub(crate) channels: Channels,
    pub(crate) tracks: Tracks,
    pub(crate) events: VecDeque<Event>,
    transport_events: VecDeque<TransportEvent>,
    pub(crate) gathering: IceGatheringState,
    pub(crate) ice_state: IceConnectionState,
    connection_state: ConnectionState,
    /// Since ICE failed, until it is restarted.
    pub(crate) ice_failure: Option<Box<FailureReport>>,
    stage: Stage,
    sctp_seed: [u8; 32],
}

/// What of the configuration is needed as long as the connection lives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) max_message_size: usize,
    pub(crate) receive_buffer: usize,
    pub(crate) max_rtp_events: usize,
    pub(crate) wall_clock: Option<Duration>,
}

impl Kept {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            max_message_size: config.max_message_size,
            receive_buffer: config.receive_buffer,
            max_rtp_events: config.max_rtp_events,
            wall_clock: config.wall_clock,
        }
    }
}

/// Whether the connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Live,
    /// Closed by its owner or its peer; the last datagrams may still be taken.
    Leaving,
    Closed,
}

impl PeerConnection {
    /// Makes a connection. Nothing is sent before a description is set.
    ///
    /// # Panics
    /// When `config.certificate` is `None` and the crypto backend cannot make a key, which leaves nothing to do.
    #[must_use]
    pub fn new(mut config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let certificate = config
            .certificate
            .take()
            .unwrap_or_else(|| Certificate::generate().expect("the crypto backend makes a key"));
        let mut ice_config = dunlin_ice::Config::default();
        ice_config.lite = config.ice_lite;
        ice_config.stun_servers = config.stun_servers.clone();
        ice_config.stun_ways = config.stun_ways.clone();
        ice_config.turn_servers = config.turn_servers.clone();
        ice_config.failed_servers = config.failed_servers.clone();
        ice_config.transport_policy = config.ice_transport_policy;
        ice_config.advertise_hosts = config.advertise_hosts;
        ice_config.hidden_hosts = config.hidden_hosts;
        ice_config.external_ips = config.external_ips.clone();
        ice_config.consent_timeout = config.consent_timeout;
        let ice = Agent::new(ice_config, rng.random(), now);
        // "a short-term persistent RTCP CNAME ... random" (RFC 7022, section 4.2), the same in descriptions and RTCP.
        let cname = format!("{:032x}", rng.random::<u128>());
        let negotiation = Negotiation::new(&config, &certificate, &cname, &mut rng);
        let media = MediaSession::new(cname, config.wall_clock, rng.random(), now);
        let transport = Transport::new(&config, certificate, ice, media, rng.random());
        Self {
            channels: Channels::new(&config),
            kept: Kept::of(&config),
            made: now,
            now,
            transport,
            negotiation,
            tracks: Tracks::default(),
            events: VecDeque::new(),
            transport_events: VecDeque::new(),
            gathering: IceGatheringState::New,
            ice_state: IceConnectionState::New,
            connection_state: ConnectionState::New,
            ice_failure: None,
            stage: Stage::Live,
            sctp_seed: rng.random(),
        }
    }

    /// Takes a datagram that arrived on `path`. Whatever it is, it does no harm.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        self.handle_datagram_with_mark(now, path, data, Ecn::NotEct);
    }

    /// Takes a datagram with the ECN field of its IP header (RFC 3168, section 5). Data channels slow down for what routers mark,
    /// as they would for what they drop; what [`poll_transmit`](Self::poll_transmit) says about the field has to be obeyed then.
    pub fn handle_datagram_with_mark(&mut self, now: Instant, path: Path, data: BytesMut, ecn: Ecn) {
        if self.stage != Stage::Live {
            return;
        }
        let now = self.advance(now);
        self.transport.handle_datagram(now, path, data, ecn);
        self.pump(now);
    }

    /// Tells the time. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.stage != Stage::Live {
            return;
        }
        let now = self.advance(now);
        self.transport.handle_timeout(now);
        self.pump(now);
    }

    /// Appends the next datagram to `out` and says where it goes; `None` when there is none.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let now = self.advance(now);
        if self.stage == Stage::Closed {
            // The releases of relays.
            return self.transport.ice.poll_transmit(now, out);
        }
        let transmit = self.transport.poll_transmit(now, out);
        if transmit.is_none() {
            match self.stage {
                // What was buffered may just have fallen to its low threshold.
                Stage::Live => self.pump_sctp(now),
                Stage::Leaving => {
                    self.stage = Stage::Closed;
                    self.transport.end();
                    while let Some(event) = self.transport.ice.poll_event() {
                        if let dunlin_ice::Event::ClosePath(path) = event {
                            self.events.push_back(Event::ClosePath(path));
                        }
                    }
                    return self.transport.ice.poll_transmit(now, out);
                }
                Stage::Closed => {}
            }
        }
        transmit
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        match &event {
            Event::Rtp { .. } => self.tracks.queued_packets -= 1,
            Event::ChannelReadable(_) | Event::BufferedAmountLow(_) => {}
            // All others are rare: when they have been told, their room is not kept.
            _ if self.events.is_empty() => self.events = VecDeque::new(),
            _ => {}
        }
        Some(event)
    }

    /// When `handle_timeout` is due. `None`: nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Live => self.transport.poll_timeout(),
            Stage::Leaving | Stage::Closed => None,
        }
    }

    /// Where offer and answer stand.
    #[must_use]
    pub fn signaling_state(&self) -> SignalingState {
        if self.stage == Stage::Live {
            self.negotiation.state()
        } else {
            SignalingState::Closed
        }
    }

    /// Whether all local candidates are known.
    #[must_use]
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        self.gathering
    }

    /// Whether ICE has a path.
    #[must_use]
    pub fn ice_connection_state(&self) -> IceConnectionState {
        self.ice_state
    }

    /// Where the DTLS handshake stands.
    #[must_use]
    pub fn dtls_state(&self) -> DtlsState {
        self.transport.dtls_state()
    }

    /// ICE and DTLS together.
    #[must_use]
    pub fn connection_state(&self) -> ConnectionState {
        self.connection_state
    }

    /// Tells that a datagram on `path`, which `poll_transmit` has written, was not taken by its socket or its connection:
    /// for the statistics of the pair in use, if that is its path. `bytes` counts the framing of a relay, too.
    pub fn datagram_discarded(&mut self, now: Instant, path: Path, bytes: usize) {
        let now = self.advance(now);
        if self.selected_path() == Some(path) {
            let framing = self.transport.ice.path_mtu_overhead();
            self.transport
                .ice
                .datagram_discarded(now, bytes.saturating_sub(framing));
        }
    }

    /// The path that datagrams take now.
    #[must_use]
    pub fn selected_path(&self) -> Option<Path> {
        self.transport.ice.selected_path()
    }

    /// Whether the connection is closed, by whichever side.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.stage != Stage::Live
    }

    /// The ICE user name fragment that requests for this connection carry first in USERNAME: what a server
    /// with many connections on one port routes by. It changes with an ICE restart.
    #[must_use]
    pub fn local_ufrag(&self) -> &str {
        self.transport.ice.local_credentials().ufrag()
    }

    /// A socket of ours that datagrams can be sent from, by its concrete address. May be called at any time.
    pub fn add_local_address(
        &mut self,
        now: Instant,
        address: std::net::SocketAddr,
        transport: NetTransport,
    ) {
        if self.stage != Stage::Live {
            return;
        }
        let now = self.advance(now);
        self.negotiation.local_addresses.push((address, transport));
        if self.gathering != IceGatheringState::New {
            self.add_to_ice(now, address, transport);
        }
        self.pump(now);
    }

    /// A socket's address is gone, as when a network is left. The connection goes on over another path, if there is one:
    /// at once, or as soon as another address comes.
    pub fn remove_local_address(
        &mut self,
        now: Instant,
        address: std::net::SocketAddr,
        transport: NetTransport,
    ) {
        if self.stage != Stage::Live {
            return;
        }
        let now = self.advance(now);
        self.negotiation
            .local_addresses
            .retain(|known| *known != (address, transport));
        self.transport.ice.remove_local_address(now, address, transport);
        self.pump(now);
    }

    /// Ends the session: the peer is told, channels and tracks end. Drain `poll_transmit` once more.
    pub fn close(&mut self, now: Instant) {
        if self.stage != Stage::Live {
            return;
        }
        let now = self.advance(now);
        info!("closed");
        self.transport.close(now);
        self.leave();
    }

    /// Time never goes back (a `now` in the past is treated as the latest seen).
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn leave(&mut self) {
        self.stage = Stage::Leaving;
        self.channels.close_all(None, &mut self.events);
        self.ice_state = IceConnectionState::Closed;
        self.set_connection_state(ConnectionState::Closed);
    }

    /// Moves everything between the layers until nothing is left to move.
    pub(crate) fn pump(&mut self, now: Instant) {
        let mut transport_events = std::mem::take(&mut self.transport_events);
        self.transport.pump(now, &mut transport_events);
        while let Some(event) = transport_events.pop_front() {
            self.handle_transport_event(now, event);
        }
        // Packets of media come by the thousand, all else is rare.
        if self.transport.media.get().is_some() {
            self.transport_events = transport_events;
        }
        self.follow_gathering();
        self.pump_sctp(now);
    }

    /// RTCIceGatheringState goes back to "gathering" when there are candidates to be found again: after a restart, or with a
    /// new address.
    fn follow_gathering(&mut self) {
        let next = match (self.transport.ice.gathering_state(), self.gathering) {
            (GatheringState::Complete, IceGatheringState::Gathering) => IceGatheringState::Complete,
            (GatheringState::Gathering, IceGatheringState::Complete) => IceGatheringState::Gathering,
            _ => return,
        };
        if next == IceGatheringState::Complete {
            self.announce_candidate("");
        }
        self.gathering = next;
        self.events.push_back(Event::IceGatheringState(next));
    }

    fn handle_transport_event(&mut self, now: Instant, event: TransportEvent) {
        match event {
            TransportEvent::Ice(event) => self.handle_ice_event(event),
            TransportEvent::Dtls(state) => {
                info!("DTLS is {state}");
                if state != DtlsState::Closed {
                    self.update_connection_state();
                }
            }
            TransportEvent::Secured => self.start_sctp(now),
            TransportEvent::DtlsClosed(reason) => self.handle_dtls_closed(&reason),
            TransportEvent::Media(event) => {
                self.tracks
                    .handle_media_event(event, self.kept.max_rtp_events, &mut self.events)
            }
        }
    }

    fn handle_ice_event(&mut self, event: dunlin_ice::Event) {
        match event {
            dunlin_ice::Event::LocalCandidate(candidate) => self.announce_candidate(&candidate.to_string()),
            dunlin_ice::Event::State(state) => {
                if state != IceState::Failed {
                    self.ice_failure = None;
                }
                self.ice_state = match state {
                    IceState::New => IceConnectionState::New,
                    IceState::Checking => IceConnectionState::Checking,
                    IceState::Connected => IceConnectionState::Connected,
                    IceState::Completed => IceConnectionState::Completed,
                    IceState::Disconnected => IceConnectionState::Disconnected,
                    IceState::Failed => IceConnectionState::Failed,
                    IceState::Closed => IceConnectionState::Closed,
                };
                info!("ICE is {}", self.ice_state);
                self.events.push_back(Event::IceConnectionState(self.ice_state));
                self.update_connection_state();
            }
            dunlin_ice::Event::SelectedPath(path) => {
                info!("the path is {path}");
                self.events.push_back(Event::SelectedPath(path));
            }
            dunlin_ice::Event::Failed(report) => {
                self.events.push_back(Event::Failed(format!("{report:#}")));
                self.ice_failure = Some(Box::new(report));
            }
            dunlin_ice::Event::OpenPath(open) => self.events.push_back(Event::OpenPath(open)),
            dunlin_ice::Event::ResolveName(name) => self.events.push_back(Event::ResolveName(name)),
            dunlin_ice::Event::PublishName { name, address } => {
                self.events.push_back(Event::PublishName { name, address });
            }
            dunlin_ice::Event::WithdrawName(name) => self.events.push_back(Event::WithdrawName(name)),
            dunlin_ice::Event::ClosePath(path) => self.events.push_back(Event::ClosePath(path)),
            dunlin_ice::Event::ServerFailed(report) => self.events.push_back(Event::ServerFailed(report)),
            other => debug!("{other:?}"),
        }
    }

    fn handle_dtls_closed(&mut self, reason: &dunlin_dtls::CloseReason) {
        info!("DTLS ended: {reason}");
        if self.transport.dtls_state() == DtlsState::Failed {
            self.events
                .push_back(Event::Failed(format!("DTLS failed: {reason}")));
            self.channels
                .close_all(Some(ChannelFailure::Transport), &mut self.events);
            self.update_connection_state();
        } else {
            self.closed_by_peer(reason.to_string());
        }
    }

    fn closed_by_peer(&mut self, reason: String) {
        if self.stage == Stage::Live {
            self.events.push_back(Event::ClosedByPeer(reason));
            self.transport.close(self.now);
            self.leave();
        }
    }

    fn update_connection_state(&mut self) {
        self.set_connection_state(ConnectionState::of(self.ice_state, self.transport.dtls_state()));
    }

    fn set_connection_state(&mut self, state: ConnectionState) {
        if self.connection_state != state {
            info!("the connection is {state}");
            self.connection_state = state;
            self.events.push_back(Event::ConnectionState(state));
        }
    }

    /// Starts the association when both DTLS and the data section are there (RFC 8261, section 4).
    pub(crate) fn start_sctp(&mut self, now: Instant) {
        let Some(parameters) = &self.negotiation.sctp else {
            return;
        };
        if !self.transport.is_secured() || self.transport.sctp.is_some() {
            return;
        }
        let mut config = sctp_config(self.kept);
        config.local_port = parameters.local_port;
        config.remote_port = parameters.remote_port;
        config.max_datagram = self.transport.sctp_datagram();
        config.max_path_datagram = self.transport.sctp_path_datagram();
        self.channels.set_max_message_size(parameters.max_message_size);
        self.transport
            .start_sctp(now, Association::new(config, self.sctp_seed, now));
    }

    /// Takes what the association has. While too much waits unread in the channels, messages stay in the
    /// association, whose receive window then holds the peer back.
    pub(crate) fn pump_sctp(&mut self, now: Instant) {
        let ended = pump_channels(
            now,
            &mut self.channels,
            &mut self.transport.sctp,
            &mut self.events,
        );
        if let Some(reason) = ended {
            self.closed_by_peer(format!("The peer ended the data transport: {reason}"));
        }
    }
}

/// What the association is told, but for what the descriptions say. The table of channels keeps the limits of what is
/// sent, since what opens a channel is not subject to them.
pub(crate) fn sctp_config(kept: Kept) -> dunlin_sctp::Config {
    let mut sctp = dunlin_sctp::Config::default();
    sctp.max_message_size = usize::MAX;
    sctp.max_send_buffer = usize::MAX;
    sctp.max_receive_message_size = match kept.max_message_size {
        0 => usize::MAX,
        size => size.max(MAX_OPEN_LEN),
    };
    if sctp.max_receive_message_size > kept.receive_buffer / 2 {
        sctp.partial_delivery = Some(PIECE);
    }
    sctp.zero_checksum = true;
    // ICE asks every five seconds whether the path is alive (RFC 7675). What is left to ask is whether the peer still has the
    // association, which DTLS and ICE would not tell.
    sctp.heartbeat_interval = Some(HEARTBEAT);
    sctp
}

/// Moves what the association has into the channels; says why it ended, if it did.
pub(crate) fn pump_channels(
    now: Instant,
    channels: &mut Channels,
    sctp: &mut Option<Association>,
    events: &mut VecDeque<Event>,
) -> Option<dunlin_sctp::CloseReason> {
    while channels.unread() < channels.receive_buffer {
        let sctp = sctp.as_mut()?;
        match sctp.poll_event()? {
            dunlin_sctp::Event::Message { stream, ppid, data } => {
                channels.handle_message(now, stream, ppid, data, sctp, events);
            }
            dunlin_sctp::Event::Piece {
                message,
                ppid,
                data,
                last,
            } => channels.handle_piece(now, message, ppid, data, last, sctp, events),
            dunlin_sctp::Event::MessageAborted(message) => channels.handle_abort(message, events),
            dunlin_sctp::Event::Connected => channels.open_waiting(now, sctp, events),
            dunlin_sctp::Event::StreamsReset { streams } => {
                channels.handle_reset_by_peer(&streams, sctp, events)
            }
            // A reset that was refused leaves nothing to wait for, either.
            dunlin_sctp::Event::StreamResetDone(stream) | dunlin_sctp::Event::StreamResetFailed(stream) => {
                channels.handle_reset_by_us(now, stream, sctp, events)
            }
            dunlin_sctp::Event::Restarted => {
                channels.close_all(Some(ChannelFailure::Restarted), events);
                channels.open_waiting(now, sctp, events);
            }
            dunlin_sctp::Event::StreamsAdded { .. } => channels.handle_streams_added(now, sctp, events),
            dunlin_sctp::Event::ReconfigurationFailed(Reconfiguration::AddOutgoing(_)) => {
                channels.handle_no_more_streams(events)
            }
            dunlin_sctp::Event::BufferedAmountLow(stream) => {
                channels.handle_buffered_amount_low(stream, events)
            }
            dunlin_sctp::Event::Closed(reason) => {
                info!("SCTP ended: {reason}");
                let graceful = matches!(reason, dunlin_sctp::CloseReason::Shutdown);
                channels.close_all((!graceful).then_some(ChannelFailure::Transport), events);
                return Some(reason);
            }
            other => debug!("{other:?}"),
        }
    }
    None
}

impl std::fmt::Debug for PeerConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerConnection")
            .field("signaling", &self.signaling_state())
            .field("connection", &self.connection_state)
            .field("path", &self.selected_path())
            .finish_non_exhaustive()
    }
}
