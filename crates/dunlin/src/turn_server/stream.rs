//! TCP and TLS connections of clients: messages are cut out of what comes in, and what goes out waits in a bounded
//! buffer.

use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transport};
use dunlin_turn::Frames;
use dunlin_turn::attribute::ConnectionId;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::tcp_relay::{Bound, splice};
use super::worker::{Buffers, Handle};

/// Bytes that are read at once, at least.
const READ: usize = 16 << 10;
/// The time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Messages one after the other, and where each ends.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// What goes out to one client.
pub(super) struct Stream {
    waiting: RefCell<Waiting>,
    max: usize,
    wake: Notify,
    /// Something came in since the last look.
    alive: Cell<bool>,
    /// The peer's connection that this one is for from now on (RFC 6062).
    pub(super) bound: Cell<Option<Bound>>,
    /// Nothing is written any more when what waits is.
    ending: Cell<bool>,
}

impl Stream {
    fn new(max: usize) -> Self {
        Self {
            waiting: RefCell::default(),
            max,
            wake: Notify::new(),
            alive: Cell::new(false),
            bound: Cell::new(None),
            ending: Cell::new(false),
        }
    }

    /// Queues a message, if there is room.
    pub(super) fn push(&self, message: &[u8]) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.bytes.len() + message.len() > self.max {
            return false;
        }
        waiting.bytes.extend_from_slice(message);
        let end = waiting.bytes.len();
        waiting.ends.push(end);
        self.wake.notify_one();
        true
    }

    /// Has [`write`](Self::write) come to its end.
    fn end(&self) {
        self.ending.set(true);
        self.wake.notify_one();
    }

    /// Writes what waits, all at once on TCP. On TLS each message gets a record of its own: there are clients that look
    /// at their socket and not at what their TLS library still holds of a record (coturn's among them).
    ///
    /// Gives the writer back when all is written after [`end`](Self::end).
    async fn write<W: AsyncWrite + Unpin>(&self, mut to: W, transport: Transport) -> Option<W> {
        let mut taken = Waiting::default();
        loop {
            self.wake.notified().await;
            std::mem::swap(&mut taken, &mut self.waiting.borrow_mut());
            if transport != Transport::Tls {
                taken.ends.drain(..taken.ends.len().saturating_sub(1));
            }
            let mut start = 0;
            for end in taken.ends.drain(..) {
                to.write_all(&taken.bytes[start..end]).await.ok()?;
                start = end;
            }
            to.flush().await.ok()?;
            taken.bytes.clear();
            if self.ending.get() && self.waiting.borrow().bytes.is_empty() {
                return Some(to);
            }
        }
    }
}

/// Accepts connections until the task is ended.
pub(super) async fn accept(listener: TcpListener, is_tls: bool, worker: Handle, buffers: Buffers) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error!("turn: a listener is lost: {error}"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // The certificate of this moment.
                let tls = worker.borrow().tls.clone().filter(|_| is_tls);
                tokio::task::spawn_local(serve(stream, tls, worker.clone(), buffers.clone()));
            }
            Err(error) => {
                // Out of file descriptors, mostly: the connection stays in the queue, and asking at once would spin.
                log::warn!("turn: a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Both directions of a connection, whatever it is made of.
pub(super) trait Both: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

/// A client's connection that another worker has accepted, and that is for one of our relays (RFC 6062, section 4.3). It
/// goes on being watched by the runtime of that worker, which lives as long as this one.
pub(super) struct Moved {
    io: Box<dyn Both>,
    path: Path,
    /// What was read of it.
    bytes: BytesMut,
}

/// Serves a connection that another worker has accepted.
pub(super) async fn take_over(moved: Moved, worker: Handle, buffers: Buffers) {
    let Moved { io, path, bytes } = moved;
    if let Some(stream) = enter(path, &worker) {
        carry(io, bytes, path, &stream, &worker, &buffers).await;
        leave(path, &worker, &buffers);
    }
}

/// Notes a connection, if there is room for it.
fn enter(path: Path, worker: &Handle) -> Option<Rc<Stream>> {
    let mut state = worker.borrow_mut();
    if state.streams.len() >= state.config.max_streams {
        state.counters.refused_connections += 1;
        return None;
    }
    let stream = Rc::new(Stream::new(state.config.max_backlog));
    state.streams.insert(path, stream.clone());
    let counters = &mut state.counters;
    *(if path.transport == Transport::Tls {
        &mut counters.tls
    } else {
        &mut counters.tcp
    }) += 1;
    Some(stream)
}

/// It has ended here.
fn leave(path: Path, worker: &Handle, buffers: &Buffers) {
    let mut state = worker.borrow_mut();
    state.streams.remove(&path);
    let counters = &mut state.counters;
    *(if path.transport == Transport::Tls {
        &mut counters.tls
    } else {
        &mut counters.tcp
    }) -= 1;
    let now = Instant::now();
    state.server.connection_lost(now, path);
    state.pump(now, worker, buffers);
}

/// Serves one connection until it ends.
async fn serve(tcp: TcpStream, tls: Option<TlsAcceptor>, worker: Handle, buffers: Buffers) {
    let (Ok(local), Ok(remote)) = (tcp.local_addr(), tcp.peer_addr()) else {
        return;
    };
    let transport = if tls.is_some() {
        Transport::Tls
    } else {
        Transport::Tcp
    };
    let path = Path {
        local,
        remote,
        transport,
    };
    let Some(stream) = enter(path, &worker) else {
        return;
    };
    // What is relayed does not wait for more to be relayed.
    let _ = tcp.set_nodelay(true);
    // A client that vanished without a word is noticed when its allocation expires; without one, by silence.
    let _ = SockRef::from(&tcp).set_keepalive(true);
    match tls {
        None => carry(tcp, BytesMut::new(), path, &stream, &worker, &buffers).await,
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await {
            Ok(Ok(tls)) => carry(tls, BytesMut::new(), path, &stream, &worker, &buffers).await,
            Ok(Err(error)) => {
                worker.borrow_mut().counters.tls_failed += 1;
                log::debug!("turn: {path}: the TLS handshake failed: {error}");
            }
            Err(_) => worker.borrow_mut().counters.tls_failed += 1,
        },
    }
    leave(path, &worker, &buffers);
}

/// Carries messages both ways until one side has ended, or the client has been silent for too long. `first` was read
/// already.
async fn carry(
    io: impl Both + 'static,
    first: BytesMut,
    path: Path,
    stream: &Stream,
    worker: &Handle,
    buffers: &Buffers,
) {
    let (mut from, to) = tokio::io::split(io);
    let mut writing = std::pin::pin!(stream.write(to, path.transport));
    let turned = tokio::select! {
        turned = read(&mut from, first, path, stream, worker, buffers) => turned,
        _ = &mut writing => None,
        () = silence(path, stream, worker) => {
            log::debug!("turn: {path}: silent, and no allocation");
            None
        }
    };
    let Some(turned) = turned else { return };
    // The answer goes out before the first byte of the peer.
    stream.end();
    let Some(to) = writing.await else { return };
    let io = from.unsplit(to);
    match turned {
        Turned::Bound(bound, rest) => splice(io, rest, bound, worker, buffers).await,
        Turned::Elsewhere(number, bytes) => {
            let io = Box::new(io);
            let shared = worker.borrow().shared.clone();
            shared.hand_over(number, Moved { io, path, bytes });
        }
    }
}

/// What becomes of a connection that carries no messages (of ours) any more.
enum Turned {
    /// It is the other end of a peer's connection. The client has sent this behind its request.
    Bound(Bound, BytesMut),
    /// It belongs to the worker of this number; all that was read.
    Elsewhere(u32, BytesMut),
}

/// Ends when the client has been silent, without an allocation, for the time that is allowed.
async fn silence(path: Path, stream: &Stream, worker: &Handle) {
    let idle = worker.borrow().config.idle;
    loop {
        tokio::time::sleep(idle).await;
        let allocated = worker.borrow().server.has_allocation(path);
        if !stream.alive.replace(false) && !allocated {
            return;
        }
    }
}

/// Takes messages until the end, or until the connection becomes that of a peer: then what follows is no message.
async fn read(
    from: &mut (impl AsyncRead + Unpin),
    first: BytesMut,
    path: Path,
    stream: &Stream,
    worker: &Handle,
    buffers: &Buffers,
) -> Option<Turned> {
    let legacy = worker.borrow().config.server.rfc5766_channels;
    let mut frames = if legacy {
        Frames::rfc5766()
    } else {
        Frames::default()
    };
    let mut greeted = false;
    let mut there = !first.is_empty();
    frames.buffer().unsplit(first);
    loop {
        frames.buffer().reserve(READ);
        if !std::mem::take(&mut there) {
            match from.read_buf(frames.buffer()).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
        stream.alive.set(true);
        // What begins with ChannelData is not TURN; "GET " looks like the head of a long one.
        if !greeted && frames.buffer().first().is_some_and(|first| *first >= 64) {
            log::debug!("turn: {path}: a stream that does not begin with STUN");
            return None;
        }
        let mut state = worker.borrow_mut();
        let now = Instant::now();
        while let Some(mut message) = frames.take() {
            if !greeted && let Some(number) = elsewhere(&message, state.number, state.shared.count()) {
                message.unsplit(std::mem::take(frames.buffer()));
                return Some(Turned::Elsewhere(number, message));
            }
            greeted = true;
            state.take_stream(now, path, &message);
            if message.first().is_some_and(|first| *first < 64) {
                // It may be the last one.
                state.pump(now, worker, buffers);
                if let Some(bound) = stream.bound.take() {
                    return Some(Turned::Bound(bound, std::mem::take(frames.buffer())));
                }
            }
        }
        state.pump(now, worker, buffers);
        if frames.is_out_of_step() {
            log::debug!("turn: {path}: neither STUN nor ChannelData on a stream");
            return None;
        }
    }
}

/// The worker that has the relay which a client's data connection is for, unless it is this one.
fn elsewhere(message: &[u8], this: usize, workers: u32) -> Option<u32> {
    let number = ConnectionId::asked_for(message)?.instance(workers);
    (number as usize != this).then_some(number)
}
