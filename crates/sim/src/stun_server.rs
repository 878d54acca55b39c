//! A STUN server that answers Binding requests with where they came from, and nothing else (RFC 8489, section 12).
//!
//! It is written against the RFC and not against the stun crate, so that the two check each other.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Instant;

use bytes::BytesMut;
use dunlin_net::{Path, Transmit};

use crate::node::Node;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
/// Responses that wait; more are not made.
const MAX_QUEUED: usize = 256;

/// The server.
#[derive(Debug, Default)]
pub struct StunServer {
    responses: VecDeque<(Path, Vec<u8>)>,
}

impl Node for StunServer {
    type Event = Infallible;

    fn handle_datagram(&mut self, _now: Instant, path: Path, data: BytesMut) {
        let request = data.len() >= 20 && data[..2] == [0, 1] && data[4..8] == COOKIE;
        if request && self.responses.len() < MAX_QUEUED {
            self.responses.push_back((path, response(path, &data[8..20])));
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_transmit(&mut self, _now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let (path, response) = self.responses.pop_front()?;
        out.extend_from_slice(&response);
        Some(Transmit::new(path))
    }

    fn poll_event(&mut self) -> Option<Infallible> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// A Binding success response with one attribute, XOR-MAPPED-ADDRESS (0x0020).
fn response(path: Path, id: &[u8]) -> Vec<u8> {
    let mask = [&COOKIE[..], id].concat();
    let (family, ip) = match path.remote.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let value_len = 4 + ip.len() as u8;
    let mut out = vec![0x01, 0x01, 0, 4 + value_len];
    out.extend_from_slice(&mask);
    out.extend_from_slice(&[0x00, 0x20, 0, value_len, 0, family]);
    out.extend(
        path.remote
            .port()
            .to_be_bytes()
            .iter()
            .chain(&[])
            .zip(&mask)
            .map(|(byte, mask)| byte ^ mask),
    );
    out.extend(ip.iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
    out
}
