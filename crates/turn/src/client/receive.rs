//! What comes from the server's path: responses, data of peers, and what belongs to somebody else.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use dunlin_net::Path;
use dunlin_stun::attribute::DATA;
use dunlin_stun::{Class, Message, Method};

use super::response::KNOWN;
use super::{Client, ConnectionId, Event, State, debug};
use crate::ChannelData;
use crate::attribute::Icmp;

/// What a datagram from the server's path was.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Received {
    /// The client's own business, or bad and counted.
    Consumed,
    /// A peer's: the framing has been advanced over, nothing was copied.
    Relayed {
        /// Who sent it.
        peer: SocketAddr,
        /// What was sent.
        data: BytesMut,
    },
    /// Not of this client: it came over another path, or is a STUN message that it has not asked for, such as the
    /// answer to a Binding request on the same socket.
    NotOurs(BytesMut),
}

impl Client {
    pub(super) fn receive(&mut self, path: Path, mut data: BytesMut) -> Received {
        let known = path == self.config.path
            || self.moving == Some(path)
            || self
                .transactions
                .iter()
                .any(|transaction| transaction.path == path);
        if !known || matches!(self.state, State::Closed) {
            return Received::NotOurs(data);
        }
        // RFC 7983: ChannelData begins with 64 to 79.
        if matches!(data.first(), Some(64..=79)) {
            return self.receive_channel_data(data);
        }
        let Ok(message) = Message::parse(&data) else {
            self.stats.dropped_malformed += 1;
            debug!("turn: dropped {} bytes from {path}: not a message", data.len());
            return Received::Consumed;
        };
        match (message.class(), message.method()) {
            _ if message.verify_fingerprint() == Some(false) => {
                self.stats.dropped_malformed += 1;
                Received::Consumed
            }
            // RFC 8489, section 6.3.2: "If the indication contains unknown comprehension-required attributes, the indication
            // is discarded and processing ceases."
            (Class::Indication, Method::DATA | Method::CONNECTION_ATTEMPT)
                if message.unknown_required(&KNOWN).next().is_some() =>
            {
                self.stats.dropped_malformed += 1;
                Received::Consumed
            }
            (Class::Indication, Method::DATA) => {
                let peer = message.xor_peer_address();
                let icmp = Icmp::read(&message);
                let range = message.range_of(DATA);
                // "The client SHOULD also check that the XOR-PEER-ADDRESS attribute value contains an IP address with
                // which the client believes there is an active permission" (RFC 8656, section 11.4).
                let Some(peer) = peer.filter(|peer| self.is_permitted(peer.ip())) else {
                    self.stats.dropped_unexpected_peer += 1;
                    return Received::Consumed;
                };
                match (range, icmp) {
                    (Some(range), _) => {
                        data.truncate(range.end);
                        data.advance(range.start);
                        self.stats.relayed_received += 1;
                        return Received::Relayed { peer, data };
                    }
                    (None, Some(icmp)) => self.emit(Event::Icmp { peer, icmp }),
                    (None, None) => self.stats.dropped_malformed += 1,
                }
                Received::Consumed
            }
            (Class::Indication, Method::CONNECTION_ATTEMPT) => {
                let (peer, connection) = (message.xor_peer_address(), ConnectionId::read(&message));
                match (peer, connection) {
                    (Some(peer), Some(connection)) if self.check_tcp().is_ok() => {
                        self.emit(Event::ConnectionAttempt { peer, connection });
                    }
                    _ => self.stats.dropped_malformed += 1,
                }
                Received::Consumed
            }
            (Class::Success | Class::Error, method) => {
                let id = message.transaction_id();
                let asked = self.transactions.iter().position(|transaction| {
                    transaction.id == id && transaction.path == path && transaction.request.method() == method
                });
                match asked {
                    Some(index) => {
                        self.handle_response(index, &message);
                        self.pump();
                        Received::Consumed
                    }
                    // An answer that came twice.
                    None if method != Method::BINDING => Received::Consumed,
                    None => Received::NotOurs(data),
                }
            }
            _ => Received::NotOurs(data),
        }
    }

    fn receive_channel_data(&mut self, mut data: BytesMut) -> Received {
        let Some(channel_data) = ChannelData::parse(&data) else {
            self.stats.dropped_malformed += 1;
            return Received::Consumed;
        };
        let len = channel_data.data.len();
        let Some(peer) = self.channels.peer_of(channel_data.channel, self.now) else {
            self.stats.dropped_unexpected_peer += 1;
            return Received::Consumed;
        };
        data.advance(crate::HEADER_LEN);
        data.truncate(len);
        self.stats.relayed_received += 1;
        Received::Relayed { peer, data }
    }
}
