//! What the driver and the handles of one connection share.
//!
//! The core owns no handle: handles own a `Connection`, which closes the core when the last one goes. So no
//! cycle can keep a connection alive.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dunlin_net::{Path, Transport};
use dunlin_peerconnection as peer;
use dunlin_peerconnection::{ChannelId, ConnectionState, IceGatheringState, TransceiverId};
use tokio::sync::Notify;

use crate::channel_state::ChannelShared;
use crate::error::ConnectionError;
use crate::mailbox::Mailbox;
use crate::routes::Key;
use crate::tls::Tls;
use crate::track_state::{Listening, TrackShared};

/// What is kept for `Events::next`: ids, which become handles only when they are handed out.
#[derive(Debug)]
pub(crate) enum RawEvent {
    Plain(peer::Event),
    DataChannel(Arc<ChannelShared>),
    Track(Listening, Vec<String>),
}

/// What a connection asks of the driver.
#[derive(Debug)]
pub(crate) enum Request {
    /// A way to a TURN server.
    Open(peer::OpenPath),
    /// It is not needed any more.
    Close(Path),
    /// Whose name is this?
    Resolve(String),
    /// This is the name of this address of ours.
    Publish(String, IpAddr),
    /// Gathering begins: is anybody at the servers' ports?
    Watch,
}

/// One connection: the protocol core behind its lock, and what wakes those who wait.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) key: Key,
    state: Mutex<State>,
    /// A connection state, the gathering state or the end.
    pub(crate) changed: Notify,
    /// The queue of events got one.
    pub(crate) events: Notify,
    mailbox: Arc<Mailbox>,
    dirty: AtomicBool,
}

impl Core {
    pub(crate) fn new(key: Key, state: State, mailbox: Arc<Mailbox>) -> Self {
        Self {
            key,
            state: Mutex::new(state),
            changed: Notify::new(),
            events: Notify::new(),
            mailbox,
            dirty: AtomicBool::new(false),
        }
    }

    /// The lock. A panic of another holder has been reported where it happened.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command of a handle: it runs, what it caused is told, and the driver sends what it queued.
    pub(crate) fn command<T>(&self, run: impl FnOnce(&mut State, Instant) -> T) -> T {
        let result = {
            let mut state = self.lock();
            let result = run(&mut state, Instant::now());
            state.pump(self);
            result
        };
        self.wake_driver();
        result
    }

    /// Asks the driver to look at this connection.
    pub(crate) fn wake_driver(&self) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.mailbox.post(self.key);
        }
    }

    /// The driver looks.
    pub(crate) fn clear_dirty(&self) {
        self.dirty.store(false, Ordering::Release);
    }

    /// Wakes everyone who waits for anything of this connection.
    pub(crate) fn wake_all(&self, state: &State) {
        self.changed.notify_waiters();
        self.events.notify_waiters();
        for channel in state.channels.values() {
            channel.wake_all();
        }
        for track in state.tracks.values() {
            track.wake_all();
        }
    }

    /// Waits until `ready` answers something. Cancel-safe when `ready` takes something only as it answers.
    pub(crate) async fn wait<T>(
        &self,
        notify: &Notify,
        mut ready: impl FnMut(&mut State, &Core) -> Option<T>,
    ) -> T {
        // What is there already costs no registration.
        if let Some(answer) = ready(&mut self.lock(), self) {
            return answer;
        }
        loop {
            let notified = notify.notified();
            tokio::pin!(notified);
            // Registered before the check: what happens between the check and the await is not missed.
            notified.as_mut().enable();
            if let Some(answer) = ready(&mut self.lock(), self) {
                return answer;
            }
            notified.await;
        }
    }
}

/// The part of a connection that is behind the lock.
pub(crate) struct State {
    pub(crate) peer: peer::PeerConnection,
    pub(crate) events: VecDeque<RawEvent>,
    /// The `Events` stream was dropped: nobody takes what the peer opens.
    pub(crate) deaf: bool,
    pub(crate) channels: HashMap<ChannelId, Arc<ChannelShared>>,
    /// Those on which somebody waits for room: of 65,535 channels, few.
    room_wanted: Vec<Arc<ChannelShared>>,
    pub(crate) tracks: HashMap<TransceiverId, Arc<TrackShared>>,
    pub(crate) track_queue: usize,
    pub(crate) requests: Vec<Request>,
    /// The names of ours that the network is told of.
    pub(crate) published: Vec<String>,
    /// No other connection uses the endpoint's sockets: TURN servers may be reached from them. (RFC 8656, section 5:
    /// one allocation per 5-tuple.)
    pub(crate) own_sockets: bool,
    /// Whom to trust, when a server is reached over TLS or DTLS.
    pub(crate) tls: Option<Tls>,
    /// Why the connection failed or was closed by the peer.
    pub(crate) reason: Option<ConnectionError>,
    /// The driver let go of the connection: nothing moves any more.
    pub(crate) detached: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("peer", &self.peer)
            .field("detached", &self.detached)
            .finish_non_exhaustive()
    }
}

impl State {
    pub(crate) fn new(peer: peer::PeerConnection, track_queue: usize) -> Self {
        Self {
            peer,
            events: VecDeque::new(),
            deaf: false,
            channels: HashMap::new(),
            room_wanted: Vec::new(),
            tracks: HashMap::new(),
            track_queue,
            requests: Vec::new(),
            published: Vec::new(),
            own_sockets: false,
            tls: None,
            reason: None,
            detached: false,
        }
    }

    /// Why nothing can be expected of the connection (now), if so.
    pub(crate) fn ended(&self) -> Option<ConnectionError> {
        match self.peer.connection_state() {
            ConnectionState::Failed | ConnectionState::Closed => {
                Some(self.reason.clone().unwrap_or(ConnectionError::Closed))
            }
            _ if self.detached => Some(self.reason.clone().unwrap_or(ConnectionError::Closed)),
            _ => None,
        }
    }

    /// Takes what the protocols tell and wakes those who wait for it.
    pub(crate) fn pump(&mut self, core: &Core) {
        while let Some(event) = self.peer.poll_event() {
            self.dispatch(core, event);
        }
        self.room_wanted
            .retain(|channel| !channel.wake_if_room(&self.peer));
    }

    /// Somebody waits until a channel has at most so many bytes buffered.
    pub(crate) fn want_room(&mut self, channel: &Arc<ChannelShared>, amount: usize) {
        if channel.wake_at(amount) {
            self.room_wanted.push(channel.clone());
        }
    }

    fn dispatch(&mut self, core: &Core, event: peer::Event) {
        use peer::Event;
        match event {
            Event::ChannelReadable(id) => {
                if let Some(channel) = self.channels.get(&id) {
                    channel.wake_readers();
                }
            }
            Event::ChannelOpen(id) | Event::ChannelClosing(id) => {
                if let Some(channel) = self.channels.get(&id) {
                    channel.wake_all();
                }
            }
            Event::ChannelClosed(id) => match self.channels.get(&id) {
                Some(channel) => channel.wake_all(),
                None => self.peer.forget_channel(id),
            },
            // `low` compares with the amount itself.
            Event::BufferedAmountLow(_) => {}
            Event::DataChannel(id) if self.deaf => {
                self.peer.close_channel(Instant::now(), id);
                self.peer.forget_channel(id);
            }
            Event::DataChannel(id) => {
                if let Some(channel) = self.channel(id) {
                    self.tell(core, RawEvent::DataChannel(channel));
                }
            }
            Event::Track { transceiver, streams } => {
                let track = self.track(transceiver);
                track.set_ended(false);
                if !self.deaf {
                    self.tell(core, RawEvent::Track(Listening::new(track), streams));
                }
            }
            Event::TrackEnded(id) => self.track(id).set_ended(true),
            Event::Rtp { transceiver, packet } => {
                let limit = self.track_queue;
                self.track(transceiver).push(packet, limit);
            }
            Event::KeyframeRequest(id) => self.track(id).request_keyframe(),
            Event::OpenPath(open) => self.requests.push(Request::Open(open)),
            Event::ClosePath(path) => self.requests.push(Request::Close(path)),
            Event::ResolveName(name) => self.requests.push(Request::Resolve(name)),
            Event::PublishName { name, address } => {
                self.published.push(name.clone());
                self.requests.push(Request::Publish(name, address));
            }
            Event::IceGatheringState(IceGatheringState::Gathering) => {
                if self.asks_over_udp() {
                    self.requests.push(Request::Watch);
                }
                self.tell_state(core, event);
            }
            Event::WithdrawName(name) => {
                self.published.retain(|known| *known != name);
                core.changed.notify_waiters();
            }
            Event::Failed(reason) => {
                self.reason = Some(ConnectionError::Failed(reason.clone()));
                self.tell_state(core, Event::Failed(reason));
            }
            Event::ClosedByPeer(reason) => {
                self.reason = Some(ConnectionError::ClosedByPeer(reason.clone()));
                self.tell_state(core, Event::ClosedByPeer(reason));
            }
            other => self.tell_state(core, other),
        }
    }

    fn asks_over_udp(&self) -> bool {
        let servers = self.peer.ice_report(Instant::now()).servers;
        servers.iter().any(|server| server.transport == Transport::Udp)
    }

    /// A state changed, a candidate was found, or negotiation is needed.
    fn tell_state(&mut self, core: &Core, event: peer::Event) {
        if let peer::Event::ConnectionState(state) = event {
            match state {
                ConnectionState::Connected => self.reason = None,
                ConnectionState::Failed | ConnectionState::Closed => core.wake_all(self),
                _ => {}
            }
        }
        core.changed.notify_waiters();
        if !self.deaf {
            self.tell(core, RawEvent::Plain(event));
        }
    }

    /// The next of the events. They are rare once the connection is up: an empty queue keeps no room for more.
    pub(crate) fn next_event(&mut self) -> Option<RawEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    fn tell(&mut self, core: &Core, event: RawEvent) {
        self.events.push_back(event);
        core.events.notify_waiters();
    }

    /// The shared part of a channel that the protocols know.
    pub(crate) fn channel(&mut self, id: ChannelId) -> Option<Arc<ChannelShared>> {
        if let Some(channel) = self.channels.get(&id) {
            return Some(channel.clone());
        }
        let channel = Arc::new(ChannelShared::new(id, self.peer.channel(id)?));
        self.channels.insert(id, channel.clone());
        Some(channel)
    }

    /// The shared part of a transceiver's tracks.
    pub(crate) fn track(&mut self, id: TransceiverId) -> Arc<TrackShared> {
        self.tracks
            .entry(id)
            .or_insert_with(|| Arc::new(TrackShared::new(id)))
            .clone()
    }
}

/// What every handle holds: dropping the last one closes the connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) core: Arc<Core>,
    /// How many bytes may wait on one channel before `send` waits.
    pub(crate) channel_buffer: usize,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.core.command(|state, now| {
            state.deaf = true;
            state.events.clear();
            state.peer.close(now);
        });
    }
}
