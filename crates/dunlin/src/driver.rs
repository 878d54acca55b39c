//! The one task of an endpoint: it owns the sockets and moves datagrams between them and the connections.
//!
//! One turn of the loop takes what handles posted, one batch from each socket, and the timers that are due;
//! serves every connection that any of these touched under one lock each; and sends what they had in trains.
//! The work of a turn is bounded, so no flood and no busy connection starves the others.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Ecn, Path, Transport};
use dunlin_peerconnection::ServerError;
use tokio::net::TcpListener;
use tokio::time::Sleep;

use crate::core::{Core, Request, State};
use crate::discarded::Discarded;
use crate::error::ConnectionError;
use crate::mailbox::Mailbox;
use crate::relays::Relays;
use crate::routes::{Key, Routes, may_be_stun};
use crate::socket::{Batch, Socket};
use crate::together::together;
use crate::train::Trains;
use crate::watch::{Change, Watch};
use crate::{mdns, mdns_responder, unreachable};

/// How many bytes one connection may queue before it is another's turn.
const BURST: usize = 128 * 1024;
/// How many bytes may be queued in one turn.
const TURN: usize = 512 * 1024;
/// After how many turns without a pause the other tasks of the runtime get theirs.
const TURNS: u32 = 4;
/// How many messages of connections are taken in one turn.
const RELAY_BATCH: usize = 256;
/// How many messages go into one write to a connection.
const STREAM_TRAIN: usize = 4;
/// How many paths a connection may have in the table at once: what ICE checks, and some to spare.
const MAX_PATHS: usize = 128;

/// How much too early the timer may go off.
const SLACK: Duration = Duration::from_millis(100);

/// A connection as the driver sees it.
#[derive(Debug)]
struct Connection {
    core: Arc<Core>,
    /// Datagrams that wait for the connection's next service.
    inbox: Vec<(Path, Ecn, BytesMut)>,
    /// It is in `Driver::touched`.
    touched: bool,
    deadline: Option<Instant>,
    /// When it is served for that: then, or a little later.
    alarm: Option<Instant>,
    ufrag: String,
    selected: Option<Path>,
    /// Where it has sent to, the latest last.
    paths: VecDeque<Path>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Driver {
    mailbox: Arc<Mailbox>,
    sockets: Vec<Socket>,
    connections: HashMap<Key, Connection>,
    routes: Routes,
    /// Connections to serve in this turn, and those that had more than the last turn allowed.
    touched: VecDeque<Key>,
    timers: BTreeSet<(Instant, Key)>,
    trains: Trains,
    /// Ways to TURN servers.
    relays: Relays,
    /// What connections have asked for in this turn.
    requests: Vec<(Key, Request)>,
    /// A socket takes no more now: nothing new is made to send until it does.
    blocked: bool,
    /// Whether addresses come or go.
    watch: Option<Watch>,
    sleep: Pin<Box<Sleep>>,
    new: Vec<Arc<Core>>,
    dirty: Vec<Key>,
    /// The paths that the connection being served has sent on.
    used: Vec<Path>,
}

impl Driver {
    pub(crate) fn new(sockets: Vec<Socket>, mailbox: Arc<Mailbox>, watch: Option<Watch>) -> Self {
        Self {
            mailbox,
            sockets,
            connections: HashMap::new(),
            routes: Routes::default(),
            touched: VecDeque::new(),
            timers: BTreeSet::new(),
            trains: Trains::default(),
            relays: Relays::new(),
            requests: Vec::new(),
            blocked: false,
            watch,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            new: Vec::new(),
            dirty: Vec::new(),
            used: Vec::new(),
        }
    }

    /// Takes TCP connections of peers, too.
    pub(crate) fn listening(mut self, listeners: Vec<TcpListener>) -> Self {
        self.relays.listen(listeners);
        self
    }

    /// Runs until the endpoint has neither handles nor connections.
    pub(crate) async fn run(mut self) {
        let mut turns = 0;
        loop {
            let closing = self.collect();
            let now = Instant::now();
            let more = self.receive() | self.receive_from_relays(now);
            self.look_at_interfaces(now);
            self.touch_due(now);
            self.serve(now);
            self.obey(now);
            self.blocked = !self.send(now);
            if !self.blocked {
                self.relays.close_finished(&mut self.sockets);
            }
            if closing && self.connections.is_empty() && self.trains.is_empty() {
                log::debug!("the endpoint's last connection is gone: its sockets close");
                return;
            }
            let busy = more || (!self.blocked && !self.touched.is_empty());
            turns = if busy { turns + 1 } else { 0 };
            if !busy {
                self.wait().await;
            } else if turns % TURNS == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes what handles have posted.
    fn collect(&mut self) -> bool {
        let (mut new, mut dirty) = (std::mem::take(&mut self.new), std::mem::take(&mut self.dirty));
        let closing = self.mailbox.collect(&mut new, &mut dirty);
        for core in new.drain(..) {
            let key = core.key;
            let connection = Connection {
                core,
                inbox: Vec::new(),
                touched: false,
                deadline: None,
                alarm: None,
                ufrag: String::new(),
                selected: None,
                paths: VecDeque::new(),
            };
            self.connections.insert(key, connection);
            self.touch(key);
        }
        for key in dirty.drain(..) {
            if let Some(connection) = self.connections.get(&key) {
                connection.core.clear_dirty();
                self.touch(key);
            }
        }
        (self.new, self.dirty) = (new, dirty);
        closing
    }

    fn touch(&mut self, key: Key) {
        if let Some(connection) = self.connections.get_mut(&key)
            && !connection.touched
        {
            connection.touched = true;
            self.touched.push_back(key);
        }
    }

    /// Takes one batch from each socket. Answers whether there may be more.
    fn receive(&mut self) -> bool {
        Batch::of_this_thread(|batch| self.receive_into(batch))
    }

    fn receive_into(&mut self, batch: &mut Batch) -> bool {
        let Self {
            sockets,
            connections,
            routes,
            touched,
            mailbox,
            ..
        } = self;
        let mut more = false;
        for socket in &*sockets {
            match socket.receive(batch) {
                Ok(()) => more = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                // Such as an ICMP error that some systems report here: it concerns a datagram, not the socket.
                Err(error) => {
                    log::debug!("{}: receiving: {error}", socket.local());
                    continue;
                }
            }
            // Most of a batch is one connection's, in buffers that GRO has filled from one sender.
            let mut last: Option<(Path, Key)> = None;
            batch.drain(socket.local(), |path, ecn, data| {
                let known = last.filter(|(known, _)| *known == path && !may_be_stun(&data));
                if let Some((_, key)) = known
                    && let Some(connection) = connections.get_mut(&key)
                {
                    connection.inbox.push((path, ecn, data));
                    return;
                }
                let Some((first, others)) = routes.find(path, &data).split_first() else {
                    log::debug!("{path}: {} bytes for no connection", data.len());
                    mailbox.unrouted.fetch_add(1, Ordering::Relaxed);
                    return;
                };
                let mut give = |key: &Key, data| {
                    let Some(connection) = connections.get_mut(key) else {
                        return;
                    };
                    connection.inbox.push((path, ecn, data));
                    if !connection.touched {
                        connection.touched = true;
                        touched.push_back(*key);
                    }
                };
                for other in others {
                    give(other, data.clone());
                }
                if !may_be_stun(&data) {
                    last = Some((path, *first));
                }
                give(first, data);
            });
        }
        more
    }

    /// Tells the connections which addresses are gone, and which are new.
    fn look_at_interfaces(&mut self, now: Instant) {
        if self.connections.is_empty() || !self.mailbox.take_interfaces_changed() {
            return;
        }
        let Some(Change { gone, new, all }) = self.watch.as_mut().and_then(Watch::look) else {
            return;
        };
        log::info!("addresses of this host: {gone:?} went, {new:?} came");
        let ways = gone
            .iter()
            .flat_map(|address| self.relays.leaving_from(address.ip()));
        let ways: Vec<(Key, Path)> = ways.collect();
        self.mailbox.set_addresses(all);
        let keys: Vec<Key> = self.connections.keys().copied().collect();
        for key in keys {
            if let Some(connection) = self.connections.get(&key) {
                let mut state = connection.core.lock();
                // The new ones first: with them, a path can be found at once.
                for address in &new {
                    state.peer.add_local_address(now, *address, Transport::Udp);
                }
                for address in &gone {
                    state.peer.remove_local_address(now, *address, Transport::Udp);
                }
                for (_, path) in ways.iter().filter(|(owner, _)| *owner == key) {
                    let error = ServerError::Lost("the local address is gone".to_owned());
                    state.peer.relay_path_lost(now, *path, error);
                }
            }
            self.touch(key);
        }
    }

    /// Touches the connections whose timer is due.
    fn touch_due(&mut self, now: Instant) {
        while let Some(&(alarm, key)) = self.timers.first() {
            if alarm > now {
                return;
            }
            self.timers.pop_first();
            if let Some(connection) = self.connections.get_mut(&key) {
                (connection.deadline, connection.alarm) = (None, None);
            }
            self.touch(key);
        }
    }

    /// Serves every touched connection once.
    fn serve(&mut self, now: Instant) {
        for _ in 0..self.touched.len() {
            let Some(key) = self.touched.pop_front() else {
                return;
            };
            self.serve_one(key, now);
        }
    }

    fn serve_one(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        let core = connection.core.clone();
        let mut state = core.lock();
        for (path, ecn, data) in connection.inbox.drain(..) {
            state.peer.handle_datagram_with_mark(now, path, data, ecn);
        }
        state.peer.handle_timeout(now);
        // While the sockets are full, connections still take what arrived, but make nothing to send.
        let may_send = !self.blocked && self.trains.len() < TURN;
        let drained = may_send && drain(&mut state, now, &mut self.trains, &self.sockets, &mut self.used);
        state.pump(&core);
        self.requests
            .extend(state.requests.drain(..).map(|request| (key, request)));
        // Before the lock is given back: a handle may restart ICE right after.
        if state.peer.local_ufrag() != connection.ufrag {
            state.peer.local_ufrag().clone_into(&mut connection.ufrag);
            self.routes.add_ufrag(key, &connection.ufrag);
        }
        learn_paths(key, connection, &mut self.used, &mut self.routes);
        if state.peer.selected_path() != connection.selected {
            connection.selected = state.peer.selected_path();
            if let Some(path) = connection.selected {
                self.routes.select_path(key, path);
            }
        }
        if drained && state.peer.is_closed() {
            state.detached = true;
            core.wake_all(&state);
            drop(state);
            self.remove(key);
            return;
        }
        // What is still to be sent makes the timer due at once: it is armed when everything is out.
        let deadline = if drained { state.peer.poll_timeout() } else { None };
        drop(state);
        if connection.deadline != deadline {
            if let Some(old) = connection.alarm {
                self.timers.remove(&(old, key));
            }
            connection.deadline = deadline;
            // Once, when it is set: as it comes nearer, it would fall to moments of its own.
            connection.alarm = deadline.map(|at| together(at, now));
            self.timers.extend(connection.alarm.map(|at| (at, key)));
        }
        if drained {
            connection.touched = false;
        } else {
            self.touched.push_back(key);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(connection) = self.connections.remove(&key)
            && let Some(alarm) = connection.alarm
        {
            self.timers.remove(&(alarm, key));
        }
        self.routes.remove(key);
        self.relays.forget(key);
    }

    /// Takes what connections to TURN servers brought. Answers whether there may be more.
    fn receive_from_relays(&mut self, now: Instant) -> bool {
        for _ in 0..RELAY_BATCH {
            let Some(news) = self.relays.poll_news() else {
                return false;
            };
            let key = self.relays.take(news, now, &self.routes, |key| {
                self.connections
                    .get_mut(&key)
                    .map(|connection| (&mut connection.inbox, &*connection.core))
            });
            if let Some(key) = key {
                self.touch(key);
            }
        }
        true
    }

    /// Opens and closes ways to TURN servers, as connections asked.
    fn obey(&mut self, now: Instant) {
        for (key, request) in std::mem::take(&mut self.requests) {
            match request {
                Request::Close(path) => self.relays.close(path),
                Request::Resolve(name) => {
                    if let Some(connection) = self.connections.get(&key) {
                        drop(tokio::spawn(mdns::answer(connection.core.clone(), name)));
                    }
                }
                Request::Publish(name, address) => {
                    if let Some(connection) = self.connections.get(&key) {
                        let core = connection.core.clone();
                        drop(tokio::spawn(mdns_responder::publish(core, name, address)));
                    }
                }
                Request::Watch => {
                    if let Some(connection) = self.connections.get(&key) {
                        drop(tokio::spawn(unreachable::watch(Arc::downgrade(&connection.core))));
                    }
                }
                Request::Open(open) => {
                    let Some(connection) = self.connections.get(&key) else {
                        continue;
                    };
                    let core = connection.core.clone();
                    self.relays.open(key, open, &core, now, &mut self.sockets);
                    self.touch(key);
                }
            }
        }
    }

    /// Sends what is collected. Answers false when a socket takes no more now; the rest is kept.
    fn send(&mut self, now: Instant) -> bool {
        let mut discarded = Discarded::default();
        let done = loop {
            let Some((train, bytes)) = self.trains.front() else {
                break true;
            };
            let path = train.path;
            if path.transport != Transport::Udp {
                if !self.relays.send(path, bytes) {
                    discarded.note_all(train, bytes);
                }
            } else if let Some(socket) = self.sockets.iter().find(|socket| socket.serves(path.local)) {
                match socket.send(train, bytes, &mut discarded) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
                    _ => {}
                }
            } else {
                log::debug!("{path}: no socket has this local address");
                discarded.note_all(train, bytes);
            }
            self.trains.pop();
        };
        let connections = self.connections.values();
        discarded.tell(now, connections.map(|known| (&*known.core, known.selected)));
        done
    }

    /// Sleeps until a handle posts, a socket has something, a timer is due, or there is room to send again.
    async fn wait(&mut self) {
        self.trains.lend();
        let Self {
            mailbox,
            sockets,
            timers,
            trains,
            relays,
            sleep,
            ..
        } = self;
        let deadline = timers.first().map(|(at, _)| tokio::time::Instant::from_std(*at));
        if let Some(deadline) = deadline
            && (sleep.is_elapsed() || is_off(sleep.deadline(), deadline))
        {
            sleep.as_mut().reset(deadline);
        }
        let full = trains.front().map(|(train, _)| train.path.local);
        let mut posted = pin!(mailbox.notify.notified());
        poll_fn(|cx| {
            let mut ready = posted.as_mut().poll(cx).is_ready();
            ready |= deadline.is_some() && sleep.as_mut().poll(cx).is_ready();
            ready |= relays.poll_ready(cx).is_ready();
            for socket in &*sockets {
                ready |= socket.poll_readable(cx).is_ready();
                ready |=
                    full.is_some_and(|local| socket.serves(local)) && socket.poll_writable(cx).is_ready();
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for Driver {
    /// The runtime was shut down, or the last connection is gone: nobody waits for ever.
    fn drop(&mut self) {
        let cores = self.connections.drain().map(|(_, connection)| connection.core);
        for core in cores.chain(self.mailbox.end()) {
            let mut state = core.lock();
            state.detached = true;
            state.reason.get_or_insert_with(|| {
                ConnectionError::Failed("The runtime that drove the connection was shut down.".to_owned())
            });
            core.wake_all(&state);
        }
    }
}

/// Whether the timer must be armed anew. Timers mostly move back with each datagram, and arming anew in each turn would cost
/// more than waking once too early; but waking costs more than arming once in a while.
fn is_off(armed: tokio::time::Instant, wanted: tokio::time::Instant) -> bool {
    wanted < armed || wanted > armed + SLACK
}

/// Moves what a connection has to send into trains. Answers false when it has more than its share.
fn drain(
    state: &mut State,
    now: Instant,
    trains: &mut Trains,
    sockets: &[Socket],
    used: &mut Vec<Path>,
) -> bool {
    let limit = trains.len() + BURST;
    let mut segments = 1;
    while trains.len() < limit {
        let start = trains.len();
        let Some(transmit) = state.peer.poll_transmit(now, trains.buffer()) else {
            return true;
        };
        if used.last() != Some(&transmit.path) {
            let local = transmit.path.local;
            let stream = transmit.path.transport != Transport::Udp;
            // An association of DTLS takes one message at a time.
            let together = stream && transmit.path.transport != Transport::Dtls;
            segments = if together { STREAM_TRAIN } else { 1 };
            segments = sockets
                .iter()
                .find(|socket| !stream && socket.serves(local))
                .map_or(segments, Socket::max_segments);
            used.push(transmit.path);
        }
        trains.push(transmit, start, segments);
    }
    false
}

/// What comes back on the paths that a connection sends on is for it.
fn learn_paths(key: Key, connection: &mut Connection, used: &mut Vec<Path>, routes: &mut Routes) {
    for path in used.drain(..) {
        if connection.paths.contains(&path) {
            continue;
        }
        routes.add_path(key, path);
        connection.paths.push_back(path);
        if connection.paths.len() > MAX_PATHS
            && let Some(oldest) = connection.paths.pop_front()
            && connection.selected != Some(oldest)
        {
            routes.remove_path(key, oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_is_armed_anew_for_what_is_sooner_or_much_later() {
        let armed = tokio::time::Instant::now();
        assert!(is_off(armed, armed - Duration::from_millis(1)));
        assert!(!is_off(armed, armed));
        assert!(!is_off(armed, armed + SLACK));
        assert!(is_off(armed, armed + SLACK + Duration::from_millis(1)));
    }
}
