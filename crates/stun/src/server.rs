//! The basic server (RFC 8489, section 12) and the server's side of NAT behaviour discovery (RFC 5780, section 6):
//! Binding requests in, answers out, nothing remembered.

use std::net::SocketAddr;

use dunlin_net::{Path, Transmit, Transport};

use crate::attribute::change_request::ChangeRequest;
use crate::attribute::error_code::code;
use crate::attribute::{CHANGE_REQUEST, OTHER_ADDRESS, RESPONSE_ORIGIN};
use crate::message::{Class, Message, Method};
use crate::writer::Writer;

/// The attributes of a request that are understood; RESPONSE-PORT and PADDING, which RFC 5780 makes optional, are
/// not: the one sends answers to ports that asked for none, the other makes them large.
const KNOWN: [u16; 2] = [crate::attribute::USERNAME, CHANGE_REQUEST];

/// Answers Binding requests. It asks for no credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BindingServer {
    /// The two addresses and, through them, the two ports that the parent listens on, all four combinations, if NAT
    /// behaviour discovery is offered (RFC 5780, section 6: both differ in address and in port). Default: not offered.
    pub discovery: Option<[SocketAddr; 2]>,
}

impl BindingServer {
    /// Appends the answer to the datagram `data`, if it is a Binding request, and says from where to where it goes.
    /// The answer may have to leave from another socket than the request came in by.
    #[must_use]
    pub fn answer(&self, path: Path, data: &[u8], out: &mut Vec<u8>) -> Option<Transmit> {
        let request = Message::parse(data).ok()?;
        let is_request = (request.class(), request.method()) == (Class::Request, Method::BINDING);
        if !is_request || request.verify_fingerprint() == Some(false) {
            return None;
        }
        let other = self.other_address(path);
        let known = if other.is_some() { &KNOWN[..] } else { &KNOWN[..1] };
        if request.unknown_required(known).next().is_some() {
            // RFC 8489, section 6.3.1: "the server MUST reply with an error response with an error code of 420 [...]
            // and include an UNKNOWN-ATTRIBUTES attribute".
            unknown_attributes(&request, known, out);
            return Some(Transmit::new(path));
        }
        let change = ChangeRequest::read(&request).unwrap_or_default();
        let mut answer = Transmit::new(path);
        if let Some(other) = other {
            if change.ip {
                answer.path.local.set_ip(other.ip());
            }
            if change.port {
                answer.path.local.set_port(other.port());
            }
        }
        let mut writer = Writer::success(out, &request);
        writer.xor_mapped_address(path.remote);
        if let Some(other) = other {
            writer
                .address(RESPONSE_ORIGIN, answer.path.local)
                .address(OTHER_ADDRESS, other);
        }
        if request.has_fingerprint() {
            writer.fingerprint();
        }
        Some(answer)
    }

    /// The address that differs from `path.local` in both parts.
    fn other_address(&self, path: Path) -> Option<SocketAddr> {
        let pair = self.discovery.filter(|_| path.transport == Transport::Udp)?;
        let ip = pair.iter().find(|address| address.ip() != path.local.ip())?.ip();
        let port = pair
            .iter()
            .find(|address| address.port() != path.local.port())?
            .port();
        Some(SocketAddr::new(ip, port))
    }
}

/// Appends a 420 that lists what of `request` is not among `known`.
pub fn unknown_attributes(request: &Message<'_>, known: &[u16], out: &mut Vec<u8>) {
    // As many as fit the response into the request: an attribute takes four bytes there and two here.
    let mut kinds = [0; 64];
    let mut count = 0;
    for (place, kind) in kinds.iter_mut().zip(request.unknown_required(known)) {
        *place = kind;
        count += 1;
    }
    Writer::error(out, request, code::UNKNOWN_ATTRIBUTE, "").unknown_attributes(&kinds[..count]);
}
