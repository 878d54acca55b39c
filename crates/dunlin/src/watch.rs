//! Which addresses the sockets of an endpoint have: those they are bound to, or those of the interfaces, which come and
//! go while the host moves between networks.

use std::net::{IpAddr, SocketAddr};

use crate::interfaces::Selection;

/// The addresses that these sockets are announced with on a host that has these IP addresses.
pub(crate) fn announced(bound: &[SocketAddr], local: &[IpAddr]) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for socket in bound {
        if socket.ip().is_unspecified() {
            let same_family = local.iter().filter(|ip| ip.is_ipv4() == socket.is_ipv4());
            addresses.extend(same_family.map(|ip| SocketAddr::new(*ip, socket.port())));
        } else {
            addresses.push(*socket);
        }
    }
    addresses
}

/// Which addresses the sockets had when the interfaces were last looked at.
#[derive(Debug)]
pub(crate) struct Watch {
    bound: Vec<SocketAddr>,
    selection: Selection,
    known: Vec<SocketAddr>,
}

/// What is different since the last look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) gone: Vec<SocketAddr>,
    pub(crate) new: Vec<SocketAddr>,
    pub(crate) all: Vec<SocketAddr>,
}

impl Watch {
    /// Knows these addresses; `None` when all sockets are bound to one, and nothing can change.
    pub(crate) fn new(bound: Vec<SocketAddr>, selection: Selection, known: Vec<SocketAddr>) -> Option<Self> {
        let any = bound.iter().any(|socket| socket.ip().is_unspecified());
        any.then_some(Self {
            bound,
            selection,
            known,
        })
    }

    /// Looks at the interfaces.
    pub(crate) fn look(&mut self) -> Option<Change> {
        match self.selection.addresses() {
            Ok(local) => self.compare(&local),
            Err(error) => {
                log::debug!("the interfaces cannot be listed: {error}");
                None
            }
        }
    }

    fn compare(&mut self, local: &[IpAddr]) -> Option<Change> {
        let all = announced(&self.bound, local);
        let missing_in = |from: &[SocketAddr], other: &[SocketAddr]| {
            let missing = from.iter().filter(|address| !other.contains(address));
            missing.copied().collect::<Vec<_>>()
        };
        let change = Change {
            gone: missing_in(&self.known, &all),
            new: missing_in(&all, &self.known),
            all,
        };
        self.known.clone_from(&change.all);
        (!change.gone.is_empty() || !change.new.is_empty()).then_some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_come_and_go_are_told_once() {
        let bound = vec!["0.0.0.0:5000".parse().unwrap(), "[::]:5001".parse().unwrap()];
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut watch = Watch::new(bound, Selection::default(), vec![at("10.0.0.1:5000")]).unwrap();
        assert_eq!(watch.compare(&[ip("10.0.0.1")]), None);
        let change = watch.compare(&[ip("10.9.0.1"), ip("2001:db8::1")]).unwrap();
        assert_eq!(change.gone, [at("10.0.0.1:5000")]);
        assert_eq!(change.new, [at("10.9.0.1:5000"), at("[2001:db8::1]:5001")]);
        assert_eq!(watch.compare(&[ip("10.9.0.1"), ip("2001:db8::1")]), None);
    }

    #[test]
    fn sockets_that_are_bound_to_an_address_need_no_watch() {
        assert!(
            Watch::new(
                vec!["127.0.0.1:1".parse().unwrap()],
                Selection::default(),
                Vec::new()
            )
            .is_none()
        );
    }
}
