//! How allocations and the server itself end.

use std::time::Instant;

use dunlin_net::Path;
use log::{debug, info};

use super::auth::quota_name;
use super::event::{Event, Release};
use super::{Key, ReservationToken, Server, Timer};
use crate::code;

impl Server {
    /// A client's stream was closed, or its DTLS association ended. An allocation that can move waits for its client
    /// until it expires (RFC 8016); any other is gone.
    pub fn connection_lost(&mut self, now: Instant, path: Path) {
        self.now = self.now.max(now);
        self.client_connection_closed(path);
        let Some(key) = self.by_client.get(&path) else {
            return;
        };
        let Some(allocation) = self.allocations.get_mut(key) else {
            return;
        };
        if allocation.old_client == Some(path) {
            self.settle(key);
        } else if !allocation.mobile {
            self.release(key, Release::ConnectionLost);
        }
    }

    /// Takes no new allocations; [`Drained`](Event::Drained) says when the last one has ended. Those that are there go
    /// on as long as they are refreshed.
    pub fn drain(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.draining || self.closed {
            return;
        }
        self.draining = true;
        info!("turn: draining {} allocations", self.allocations.len());
        if self.allocations.len() == 0 {
            self.events.push_back(Event::Drained);
        }
    }

    /// Ends everything. Clients are not told: TURN has no message for it.
    pub fn close(&mut self) {
        let keys: Vec<Key> = self.allocations.keys().collect();
        for key in keys {
            self.release(key, Release::Closed);
        }
        let reserved: Vec<ReservationToken> = self.reservations.keys().copied().collect();
        for token in reserved {
            self.reservation_expired(token);
        }
        self.timers.clear();
        self.outbox = Default::default();
        self.closed = true;
    }

    pub(super) fn set_expiry(&mut self, key: Key, expires: Instant) {
        if let Some(allocation) = self.allocations.get_mut(key) {
            self.timers.remove(&(allocation.expires, Timer::Allocation(key)));
            allocation.expires = expires;
            self.timers.insert((expires, Timer::Allocation(key)));
        }
    }

    pub(super) fn allocation_expired(&mut self, key: Key) {
        let pending = self
            .allocations
            .get_mut(key)
            .and_then(|allocation| allocation.pending.take());
        let Some(pending) = pending else {
            self.stats.allocations_expired += 1;
            return self.release(key, Release::Expired);
        };
        // The parent did not open its relays in time.
        self.refuse(pending.origin, &pending.session, code::INSUFFICIENT_CAPACITY);
        self.release(key, Release::NoRelay);
    }

    /// "the token has [...] expired": the port is given back.
    pub(super) fn reservation_expired(&mut self, token: ReservationToken) {
        if let Some(relay) = self.reservations.remove(&token) {
            self.close_relay(relay);
        }
    }

    /// Ends an allocation and everything that hangs on it.
    pub(super) fn release(&mut self, key: Key, reason: Release) {
        let Some(allocation) = self.allocations.remove(key) else {
            return;
        };
        self.timers.remove(&(allocation.expires, Timer::Allocation(key)));
        self.by_client.remove(&allocation.client);
        if let Some(old) = allocation.old_client {
            self.by_client.remove(&old);
        }
        for relay in allocation.relays.into_iter().flatten() {
            self.close_relay(relay);
        }
        if allocation.connections > 0 {
            self.close_connections_of(key);
        }
        self.give_back(&allocation.username);
        debug!("turn: {} released: {reason:?}", allocation.client);
        if allocation.pending.is_none() && reason != Release::NoRelay {
            self.events.push_back(Event::Released {
                client: allocation.client,
                username: allocation.username.into_vec(),
                reason,
                bytes: allocation.bytes,
            });
        }
        if self.draining && self.allocations.len() == 0 {
            self.events.push_back(Event::Drained);
        }
    }

    /// An allocation of this user counts no longer.
    pub(super) fn give_back(&mut self, username: &[u8]) {
        let name = quota_name(username);
        if let Some(used) = self.in_use.get_mut(name) {
            *used = used.saturating_sub(1);
            if *used == 0 {
                self.in_use.remove(name);
            }
        }
    }
}
