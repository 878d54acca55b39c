//! One worker: a protocol core, its sockets and its clock, all on one thread. Tasks wait for sockets; what they do when
//! one is ready happens here, under a borrow that is never held while waiting.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle as Thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dunlin_net::{Path, Transmit, Transport};
use dunlin_turn::Server;
use dunlin_turn::attribute::{ConnectionId, RequestedTransport};
use dunlin_turn::server::{AddressFamily, Event, Forward, PortPolicy, RelayId};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

use super::config::Config;
use super::dtls::Dtls;
use super::identity::Secrets;
use super::listen::Sockets;
use super::pace::Pace;
use super::ports::Ports;
use super::shared::{Command, News, Shared};
use super::socket::{Batch, Received, Socket};
use super::stats::{Counters, Stats};
use super::stream::{self, Stream};
use super::tcp_relay::{Peer, TcpRelay};
use crate::train::Trains;

/// Datagrams go out when this many bytes of them are collected, or all that came are dealt with.
const FLUSH: usize = 1 << 20;
/// One datagram more, and its framing, may be on top of them.
const AHEAD: usize = 1 << 16;
/// Datagrams that one socket may bring before the others have their turn. Where more than this wait, those of each flow
/// among them are many enough to go out together.
const TURN: usize = 1024;
/// So many trains are worth the work of gathering them by their paths.
const MIXED: usize = 16;

/// Everything that a worker needs to start.
pub(super) struct Seat {
    pub(super) config: Arc<Config>,
    pub(super) shared: Arc<Shared>,
    pub(super) secrets: Secrets,
    pub(super) sockets: Sockets,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) number: usize,
}

impl Seat {
    /// Starts the thread.
    pub(super) fn start(self) -> io::Result<Thread<()>> {
        let pace = Arc::new(self.pace());
        let resting = pace.clone();
        let rest = move || {
            let mut now = Instant::now();
            if let Some(rest) = resting.rest(now) {
                std::thread::sleep(rest);
                now = Instant::now();
            }
            resting.begin(now);
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_park(rest)
            .build()?;
        let name = format!("turn-{}", self.number);
        std::thread::Builder::new()
            .name(name)
            .spawn(move || self.run(&runtime, pace))
    }

    /// What the system gives for socket buffers decides how long they may fill.
    fn pace(&self) -> Pace {
        let sockets = self.sockets.udp.iter();
        let queues = sockets.filter_map(|(socket, _)| socket2::SockRef::from(socket).recv_buffer_size().ok());
        let listener = queues.min().unwrap_or(self.config.listener_buffer);
        Pace::new(
            self.config.rest,
            listener.min(self.config.relay_buffer * 2),
            Instant::now(),
        )
    }

    fn run(self, runtime: &Runtime, pace: Arc<Pace>) {
        LocalSet::new().block_on(runtime, async move {
            let Secrets { tls, dtls, cookie } = self.secrets;
            let dtls = Dtls::new(dtls, cookie);
            let mut worker = Worker::new(self.config, self.shared, dtls, self.number, pace);
            worker.tls = tls;
            let worker: Handle = Rc::new(RefCell::new(worker));
            let buffers: Buffers = Rc::new(RefCell::new(Batch::new()));
            for (socket, transport) in self.sockets.udp {
                let socket = match Socket::new(socket) {
                    Ok(socket) => Rc::new(socket),
                    Err(error) => {
                        log::error!("turn: a listener is lost: {error}");
                        continue;
                    }
                };
                worker.borrow_mut().listeners.push(socket.clone());
                let source = Source::Listener(transport);
                spawn_local(receive(socket, source, worker.clone(), buffers.clone()));
            }
            for (listener, is_tls) in self.sockets.tcp {
                spawn_local(stream::accept(listener, is_tls, worker.clone(), buffers.clone()));
            }
            spawn_local(clock(worker.clone(), buffers.clone()));
            obey(self.commands, worker, buffers).await;
        });
    }
}

/// Does what the handle and the other workers say, until the end.
async fn obey(mut commands: mpsc::UnboundedReceiver<Command>, worker: Handle, buffers: Buffers) {
    while let Some(command) = commands.recv().await {
        let now = Instant::now();
        let mut state = worker.borrow_mut();
        match command {
            Command::News => state.catch_up(),
            Command::Stats(answer) => {
                let stats = Stats {
                    core: state.server.stats(),
                    sockets: state.counters,
                };
                // Who asked may have gone.
                let _ = answer.send(stats);
            }
            Command::Identity { tls, dtls } => {
                state.tls = tls;
                state.dtls.certificate = dtls;
            }
            Command::Stream(moved) => {
                spawn_local(stream::take_over(*moved, worker.clone(), buffers.clone()));
            }
            Command::Drain => {
                state.server.drain(now);
                state.pump(now, &worker, &buffers);
            }
            Command::Close => return,
        }
    }
}

/// A worker that its tasks share.
pub(super) type Handle = Rc<RefCell<Worker>>;

/// What a worker owns.
pub(super) struct Worker {
    pub(super) server: Server,
    pub(super) config: Arc<Config>,
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Counters,
    pub(super) dtls: Dtls,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) streams: HashMap<Path, Rc<Stream>>,
    /// UDP and DTLS.
    pub(super) listeners: Vec<Rc<Socket>>,
    relays: Vec<Option<OpenRelay>>,
    pub(super) tcp_relays: HashMap<usize, TcpRelay>,
    /// Connections of TCP relays with peers.
    pub(super) peers: BTreeMap<ConnectionId, Peer>,
    by_address: HashMap<SocketAddr, Rc<Socket>>,
    pub(super) ports: Ports,
    /// Relay addresses and those that a 1:1 NAT puts before them. Few NATs take back what is sent to their own outside,
    /// so what our relays send to each other stays inside, under the outer names.
    behind: Vec<(IpAddr, IpAddr)>,
    pub(super) trains: Trains,
    /// The same, gathered.
    gathered: Trains,
    /// An answer on its way from the core to `trains`.
    answer: Vec<u8>,
    /// The number of this worker among all.
    pub(super) number: usize,
    pace: Arc<Pace>,
    /// Wakes the task of the clock.
    pub(super) clock: Rc<Notify>,
    armed: Option<Instant>,
}

#[derive(Debug)]
struct OpenRelay {
    socket: Rc<Socket>,
    /// What its peers see.
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// The buffers that all sockets of a worker receive into. Apart from it, so that both can be borrowed at once.
pub(super) type Buffers = Rc<RefCell<Batch>>;

impl Worker {
    pub(super) fn new(
        config: Arc<Config>,
        shared: Arc<Shared>,
        dtls: Dtls,
        number: usize,
        pace: Arc<Pace>,
    ) -> Self {
        let mut core = config.server.clone();
        core.unix_time = unix_time();
        core.instance = (u32::try_from(number).unwrap_or_default(), shared.count());
        let ports = Ports::new(config.relay.clone(), config.ports.clone(), config.relay_buffer);
        Self {
            server: Server::new(core, dunlin_crypto::random::seed(), Instant::now()),
            shared,
            counters: Counters::default(),
            dtls,
            tls: None,
            streams: HashMap::new(),
            listeners: Vec::new(),
            relays: Vec::new(),
            tcp_relays: HashMap::new(),
            peers: BTreeMap::new(),
            by_address: HashMap::new(),
            ports,
            behind: config
                .relay
                .iter()
                .filter_map(|relay| Some((relay.ip, relay.external?)))
                .collect(),
            trains: Trains::with_room(FLUSH + AHEAD, TURN),
            gathered: Trains::with_room(FLUSH + AHEAD, TURN),
            answer: Vec::new(),
            number,
            pace,
            clock: Rc::default(),
            armed: None,
            config,
        }
    }

    /// Takes what the other workers have told.
    pub(super) fn catch_up(&mut self) {
        for news in self.shared.news(self.number) {
            match news {
                News::Allocation { username, begun } => self.server.count_elsewhere(&username, begun),
                News::Relay { address, open } => self.server.relay_elsewhere(address, open),
            }
        }
    }

    /// Queues what a client sent to a peer.
    pub(super) fn forward(&mut self, forward: &Forward, packet: &[u8]) {
        let Some(Some(relay)) = self.relays.get(forward.relay.index()) else {
            return;
        };
        let Some(data) = packet.get(forward.data.clone()) else {
            return;
        };
        let start = self.trains.len();
        self.trains.buffer().extend_from_slice(data);
        let mut peer = forward.peer;
        if let Some((inner, _)) = self.behind.iter().find(|(_, outer)| *outer == peer.ip()) {
            peer.set_ip(*inner);
        }
        let path = Path::udp(relay.socket.local(), peer);
        self.trains
            .push(Transmit::new(path), start, relay.socket.max_segments());
    }

    /// A datagram that came in by a listener.
    fn take_client(&mut self, now: Instant, transport: Transport, received: &Received<'_>) {
        let packet = &received.buffer[received.start..received.start + received.len];
        let (local, remote) = (received.to, received.from);
        let path = Path {
            local,
            remote,
            transport,
        };
        if transport == Transport::Dtls {
            return self.dtls_datagram(now, path, packet);
        }
        match self.server.handle_packet(now, path, packet) {
            Some(forward) => self.forward(&forward, packet),
            None => self.collect_answers(now),
        }
    }

    /// A datagram that came in by a relay.
    fn take_peer(&mut self, now: Instant, relay: RelayId, received: Received<'_>) {
        let Received {
            buffer,
            start,
            len,
            mut from,
            ..
        } = received;
        if let Some((_, outer)) = self.behind.iter().find(|(inner, _)| *inner == from.ip()) {
            from.set_ip(*outer);
        }
        let Some(sent) = self
            .server
            .handle_relay(now, relay, from, buffer, start..start + len)
        else {
            return;
        };
        self.queue_client(sent.transmit.path, &buffer[sent.bytes]);
    }

    /// Queues a message for a client, whatever it is connected by.
    fn queue_client(&mut self, path: Path, message: &[u8]) {
        match path.transport {
            Transport::Tcp | Transport::Tls => {
                let took = self.streams.get(&path).map(|stream| stream.push(message));
                self.counters.dropped_backlog += u64::from(took == Some(false));
            }
            Transport::Dtls => self.dtls_seal(path, message),
            _ => {
                let start = self.trains.len();
                self.trains.buffer().extend_from_slice(message);
                self.push(path, start);
            }
        }
    }

    /// Notes that what was appended from `start` on is a datagram for a client.
    pub(super) fn push(&mut self, path: Path, start: usize) {
        let listener = self.listeners.iter().find(|listener| listener.serves(path.local));
        let segments = listener.map_or(1, |listener| listener.max_segments());
        let path = Path::udp(path.local, path.remote);
        self.trains.push(Transmit::new(path), start, segments);
    }

    /// Does what the core asks for, and sends what waits.
    pub(super) fn pump(&mut self, now: Instant, this: &Handle, buffers: &Buffers) {
        while let Some(event) = self.server.poll_event() {
            self.handle_event(now, event, this, buffers);
        }
        self.collect_answers(now);
        self.flush();
        let due = self.due();
        if due.is_some() && self.armed.is_none_or(|armed| due < Some(armed)) {
            self.armed = due;
            self.clock.notify_one();
        }
    }

    /// Takes what the core answers: at once, so that no flood of requests makes its queue long.
    fn collect_answers(&mut self, now: Instant) {
        let mut answer = std::mem::take(&mut self.answer);
        while let Some(transmit) = self.server.poll_transmit(now, &mut answer) {
            self.queue_client(transmit.path, &answer);
            answer.clear();
        }
        self.answer = answer;
    }

    /// When the clock has to ring.
    fn due(&self) -> Option<Instant> {
        let both = [self.server.poll_timeout(), self.dtls.poll_timeout()];
        both.into_iter().flatten().min()
    }

    /// Sends everything that is collected.
    fn flush(&mut self) {
        let Self {
            trains,
            gathered,
            by_address,
            listeners,
            counters,
            ..
        } = self;
        let socket = |path: &Path| {
            let listener = || listeners.iter().find(|listener| listener.serves(path.local));
            by_address.get(&path.local).or_else(listener)
        };
        let mixed = trains.waiting() >= MIXED;
        if mixed {
            trains.gather(gathered, |path| {
                socket(path).map_or(1, |socket| socket.max_segments())
            });
        }
        let trains = if mixed { gathered } else { trains };
        while let Some((train, contents)) = trains.front() {
            let lost = socket(&train.path).map_or(train.count, |socket| socket.send(train, contents));
            counters.dropped_unsent += lost as u64;
            trains.pop();
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event, this: &Handle, buffers: &Buffers) {
        match event {
            Event::OpenRelay {
                relay,
                family,
                port,
                transport,
            } => match self.open_relay(relay, family, (port, transport), this, buffers) {
                Ok(address) => {
                    // Before the client learns of it.
                    self.shared
                        .announce(self.number, &News::Relay { address, open: true });
                    self.server.relay_opened(now, relay, address);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    log::debug!("turn: a reserved port was asked for that is not there");
                    self.server.relay_failed(now, relay);
                }
                Err(error) => {
                    log::warn!("turn: no relay could be opened: error={error:?}");
                    self.counters.relays_failed += 1;
                    self.server.relay_failed(now, relay);
                }
            },
            Event::CloseRelay(relay) => {
                self.counters.relays -= u64::from(self.tcp_relays.remove(&relay.index()).is_some());
                if let Some(open) = self.relays.get_mut(relay.index()).and_then(Option::take) {
                    open.task.abort();
                    self.by_address.remove(&open.socket.local());
                    let (address, open) = (open.address, false);
                    self.shared.announce(self.number, &News::Relay { address, open });
                    self.counters.relays -= 1;
                }
            }
            Event::ConnectPeer {
                relay,
                connection,
                peer,
            } => self.connect_peer(now, relay, connection, peer, (this, buffers)),
            Event::BindConnection { connection, client } => self.bind_connection(now, connection, client),
            Event::CloseConnection(connection) => self.close_connection(connection),
            Event::Allocated {
                client,
                username,
                relayed,
            } => {
                let user = String::from_utf8_lossy(&username);
                log::info!("turn: allocated client={client} user={user:?} relayed={relayed}");
                let begun = true;
                self.shared
                    .announce(self.number, &News::Allocation { username, begun });
            }
            Event::Released {
                client,
                username,
                reason,
                bytes: [sent, received],
            } => {
                let user = String::from_utf8_lossy(&username);
                log::info!(
                    "turn: released client={client} user={user:?} reason={reason:?} sent={sent} received={received}"
                );
                let begun = false;
                self.shared
                    .announce(self.number, &News::Allocation { username, begun });
            }
            Event::Drained => self.shared.drained(self.number),
            other => log::debug!("turn: not done here: {other:?}"),
        }
    }

    fn open_relay(
        &mut self,
        relay: RelayId,
        family: AddressFamily,
        (port, transport): (PortPolicy, RequestedTransport),
        this: &Handle,
        buffers: &Buffers,
    ) -> io::Result<SocketAddr> {
        if transport == RequestedTransport::TCP {
            return self.open_tcp_relay(relay, family, this, buffers);
        }
        if let PortPolicy::Reserved(token) = port {
            let reserved = self.shared.claim(token).ok_or(io::ErrorKind::NotFound)?;
            self.keep_relay(relay, reserved.socket, reserved.address, this, buffers)?;
            return Ok(reserved.address);
        }
        let opened = self.ports.open(family == AddressFamily::Ipv6, port)?;
        if let (PortPolicy::EvenAndReserve(token), Some(socket)) = (port, opened.next) {
            let address = SocketAddr::new(opened.address.ip(), opened.address.port() + 1);
            if !self.shared.reserve(token, socket, address) {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
        }
        self.keep_relay(relay, opened.socket, opened.address, this, buffers)?;
        Ok(opened.address)
    }

    fn keep_relay(
        &mut self,
        relay: RelayId,
        socket: std::net::UdpSocket,
        address: SocketAddr,
        this: &Handle,
        buffers: &Buffers,
    ) -> io::Result<()> {
        let socket = Rc::new(Socket::new(socket)?);
        self.by_address.insert(socket.local(), socket.clone());
        let index = relay.index();
        if self.relays.len() <= index {
            self.relays.resize_with(index + 1, || None);
        }
        let source = Source::Relay(relay);
        let task = spawn_local(receive(socket.clone(), source, this.clone(), buffers.clone()));
        self.relays[index] = Some(OpenRelay {
            socket,
            address,
            task,
        });
        self.counters.relays += 1;
        Ok(())
    }

    /// One batch of a socket. Answers how many datagrams were in it, or that nothing is left.
    fn receive(&mut self, socket: &Socket, source: Source, batch: &mut Batch) -> Option<usize> {
        let more = match socket.receive(batch) {
            Ok(more) => more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            // An error of a datagram that was sent earlier, perhaps.
            Err(error) => {
                log::debug!("turn: {}: {error}", socket.local());
                return Some(1);
            }
        };
        let mut count = 0;
        let now = Instant::now();
        self.catch_up();
        batch.drain(socket, |received| {
            count += 1;
            match source {
                Source::Listener(transport) => self.take_client(now, transport, &received),
                Source::Relay(relay) => self.take_peer(now, relay, received),
            }
            if self.trains.len() > FLUSH {
                self.flush();
            }
        });
        self.pace.note(count);
        more.then_some(count)
    }

    /// Takes what a client's stream brought.
    pub(super) fn take_stream(&mut self, now: Instant, path: Path, message: &[u8]) {
        self.catch_up();
        if let Some(forward) = self.server.handle_packet(now, path, message) {
            self.forward(&forward, message);
        }
        if self.trains.len() > FLUSH {
            self.flush();
        }
    }

    /// Takes what a DTLS association opened.
    pub(super) fn take_dtls(&mut self, now: Instant, path: Path, message: &Bytes) {
        if let Some(forward) = self.server.handle_packet(now, path, message) {
            self.forward(&forward, message);
        }
    }
}

/// For the end of ephemeral credentials.
fn unix_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// What a socket is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Listener(Transport),
    Relay(RelayId),
}

/// Receives from a socket until the task is ended.
pub(super) async fn receive(socket: Rc<Socket>, source: Source, worker: Handle, buffers: Buffers) {
    let pace = worker.borrow().pace.clone();
    while socket.readable().await.is_ok() {
        let more = {
            let mut batch = buffers.borrow_mut();
            let mut state = worker.borrow_mut();
            let mut left = Some(TURN);
            while let Some(room @ 1..) = left {
                let taken = state.receive(&socket, source, &mut batch);
                left = taken.map(|taken| room.saturating_sub(taken));
            }
            state.pump(Instant::now(), &worker, &buffers);
            left.is_some()
        };
        // A socket that was emptied is waited for, which lets the others have their turn anyway.
        if more {
            tokio::task::yield_now().await;
        } else if pace.is_busy() {
            pace.next_round().await;
        }
    }
}

/// Lets time pass for the core and for DTLS.
pub(super) async fn clock(worker: Handle, buffers: Buffers) {
    let ring = worker.borrow().clock.clone();
    loop {
        let due = worker.borrow().armed;
        match due {
            None => ring.notified().await,
            Some(due) => {
                tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => {}
                    () = ring.notified() => continue,
                }
                let now = Instant::now();
                let mut state = worker.borrow_mut();
                // The wall clock may have been set, or this host have slept.
                state.server.set_unix_time(now, unix_time());
                state.server.handle_timeout(now);
                state.dtls_timeout(now);
                state.armed = None;
                state.pump(now, &worker, &buffers);
            }
        }
    }
}
