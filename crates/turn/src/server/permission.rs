//! CreatePermission and ChannelBind requests (RFC 8656, sections 10.2 and 12.2).

use std::net::{IpAddr, SocketAddr};

use dunlin_stun::attribute::XOR_PEER_ADDRESS;
use dunlin_stun::{Message, code as stun_code};

use super::access::Verdict;
use super::allocation::BindRefusal;
use super::request::{Origin, Session};
use super::{Key, Server};
use crate::attribute::RequestedTransport;
use crate::{ChannelNumber, code};

impl Server {
    pub(super) fn create_permission(&mut self, origin: Origin, request: &Message<'_>, session: &Session) {
        let result = self
            .own_allocation(origin, session)
            .and_then(|key| self.permit_all(key, request));
        self.conclude(origin, session, result);
    }

    /// All or nothing: every address is checked before the first is permitted.
    fn permit_all(&mut self, key: Key, request: &Message<'_>) -> Result<(), u16> {
        // "If no such attribute exists, or if any of these attributes are invalid, then a 400 (Bad Request) error".
        let mut asked = request.xor_addresses(XOR_PEER_ADDRESS).peekable();
        if asked.peek().is_none() || asked.any(|peer| peer.is_none()) {
            return Err(stun_code::BAD_REQUEST);
        }
        for peer in request.xor_addresses(XOR_PEER_ADDRESS).flatten() {
            self.check_peer(key, peer.ip())?;
        }
        let max = self.config.max_permissions;
        let allocation = self.allocations.get_mut(key).ok_or(code::ALLOCATION_MISMATCH)?;
        let peers = || {
            request
                .xor_addresses(XOR_PEER_ADDRESS)
                .flatten()
                .map(|peer| peer.ip())
        };
        if !allocation.has_room_for(peers(), max, self.now) {
            return Err(code::INSUFFICIENT_CAPACITY);
        }
        for peer in peers() {
            allocation.permit(peer, self.now);
        }
        Ok(())
    }

    pub(super) fn channel_bind(&mut self, origin: Origin, request: &Message<'_>, session: &Session) {
        let result = self
            .own_allocation(origin, session)
            .and_then(|key| self.bind_channel(key, request));
        self.conclude(origin, session, result);
    }

    fn bind_channel(&mut self, key: Key, request: &Message<'_>) -> Result<(), u16> {
        let number = ChannelNumber::read(request).ok_or(stun_code::BAD_REQUEST)?;
        let legacy = |number| ChannelNumber::new_rfc5766(number).filter(|_| self.config.rfc5766_channels);
        let number = number.or_else(|number| legacy(number).ok_or(stun_code::BAD_REQUEST))?;
        let peer = request.xor_peer_address().ok_or(stun_code::BAD_REQUEST)?;
        // A TCP relay has connections, and no datagrams that a channel could carry (RFC 6062).
        let allocation = self.allocations.get(key).ok_or(code::ALLOCATION_MISMATCH)?;
        if allocation.transport == RequestedTransport::TCP {
            return Err(stun_code::BAD_REQUEST);
        }
        let own = self.check_peer(key, peer.ip())?;
        if own && !self.is_own_relay(peer) {
            self.stats.peers_refused += 1;
            return Err(code::FORBIDDEN);
        }
        let (max_permissions, max_channels) = (self.config.max_permissions, self.config.max_channels);
        let allocation = self.allocations.get_mut(key).ok_or(code::ALLOCATION_MISMATCH)?;
        if !allocation.has_room_for(std::iter::once(peer.ip()), max_permissions, self.now) {
            return Err(code::INSUFFICIENT_CAPACITY);
        }
        allocation
            .bind(number, peer, own, max_channels, self.now)
            .map_err(|refusal| match refusal {
                BindRefusal::Taken => stun_code::BAD_REQUEST,
                BindRefusal::Full => code::INSUFFICIENT_CAPACITY,
            })?;
        allocation.permit(peer.ip(), self.now);
        Ok(())
    }

    /// Whether the allocation may have this peer; `true` when only our own relays may be reached at its address.
    pub(super) fn check_peer(&mut self, key: Key, peer: IpAddr) -> Result<bool, u16> {
        let allocation = self.allocations.get(key).ok_or(code::ALLOCATION_MISMATCH)?;
        if allocation.relay_for(peer).is_none() {
            return Err(code::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        match self.config.access.verdict(peer) {
            Verdict::Allowed => Ok(false),
            Verdict::OwnRelaysOnly => Ok(true),
            Verdict::Refused => {
                self.stats.peers_refused += 1;
                Err(code::FORBIDDEN)
            }
        }
    }

    /// Whether this is the address of an open relay of ours, or of another server at our addresses, or of a socket that
    /// is open to peers.
    pub(super) fn is_own_relay(&self, peer: SocketAddr) -> bool {
        self.by_relayed.get(&peer).is_some()
            || self.relayed_elsewhere.get(&peer).is_some()
            || self.config.access.own_sockets.contains(&peer)
    }
}
