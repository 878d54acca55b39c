//! An allocation as the server keeps it (RFC 8656, sections 3.2, 9 and 12): who, until when, and which peers. At most
//! 6 kB with full tables of the default sizes.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use dunlin_net::Path;
use dunlin_stun::{AddressFamily, TransactionId};

use super::event::RelayId;
use super::limit::TokenBucket;
use super::request::{Origin, Session};
use crate::attribute::{RequestedTransport, ReservationToken};
use crate::{CHANNEL_LIFETIME, ChannelNumber, PERMISSION_LIFETIME};

/// An Allocate request whose relays are being opened.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) session: Session,
    pub(super) origin: Origin,
    pub(super) lifetime: Duration,
}

/// One allocation.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) client: Path,
    /// After a move, until the client sends from its new path (RFC 8016, section 3.2.2).
    pub(super) old_client: Option<Path>,
    pub(super) moves: u32,
    pub(super) username: Box<[u8]>,
    pub(super) transport: RequestedTransport,
    /// The id of the Allocate request, to know its retransmissions by.
    pub(super) made_by: TransactionId,
    /// The family that could not be had, and the code that says so.
    pub(super) missing: Option<(AddressFamily, u16)>,
    pub(super) pending: Option<Box<Pending>>,
    /// IPv4, IPv6.
    pub(super) relays: [Option<RelayId>; 2],
    pub(super) reservation: Option<ReservationToken>,
    pub(super) mobile: bool,
    pub(super) expires: Instant,
    pub(super) buckets: [TokenBucket; 2],
    pub(super) bytes: [u64; 2],
    pub(super) connections: usize,
    permissions: Vec<Permission>,
    channels: Vec<Channel>,
    /// The channel that was used last in either direction: with one flow there is no search.
    last: usize,
}

#[derive(Debug)]
struct Permission {
    ip: IpAddr,
    until: Instant,
}

/// A channel that is bound.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) peer: SocketAddr,
    pub(super) number: ChannelNumber,
    /// The peer is at an address of this server: only our own relays are reached there.
    pub(super) own: bool,
    until: Instant,
    /// The permission's end, kept here so that one search is enough.
    permitted_until: Instant,
}

/// Why a channel is not bound.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BindRefusal {
    /// Number or peer belong to another binding.
    Taken,
    /// There are too many.
    Full,
}

/// What a new allocation is made of.
pub(super) struct Made {
    pub(super) transport: RequestedTransport,
    pub(super) missing: Option<(AddressFamily, u16)>,
    pub(super) pending: Pending,
    pub(super) mobile: bool,
    pub(super) expires: Instant,
    pub(super) bucket: TokenBucket,
}

impl Allocation {
    pub(super) fn new(made: Made) -> Self {
        Self {
            client: made.pending.origin.path,
            old_client: None,
            moves: 0,
            username: made.pending.session.username.clone(),
            transport: made.transport,
            made_by: made.pending.origin.id,
            missing: made.missing,
            pending: Some(Box::new(made.pending)),
            relays: [None, None],
            reservation: None,
            mobile: made.mobile,
            expires: made.expires,
            buckets: [made.bucket; 2],
            bytes: [0; 2],
            connections: 0,
            permissions: Vec::new(),
            channels: Vec::new(),
            last: 0,
        }
    }

    /// The relay for peers of this address' family.
    pub(super) fn relay_for(&self, peer: IpAddr) -> Option<RelayId> {
        self.relays[usize::from(peer.is_ipv6())]
    }

    /// Whether there is a permission.
    pub(super) fn permits(&self, peer: IpAddr, now: Instant) -> bool {
        let mut permissions = self.permissions.iter();
        permissions.any(|permission| permission.ip == peer && now < permission.until)
    }

    /// How many permissions could be added to for these addresses.
    pub(super) fn has_room_for(
        &mut self,
        peers: impl Iterator<Item = IpAddr>,
        max: usize,
        now: Instant,
    ) -> bool {
        self.permissions.retain(|permission| now < permission.until);
        // Addresses that are named twice count twice: who does that has no use for the last permission.
        let new = peers.filter(|peer| !self.permits(*peer, now)).count();
        self.permissions.len() + new <= max
    }

    /// Installs or refreshes a permission. The caller has asked whether there is room.
    pub(super) fn permit(&mut self, peer: IpAddr, now: Instant) {
        let until = now + PERMISSION_LIFETIME;
        for channel in self
            .channels
            .iter_mut()
            .filter(|channel| channel.peer.ip() == peer)
        {
            channel.permitted_until = until;
        }
        match self
            .permissions
            .iter_mut()
            .find(|permission| permission.ip == peer)
        {
            Some(permission) => permission.until = until,
            None => self.permissions.push(Permission { ip: peer, until }),
        }
    }

    /// Binds or refreshes a channel (RFC 8656, section 12.2), without the permission.
    pub(super) fn bind(
        &mut self,
        number: ChannelNumber,
        peer: SocketAddr,
        own: bool,
        max: usize,
        now: Instant,
    ) -> Result<(), BindRefusal> {
        self.channels.retain(|channel| now < channel.until);
        let until = now + CHANNEL_LIFETIME;
        let same = |channel: &&mut Channel| channel.number == number || channel.peer == peer;
        if let Some(channel) = self.channels.iter_mut().find(same) {
            if channel.number != number || channel.peer != peer {
                return Err(BindRefusal::Taken);
            }
            channel.until = until;
            return Ok(());
        }
        if self.channels.len() >= max {
            return Err(BindRefusal::Full);
        }
        self.channels.push(Channel {
            peer,
            number,
            own,
            until,
            permitted_until: now,
        });
        Ok(())
    }

    /// The channel with this number.
    pub(super) fn channel(&mut self, number: ChannelNumber, now: Instant) -> Option<&Channel> {
        self.find(now, |channel| channel.number == number)
    }

    /// The channel to this peer, if it may send.
    pub(super) fn channel_of(&mut self, peer: SocketAddr, now: Instant) -> Option<ChannelNumber> {
        let channel = self.find(now, |channel| channel.peer == peer)?;
        (now < channel.permitted_until).then_some(channel.number)
    }

    fn find(&mut self, now: Instant, is_it: impl Fn(&Channel) -> bool) -> Option<&Channel> {
        if !self.channels.get(self.last).is_some_and(&is_it) {
            self.last = self.channels.iter().position(is_it)?;
        }
        self.channels.get(self.last).filter(|channel| now < channel.until)
    }

    /// Forgets the peers of a family whose relay is closed.
    pub(super) fn forget_family(&mut self, ipv6: bool) {
        self.permissions
            .retain(|permission| permission.ip.is_ipv6() != ipv6);
        self.channels.retain(|channel| channel.peer.is_ipv6() != ipv6);
    }

    /// Bytes on the heap and off it.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.username.len()
            + self.permissions.capacity() * size_of::<Permission>()
            + self.channels.capacity() * size_of::<Channel>()
    }
}
