//! TCP and TLS connections of clients: messages are cut out of what comes in, and what goes out waits in a bounded
//! buffer.

use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dunlin_net::{Path, Transport};
use dunlin_turn::Frames;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

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
#[derive(Debug)]
pub(super) struct Stream {
    waiting: RefCell<Waiting>,
    max: usize,
    wake: Notify,
    /// Something came in since the last look.
    alive: Cell<bool>,
}

impl Stream {
    fn new(max: usize) -> Self {
        Self {
            waiting: RefCell::default(),
            max,
            wake: Notify::new(),
            alive: Cell::new(false),
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

    /// Writes what waits, all at once on TCP. On TLS each message gets a record of its own: there are clients that look
    /// at their socket and not at what their TLS library still holds of a record (coturn's among them).
    async fn write(&self, mut to: impl AsyncWrite + Unpin, transport: Transport) {
        let mut taken = Waiting::default();
        loop {
            self.wake.notified().await;
            std::mem::swap(&mut taken, &mut self.waiting.borrow_mut());
            if transport != Transport::Tls {
                taken.ends.drain(..taken.ends.len().saturating_sub(1));
            }
            let mut start = 0;
            for end in taken.ends.drain(..) {
                if to.write_all(&taken.bytes[start..end]).await.is_err() {
                    return;
                }
                start = end;
            }
            if to.flush().await.is_err() {
                return;
            }
            taken.bytes.clear();
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
    let stream = {
        let mut state = worker.borrow_mut();
        if state.streams.len() >= state.config.max_streams {
            state.counters.refused_connections += 1;
            return;
        }
        let stream = Rc::new(Stream::new(state.config.max_backlog));
        state.streams.insert(path, stream.clone());
        let counters = &mut state.counters;
        *(if tls.is_some() {
            &mut counters.tls
        } else {
            &mut counters.tcp
        }) += 1;
        stream
    };
    // What is relayed does not wait for more to be relayed.
    let _ = tcp.set_nodelay(true);
    // A client that vanished without a word is noticed when its allocation expires; without one, by silence.
    let _ = SockRef::from(&tcp).set_keepalive(true);
    match tls {
        None => carry(tcp, path, &stream, &worker, &buffers).await,
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await {
            Ok(Ok(tls)) => carry(tls, path, &stream, &worker, &buffers).await,
            Ok(Err(error)) => {
                worker.borrow_mut().counters.tls_failed += 1;
                log::debug!("turn: {path}: the TLS handshake failed: {error}");
            }
            Err(_) => worker.borrow_mut().counters.tls_failed += 1,
        },
    }
    let mut state = worker.borrow_mut();
    state.streams.remove(&path);
    let counters = &mut state.counters;
    *(if transport == Transport::Tls {
        &mut counters.tls
    } else {
        &mut counters.tcp
    }) -= 1;
    let now = Instant::now();
    state.server.connection_lost(now, path);
    state.pump(now, &worker, &buffers);
}

/// Carries messages both ways until one side has ended, or the client has been silent for too long.
async fn carry(
    io: impl AsyncRead + AsyncWrite,
    path: Path,
    stream: &Stream,
    worker: &Handle,
    buffers: &Buffers,
) {
    let (from, to) = tokio::io::split(io);
    tokio::select! {
        () = read(from, path, stream, worker, buffers) => {}
        () = stream.write(to, path.transport) => {}
        () = silence(path, stream, worker) => log::debug!("turn: {path}: silent, and no allocation"),
    }
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

async fn read(
    mut from: impl AsyncRead + Unpin,
    path: Path,
    stream: &Stream,
    worker: &Handle,
    buffers: &Buffers,
) {
    let legacy = worker.borrow().config.server.rfc5766_channels;
    let mut frames = if legacy {
        Frames::rfc5766()
    } else {
        Frames::default()
    };
    let mut greeted = false;
    loop {
        frames.buffer().reserve(READ);
        match from.read_buf(frames.buffer()).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        stream.alive.set(true);
        // What begins with ChannelData is not TURN; "GET " looks like the head of a long one.
        if !greeted && frames.buffer().first().is_some_and(|first| *first >= 64) {
            return log::debug!("turn: {path}: a stream that does not begin with STUN");
        }
        let mut state = worker.borrow_mut();
        let now = Instant::now();
        while let Some(message) = frames.take() {
            greeted = true;
            state.take_stream(now, path, &message);
        }
        state.pump(now, worker, buffers);
        if frames.is_out_of_step() {
            return log::debug!("turn: {path}: neither STUN nor ChannelData on a stream");
        }
    }
}
