//! What happened, as a number that two runs of one seed share, and as a pcapng file for people.
//!
//! The hash covers when, from whom, to whom, which protocol, how long and what became of every datagram, but not its
//! bytes: keys and signatures come from the crypto backend, which no seed reaches. For the same reason datagrams of a
//! DTLS handshake count with a [nominal size](crate::nominal_size).

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::datagram::{Protocol, nominal_size};
use crate::link::Fate;
use dunlin_net::Path;

/// The hash of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceHash(u64);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One datagram on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Virtual time since the world began.
    pub at: Duration,
    /// From the sender's view: `local` is the source.
    pub path: Path,
    /// What became of it.
    pub fate: Fate,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, size) = (Protocol::of(&self.data), self.data.len());
        write!(
            f,
            "{:>12?} {} {protocol:?} {size} bytes {:?}",
            self.at, self.path, self.fate
        )
    }
}

/// The record of a run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    /// How many datagrams had each fate.
    counts: [u64; 16],
    kept: Option<Vec<Entry>>,
}

impl Trace {
    /// How many datagrams a capture holds at most.
    const MAX_KEPT: usize = 200_000;

    pub(crate) fn new() -> Self {
        // FNV-1a, 64 bits: any mixing will do, it is no security.
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            counts: [0; 16],
            kept: None,
        }
    }

    /// Keeps the datagrams from now on, for [`write_pcapng`](Self::write_pcapng).
    pub fn keep(&mut self) {
        self.kept.get_or_insert_default();
    }

    /// What was kept.
    #[must_use]
    pub fn kept(&self) -> &[Entry] {
        self.kept.as_deref().unwrap_or_default()
    }

    /// The hash so far.
    #[must_use]
    pub fn hash(&self) -> TraceHash {
        TraceHash(self.hash)
    }

    /// How many datagrams had this fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> u64 {
        self.counts[fate as usize]
    }

    pub(crate) fn record(&mut self, at: Duration, path: Path, fate: Fate, data: &[u8]) {
        self.counts[fate as usize] += 1;
        self.mix(&(at.as_nanos() as u64).to_be_bytes());
        self.mix(&[fate as u8, Protocol::of(data) as u8]);
        self.mix(&(nominal_size(data) as u32).to_be_bytes());
        for address in [path.local, path.remote] {
            self.mix(&address.port().to_be_bytes());
            match address.ip() {
                IpAddr::V4(ip) => self.mix(&ip.octets()),
                IpAddr::V6(ip) => self.mix(&ip.octets()),
            }
        }
        if let Some(kept) = self.kept.as_mut().filter(|kept| kept.len() < Self::MAX_KEPT) {
            kept.push(Entry {
                at,
                path,
                fate,
                data: data.to_vec(),
            });
        }
    }

    /// Adds something else that two runs must agree on, such as an event of a scenario.
    pub fn mix(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Writes what was kept: every datagram that was sent, its fate as a comment.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_pcapng(&self, out: &mut impl Write) -> io::Result<()> {
        // Section header, version 1.0, length unknown; then one interface of link type 101 (raw IP), in nanoseconds.
        block(
            out,
            0x0A0D_0D0A,
            &[&0x1A2B_3C4D_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat(),
        )?;
        let nanoseconds = [9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0];
        block(out, 1, &[&[101, 0, 0, 0][..], &[0; 4], &nanoseconds].concat())?;
        for entry in self.kept().iter().filter(|entry| entry.fate != Fate::Delivered) {
            let packet = ip_packet(entry);
            let at = entry.at.as_nanos() as u64;
            let mut body = vec![0; 4];
            for word in [
                (at >> 32) as u32,
                at as u32,
                packet.len() as u32,
                packet.len() as u32,
            ] {
                body.extend_from_slice(&word.to_le_bytes());
            }
            pad(&mut body, &packet);
            let comment = format!("{:?}", entry.fate);
            body.extend_from_slice(&[1, 0, comment.len() as u8, 0]);
            pad(&mut body, comment.as_bytes());
            body.extend_from_slice(&[0; 4]);
            block(out, 6, &body)?;
        }
        Ok(())
    }
}

fn pad(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(bytes);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let len = (body.len() as u32 + 12).to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&len)?;
    out.write_all(body)?;
    out.write_all(&len)
}

/// The datagram with a UDP and an IP header before it; checksums are left at zero, which analysers can be told.
fn ip_packet(entry: &Entry) -> Vec<u8> {
    let (source, destination) = (entry.path.local, entry.path.remote);
    let udp_len = (8 + entry.data.len()) as u16;
    let mut packet = Vec::with_capacity(48 + entry.data.len());
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend_from_slice(&[0x45, 0]);
            packet.extend_from_slice(&(20 + udp_len).to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
            packet.extend_from_slice(&from.octets());
            packet.extend_from_slice(&to.octets());
        }
        _ => {
            packet.extend_from_slice(&[0x60, 0, 0, 0]);
            packet.extend_from_slice(&udp_len.to_be_bytes());
            packet.extend_from_slice(&[17, 64]);
            packet.extend_from_slice(&v6(source));
            packet.extend_from_slice(&v6(destination));
        }
    }
    packet.extend_from_slice(&source.port().to_be_bytes());
    packet.extend_from_slice(&destination.port().to_be_bytes());
    packet.extend_from_slice(&udp_len.to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(&entry.data);
    packet
}

fn v6(address: SocketAddr) -> [u8; 16] {
    match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_sees_time_fate_and_size_but_not_the_size_of_a_handshake() {
        let path = Path::udp("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        let hash = |at, fate, data: &[u8]| {
            let mut trace = Trace::new();
            trace.record(Duration::from_millis(at), path, fate, data);
            trace.hash()
        };
        let base = hash(1, Fate::Sent, &[0; 20]);
        assert_ne!(base, hash(2, Fate::Sent, &[0; 20]));
        assert_ne!(base, hash(1, Fate::Lost, &[0; 20]));
        assert_ne!(base, hash(1, Fate::Sent, &[0; 21]));
        assert_eq!(base, hash(1, Fate::Sent, &[1; 20]));
        assert_eq!(hash(1, Fate::Sent, &[22; 700]), hash(1, Fate::Sent, &[22; 702]));
    }

    #[test]
    fn a_capture_has_whole_blocks() {
        let mut trace = Trace::new();
        trace.keep();
        for (local, remote) in [
            ("10.0.0.1:1", "10.0.0.2:2"),
            ("[2001:db8::1]:1", "[2001:db8::2]:2"),
        ] {
            let path = Path::udp(local.parse().unwrap(), remote.parse().unwrap());
            trace.record(Duration::from_millis(3), path, Fate::Lost, b"hello");
        }
        let mut out = Vec::new();
        trace.write_pcapng(&mut out).unwrap();
        let mut rest = &out[..];
        let mut kinds = Vec::new();
        while !rest.is_empty() {
            let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let len = word(4) as usize;
            assert_eq!((len % 4, word(len - 4) as usize), (0, len));
            kinds.push(word(0));
            rest = &rest[len..];
        }
        assert_eq!(kinds, [0x0A0D_0D0A, 1, 6, 6]);
    }
}
