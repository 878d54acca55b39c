//! What answers, and no answers, mean (RFC 8489, section 9.2.5; RFC 8656, sections 7.3, 7.4, 8.3, 10.3, 12.3).

use dunlin_stun::attribute::{
    CHANNEL_NUMBER, CONNECTION_ID, DATA, LIFETIME, MAPPED_ADDRESS, RESERVATION_TOKEN, XOR_MAPPED_ADDRESS,
    XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS,
};
use dunlin_stun::long_term::Authenticator;
use dunlin_stun::{Class, Message, code as stun_code};

use super::allocation::{self, State, refresh_at};
use super::transaction::{MAX_CHALLENGES, Request, Transaction, is_reliable};
use super::{Client, ConnectionId, Event, Failure, Lifetime, MobilityTicket, debug, info};
use crate::code;

/// Attributes that a success may carry although they must be understood.
const KNOWN: [u16; 9] = [
    MAPPED_ADDRESS,
    XOR_MAPPED_ADDRESS,
    XOR_RELAYED_ADDRESS,
    XOR_PEER_ADDRESS,
    LIFETIME,
    RESERVATION_TOKEN,
    CHANNEL_NUMBER,
    CONNECTION_ID,
    DATA,
];

impl Client {
    /// Takes the response to a request under way.
    pub(super) fn handle_response(&mut self, index: usize, message: &Message<'_>) {
        let error = (message.class() == Class::Error).then(|| {
            message
                .error_code()
                .map_or(stun_code::SERVER_ERROR, |error| error.code)
        });
        let challenged = matches!(error, Some(stun_code::UNAUTHENTICATED | stun_code::STALE_NONCE));
        let authentic = self
            .auth
            .as_ref()
            .is_some_and(|auth| auth.verify(message).is_ok());
        if self.auth.is_some() && !authentic && !challenged {
            return self.drop_unauthentic(index, message, error.unwrap_or_default());
        }
        let transaction = self.transactions.swap_remove(index);
        self.stats.responses_received += 1;
        let round_trip = transaction.retransmission.round_trip(self.now);
        self.stats.round_trip = round_trip.or(self.stats.round_trip);
        match error {
            Some(_) if challenged => self.handle_challenge(&transaction, message),
            Some(code) => self.handle_error(&transaction, message, code, authentic),
            None if message.unknown_required(&KNOWN).next().is_some() => self.end(Failure::NotUnderstood),
            None => self.handle_success(transaction.request, message),
        }
    }

    /// RFC 8489, section 9.2.5: over an unreliable transport the response is discarded "as if it had never been
    /// received", over a reliable one the client "MUST immediately end the transaction".
    fn drop_unauthentic(&mut self, index: usize, message: &Message<'_>, code: u16) {
        debug!("turn: dropped {message:?}: not authentic");
        self.stats.dropped_unauthentic += 1;
        self.transactions[index].unauthentic = Some(code);
        if is_reliable(self.transactions[index].path) {
            self.end(Failure::Unauthentic(code));
        }
    }

    fn handle_challenge(&mut self, transaction: &Transaction, message: &Message<'_>) {
        let stale = message.error_code().map(|error| error.code) == Some(stun_code::STALE_NONCE);
        // Another request has met this challenge already: it is enough to sign again.
        if transaction.signed_with != self.signed_with {
            return self.start(transaction.request, transaction.challenges);
        }
        // RFC 8656, section 7.4, 401: "If the client has followed the procedures of the long-term credential mechanism
        // and still gets this error, then the server is not accepting the client's credentials."
        if transaction.signed_with > 0 && !stale || transaction.challenges >= MAX_CHALLENGES {
            return self.end(Failure::WrongCredentials);
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
            Request::Deallocate => self.end(Failure::Released),
            Request::Move => {
                self.moving = None;
                self.emit(Event::MoveRefused(code));
            }
            // RFC 8656, section 5: "A client receiving a 437 error response to a request other than Allocate MUST
            // assume the allocation no longer exists."
            _ if code == code::ALLOCATION_MISMATCH => self.end(Failure::AllocationLost),
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
            Request::Connect(peer) => self.emit(Event::ConnectRefused { peer, code }),
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
                    active.refresh_at = refresh_at(self.now, lifetime.max(std::time::Duration::from_secs(2)));
                }
            }
            Request::Deallocate => self.end(Failure::Released),
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
                None => self.end(Failure::NotUnderstood),
            },
            Request::BindConnection(connection, path) => {
                self.emit(Event::ConnectionBound { connection, path })
            }
        }
    }

    fn allocated(&mut self, message: &Message<'_>) {
        if matches!(self.state, State::Closing) {
            return self.start(Request::Deallocate, 0);
        }
        let Some((allocated, active)) = allocation::read_allocated(message, self.now) else {
            return self.end(Failure::NotUnderstood);
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
        if let Some(ticket) = MobilityTicket::read(message) {
            active.ticket = Some(ticket.0.to_vec());
        }
        let lifetime = Lifetime::read(message).map_or(self.config.lifetime, |lifetime| lifetime.0);
        active.refresh_at = refresh_at(self.now, lifetime.max(std::time::Duration::from_secs(2)));
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

    /// No answer came to a request.
    pub(super) fn timed_out(&mut self, transaction: &Transaction) {
        // RFC 8489, section 9.2.5: "instead of signaling a timeout after ending the transaction, the layer MUST signal
        // that the integrity protection was violated."
        if let Some(code) = transaction.unauthentic {
            return self.end(Failure::Unauthentic(code));
        }
        match transaction.request {
            Request::Deallocate => self.end(Failure::Released),
            Request::Allocate if self.stats.responses_received == 0 => {
                self.end(Failure::NoAnswer(transaction.retransmission.sent()));
            }
            Request::Move => {
                self.moving = None;
                self.emit(Event::MoveRefused(0));
            }
            Request::Connect(peer) => {
                let code = code::CONNECTION_TIMEOUT_OR_FAILURE;
                self.emit(Event::ConnectRefused { peer, code });
            }
            Request::BindConnection(connection, _) => {
                let code = code::CONNECTION_TIMEOUT_OR_FAILURE;
                self.emit(Event::ConnectionBindRefused { connection, code });
            }
            _ => self.end(Failure::ServerGone),
        }
    }
}
