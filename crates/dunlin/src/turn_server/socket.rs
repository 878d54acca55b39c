//! UDP sockets of the server, and the buffers that they receive into: batches with GRO in, trains with GSO out.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};

use dunlin_turn::server::{HEADROOM, TAILROOM};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use tokio::io::Interest;

use crate::train::Train;

/// The room for one receive: the largest aggregate that a kernel hands over.
const ROOM: usize = 65_536;
/// A slot has room for framing before and behind what was received.
const STRIDE: usize = HEADROOM + ROOM + TAILROOM;

/// A UDP socket: one address of a listener, or a relay.
#[derive(Debug)]
pub(super) struct Socket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

/// Opens a UDP socket. With `shared`, others of this process may bind the address too, and the kernel spreads the
/// clients over them by a hash of the 5-tuple, so that an allocation always meets the same one.
///
/// # Errors
/// What the system says.
pub(super) fn open(address: SocketAddr, buffer: usize, shared: bool) -> io::Result<UdpSocket> {
    let domain = socket2::Domain::for_address(address);
    let kind = socket2::Type::DGRAM.nonblocking();
    let socket = socket2::Socket::new(domain, kind, Some(socket2::Protocol::UDP))?;
    if address.is_ipv6() {
        // One socket per family: an IPv4 client must not appear as ::ffff:a.b.c.d.
        socket.set_only_v6(true)?;
    }
    share(&socket, shared)?;
    socket.bind(&address.into())?;
    // The system caps the size (net.core.rmem_max); that it gives less is no reason to fail.
    let _ = socket.set_recv_buffer_size(buffer);
    let _ = socket.set_send_buffer_size(buffer);
    Ok(socket.into())
}

/// Takes the size that is wanted past the system's cap, where this process may do so (CAP_NET_ADMIN). For listeners, of
/// which there are few: all clients of a worker share one queue.
pub(super) fn exceed_cap(socket: &UdpSocket, buffer: usize) {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::socket::{setsockopt, sockopt};

        let _ = setsockopt(socket, sockopt::RcvBufForce, &buffer);
        let _ = setsockopt(socket, sockopt::SndBufForce, &buffer);
    }
    let _ = (socket, buffer);
}

/// Sets SO_REUSEPORT where there is such a thing.
pub(super) fn share(socket: &socket2::Socket, shared: bool) -> io::Result<()> {
    #[cfg(unix)]
    if shared {
        socket.set_reuse_port(true)?;
    }
    let _ = (socket, shared);
    Ok(())
}

/// Has the system not say with every datagram what a relay has no use for, and which costs it a tenth of its time: when
/// it came, its ECN mark, and, where the socket has but one address, to which. quinn-udp asks for all of that.
#[cfg(target_os = "linux")]
fn ask_less(io: &tokio::net::UdpSocket, local: SocketAddr) {
    use nix::sys::socket::{setsockopt, sockopt};

    // It is a matter of speed only.
    let _ = setsockopt(io, sockopt::ReceiveTimestampns, &false);
    let _ = setsockopt(io, sockopt::IpRecvTos, &false);
    if local.is_ipv6() {
        let _ = socket2::SockRef::from(io).set_recv_tclass_v6(false);
    }
    if !local.ip().is_unspecified() {
        let _ = setsockopt(io, sockopt::Ipv4PacketInfo, &false);
        let _ = setsockopt(io, sockopt::Ipv6RecvPacketInfo, &false);
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_less(_: &tokio::net::UdpSocket, _: SocketAddr) {}

impl Socket {
    /// Hands an open socket to the runtime.
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        let io = tokio::net::UdpSocket::from_std(socket)?;
        let state = UdpSocketState::new((&io).into())?;
        let local = io.local_addr()?;
        ask_less(&io, local);
        Ok(Self { io, state, local })
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// How many datagrams may go out in one train.
    pub(super) fn max_segments(&self) -> usize {
        self.state.max_gso_segments().max(1)
    }

    /// Whether datagrams from `local` leave through this socket.
    pub(super) fn serves(&self, local: SocketAddr) -> bool {
        let any = self.local.ip().is_unspecified() && self.local.is_ipv4() == local.is_ipv4();
        self.local.port() == local.port() && (any || self.local.ip() == local.ip())
    }

    /// Waits until there may be something to receive.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Receives what is there, at most one batch.
    ///
    /// Answers whether there may be more; if not, [`readable`](Self::readable) waits for the next.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub(super) fn receive(&self, batch: &mut Batch) -> io::Result<bool> {
        batch.filled = 0;
        let Batch { bytes, meta, filled } = batch;
        let mut slots = bytes.chunks_exact_mut(STRIDE);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            let slot = slots.next().unwrap_or_default();
            IoSliceMut::new(slot.get_mut(HEADROOM..HEADROOM + ROOM).unwrap_or_default())
        });
        let read = self.io.try_io(Interest::READABLE, || {
            *filled = self.state.recv((&self.io).into(), &mut buffers, meta)?;
            // Linux stops early where the queue ends. Another call to be told so would cost as much as this one.
            match *filled < BATCH_SIZE && cfg!(target_os = "linux") {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => Ok(()),
            }
        });
        match read {
            Ok(()) => Ok(true),
            Err(_) if *filled > 0 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a train; answers how many of its datagrams the system did not take. What does not go out now is lost, as
    /// it would be in any router's full queue: nobody waits for one slow interface.
    pub(super) fn send(&self, train: &Train, contents: &[u8]) -> usize {
        let result = self.send_segments(train, contents, (train.count > 1).then_some(train.segment));
        match result {
            Ok(()) => 0,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock && train.count > 1 => {
                // The interface cannot segment (quinn-udp has noted that): one by one, then.
                log::debug!("{}: a train of {} was refused: {error}", train.path, train.count);
                let mut datagrams = contents.chunks(train.segment);
                let lost = |datagram| self.send_segments(train, datagram, None).is_err();
                datagrams.by_ref().filter(|datagram| lost(datagram)).count()
            }
            Err(error) => {
                log::debug!("{}: {} datagrams were refused: {error}", train.path, train.count);
                train.count
            }
        }
    }

    fn send_segments(&self, train: &Train, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let local = train.path.local.ip();
        let transmit = quinn_udp::Transmit {
            destination: train.path.remote,
            ecn: None,
            contents,
            segment_size,
            src_ip: (self.local.ip().is_unspecified() && !local.is_unspecified()).then_some(local),
        };
        // Past the runtime's notion of readiness, which a fresh socket does not have yet: nobody waits for room here.
        self.state.try_send((&self.io).into(), &transmit)
    }
}

/// The buffers that a worker receives into, one after the other for all its sockets.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Box<[u8]>,
    meta: [RecvMeta; BATCH_SIZE],
    filled: usize,
}

/// One datagram: its bytes stand at `start..start + len` in `buffer`, with room for framing on both sides.
#[derive(Debug)]
pub(super) struct Received<'a> {
    pub(super) buffer: &'a mut [u8],
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) from: SocketAddr,
    /// The address it came to.
    pub(super) to: SocketAddr,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            // Not zero: the memory is there from the start, and no flood can make it more.
            bytes: vec![0xFF; BATCH_SIZE * STRIDE].into(),
            meta: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
        }
    }

    /// Hands over every datagram that the last `receive` on `socket` brought.
    pub(super) fn drain(&mut self, socket: &Socket, mut each: impl FnMut(Received<'_>)) {
        let local = socket.local;
        let slots = self.bytes.chunks_exact_mut(STRIDE);
        for (buffer, meta) in slots.zip(&self.meta).take(self.filled) {
            let to = meta.dst_ip.filter(|_| local.ip().is_unspecified());
            let to = SocketAddr::new(to.unwrap_or(local.ip()), local.port());
            let end = HEADROOM + meta.len.min(ROOM);
            let stride = if meta.stride == 0 { meta.len } else { meta.stride };
            let mut start = HEADROOM;
            // What is written before a datagram falls on the one before it, which has been dealt with; what is written
            // behind it falls on the next one, and is undone.
            while start < end {
                let len = stride.min(end - start);
                let behind = start + len..start + len + TAILROOM;
                let mut kept = [0; TAILROOM];
                kept.copy_from_slice(&buffer[behind.clone()]);
                each(Received {
                    buffer,
                    start,
                    len,
                    from: meta.addr,
                    to,
                });
                buffer[behind].copy_from_slice(&kept);
                start += len;
            }
        }
        self.filled = 0;
    }
}
