//! What a parent may want of a client: send, reach peers, move, connect, close.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use dunlin_net::{Path, Transmit};
use dunlin_stun::attribute::DATA;
use dunlin_stun::{Class, Method, TransactionId, Writer};

use super::allocation::State;
use super::transaction::{Request, is_reliable};
use super::{Client, Failure, PeerError, Stats};
use crate::ChannelData;
use crate::attribute::{ConnectionId, DontFragment, RequestedTransport};

/// Bytes that Send and Data indications put around the data of an IPv4 peer; twelve more for IPv6.
const INDICATION_OVERHEAD: usize = 36;
/// How long a permission waits for the channel binding that brings it along.
const PERMISSION_DELAY: Duration = Duration::from_secs(2);

impl Client {
    /// Appends data for a peer, which `write` writes, with the framing of its channel or else of a Send indication, and
    /// says where that goes. `None` while the peer has neither channel nor permission, or when `write` says `false`;
    /// nothing is appended then.
    #[must_use]
    pub fn send(
        &mut self,
        out: &mut Vec<u8>,
        peer: SocketAddr,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> Option<Transmit> {
        let path = self.config.path;
        let wrote = if self.config.transport == RequestedTransport::TCP {
            // Such a relay has connections, and no datagrams (RFC 6062).
            self.stats.dropped_no_permission += 1;
            false
        } else if let Some(number) = self.channels.bound_to(peer, self.now) {
            if is_reliable(path) {
                ChannelData::write_stream(out, number, write)
            } else {
                ChannelData::write_datagram(out, number, write)
            }
        } else if self.is_permitted(peer.ip()) {
            self.write_indication(out, peer, write)
        } else {
            self.stats.dropped_no_permission += 1;
            false
        };
        self.stats.relayed_sent += u64::from(wrote);
        self.sent_since_keepalive |= wrote;
        wrote.then(|| Transmit::new(path))
    }

    /// RFC 8656, section 11.1.
    fn write_indication(
        &mut self,
        out: &mut Vec<u8>,
        peer: SocketAddr,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> bool {
        let start = out.len();
        let id = TransactionId::random(&mut self.rng);
        let mut writer = Writer::new(out, Class::Indication, Method::SEND, id);
        writer.xor_peer_address(peer);
        if self.config.dont_fragment {
            DontFragment.write(&mut writer);
        }
        let wrote = writer.attribute_with(DATA, write);
        if !wrote {
            out.truncate(start);
        }
        wrote
    }

    /// Wants to exchange datagrams with all ports of this address.
    ///
    /// # Errors
    /// When the client has ended, the family does not fit, or there are too many.
    pub fn permit(&mut self, now: Instant, peer: IpAddr) -> Result<(), PeerError> {
        self.now = self.now.max(now);
        self.check_peer(peer)?;
        self.want_permission(peer, self.now)?;
        self.pump();
        Ok(())
    }

    fn want_permission(&mut self, peer: IpAddr, ask_at: Instant) -> Result<(), PeerError> {
        if self.permissions.get(peer).is_none() && self.permissions.len() >= self.config.max_permissions {
            return Err(PeerError::Full);
        }
        self.permissions.want(peer, ask_at);
        Ok(())
    }

    /// Wants a channel to this peer, and with it the permission. Until it is bound, Send indications are used.
    ///
    /// # Errors
    /// As [`permit`](Self::permit), and when the allocation is one for TCP, which has no channels.
    pub fn bind(&mut self, now: Instant, peer: SocketAddr) -> Result<(), PeerError> {
        self.now = self.now.max(now);
        self.check_peer(peer.ip())?;
        if self.config.transport == RequestedTransport::TCP {
            return Err(PeerError::NotSupported);
        }
        let limit = self.config.max_channels.min(0x1000);
        if !self.channels.contains(peer) && self.channels.len() >= limit {
            return Err(PeerError::Full);
        }
        // The binding brings the permission along; only if it does not come soon is the permission asked for by itself.
        self.want_permission(peer.ip(), self.now + PERMISSION_DELAY)?;
        self.channels.want(peer, self.now);
        self.pump();
        Ok(())
    }

    /// Lets the permission and the channels of this address expire.
    pub fn forget(&mut self, peer: IpAddr) {
        self.permissions.forget(peer);
        self.channels.forget(peer);
        self.pump();
    }

    /// Takes the allocation along to a new path (RFC 8016): after a change of network, say.
    ///
    /// # Errors
    /// When there is no ticket for it.
    pub fn move_to(&mut self, now: Instant, path: Path) -> Result<(), PeerError> {
        self.now = self.now.max(now);
        match &self.state {
            State::Active(active) if active.ticket.is_some() => {}
            _ => return Err(PeerError::NotSupported),
        }
        self.transactions
            .retain(|transaction| transaction.request != Request::Move);
        self.moving = Some(path);
        self.start(Request::Move, 0);
        self.pump();
        Ok(())
    }

    /// Asks the relay to connect to a peer over TCP (RFC 6062, section 4.3).
    ///
    /// # Errors
    /// When the allocation is none for TCP, too many requests are under way, or one for this peer is, or has failed a
    /// moment ago.
    pub fn connect(&mut self, now: Instant, peer: SocketAddr) -> Result<(), PeerError> {
        self.now = self.now.max(now);
        self.check_peer(peer.ip())?;
        self.check_tcp()?;
        // "Connect requests with the same XOR-PEER-ADDRESS parameter MUST NOT be sent simultaneously."
        let mut under_way = self.transactions.iter();
        if under_way.any(|transaction| transaction.request == Request::Connect(peer)) {
            return Err(PeerError::TooSoon);
        }
        self.unreachable.retain(|(_, until)| self.now < *until);
        if self
            .unreachable
            .iter()
            .any(|(unreachable, _)| *unreachable == peer)
        {
            return Err(PeerError::TooSoon);
        }
        self.start(Request::Connect(peer), 0);
        self.pump();
        Ok(())
    }

    /// Makes `path`, a new connection of ours to the server, the data connection of `connection` (RFC 6062, section
    /// 4.3). What comes over it goes to [`handle_datagram`](Self::handle_datagram) until
    /// [`ConnectionBound`](super::Event::ConnectionBound) is polled.
    ///
    /// # Errors
    /// When the allocation is none for TCP, or too many requests are under way.
    pub fn bind_connection(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        path: Path,
    ) -> Result<(), PeerError> {
        self.now = self.now.max(now);
        self.check_tcp()?;
        self.start(Request::BindConnection(connection, path), 0);
        self.pump();
        Ok(())
    }

    /// Gives the allocation back. [`Closed`](super::Event::Closed) says when that is done.
    pub fn close(&mut self) {
        match &self.state {
            State::Active(_) => self.give_back(Failure::Released),
            // An allocation that is about to be made is given back when it is there.
            State::Asking if self.signed_with > 0 => self.state = State::Closing(Failure::Released),
            State::Asking => self.end(Failure::Released),
            State::Closing(_) | State::Closed => {}
        }
        self.pump();
    }

    /// The connection to the server is gone: so is the allocation.
    pub fn connection_lost(&mut self) {
        self.end(Failure::ConnectionLost);
    }

    /// Where peers reach us: one address per family.
    pub fn relayed_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let active = match &self.state {
            State::Active(active) => active.relayed,
            _ => [None, None],
        };
        active.into_iter().flatten()
    }

    /// Whether datagrams may go to this address now.
    #[must_use]
    pub fn is_permitted(&self, peer: IpAddr) -> bool {
        self.permissions
            .get(peer)
            .is_some_and(|lease| lease.holds(self.now))
    }

    /// Whether a channel to this peer is bound.
    #[must_use]
    pub fn is_bound(&self, peer: SocketAddr) -> bool {
        self.channels.bound_to(peer, self.now).is_some()
    }

    /// Bytes that [`send`](Self::send) adds to data for this peer, to subtract from the path's MTU.
    #[must_use]
    pub fn overhead(&self, peer: SocketAddr) -> usize {
        match peer {
            _ if self.is_bound(peer) => crate::HEADER_LEN,
            SocketAddr::V4(_) => INDICATION_OVERHEAD,
            SocketAddr::V6(_) => INDICATION_OVERHEAD + 12,
        }
    }

    /// The path to the server.
    #[must_use]
    pub fn path(&self) -> Path {
        self.config.path
    }

    /// Whether the client has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn check_peer(&self, peer: IpAddr) -> Result<(), PeerError> {
        match &self.state {
            State::Asking => Ok(()),
            State::Active(active) if active.relays_to(peer) => Ok(()),
            State::Active(_) => Err(PeerError::Family),
            State::Closing(_) | State::Closed => Err(PeerError::Closed),
        }
    }

    pub(super) fn check_tcp(&self) -> Result<(), PeerError> {
        if !matches!(self.state, State::Active(_)) || self.config.transport != RequestedTransport::TCP {
            return Err(PeerError::NotSupported);
        }
        if self.transactions.len() >= self.config.max_transactions {
            return Err(PeerError::Full);
        }
        Ok(())
    }
}
