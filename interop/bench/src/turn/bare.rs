//! The least that a relay can be: what comes is sent on, one datagram at a time, and nothing else is done. A server that
//! sends datagrams one by one is hardly faster: the rest is what the system takes. To clients, what all relays have received in
//! a round leaves in one call.

use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};

use super::session::{LOCAL, SIZE, Session, socket};
use super::wire::{BATCH, enlarge};

/// Room for one datagram.
const ROOM: usize = 2048;
/// How many datagrams one call may take to clients (Linux: 1,024).
const HELD: usize = 1024;
/// What the listener is called among those that are ready; relays have their places.
const LISTENER: u64 = u64::MAX;

/// One client, its relay, and the peer that the relay is connected to.
struct Flow {
    client: SocketAddr,
    relay: UdpSocket,
}

/// Relays until it is ended. A client says once where its peer is, and is answered where its relay is.
pub fn run(port: u16) -> Result<(), String> {
    let listener = UdpSocket::bind((LOCAL, port)).map_err(|error| error.to_string())?;
    enlarge(&listener);
    let mut relay = Relay {
        listener,
        epoll: Epoll::new(EpollCreateFlags::empty()).map_err(text)?,
        flows: Vec::new(),
        by_client: HashMap::new(),
        buffers: vec![[0; ROOM]; BATCH],
        headers: MultiHeaders::preallocate(BATCH, None),
        held: vec![[0; ROOM]; HELD],
        to_clients: Vec::new(),
        out: MultiHeaders::preallocate(HELD, None),
    };
    let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
    relay.epoll.add(&relay.listener, event).map_err(text)?;
    let mut ready = [EpollEvent::empty(); 256];
    loop {
        let count = match relay.epoll.wait(&mut ready, EpollTimeout::NONE) {
            Ok(count) => count,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.to_string()),
        };
        for event in ready.iter().take(count) {
            match event.data() {
                LISTENER => relay.clients_say()?,
                place => relay.peer_says(place as usize),
            }
        }
        relay.tell_clients();
        // As ours does under load: what comes in a moment is taken with fewer calls.
        std::thread::sleep(Duration::from_micros(500));
    }
}

struct Relay {
    listener: UdpSocket,
    epoll: Epoll,
    flows: Vec<Flow>,
    by_client: HashMap<SocketAddr, usize>,
    buffers: Vec<[u8; ROOM]>,
    headers: MultiHeaders<SockaddrStorage>,
    /// What goes to clients at the end of a round, and of each datagram its length and its client.
    held: Vec<[u8; ROOM]>,
    to_clients: Vec<(usize, SocketAddr)>,
    out: MultiHeaders<SockaddrStorage>,
}

impl Relay {
    /// All that waits at the listener.
    fn clients_say(&mut self) -> Result<(), String> {
        loop {
            let received = receive(&self.listener, &mut self.headers, &mut self.buffers);
            for (&(len, from), buffer) in received.iter().zip(&self.buffers) {
                let Some(from) = from else { continue };
                let datagram = &buffer[..len];
                match self.by_client.get(&from) {
                    // What the peer's queue has no room for is lost, as with any server.
                    Some(place) => drop(self.flows[*place].relay.send(datagram)),
                    None => self.flows.push(welcome(
                        &self.listener,
                        &self.epoll,
                        from,
                        datagram,
                        self.flows.len(),
                    )?),
                }
            }
            for (place, flow) in self.flows.iter().enumerate().skip(self.by_client.len()) {
                self.by_client.insert(flow.client, place);
            }
            if received.len() < BATCH {
                return Ok(());
            }
        }
    }

    /// All that waits at a relay.
    fn peer_says(&mut self, place: usize) {
        loop {
            if self.to_clients.len() + BATCH > HELD {
                self.tell_clients();
            }
            let flow = &self.flows[place];
            let room = &mut self.held[self.to_clients.len()..][..BATCH];
            let received = receive(&flow.relay, &mut self.headers, room);
            let lens = received.iter().map(|(len, _)| (*len, flow.client));
            self.to_clients.extend(lens);
            if received.len() < BATCH {
                return;
            }
        }
    }

    /// All that was received for clients, of all flows, in one call.
    fn tell_clients(&mut self) {
        let slices: Vec<[IoSlice<'_>; 1]> = self
            .to_clients
            .iter()
            .zip(&self.held)
            .map(|((len, _), buffer)| [IoSlice::new(&buffer[..*len])])
            .collect();
        let to: Vec<_> = self
            .to_clients
            .iter()
            .map(|(_, client)| Some(SockaddrStorage::from(*client)))
            .collect();
        if !to.is_empty() {
            let flags = MsgFlags::MSG_DONTWAIT;
            let _ = sendmmsg(
                self.listener.as_raw_fd(),
                &mut self.out,
                slices.iter(),
                &to,
                [],
                flags,
            );
        }
        self.to_clients.clear();
    }
}

/// Lengths and sources of one batch.
fn receive(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<SockaddrStorage>,
    buffers: &mut [[u8; ROOM]],
) -> Vec<(usize, Option<SocketAddr>)> {
    let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffers
        .iter_mut()
        .map(|buffer| [IoSliceMut::new(buffer)])
        .collect();
    let flags = MsgFlags::MSG_DONTWAIT;
    let received = recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None);
    let each = received.into_iter().flatten().map(|message| {
        let from = message.address.as_ref().and_then(SockaddrStorage::as_sockaddr_in);
        (message.bytes, from.map(|from| SocketAddr::V4((*from).into())))
    });
    each.collect()
}

/// A relay for a client that has said where its peer is.
fn welcome(
    listener: &UdpSocket,
    epoll: &Epoll,
    client: SocketAddr,
    hello: &[u8],
    place: usize,
) -> Result<Flow, String> {
    let peer = std::str::from_utf8(hello).ok().and_then(|text| text.parse().ok());
    let peer: SocketAddr = peer.ok_or("a client says something else than where its peer is")?;
    let relay = socket(LOCAL)?;
    relay.connect(peer).map_err(|error| error.to_string())?;
    let event = EpollEvent::new(EpollFlags::EPOLLIN, place as u64);
    epoll.add(&relay, event).map_err(text)?;
    let address = relay.local_addr().map_err(|error| error.to_string())?;
    let sent = listener.send_to(address.to_string().as_bytes(), client);
    sent.map_err(|error| error.to_string())?;
    Ok(Flow { client, relay })
}

fn text(error: Errno) -> String {
    error.to_string()
}

/// A client of a bare relay.
pub fn session(server: SocketAddr, peer: SocketAddr) -> Result<Session, String> {
    let wrong = |error: std::io::Error| error.to_string();
    let client = socket(LOCAL)?;
    client.connect(server).map_err(wrong)?;
    let patience = Some(Duration::from_millis(50));
    client.set_read_timeout(patience).map_err(wrong)?;
    let mut buffer = [0; ROOM];
    for _ in 0..200 {
        // It may not have opened its port yet.
        let asked = client.send(peer.to_string().as_bytes());
        if let Ok(len) = asked.and_then(|_| client.recv(&mut buffer)) {
            let relayed = std::str::from_utf8(&buffer[..len]).ok();
            return Ok(Session {
                client,
                relayed: relayed
                    .and_then(|text| text.parse().ok())
                    .ok_or("no address of a relay")?,
                framed: vec![7; SIZE],
            });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("the bare relay does not answer".to_owned())
}
