#![doc = include_str!("../README.md")]

use std::fmt;
use std::net::SocketAddr;

/// How the bytes of a datagram travel between two addresses.
///
/// Stream transports carry datagrams too: the driver frames them (RFC 4571 for ICE-TCP, the STUN and
/// ChannelData lengths for TURN).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Transport {
    /// Plain UDP datagrams.
    Udp,
    /// A TCP connection.
    Tcp,
    /// TLS over TCP (TURN only).
    Tls,
    /// DTLS over UDP (TURN only).
    Dtls,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Dtls => "dtls",
        })
    }
}

/// The two ends of a datagram as this host sees them: never a relayed or reflexive address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    /// The address of our socket. Its IP is a concrete one, not the unspecified address.
    pub local: SocketAddr,
    /// The address the datagram came from or goes to.
    pub remote: SocketAddr,
    /// What carries it.
    pub transport: Transport,
}

impl Path {
    /// A UDP path.
    #[must_use]
    pub fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            local,
            remote,
            transport: Transport::Udp,
        }
    }

    /// The same path seen from the other end.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            local: self.remote,
            remote: self.local,
            transport: self.transport,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} ({})", self.local, self.remote, self.transport)
    }
}

/// The two ECN bits of the IP header (RFC 3168, section 5; RFC 9331).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Ecn {
    /// The transport does not take part in ECN.
    #[default]
    NotEct = 0b00,
    /// ECN-capable, L4S (RFC 9331).
    Ect1 = 0b01,
    /// ECN-capable, classic (RFC 3168).
    Ect0 = 0b10,
    /// Congestion experienced.
    Ce = 0b11,
}

impl Ecn {
    /// The value of the low two bits of `bits`.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0b00 => Ecn::NotEct,
            0b01 => Ecn::Ect1,
            0b10 => Ecn::Ect0,
            _ => Ecn::Ce,
        }
    }
}

/// Where the datagram that `poll_transmit` just appended to its buffer goes.
///
/// A caller that collects several datagrams in one buffer takes the buffer's length before and after
/// each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Transmit {
    /// The socket to send from and the address to send to.
    pub path: Path,
    /// The mark to send it with.
    pub ecn: Ecn,
}

impl Transmit {
    /// A datagram without an ECN mark.
    pub fn new(path: Path) -> Self {
        Self {
            path,
            ecn: Ecn::NotEct,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reversed_twice_is_itself() {
        let path = Path::udp("10.0.0.1:1".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap());
        assert_ne!(path.reversed(), path);
        assert_eq!(path.reversed().reversed(), path);
        assert_eq!(path.to_string(), "10.0.0.1:1 -> [2001:db8::1]:2 (udp)");
    }

    #[test]
    fn ecn_survives_the_tos_byte() {
        for mark in [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce] {
            assert_eq!(Ecn::from_bits(mark as u8 | 0b1011_1000), mark);
        }
    }
}
