//! The basic server (RFC 8489, section 12) and the server's side of NAT behaviour discovery (RFC 5780, section 6):
//! Binding requests in, answers out, nothing remembered.

use std::net::SocketAddr;

use dunlin_net::{Path, Transmit, Transport};

use crate::attribute::change_request::ChangeRequest;
use crate::attribute::error_code::code;
use crate::attribute::{
    CHANGE_REQUEST, MAPPED_ADDRESS, OTHER_ADDRESS, PADDING, RESPONSE_ORIGIN, RESPONSE_PORT, USERNAME,
};
use crate::message::{Class, Message, Method};
use crate::writer::Writer;

/// How much PADDING an answer has at most: as much as the MTU of the interface, usually (RFC 5780, section 7.6), so that it
/// comes in two fragments.
const MAX_PADDING: usize = 1500;
/// An attribute's header, and a whole FINGERPRINT.
const HEADER: usize = 4;
const FINGERPRINT: usize = 8;

/// Answers Binding requests. It asks for no credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BindingServer {
    /// The two addresses and, through them, the two ports that the parent listens on, all four combinations, if NAT
    /// behaviour discovery is offered (RFC 5780, section 6: both differ in address and in port). Default: not offered.
    pub discovery: Option<[SocketAddr; 2]>,
    /// Whether requests over UDP may carry PADDING, which the answer then has too, so that both come in fragments (RFC 5780,
    /// section 4.5). It makes no answer longer than the request, so that nobody can make us amplify. Default: false; such a
    /// request is answered with 420.
    pub padding: bool,
    /// Whether requests over UDP may carry RESPONSE-PORT: the answer goes to that port of the address which the request
    /// seems to come from (RFC 5780, section 4.6). Whoever forges that address chooses the port, too, but not the answer,
    /// which is no request. Default: false; such a request is answered with 420.
    pub response_port: bool,
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
        let over_udp = path.transport == Transport::Udp;
        let known = [
            Some(USERNAME),
            other.map(|_| CHANGE_REQUEST),
            Some(PADDING).filter(|_| self.padding && over_udp),
            Some(RESPONSE_PORT).filter(|_| self.response_port && over_udp),
        ];
        // USERNAME stands in for what is not understood.
        let known = &known.map(|kind| kind.unwrap_or(USERNAME));
        if request.unknown_required(known).next().is_some() {
            // RFC 8489, section 6.3.1: "the server MUST reply with an error response with an error code of 420 [...]
            // and include an UNKNOWN-ATTRIBUTES attribute".
            unknown_attributes(&request, known, out);
            return Some(Transmit::new(path));
        }
        let start = out.len();
        let padded = request.attribute(PADDING).is_some();
        let port = request.attribute(RESPONSE_PORT).map(response_port);
        // RFC 5780, section 7.5: RESPONSE-PORT and PADDING do not go together.
        if port == Some(None) || (padded && port.is_some()) {
            let mut writer = Writer::error(out, &request, code::BAD_REQUEST, "Bad Request");
            if request.has_fingerprint() {
                writer.fingerprint();
            }
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
        // RFC 5780, section 6.1: "The server MUST include both MAPPED-ADDRESS and XOR-MAPPED-ADDRESS in its Response", and
        // "MUST add a RESPONSE-ORIGIN attribute".
        if other.is_some() || over_udp && (self.padding || self.response_port) {
            writer
                .address(MAPPED_ADDRESS, path.remote)
                .address(RESPONSE_ORIGIN, answer.path.local);
        }
        if let Some(other) = other {
            writer.address(OTHER_ADDRESS, other);
        }
        if padded {
            let room = data.len().saturating_sub(HEADER + FINGERPRINT);
            writer.attribute_with(PADDING, |out| {
                let free = room.saturating_sub(out.len() - start - HEADER).min(MAX_PADDING);
                out.resize(out.len() + free / 4 * 4, 0);
                true
            });
        }
        if let Some(port) = port.flatten() {
            answer.path.remote.set_port(port);
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

/// RFC 5780, section 7.5: 16 bits, and two bytes of padding, which some count as part of the value. There is no port 0.
fn response_port(value: &[u8]) -> Option<u16> {
    let (port, _) = value
        .split_first_chunk()
        .filter(|(_, rest)| matches!(rest.len(), 0 | 2))?;
    Some(u16::from_be_bytes(*port)).filter(|port| *port != 0)
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
    let mut writer = Writer::error(out, request, code::UNKNOWN_ATTRIBUTE, "");
    writer.unknown_attributes(&kinds[..count]);
    // RFC 8489, section 6.3: where FINGERPRINT is used, a response without it is "silently discarded".
    if request.has_fingerprint() {
        writer.fingerprint();
    }
}
