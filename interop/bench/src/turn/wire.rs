//! Many datagrams in one system call, so that those who make the load leave the machine to the server that is measured;
//! and who runs on which core.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use nix::unistd::Pid;
use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Datagrams in one call, at most.
pub const BATCH: usize = 64;
/// Room for one that is received.
const ROOM: usize = 2048;

/// Sends one datagram several times.
pub struct Sender(MultiHeaders<SockaddrStorage>);

impl Sender {
    pub fn new() -> Self {
        Self(MultiHeaders::preallocate(BATCH, None))
    }

    /// To each of these addresses, at most [`BATCH`]; `None` is the one that the socket is connected to. What does not fit
    /// into the socket's queue is lost, as in any full queue.
    pub fn send(&mut self, socket: &UdpSocket, datagram: &[u8], to: &[Option<SocketAddr>]) {
        let slices = [[IoSlice::new(datagram)]; BATCH];
        let to: Vec<Option<SockaddrStorage>> = to.iter().map(|to| to.map(SockaddrStorage::from)).collect();
        let messages = slices.iter().take(to.len());
        let flags = MsgFlags::MSG_DONTWAIT;
        let _ = sendmmsg(socket.as_raw_fd(), &mut self.0, messages, &to, [], flags);
    }
}

/// Receives, and looks at nothing.
pub struct Receiver {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Vec<[u8; ROOM]>,
}

impl Receiver {
    pub fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; ROOM]; BATCH],
        }
    }

    /// How many datagrams were there.
    pub fn empty(&mut self, socket: &UdpSocket) -> u64 {
        let mut all = 0;
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
            let count = received.map_or(0, Iterator::count);
            all += count as u64;
            if count < BATCH {
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
