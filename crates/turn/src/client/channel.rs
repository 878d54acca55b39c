//! Channels (RFC 8656, section 12): a number for a peer, so that four bytes of framing do.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::permission::Lease;
use crate::{CHANNEL_LIFETIME, ChannelNumber};

/// A peer with a number.
#[derive(Debug)]
struct Channel {
    peer: SocketAddr,
    lease: Lease,
}

/// The channels of an allocation.
///
/// A number belongs to its peer for good. So nothing has to be known about RFC 8656, section 12: "the client MUST wait
/// 5 minutes after the channel binding expires before attempting to bind the channel number to a different transport
/// address or the transport address to a different channel number."
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// By number, from 0x4000.
    numbers: Vec<Channel>,
    peers: BTreeMap<SocketAddr, ChannelNumber>,
}

impl Channels {
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn contains(&self, peer: SocketAddr) -> bool {
        self.peers.contains_key(&peer)
    }

    /// Wants one. There is a free number: the caller has compared `len`.
    pub(super) fn want(&mut self, peer: SocketAddr, now: Instant) {
        let known = self.peers.get(&peer).copied();
        if let Some(channel) = known.and_then(|number| self.get_mut(number)) {
            channel.lease.ask_at = channel.lease.ask_at.or(Some(now));
            return;
        }
        let next = ChannelNumber::MIN.get() + self.numbers.len() as u16;
        if let Some(number) = ChannelNumber::new(next) {
            self.peers.insert(peer, number);
            let lease = Lease::wanted(now);
            self.numbers.push(Channel { peer, lease });
        }
    }

    /// Stops asking for those to this address; they expire by themselves.
    pub(super) fn forget(&mut self, peer: IpAddr) {
        for channel in self
            .numbers
            .iter_mut()
            .filter(|channel| channel.peer.ip() == peer)
        {
            channel.lease.ask_at = None;
        }
    }

    /// Whose data comes on this channel. RFC 8656, section 12: "the client SHOULD be prepared to receive ChannelData
    /// messages on the channel from the server as soon as it has sent the ChannelBind request."
    pub(super) fn peer_of(&self, number: ChannelNumber, now: Instant) -> Option<SocketAddr> {
        let channel = self.numbers.get(index(number))?;
        (channel.lease.asking || channel.lease.holds(now)).then_some(channel.peer)
    }

    /// The number on which data may be sent to the peer.
    pub(super) fn bound_to(&self, peer: SocketAddr, now: Instant) -> Option<ChannelNumber> {
        let number = *self.peers.get(&peer)?;
        let channel = self.numbers.get(index(number))?;
        channel.lease.holds(now).then_some(number)
    }

    /// The server has granted it; answers whether that is news.
    pub(super) fn granted(&mut self, number: ChannelNumber, now: Instant) -> bool {
        let Some(channel) = self.get_mut(number) else {
            return false;
        };
        let news = channel.lease.until.is_none();
        channel.lease.granted(now, CHANNEL_LIFETIME);
        news
    }

    /// The server has refused it: it is not asked for again.
    pub(super) fn refused(&mut self, number: ChannelNumber) {
        if let Some(channel) = self.get_mut(number) {
            channel.lease.asking = false;
            channel.lease.ask_at = None;
        }
    }

    /// The next one to ask for, which is marked as asked for.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<(ChannelNumber, SocketAddr)> {
        let due = self
            .numbers
            .iter_mut()
            .position(|channel| channel.lease.is_due(now))?;
        let channel = &mut self.numbers[due];
        channel.lease.asking = true;
        let number = ChannelNumber::new(ChannelNumber::MIN.get() + due as u16)?;
        Some((number, channel.peer))
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let leases = self.numbers.iter().map(|channel| &channel.lease);
        leases.filter_map(Lease::due).min()
    }

    fn get_mut(&mut self, number: ChannelNumber) -> Option<&mut Channel> {
        self.numbers.get_mut(index(number))
    }
}

fn index(number: ChannelNumber) -> usize {
    usize::from(number.get() - ChannelNumber::MIN.get())
}
