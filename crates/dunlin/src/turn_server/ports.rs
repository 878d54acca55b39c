//! The sockets of relays: which address, which port (RFC 8656, section 7.2: a port at random, so that an attacker off
//! the path cannot guess it).

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

use dunlin_turn::server::PortPolicy;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::config::RelayAddress;
use super::socket;

/// Ports that are tried at random before the range is walked through.
const GUESSES: usize = 32;

/// Where relays are opened.
#[derive(Debug)]
pub(super) struct Ports {
    addresses: Vec<RelayAddress>,
    range: RangeInclusive<u16>,
    buffer: usize,
    rng: StdRng,
    turn: usize,
}

/// The sockets of one relay, and the address that its peers see.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) socket: UdpSocket,
    /// The one with the next port, if it was asked for.
    pub(super) next: Option<UdpSocket>,
    pub(super) address: SocketAddr,
}

impl Ports {
    pub(super) fn new(addresses: Vec<RelayAddress>, range: RangeInclusive<u16>, buffer: usize) -> Self {
        Self {
            addresses,
            range,
            buffer,
            rng: StdRng::from_seed(dunlin_crypto::random::seed()),
            turn: 0,
        }
    }

    /// Opens a relay.
    ///
    /// # Errors
    /// `AddrInUse` when the range is used up; else what the system says.
    pub(super) fn open(&mut self, ipv6: bool, policy: PortPolicy) -> io::Result<Opened> {
        let family: Vec<&RelayAddress> = self
            .addresses
            .iter()
            .filter(|address| address.ip.is_ipv6() == ipv6)
            .collect();
        if family.is_empty() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        self.turn = self.turn.wrapping_add(1);
        let relay = *family[self.turn % family.len()];
        let (first, last) = (*self.range.start(), *self.range.end());
        let guess = |rng: &mut StdRng| rng.random_range(first..=last);
        for _ in 0..GUESSES {
            let port = guess(&mut self.rng);
            if let Some(opened) = self.try_port(relay, port, policy)? {
                return Ok(opened);
            }
        }
        let start = guess(&mut self.rng);
        for port in (start..=last).chain(first..start) {
            if let Some(opened) = self.try_port(relay, port, policy)? {
                return Ok(opened);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// `None` if the port is taken, or is not of the kind that is asked for.
    fn try_port(&self, relay: RelayAddress, port: u16, policy: PortPolicy) -> io::Result<Option<Opened>> {
        let port = if policy == PortPolicy::Any {
            port
        } else {
            port & !1
        };
        let bind = |port: u16| match socket::open(SocketAddr::new(relay.ip, port), self.buffer, false) {
            Ok(socket) => Ok(Some(socket)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error),
        };
        if !self.range.contains(&port) {
            return Ok(None);
        }
        let Some(socket) = bind(port)? else {
            return Ok(None);
        };
        let next = match policy {
            PortPolicy::EvenAndNext(_) | PortPolicy::EvenAndReserve(_) => {
                if !self.range.contains(&(port | 1)) {
                    return Ok(None);
                }
                let Some(next) = bind(port | 1)? else {
                    return Ok(None);
                };
                Some(next)
            }
            _ => None,
        };
        let address = SocketAddr::new(relay.external.unwrap_or(relay.ip), port);
        Ok(Some(Opened {
            socket,
            next,
            address,
        }))
    }
}
