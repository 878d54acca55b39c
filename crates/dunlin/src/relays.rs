//! The ways to STUN and TURN servers that the connections of an endpoint use (TCP connections, DTLS associations, and UDP
//! sockets beside the endpoint's own), and TCP connections to peers.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use dunlin_net::{Ecn, Path, Transport};
use dunlin_peerconnection::{OpenPath, ServerError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::core::Core;
use crate::peer_tcp;
use crate::relay_dtls;
use crate::relay_path::{self, INBOX, News, local_ip};
use crate::routes::{Key, Routes};
use crate::socket::Socket;

/// The buffers of a socket to a TURN server, in bytes: that of one connection, not of all.
const SOCKET_BUFFER: usize = 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Relays {
    /// Connections, by what is sent on them.
    outboxes: HashMap<Path, (Key, mpsc::Sender<Bytes>)>,
    /// Sockets that only lead to a TURN server, by their address.
    sockets: HashMap<SocketAddr, (Key, Path)>,
    /// To be closed when everything is sent.
    closing: Vec<Path>,
    /// What their tasks tell. A channel is 5 kB, and most endpoints have no such task.
    news: Option<(mpsc::Sender<News>, mpsc::Receiver<News>)>,
    /// What was received while waiting.
    waiting: VecDeque<News>,
}

impl Relays {
    pub(crate) fn new() -> Self {
        Self {
            outboxes: HashMap::new(),
            sockets: HashMap::new(),
            closing: Vec::new(),
            news: None,
            waiting: VecDeque::new(),
        }
    }

    /// Takes the connections of peers that come to these sockets.
    pub(crate) fn listen(&mut self, listeners: Vec<TcpListener>) {
        for listener in listeners {
            drop(tokio::spawn(peer_tcp::accept(listener, self.sender())));
        }
    }

    /// For a task that has something to tell.
    fn sender(&mut self) -> mpsc::Sender<News> {
        self.news.get_or_insert_with(|| mpsc::channel(INBOX)).0.clone()
    }

    /// Opens a way: at once for UDP, in a task for the others.
    pub(crate) fn open(
        &mut self,
        key: Key,
        open: OpenPath,
        core: &Core,
        now: Instant,
        sockets: &mut Vec<Socket>,
    ) {
        if let Some(from) = open.peer_from {
            drop(tokio::spawn(peer_tcp::connect(key, open, from, self.sender())));
            return;
        }
        let mut state = core.lock();
        if open.transport != Transport::Udp {
            let (tls, news) = (state.tls.clone(), self.sender());
            drop(match open.transport {
                Transport::Dtls => tokio::spawn(relay_dtls::run(key, open, tls, news)),
                _ => tokio::spawn(relay_path::run(key, open, tls, news)),
            });
            return;
        }
        let shared = sockets.iter().filter(|_| state.own_sockets && !open.another);
        match local_end(open.server, shared) {
            Ok(Some(local)) => state
                .peer
                .relay_path_opened(now, open.id, Path::udp(local, open.server)),
            Ok(None) => match own_socket(open.server) {
                Ok(socket) => {
                    let path = Path::udp(socket.local(), open.server);
                    self.sockets.insert(socket.local(), (key, path));
                    sockets.push(socket);
                    state.peer.relay_path_opened(now, open.id, path);
                }
                Err(error) => {
                    let error = ServerError::Connect(error.to_string());
                    state.peer.relay_path_failed(now, open.id, error);
                }
            },
            Err(error) => {
                let error = ServerError::Connect(error.to_string());
                state.peer.relay_path_failed(now, open.id, error);
            }
        }
        state.pump(core);
    }

    /// The way is closed when everything that was made for it is sent.
    pub(crate) fn close(&mut self, path: Path) {
        self.closing.push(path);
    }

    /// The connection is gone, and so is what only it used.
    pub(crate) fn forget(&mut self, key: Key) {
        let streams = self.outboxes.iter().filter(|(_, (owner, _))| *owner == key);
        self.closing.extend(streams.map(|(path, _)| *path));
        let sockets = self.sockets.values().filter(|(owner, _)| *owner == key);
        self.closing.extend(sockets.map(|(_, path)| *path));
    }

    /// The ways that leave from an IP address which is gone, and whose they are.
    pub(crate) fn leaving_from(&self, ip: IpAddr) -> Vec<(Key, Path)> {
        let streams = self.outboxes.iter().map(|(path, (key, _))| (*key, *path));
        let all = streams.chain(self.sockets.values().copied());
        all.filter(|(_, path)| path.local.ip() == ip).collect()
    }

    /// Everything is sent: closes what is to be closed.
    pub(crate) fn close_finished(&mut self, sockets: &mut Vec<Socket>) {
        for path in self.closing.drain(..) {
            if path.transport != Transport::Udp {
                self.outboxes.remove(&path);
            } else if self.sockets.remove(&path.local).is_some() {
                sockets.retain(|socket| socket.local() != path.local);
            }
        }
    }

    /// Queues bytes for a connection; what is too much is lost, as on a full link. Answers whether they were taken.
    pub(crate) fn send(&self, path: Path, bytes: &[u8]) -> bool {
        let Some((_, outbox)) = self.outboxes.get(&path) else {
            log::debug!("{path}: there is no such connection");
            return false;
        };
        let taken = outbox.try_send(Bytes::copy_from_slice(bytes)).is_ok();
        if !taken {
            log::debug!("{path}: {} bytes are too many, or too late", bytes.len());
        }
        taken
    }

    pub(crate) fn poll_news(&mut self) -> Option<News> {
        let next = |(_, receiver): &mut (_, mpsc::Receiver<News>)| receiver.try_recv().ok();
        self.waiting
            .pop_front()
            .or_else(|| self.news.as_mut().and_then(next))
    }

    /// Ready when a connection has brought something.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting.is_empty()
            && let Some((_, receiver)) = &mut self.news
            && let Poll::Ready(news) = receiver.poll_recv(cx)
        {
            self.waiting.extend(news);
        }
        match self.waiting.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// Gives the news to the connection that they are for, by its inbox or its core, and answers with its key.
    pub(crate) fn take<'a>(
        &mut self,
        news: News,
        now: Instant,
        routes: &Routes,
        connection: impl FnOnce(Key) -> Option<(&'a mut Vec<(Path, Ecn, BytesMut)>, &'a Core)>,
    ) -> Option<Key> {
        let key = match &news {
            News::Opened { key, .. } | News::Failed { key, .. } => *key,
            // A check names the connection that is meant; whoever begins with anything else is no peer.
            News::Accepted { path, data, .. } => routes.find_requested(data).or_else(|| {
                log::debug!("{path}: {} bytes over TCP for no connection", data.len());
                None
            })?,
            News::Message { key, path, .. } | News::Lost { key, path, .. } => {
                key.or_else(|| Some(self.outboxes.get(path)?.0))?
            }
        };
        // With the news goes the outbox, if it is in them: the task ends.
        let (inbox, core) = connection(key)?;
        match news {
            News::Message { path, data, .. } => inbox.push((path, Ecn::NotEct, data)),
            News::Accepted { path, data, outbox } => {
                self.outboxes.insert(path, (key, outbox));
                inbox.push((path, Ecn::NotEct, data));
            }
            News::Opened { id, path, outbox, .. } => {
                self.outboxes.insert(path, (key, outbox));
                core.lock().peer.relay_path_opened(now, id, path);
            }
            News::Failed { id, error, .. } => core.lock().peer.relay_path_failed(now, id, error),
            News::Lost { path, error, .. } => {
                self.outboxes.remove(&path);
                core.lock().peer.relay_path_lost(now, path, error);
            }
        }
        Some(key)
    }
}

/// The address of a socket of ours that leads to the server; `None` when there is none.
fn local_end<'a>(
    server: SocketAddr,
    sockets: impl Iterator<Item = &'a Socket>,
) -> std::io::Result<Option<SocketAddr>> {
    let ip = local_ip(server)?;
    let mut same_family = sockets.filter(|socket| socket.local().is_ipv4() == server.is_ipv4());
    let serving = |socket: &Socket| {
        let local = SocketAddr::new(ip, socket.local().port());
        socket.serves(local).then_some(local)
    };
    Ok(same_family.find_map(serving))
}

/// A socket that no other connection has, at the address from which the server is reached.
fn own_socket(server: SocketAddr) -> std::io::Result<Socket> {
    Socket::bind(SocketAddr::new(local_ip(server)?, 0), SOCKET_BUFFER)
}
