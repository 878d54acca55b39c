//! ICE over TCP (RFC 6544): connections to the peer's passive candidates, and those that come to ours.
//!
//! The parent owns the connections. It is asked to open one as for a way to a TURN server ([`Event::OpenPath`]), and puts
//! what arrives on one that came in, cut out with [`TcpFrames`], into `handle_datagram` like a datagram. What the agent
//! writes for a connection has the frame of RFC 4571 already.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use dunlin_net::{Path, Transport};
use log::{debug, info};

use crate::agent::Agent;
use crate::candidate::{Candidate, Protocol, TcpType, is_link_local};
use crate::event::Event;
use crate::pair::Outcome;
use crate::relay::{OpenPath, RelayId};
use crate::server::TransportPolicy;

/// Bytes of the length before each frame (RFC 4571, section 2).
pub(crate) const FRAME: usize = 2;

/// Appends what `write` writes as one frame.
pub(crate) fn frame(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME]);
    let wrote = write(out);
    match u16::try_from(out.len() - start - FRAME) {
        Ok(len) if wrote => out[start..start + FRAME].copy_from_slice(&len.to_be_bytes()),
        // RFC 4571, section 2: the length is "a 16-bit unsigned integer".
        _ => {
            out.truncate(start);
            return false;
        }
    }
    true
}

/// Cuts a TCP connection between peers into the messages that `handle_datagram` takes (RFC 4571, section 2).
#[derive(Debug, Default)]
pub struct TcpFrames(BytesMut);

impl TcpFrames {
    /// Where received bytes are appended. One message and a read's worth of the next are all that it holds, if
    /// [`take`](Self::take) is called until it is `None` between two reads.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    /// The next message that is complete. Empty ones, which keep a connection alive, are passed over.
    pub fn take(&mut self) -> Option<BytesMut> {
        loop {
            let len = usize::from(u16::from_be_bytes(*self.0.first_chunk()?));
            if self.0.len() < FRAME + len {
                return None;
            }
            self.0.advance(FRAME);
            if len > 0 {
                return Some(self.0.split_to(len));
            }
        }
    }
}

/// One connection that the agent has asked for.
#[derive(Debug)]
struct Connect {
    id: RelayId,
    local: IpAddr,
    remote: SocketAddr,
    state: ConnectState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectState {
    Asked,
    Open(Path),
    Failed,
}

/// All of them, and those that came in.
#[derive(Debug, Default)]
pub(crate) struct TcpPaths {
    connects: Vec<Connect>,
    accepted: Vec<Path>,
    next_id: u32,
    /// Connections asked for in this generation: one that is closed again and again is not opened for ever.
    asked: usize,
}

impl TcpPaths {
    fn open(&self) -> impl Iterator<Item = Path> {
        let connected = self.connects.iter().filter_map(|connect| match connect.state {
            ConnectState::Open(path) => Some(path),
            _ => None,
        });
        connected.chain(self.accepted.iter().copied())
    }

    /// A pair was made of a connection that came in.
    pub(crate) fn note_accepted(&mut self, path: Path) {
        if !self.open().any(|known| known == path) {
            self.accepted.push(path);
        }
    }

    fn forget(&mut self, path: Path) {
        self.connects
            .retain(|connect| connect.state != ConnectState::Open(path));
        self.accepted.retain(|known| *known != path);
    }

    /// A restart tries again what failed.
    pub(crate) fn begin_generation(&mut self) {
        self.asked = 0;
        self.connects
            .retain(|connect| connect.state != ConnectState::Failed);
    }
}

impl Agent {
    /// When connections are opened: not before UDP had its chance.
    pub(crate) fn tcp_due(&self) -> Option<Instant> {
        let at = self.timers.tcp_at?;
        (!self.wanted_connects(1).is_empty()).then_some(at)
    }

    /// Asks for the connections that are due. RFC 6544, section 7.1: "it first opens a TCP connection, if none yet
    /// exists, for the 5-tuple defined by the candidate pair".
    pub(crate) fn run_tcp(&mut self) {
        if self.timers.tcp_at.is_none_or(|at| self.now < at) {
            return;
        }
        let room = self.config.max_tcp_connects.saturating_sub(self.tcp.asked);
        for (local, remote) in self.wanted_connects(room) {
            let id = RelayId::of_tcp(self.tcp.next_id);
            self.tcp.next_id = self.tcp.next_id.wrapping_add(1);
            self.tcp.asked += 1;
            debug!("ice: connecting from {local} to {remote}");
            self.tcp.connects.push(Connect {
                id,
                local,
                remote,
                state: ConnectState::Asked,
            });
            self.push_event(Event::OpenPath(OpenPath {
                id,
                server: remote,
                transport: Transport::Tcp,
                name: None,
                peer_from: Some(local),
                another: false,
            }));
        }
    }

    /// Passive candidates of the peer that were not tried yet, with the addresses to connect from (RFC 6544, section
    /// 6.2: "tcp-active" with "tcp-passive"). Only while nothing works.
    fn wanted_connects(&self, most: usize) -> Vec<(IpAddr, SocketAddr)> {
        let active = self.config.tcp_active
            && !self.config.lite
            && self.config.transport_policy == TransportPolicy::All
            && self.tcp.asked < self.config.max_tcp_connects;
        if !active || self.current.remote.is_none() || self.selected.is_some() {
            return Vec::new();
        }
        let passive = self.remote.iter().filter(|candidate| is_passive(candidate));
        let mut wanted = Vec::new();
        for remote in passive.filter_map(|candidate| candidate.address.socket()) {
            for local in self.gatherer.host_ips() {
                let fits =
                    local.is_ipv4() == remote.is_ipv4() && is_link_local(local) == is_link_local(remote.ip());
                let known = |connect: &Connect| connect.local == local && connect.remote == remote;
                if fits && !self.tcp.connects.iter().any(known) && wanted.len() < most {
                    wanted.push((local, remote));
                }
            }
        }
        wanted
    }

    /// The parent has connected: the pair is checked at once.
    pub(crate) fn tcp_opened(&mut self, id: RelayId, path: Path) {
        let Some(connect) = self.tcp.connects.iter_mut().find(|connect| connect.id == id) else {
            return self.push_event(Event::ClosePath(path));
        };
        connect.state = ConnectState::Open(path);
        let (local, server) = (connect.local, connect.remote);
        self.gatherer.add_connected(path, local);
        let remote = self
            .remote
            .iter()
            .find(|candidate| is_passive(candidate) && candidate.address.socket() == Some(server));
        let (base, remote) = (
            self.gatherer.base(path.local, Transport::Tcp).cloned(),
            remote.cloned(),
        );
        if let (Some(base), Some(remote)) = (base, remote) {
            // At once: the time for it came before the connection.
            if self.may_improve()
                && let Some(pair) = self.add_pair(&base, &remote)
            {
                self.trigger(pair);
            }
        }
    }

    /// RFC 6544, section 7.1: "If the TCP connection cannot be established, the check is considered to have failed".
    pub(crate) fn tcp_failed(&mut self, id: RelayId) {
        if let Some(connect) = self.tcp.connects.iter_mut().find(|connect| connect.id == id) {
            debug!("ice: no connection to {}", connect.remote);
            connect.state = ConnectState::Failed;
        }
    }

    /// A connection has ended, and its pair with it.
    pub(crate) fn tcp_lost(&mut self, path: Path) {
        if !self.tcp.open().any(|known| known == path) {
            return;
        }
        info!("ice: {path} has ended");
        self.tcp.forget(path);
        self.gatherer.remove_connected(path);
        self.list.retain(|pair| pair.path != path);
        self.transactions.retain(|transaction| transaction.path != path);
        self.after_lost_pairs();
    }

    /// Closes the connections that no pair needs.
    pub(crate) fn release_tcp(&mut self) {
        let unused = |path: &Path| self.list.iter().all(|pair| pair.path != *path);
        for path in self.tcp.open().filter(unused).collect::<Vec<_>>() {
            self.tcp.forget(path);
            self.gatherer.remove_connected(path);
            self.push_event(Event::ClosePath(path));
        }
    }

    /// Closes all connections.
    pub(crate) fn abandon_tcp(&mut self) {
        for path in self.tcp.open().collect::<Vec<_>>() {
            self.push_event(Event::ClosePath(path));
        }
        self.tcp = TcpPaths {
            next_id: self.tcp.next_id,
            ..TcpPaths::default()
        };
    }

    /// The connections that could not be made, for a report: from where, where to.
    pub(crate) fn failed_connects(&self) -> impl Iterator<Item = (IpAddr, SocketAddr, Outcome)> {
        self.tcp
            .connects
            .iter()
            .filter_map(|connect| match connect.state {
                ConnectState::Asked => Some((connect.local, connect.remote, Outcome::Unanswered)),
                ConnectState::Failed => Some((connect.local, connect.remote, Outcome::NotConnected)),
                ConnectState::Open(_) => None,
            })
    }
}

/// Whether a connection may be opened to this candidate.
pub(crate) fn is_passive(candidate: &Candidate) -> bool {
    candidate.protocol == Protocol::Tcp && candidate.tcp_type == Some(TcpType::Passive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_wherever_the_stream_breaks() {
        let mut stream = Vec::new();
        for message in [&b"one"[..], b"", &[7; 65_535]] {
            assert!(frame(&mut stream, |out| {
                out.extend_from_slice(message);
                true
            }));
        }
        for piece in [1, 2, 3, 5, 1000, stream.len()] {
            let mut frames = TcpFrames::default();
            let mut found = Vec::new();
            for part in stream.chunks(piece) {
                frames.buffer().extend_from_slice(part);
                while let Some(message) = frames.take() {
                    found.push(message.len());
                }
            }
            assert_eq!(found, [3, 65_535], "in pieces of {piece}");
        }
    }

    #[test]
    fn what_does_not_fit_a_frame_leaves_nothing_behind() {
        let mut out = b"before".to_vec();
        assert!(!frame(&mut out, |out| {
            out.resize(out.len() + 65_536, 0);
            true
        }));
        assert!(!frame(&mut out, |_| false));
        assert_eq!(out, b"before");
    }
}
