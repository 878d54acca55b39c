//! What answers, and no answers, mean (RFC 8489, section 9.2.5; RFC 8656, sections 7.3, 7.4, 8.3, 10.3, 12.3).

use std::net::SocketAddr;
use std::time::Duration;

use dunlin_stun::attribute::{
    CHANNEL_NUMBER, CONNECTION_ID, DATA, DONT_FRAGMENT, EVEN_PORT, LIFETIME, REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT, RESERVATION_TOKEN, XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS,
};
use dunlin_stun::long_term::Authenticator;
use dunlin_stun::{Class, Message, code as stun_code};

use super::allocation::{self, State, refresh_at};
use super::transaction::{MAX_CHALLENGES, Request, Transaction, is_reliable};
use super::{Client, ConnectionId, Event, Failure, Lifetime, debug, info};
use crate::code;

/// The attributes beside those of STUN that must be understood and are, wherever they stand: "Known-but-unexpected
/// attributes SHOULD be ignored by the agent" (RFC 8489, section 6.3).
pub(super) const KNOWN: [u16; 11] = [
    CHANNEL_NUMBER,
    LIFETIME,
    XOR_PEER_ADDRESS,
    DATA,
    XOR_RELAYED_ADDRESS,
    REQUESTED_ADDRESS_FAMILY,
    EVEN_PORT,
    REQUESTED_TRANSPORT,
    DONT_FRAGMENT,
    RESERVATION_TOKEN,
    CONNECTION_ID,
];
/// RFC 6062, section 4.3, of a 447: "The client MAY retry with the same XOR-PEER-ADDRESS attribute, but MUST wait at least 10
/// seconds."
const UNREACHABLE_TIME: Duration = Duration::from_secs(10);

impl Client {
    /// Takes the response to a request under way.
    pub(super) fn handle_response(&mut self, index: usize, message: &Message<'_>) {
        let unknown = message.unknown_required(&KNOWN).next().is_some();
        // RFC 8489, section 6.3.4: "If the error response contains unknown comprehension-required attributes, or if the error
        // response does not contain an ERROR-CODE attribute, then the transaction is simply considered to have failed." The
        // code is 0 then.
        let error = (message.class() == Class::Error).then(|| {
            let code = message.error_code().filter(|_| !unknown);
            code.map_or(0, |error| error.code)
        });
        let challenged = matches!(error, Some(stun_code::UNAUTHENTICATED | stun_code::STALE_NONCE));
        let authentic = self
            .auth
            .as_ref()
            .is_some_and(|auth| auth.verify(message).is_ok());
        let bid_down = message.is_bid_down();
        if !challenged && (bid_down || self.auth.is_some() && !authentic) {
            let unsigned = !message.has_integrity() && !message.has_integrity_sha256();
            let over_any = bid_down || unsigned && error == Some(stun_code::BAD_REQUEST);
            return self.drop_unauthentic(index, message, error.unwrap_or_default(), over_any);
        }
        let transaction = self.transactions.swap_remove(index);
        self.stats.responses_received += 1;
        let round_trip = transaction.retransmission.round_trip(self.now);
        self.stats.round_trip = round_trip.or(self.stats.round_trip);
        match error {
            Some(_) if challenged => self.handle_challenge(&transaction, message),
            Some(code) => self.handle_error(&transaction, message, code, authentic),
            // RFC 8489, section 6.3.3: "the response is discarded and the transaction is considered to have failed."
            None if unknown => match transaction.request {
                Request::Allocate => self.give_back(Failure::NotUnderstood),
                // Nobody knows how long the allocation lives then.
                Request::Refresh => self.end(Failure::NotUnderstood),
                _ => self.handle_error(&transaction, message, 0, authentic),
            },
            None => self.handle_success(transaction.request, message),
        }
    }

    /// RFC 8489, section 9.2.5: over an unreliable transport the response is discarded "as if it had never been
    /// received", over a reliable one the client "MUST immediately end the transaction". Some are discarded `over_any`: a
    /// bid-down "MUST be ignored", and a 400 without integrity "MUST be discarded, as if it were never received".
    fn drop_unauthentic(&mut self, index: usize, message: &Message<'_>, code: u16, over_any: bool) {
        debug!("turn: dropped {message:?}: not authentic");
        self.stats.dropped_unauthentic += 1;
        self.transactions[index].unauthentic = Some(code);
        if !over_any && is_reliable(self.transactions[index].path) {
            self.end(Failure::Unauthentic(code));
        }
    }

    fn handle_challenge(&mut self, transaction: &Transaction, message: &Message<'_>) {
        let code = message.error_code().map_or(0, |error| error.code);
        // Another request has met this challenge already: it is enough to sign again.
        if transaction.signed_with != self.signed_with {
            return self.start(transaction.request, transaction.challenges);
        }
        // RFC 8656, section 7.4, 401: "If the client has followed the procedures of the long-term credential mechanism
        // and still gets this error, then the server is not accepting the client's credentials." Another realm is a reason
        // to try again (RFC 8489, section 9.2.5), and so is a stale nonce, a few times.
        let mut auth = self.auth.iter();
        let refused = code == stun_code::UNAUTHENTICATED && auth.any(|auth| auth.has_realm_of(message));
        if refused || transaction.challenges >= MAX_CHALLENGES {
            return self.end(allocation::refusal(message, code, false));
        }
        let answer = match &self.auth {
            Some(auth) => auth.renew(&self.config.credentials, message),
            None => Authenticator::answer(&self.config.credentials, message),
        };
        match answer {
            Ok(auth) => {
                self.auth = Some(auth);
                self.signed_with += 1;
                self.start(transaction.request, transaction.challenges + 1);
            }
            Err(error) => self.end(Failure::Challenge(error)),
        }
    }

    fn handle_error(&mut self, transaction: &Transaction, message: &Message<'_>, code: u16, authentic: bool) {
        debug!("turn: {:?} was refused with {code}", transaction.request);
        match transaction.request {
            Request::Allocate if allocation::concede(&mut self.config, message, code) => {
                self.start(Request::Allocate, transaction.challenges);
            }
            Request::Allocate => self.end(allocation::refusal(message, code, authentic)),
            // RFC 8656, section 8.3: a 437 to a deletion "should [be] consider[ed] [...] as having effectively
            // succeeded"; any other leaves us nothing to do either.
            Request::Deallocate => self.given_back(),
            // RFC 8656, section 5: "A client receiving a 437 error response to a request other than Allocate MUST
            // assume the allocation no longer exists."
            _ if code == code::ALLOCATION_MISMATCH => self.end(Failure::AllocationLost),
            Request::Move => {
                self.moving = None;
                self.emit(Event::MoveRefused(code));
            }
            _ if code == code::WRONG_CREDENTIALS => self.end(Failure::WrongCredentials),
            Request::Refresh => self.end(allocation::refusal(message, code, authentic)),
            Request::Permit(peer) => {
                self.permissions.remove(peer);
                self.emit(Event::PermissionRefused { peer, code });
            }
            Request::Bind(number, peer) => {
                self.channels.refused(number);
                self.emit(Event::ChannelRefused { peer, code });
            }
            Request::Connect(peer) => self.connect_refused(peer, code),
            Request::BindConnection(connection, _) => {
                self.emit(Event::ConnectionBindRefused { connection, code });
            }
        }
    }

    fn handle_success(&mut self, request: Request, message: &Message<'_>) {
        match request {
            Request::Allocate => self.allocated(message),
            Request::Refresh => {
                if let State::Active(active) = &mut self.state {
                    let lifetime =
                        Lifetime::read(message).map_or(self.config.lifetime, |lifetime| lifetime.0);
                    active.refreshing = false;
                    active.refresh_at = refresh_at(self.now, lifetime.max(Duration::from_secs(2)));
                }
            }
            Request::Deallocate => self.given_back(),
            Request::Move => self.moved(message),
            Request::Permit(peer) => {
                if self.permissions.granted(peer, self.now) {
                    self.emit(Event::Permitted(peer));
                }
            }
            Request::Bind(number, peer) => {
                if self.permissions.granted_by_channel(peer.ip(), self.now) {
                    self.emit(Event::Permitted(peer.ip()));
                }
                if self.channels.granted(number, self.now) {
                    self.emit(Event::ChannelBound(peer));
                }
            }
            Request::Connect(peer) => match ConnectionId::read(message) {
                Some(connection) => self.emit(Event::Connected { peer, connection }),
                None => self.connect_refused(peer, 0),
            },
            Request::BindConnection(connection, path) => {
                self.emit(Event::ConnectionBound { connection, path })
            }
        }
    }

    fn allocated(&mut self, message: &Message<'_>) {
        if matches!(self.state, State::Closing(_)) {
            return self.start(Request::Deallocate, 0);
        }
        let Some((allocated, active)) = allocation::read_allocated(message, self.now) else {
            // RFC 8656, section 7.3: "If these addresses are not part of an address family or families that the client is
            // prepared to handle, then the client MUST delete the allocation".
            return self.give_back(Failure::NotUnderstood);
        };
        info!("turn: {} relays for {}", allocated.relayed, self.config.path);
        self.state = State::Active(active);
        self.emit(Event::Allocated(allocated));
    }

    /// RFC 8016, section 3.2.3.
    fn moved(&mut self, message: &Message<'_>) {
        let (Some(path), State::Active(active)) = (self.moving.take(), &mut self.state) else {
            return;
        };
        if let Some(ticket) = allocation::read_ticket(message) {
            active.ticket = Some(ticket);
        }
        let lifetime = Lifetime::read(message).map_or(self.config.lifetime, |lifetime| lifetime.0);
        active.refresh_at = refresh_at(self.now, lifetime.max(Duration::from_secs(2)));
        active.refreshing = false;
        self.config.path = path;
        // What was asked over the old path is asked again over the new one, signed anew.
        let old = std::mem::take(&mut self.transactions);
        for transaction in old {
            match transaction.request {
                Request::Refresh => {}
                Request::BindConnection(..) => self.transactions.push(transaction),
                request => self.start(request, transaction.challenges),
            }
        }
        self.emit(Event::Moved(path));
    }

    fn connect_refused(&mut self, peer: SocketAddr, code: u16) {
        if code == code::CONNECTION_TIMEOUT_OR_FAILURE {
            self.unreachable.retain(|(_, until)| self.now < *until);
            if self.unreachable.len() >= self.config.max_permissions.max(1) {
                self.unreachable.remove(0);
            }
            self.unreachable.push((peer, self.now + UNREACHABLE_TIME));
        }
        self.emit(Event::ConnectRefused { peer, code });
    }

    /// No answer came to a request.
    pub(super) fn timed_out(&mut self, transaction: &Transaction) {
        // RFC 8489, section 9.2.5: "instead of signaling a timeout after ending the transaction, the layer MUST signal
        // that the integrity protection was violated."
        if let Some(code) = transaction.unauthentic {
            return self.end(Failure::Unauthentic(code));
        }
        match transaction.request {
            Request::Deallocate => self.given_back(),
            Request::Allocate if self.stats.responses_received == 0 => {
                self.end(Failure::NoAnswer(transaction.retransmission.sent()));
            }
            Request::Move => {
                self.moving = None;
                self.emit(Event::MoveRefused(0));
            }
            Request::Connect(peer) => self.connect_refused(peer, code::CONNECTION_TIMEOUT_OR_FAILURE),
            Request::BindConnection(connection, _) => {
                let code = code::CONNECTION_TIMEOUT_OR_FAILURE;
                self.emit(Event::ConnectionBindRefused { connection, code });
            }
            _ => self.end(Failure::ServerGone),
        }
    }
}
