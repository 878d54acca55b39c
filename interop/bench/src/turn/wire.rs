//! Many datagrams in one system call, so that those who make the load leave the machine to the server that is measured;
//! and who runs on which core.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::socket::sockopt::{RcvBufForce, SndBufForce, UdpGroSegment};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, setsockopt,
};
use nix::unistd::Pid;
use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Datagrams in one call, at most.
pub const BATCH: usize = 64;
/// Room for one that is received.
const ROOM: usize = 2048;
/// Buffers for trains that are received, and the room in each.
const TRAINS: (usize, usize) = (16, 1 << 16);
/// The queues of those who make the load, in bytes: what overflows is to be the server's.
const QUEUE: usize = 8 << 20;

/// As much room as the system gives; more than everybody gets, where this user may have it.
pub fn enlarge(socket: &UdpSocket) {
    let options = socket2::SockRef::from(socket);
    let _ = options.set_recv_buffer_size(QUEUE);
    let _ = options.set_send_buffer_size(QUEUE);
    let _ = setsockopt(socket, RcvBufForce, &QUEUE);
    let _ = setsockopt(socket, SndBufForce, &QUEUE);
}

/// Several datagrams of one size, one behind the other.
pub struct Train {
    bytes: Vec<u8>,
    /// The size of each: `None` when there is but one.
    segment: Option<u16>,
}

impl Train {
    pub fn new(datagram: &[u8], count: usize) -> Self {
        let segment = u16::try_from(datagram.len()).ok().filter(|_| count > 1);
        let bytes = datagram.repeat(count);
        Self { bytes, segment }
    }
}

/// Sends one train several times.
pub struct Sender {
    plain: MultiHeaders<SockaddrStorage>,
    /// With room for the size of a segment.
    segmented: MultiHeaders<SockaddrStorage>,
}

impl Sender {
    pub fn new() -> Self {
        Self {
            plain: MultiHeaders::preallocate(BATCH, None),
            segmented: MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(u16))),
        }
    }

    /// To each of these addresses, at most [`BATCH`]; `None` is the one that the socket is connected to. What does not fit
    /// into the socket's queue is lost, as in any full queue.
    pub fn send(&mut self, socket: &UdpSocket, train: &Train, to: &[Option<SocketAddr>]) {
        let slices = [[IoSlice::new(&train.bytes)]; BATCH];
        let to: Vec<Option<SockaddrStorage>> = to.iter().map(|to| to.map(SockaddrStorage::from)).collect();
        let messages = slices.iter().take(to.len());
        let segments = train.segment.as_ref().map(ControlMessage::UdpGsoSegments);
        let headers = match segments {
            Some(_) => &mut self.segmented,
            None => &mut self.plain,
        };
        let flags = MsgFlags::MSG_DONTWAIT;
        let _ = sendmmsg(
            socket.as_raw_fd(),
            headers,
            messages,
            &to,
            segments.as_slice(),
            flags,
        );
    }
}

/// Receives datagrams of one size, and looks at nothing.
pub struct Receiver {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Vec<Vec<u8>>,
    size: usize,
}

impl Receiver {
    /// From these sockets; with `trains`, the system hands over many at once.
    pub fn new(size: usize, trains: bool, sockets: &[UdpSocket]) -> Self {
        for socket in sockets {
            let _ = setsockopt(socket, UdpGroSegment, &trains);
        }
        let (count, room) = if trains { TRAINS } else { (BATCH, ROOM) };
        Self {
            headers: MultiHeaders::preallocate(count, None),
            buffers: vec![vec![0; room]; count],
            size,
        }
    }

    /// How many datagrams were there.
    pub fn empty(&mut self, socket: &UdpSocket) -> u64 {
        let (mut all, most) = (0, self.buffers.len());
        loop {
            let mut slices: Vec<[IoSliceMut<'_>; 1]> = self
                .buffers
                .iter_mut()
                .map(|buffer| [IoSliceMut::new(buffer)])
                .collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            let received = recvmmsg(
                socket.as_raw_fd(),
                &mut self.headers,
                slices.iter_mut(),
                flags,
                None,
            );
            let mut count = 0;
            for message in received.into_iter().flatten() {
                count += 1;
                all += message.bytes.div_ceil(self.size) as u64;
            }
            if count < most {
                return all;
            }
        }
    }
}

/// The cores for the load and the one for the server, when there are several.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    /// Of the load.
    pub load: usize,
    /// Of the server.
    pub server: usize,
}

impl Cores {
    /// The first and the last that this process may use.
    pub fn choose() -> Option<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
        Some(Self {
            load: cores.next()?,
            server: cores.next_back()?,
        })
    }

    /// Keeps the calling thread off the server's core.
    pub fn keep_off(self) {
        let mut set = CpuSet::new();
        for core in self.load..self.server {
            let _ = set.set(core);
        }
        // Where that is not allowed, the load shares all cores with the server.
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}
