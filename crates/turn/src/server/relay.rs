//! The way of data (RFC 8656, sections 11 and 12): one hash look-up from a client, none from a peer, and no copy.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use bytes::BytesMut;
use dunlin_net::{Path, Transmit, Transport};
use dunlin_stun::attribute::{DATA, XOR_PEER_ADDRESS};
use dunlin_stun::{AddressFamily, Class, Message, Method, TransactionId, Writer};

use super::access::Verdict;
use super::event::RelayId;
use super::{Key, Server};
use crate::attribute::{DontFragment, Icmp, RequestedTransport, ReservationToken};
use crate::{ChannelData, HEADER_LEN};

/// Bytes that [`Server::handle_relay`] may need before a peer's datagram: a Data indication's, for IPv6.
pub const HEADROOM: usize = 48;
/// Bytes that it may need behind it.
pub const TAILROOM: usize = 3;

/// Whose a relay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Allocation(Key),
    Reservation(ReservationToken),
}

/// A relayed address.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) owner: Owner,
    pub(super) family: AddressFamily,
    /// `None` while the parent opens it.
    pub(super) address: Option<SocketAddr>,
    /// The relay with the next port, while both are being opened.
    pub(super) next: Option<RelayId>,
}

impl Relay {
    pub(super) fn new(owner: Owner, family: AddressFamily) -> Self {
        Self {
            owner,
            family,
            address: None,
            next: None,
        }
    }
}

/// A datagram for a peer, as a part of the one that came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Forward {
    /// The relay whose socket sends it.
    pub relay: RelayId,
    /// Where to.
    pub peer: SocketAddr,
    /// Where in the packet it is.
    pub data: Range<usize>,
    /// With the DF bit (RFC 8656, section 14).
    pub dont_fragment: bool,
}

/// A datagram for a peer.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct ToPeer {
    /// The relay whose socket sends it.
    pub relay: RelayId,
    /// Where to.
    pub peer: SocketAddr,
    /// What.
    pub data: BytesMut,
    /// With the DF bit (RFC 8656, section 14).
    pub dont_fragment: bool,
}

/// A datagram for a client: a part of the buffer that the peer's datagram came in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct ToClient {
    /// Where to, and by which listener.
    pub transmit: Transmit,
    /// Where in the buffer it is.
    pub bytes: Range<usize>,
}

impl Server {
    /// As [`handle_datagram`](Self::handle_datagram), for a parent that has its own buffers.
    pub fn handle_packet(&mut self, now: Instant, path: Path, packet: &[u8]) -> Option<Forward> {
        self.now = self.now.max(now);
        if self.closed {
            return None;
        }
        // RFC 7983: ChannelData begins with 64 to 79.
        let legacy = self.config.rfc5766_channels;
        if matches!(packet.first(), Some(64..=79)) || legacy && matches!(packet.first(), Some(80..=127)) {
            return self.channel_data(path, packet);
        }
        let message = match Message::parse(packet) {
            Ok(message) if message.verify_fingerprint() != Some(false) => message,
            _ => {
                self.stats.dropped_malformed += 1;
                return None;
            }
        };
        match (message.class(), message.method()) {
            (Class::Request, _) => self.handle_request(path, &message),
            (Class::Indication, Method::SEND) => return self.send_indication(path, &message),
            // A keepalive.
            (Class::Indication, Method::BINDING) => {}
            _ => self.stats.dropped_malformed += 1,
        }
        None
    }

    /// The allocation that a client's data belongs to.
    fn data_from(&mut self, path: Path) -> Option<Key> {
        let Some(key) = self.by_client.get(&path) else {
            self.stats.dropped_no_allocation += 1;
            return None;
        };
        let moved = self.allocations.get(key)?;
        if moved.old_client.is_some() && moved.client == path {
            self.settle(key);
        }
        Some(key)
    }

    fn channel_data(&mut self, path: Path, packet: &[u8]) -> Option<Forward> {
        let key = self.data_from(path)?;
        let parsed = if self.config.rfc5766_channels {
            ChannelData::parse_rfc5766(packet)
        } else {
            ChannelData::parse(packet)
        };
        let Some(read) = parsed else {
            self.stats.dropped_malformed += 1;
            return None;
        };
        let len = read.data.len();
        let allocation = self.allocations.get_mut(key)?;
        let Some(channel) = allocation.channel(read.channel, self.now) else {
            self.stats.dropped_no_permission += 1;
            return None;
        };
        let (peer, own) = (channel.peer, channel.own);
        if own && !self.is_own_relay(peer) {
            self.stats.peers_refused += 1;
            return None;
        }
        self.forward(key, peer, HEADER_LEN..HEADER_LEN + len, false)
    }

    /// RFC 8656, section 11.2.
    fn send_indication(&mut self, path: Path, message: &Message<'_>) -> Option<Forward> {
        let key = self.data_from(path)?;
        let (Some(peer), Some(data)) = (message.xor_peer_address(), message.range_of(DATA)) else {
            self.stats.dropped_malformed += 1;
            return None;
        };
        // An attribute that must be understood and is not: "the indication is discarded" (RFC 8489, section 6.3.2).
        if message.unknown_required(self.known()).next().is_some() {
            self.stats.dropped_malformed += 1;
            return None;
        }
        let allocation = self.allocations.get(key)?;
        // A TCP relay sends no datagrams (RFC 6062).
        if allocation.transport == RequestedTransport::TCP || !allocation.permits(peer.ip(), self.now) {
            self.stats.dropped_no_permission += 1;
            return None;
        }
        let verdict = self.config.access.verdict(peer.ip());
        if verdict == Verdict::Refused || verdict == Verdict::OwnRelaysOnly && !self.is_own_relay(peer) {
            self.stats.peers_refused += 1;
            return None;
        }
        self.forward(key, peer, data, DontFragment::read(message).is_some())
    }

    fn forward(
        &mut self,
        key: Key,
        peer: SocketAddr,
        data: Range<usize>,
        dont_fragment: bool,
    ) -> Option<Forward> {
        let allocation = self.allocations.get_mut(key)?;
        if let Some(rate) = self.config.max_bytes_per_second
            && !allocation.buckets[0].take(data.len(), rate, self.now)
        {
            self.stats.dropped_bandwidth += 1;
            return None;
        }
        let relay = allocation.relay_for(peer.ip())?;
        allocation.bytes[0] += data.len() as u64;
        self.stats.to_peers += 1;
        self.stats.bytes_to_peers += data.len() as u64;
        Some(Forward {
            relay,
            peer,
            data,
            dont_fragment,
        })
    }

    /// Takes a datagram that a relay's socket received from a peer. It stands at `data` in `buffer`, with at least
    /// [`HEADROOM`] bytes before it and [`TAILROOM`] behind it, into which the framing is written.
    pub fn handle_relay(
        &mut self,
        now: Instant,
        relay: RelayId,
        from: SocketAddr,
        buffer: &mut [u8],
        data: Range<usize>,
    ) -> Option<ToClient> {
        self.now = self.now.max(now);
        let Owner::Allocation(key) = self.relays.get(relay.0)?.owner else {
            return None;
        };
        let room =
            data.start >= HEADROOM && data.end + TAILROOM <= buffer.len() && data.len() <= 0xFFFF - HEADROOM;
        debug_assert!(room, "{data:?} leaves no room in {} bytes", buffer.len());
        let allocation = self.allocations.get_mut(key)?;
        let channel = allocation.channel_of(from, self.now);
        if channel.is_none() && !allocation.permits(from.ip(), self.now) {
            self.stats.dropped_no_permission += 1;
            return None;
        }
        if let Some(rate) = self.config.max_bytes_per_second
            && !allocation.buckets[1].take(data.len(), rate, self.now)
        {
            self.stats.dropped_bandwidth += 1;
            return None;
        }
        if !room {
            return None;
        }
        allocation.bytes[1] += data.len() as u64;
        let path = allocation.old_client.unwrap_or(allocation.client);
        self.stats.to_clients += 1;
        self.stats.bytes_to_clients += data.len() as u64;
        let bytes = match channel {
            Some(number) => {
                let start = data.start - HEADER_LEN;
                buffer[start..start + 2].copy_from_slice(&number.get().to_be_bytes());
                buffer[start + 2..data.start].copy_from_slice(&(data.len() as u16).to_be_bytes());
                let stream = matches!(path.transport, Transport::Tcp | Transport::Tls);
                start..if stream { pad(buffer, &data) } else { data.end }
            }
            None => self.frame_indication(from, buffer, &data),
        };
        Some(ToClient {
            transmit: Transmit::new(path),
            bytes,
        })
    }

    /// Writes a Data indication round the data (RFC 8656, section 11.3).
    fn frame_indication(&mut self, from: SocketAddr, buffer: &mut [u8], data: &Range<usize>) -> Range<usize> {
        let id = TransactionId::random(&mut self.rng);
        self.scratch.clear();
        Writer::new(&mut self.scratch, Class::Indication, Method::DATA, id)
            .xor_peer_address(from)
            .attribute(DATA, &[]);
        let head = self.scratch.len();
        let end = pad(buffer, data);
        let length = head - dunlin_stun::HEADER_LEN + (end - data.start);
        self.scratch[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        self.scratch[head - 2..].copy_from_slice(&(data.len() as u16).to_be_bytes());
        let start = data.start - head;
        buffer[start..data.start].copy_from_slice(&self.scratch);
        start..end
    }

    /// Takes an ICMP error that a datagram of a relay to `peer` met (RFC 8656, section 11.5).
    pub fn handle_icmp(&mut self, now: Instant, relay: RelayId, peer: SocketAddr, icmp: Icmp) {
        self.now = self.now.max(now);
        let owner = self.relays.get(relay.0).map(|relay| relay.owner);
        let Some(Owner::Allocation(key)) = owner else {
            return;
        };
        let Some(allocation) = self.allocations.get(key) else {
            return;
        };
        // "the server verifies that the type is either 3 or 11 for an ICMPv4 packet or either 1, 2, or 3 for an ICMPv6
        // packet".
        let kinds: &[u8] = if peer.is_ipv4() { &[3, 11] } else { &[1, 2, 3] };
        let full = self.outbox.len() >= self.config.max_queued_bytes;
        if !kinds.contains(&icmp.kind) || !allocation.permits(peer.ip(), self.now) || full {
            return;
        }
        // RFC 8656, section 18.13: the MTU where the packet was too big; else "the Error Data field MUST be set to zero."
        let too_big = if peer.is_ipv4() {
            (icmp.kind, icmp.code) == (3, 4)
        } else {
            icmp.kind == 2
        };
        let data = if too_big { icmp.data } else { 0 };
        let icmp = Icmp { data, ..icmp };
        let path = allocation.old_client.unwrap_or(allocation.client);
        let id = TransactionId::random(&mut self.rng);
        self.outbox.push(path, |out| {
            let mut writer = Writer::new(out, Class::Indication, Method::DATA, id);
            writer.xor_address(XOR_PEER_ADDRESS, peer);
            icmp.write(&mut writer);
        });
    }
}

/// Zeroes the bytes behind the data up to a multiple of four, and answers where that is.
fn pad(buffer: &mut [u8], data: &Range<usize>) -> usize {
    let end = data.start + data.len().next_multiple_of(4);
    buffer[data.end..end].fill(0);
    end
}
