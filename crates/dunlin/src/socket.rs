//! UDP sockets: batched receiving with GRO, sending of trains with GSO, ECN and the address a datagram came to.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::BytesMut;
use dunlin_net::{Ecn, Path};
use quinn_udp::{EcnCodepoint, RecvMeta, UdpSocketState};
use tokio::io::Interest;

use crate::discarded::Discarded;
use crate::train::Train;

/// How many buffers one receive call fills. With GRO each may hold dozens of datagrams.
const SLOTS: usize = 16;
/// How many it fills at first.
const FEW: usize = 2;
/// The room each buffer must have: the largest aggregate that a kernel hands over.
const ROOM: usize = 65_536;
/// How large the buffers are when they are fresh: a tail that is shorter than `ROOM` is replaced.
const CHUNK: usize = 2 * ROOM;

/// One UDP socket of an endpoint.
#[derive(Debug)]
pub(crate) struct Socket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

impl Socket {
    /// Binds to `address`, with socket buffers of `buffer` bytes or as close to that as the system allows.
    pub(crate) fn bind(address: SocketAddr, buffer: usize) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::DGRAM.nonblocking(),
            Some(socket2::Protocol::UDP),
        )?;
        if address.is_ipv6() {
            // One socket per family: an IPv4 peer must not appear as ::ffff:a.b.c.d.
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        // A train of 64 datagrams must fit more than once, or bursts are lost in our own kernel. The system
        // caps the size (net.core.rmem_max); that it gives less is no reason to fail.
        if let Err(error) = socket.set_recv_buffer_size(buffer) {
            log::debug!("{address}: the receive buffer stays as it is: {error}");
        }
        if let Err(error) = socket.set_send_buffer_size(buffer) {
            log::debug!("{address}: the send buffer stays as it is: {error}");
        }
        let io = tokio::net::UdpSocket::from_std(socket.into())?;
        let state = UdpSocketState::new((&io).into())?;
        let local = io.local_addr()?;
        log::debug!(
            "bound {local}: GSO {} segments, GRO {} segments, receive buffer {} bytes",
            state.max_gso_segments(),
            state.gro_segments(),
            state.recv_buffer_size((&io).into()).unwrap_or(0),
        );
        Ok(Self { io, state, local })
    }

    /// The address it is bound to; its IP may be the unspecified one.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// How many datagrams may go out in one train.
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments().max(1)
    }

    /// Whether datagrams from `local` leave through this socket.
    pub(crate) fn serves(&self, local: SocketAddr) -> bool {
        self.local == local
            || (self.local.port() == local.port()
                && self.local.ip().is_unspecified()
                && self.local.is_ipv4() == local.is_ipv4())
    }

    /// Ready when there may be something to receive.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_recv_ready(cx).map(|_| ())
    }

    /// Ready when a send may succeed.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_send_ready(cx).map(|_| ())
    }

    /// Receives what is there, at most one batch.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub(crate) fn receive(&self, batch: &mut Batch) -> io::Result<()> {
        batch.prepare();
        let Batch {
            slots,
            meta,
            used,
            filled,
        } = batch;
        *filled = 0;
        let mut buffers = slots.each_mut().map(|slot| IoSliceMut::new(slot));
        let received = self.io.try_io(Interest::READABLE, || {
            let (buffers, meta) = (&mut buffers[..*used], &mut meta[..*used]);
            *filled = self.state.recv((&self.io).into(), buffers, meta)?;
            // Fewer than there was room for: nothing is left, and the runtime is told so. It would have to be asked for
            // once more otherwise, and most wake-ups bring a single datagram. What comes later wakes again.
            if *filled < (*used).min(quinn_udp::BATCH_SIZE) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match received {
            Err(error) if *filled == 0 => return Err(error),
            Err(_) => {}
            Ok(()) => *used = SLOTS.min(2 * *used),
        }
        Ok(())
    }

    /// Sends a train of datagrams.
    ///
    /// # Errors
    /// `WouldBlock` when the socket's buffer is full; whatever else the system says is logged and the
    /// datagrams are lost, as they would be on the wire, and noted.
    pub(crate) fn send(&self, train: &Train, contents: &[u8], discarded: &mut Discarded) -> io::Result<()> {
        let result = self.send_segments(train, contents, (train.count > 1).then_some(train.segment));
        match result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock && train.count > 1 => {
                // The interface cannot segment (quinn-udp has noted that): one by one, then.
                log::debug!("{}: a train of {} was refused: {error}", train.path, train.count);
                for datagram in contents.chunks(train.segment) {
                    match self.send_segments(train, datagram, None) {
                        Ok(()) => {}
                        Err(error) => {
                            refused(train.path, &error);
                            discarded.note(train.path, datagram);
                        }
                    }
                }
                Ok(())
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                refused(train.path, &error);
                discarded.note_all(train, contents);
                Ok(())
            }
            other => other,
        }
    }

    fn send_segments(&self, train: &Train, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let local = train.path.local.ip();
        let transmit = quinn_udp::Transmit {
            destination: train.path.remote,
            ecn: codepoint(train.ecn),
            contents,
            segment_size,
            src_ip: (self.local.ip().is_unspecified() && !local.is_unspecified()).then_some(local),
        };
        self.io.try_io(Interest::WRITABLE, || {
            self.state.try_send((&self.io).into(), &transmit)
        })
    }
}

fn refused(path: Path, error: &io::Error) {
    log::debug!("{path}: the system refused a datagram: {error}");
}

fn codepoint(ecn: Ecn) -> Option<EcnCodepoint> {
    match ecn {
        Ecn::NotEct => None,
        Ecn::Ect0 => Some(EcnCodepoint::Ect0),
        Ecn::Ect1 => Some(EcnCodepoint::Ect1),
        Ecn::Ce => Some(EcnCodepoint::Ce),
    }
}

thread_local! {
    static BATCH: RefCell<Batch> = RefCell::new(Batch::new());
}

/// The buffers that drivers receive into. Datagrams are split off their front, never copied. All drivers that run on a
/// thread share one: 200 sockets of their own cost no more memory than one.
#[derive(Debug)]
pub(crate) struct Batch {
    slots: [BytesMut; SLOTS],
    meta: [RecvMeta; SLOTS],
    /// How many slots are in use: more only once all were filled, since each is 128 KiB.
    used: usize,
    filled: usize,
}

impl Batch {
    /// Lends the batch of this thread.
    pub(crate) fn of_this_thread<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        BATCH.with_borrow_mut(work)
    }

    fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| BytesMut::new()),
            meta: [RecvMeta::default(); SLOTS],
            used: FEW,
            filled: 0,
        }
    }

    /// Gives every slot its room again. Memory that nobody holds any more is reused.
    fn prepare(&mut self) {
        for slot in self.slots.iter_mut().take(self.used) {
            if slot.len() >= ROOM {
                continue;
            }
            if slot.try_reclaim(CHUNK - slot.len()) {
                slot.resize(CHUNK, 0);
            } else {
                *slot = BytesMut::zeroed(CHUNK);
            }
        }
    }

    /// Hands over every datagram that the last `receive` on `socket` brought, with its path and its ECN field. The kernel
    /// puts none together whose fields differ.
    pub(crate) fn drain(&mut self, socket: SocketAddr, mut each: impl FnMut(Path, Ecn, BytesMut)) {
        for (slot, meta) in self.slots.iter_mut().zip(&self.meta).take(self.filled) {
            let local = meta.dst_ip.filter(|_| socket.ip().is_unspecified());
            let local = SocketAddr::new(local.unwrap_or(socket.ip()), socket.port());
            let path = Path::udp(local, meta.addr);
            let ecn = meta.ecn.map_or(Ecn::NotEct, |mark| Ecn::from_bits(mark as u8));
            let mut rest = slot.split_to(meta.len.min(slot.len()));
            while !rest.is_empty() {
                // "the individual datagrams contained have their boundaries at `stride` increments" (quinn-udp).
                let stride = if meta.stride == 0 { rest.len() } else { meta.stride };
                each(path, ecn, rest.split_to(stride.min(rest.len())));
            }
        }
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Trains;
    use dunlin_net::Transmit;

    /// "EMSGSIZE": no datagram over IPv4 has more than 65,507 bytes.
    #[tokio::test]
    async fn what_the_system_refuses_is_noted() {
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap();
        let path = Path::udp(socket.local(), socket.local());
        std::future::poll_fn(|cx| socket.poll_writable(cx)).await;
        let mut discarded = Discarded::default();
        for size in [1200, 66_000] {
            let mut trains = Trains::default();
            trains.buffer().resize(size, 0x80);
            trains.push(Transmit::new(path), 0, 1);
            let (train, contents) = trains.front().unwrap();
            socket.send(train, contents, &mut discarded).unwrap();
        }
        assert_eq!(discarded.noted(), [(path, 66_000)]);
    }
}
