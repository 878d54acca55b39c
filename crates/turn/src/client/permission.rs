//! Which addresses may send to us (RFC 8656, sections 9 and 10), and how long a server keeps what we asked for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::PERMISSION_LIFETIME;

/// Permissions are asked for again this long before they expire: a lost request has its first three repetitions.
pub(super) const REFRESH_MARGIN: Duration = Duration::from_secs(60);

/// Something that a server keeps for us for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    /// A request is under way.
    pub(super) asking: bool,
    /// The server keeps it until then; `None` before it ever said so.
    pub(super) until: Option<Instant>,
    /// When to ask (again); `None` when it is not wanted any more.
    pub(super) ask_at: Option<Instant>,
}

impl Lease {
    /// Wanted as of now.
    pub(super) fn wanted(now: Instant) -> Self {
        Self {
            asking: false,
            until: None,
            ask_at: Some(now),
        }
    }

    /// Whether it is time to ask.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.asking && self.ask_at.is_some_and(|at| at <= now)
    }

    /// When it will be time to ask.
    pub(super) fn due(&self) -> Option<Instant> {
        self.ask_at.filter(|_| !self.asking)
    }

    /// Whether the server has it.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    fn renew(&mut self, now: Instant, lifetime: Duration, ask_in: Duration) {
        self.asking = false;
        self.until = Some(now + lifetime);
        self.ask_at = self.ask_at.map(|_| now + ask_in);
    }

    /// The server has granted it; it is asked for again in time for the permission that comes with it.
    pub(super) fn granted(&mut self, now: Instant, lifetime: Duration) {
        self.renew(now, lifetime, PERMISSION_LIFETIME - REFRESH_MARGIN);
    }
}

/// The permissions of an allocation.
#[derive(Debug, Default)]
pub(super) struct Permissions(BTreeMap<IpAddr, Lease>);

impl Permissions {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, peer: IpAddr) -> Option<&Lease> {
        self.0.get(&peer)
    }

    /// Wants one, and asks for it at this time, if it has not come by then with a channel.
    pub(super) fn want(&mut self, peer: IpAddr, ask_at: Instant) {
        let lease = self.0.entry(peer).or_insert_with(|| Lease::wanted(ask_at));
        lease.ask_at = Some(lease.ask_at.map_or(ask_at, |at| at.min(ask_at)));
    }

    /// Stops asking; the permission expires by itself.
    pub(super) fn forget(&mut self, peer: IpAddr) {
        if let Some(lease) = self.0.get_mut(&peer) {
            lease.ask_at = None;
        }
    }

    pub(super) fn remove(&mut self, peer: IpAddr) {
        self.0.remove(&peer);
    }

    /// The server has granted it; answers whether that is news.
    pub(super) fn granted(&mut self, peer: IpAddr, now: Instant) -> bool {
        let Some(lease) = self.0.get_mut(&peer) else {
            return false;
        };
        let news = lease.until.is_none();
        lease.granted(now, PERMISSION_LIFETIME);
        news
    }

    /// A channel binding to the peer has renewed it, and will again before it is worth asking for.
    pub(super) fn granted_by_channel(&mut self, peer: IpAddr, now: Instant) -> bool {
        let Some(lease) = self.0.get_mut(&peer) else {
            return false;
        };
        let news = lease.until.is_none();
        let asking = lease.asking;
        lease.renew(now, PERMISSION_LIFETIME, PERMISSION_LIFETIME - REFRESH_MARGIN / 2);
        lease.asking = asking;
        news
    }

    /// The next one to ask for, which is marked as asked for.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<IpAddr> {
        let (peer, lease) = self.0.iter_mut().find(|(_, lease)| lease.is_due(now))?;
        lease.asking = true;
        Some(*peer)
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().filter_map(Lease::due).min()
    }

    /// Drops those that are neither wanted nor held.
    pub(super) fn prune(&mut self, now: Instant) {
        self.0
            .retain(|_, lease| lease.ask_at.is_some() || lease.asking || lease.holds(now));
    }
}
