//! The candidates in a local description (RFC 9429 sections 5.2.1 and 4.1.19; RFC 8839 section 4.2).

use std::net::IpAddr;

use dunlin_sdp::{AddressType, Attribute, Connection, SessionDescription};

use super::bundle::Bundle;
use super::state::LocalTransport;

/// The description with what was gathered so far: candidates and the default address in the tagged section, and
/// `a=end-of-candidates` when there will be no more.
#[must_use]
pub fn with_candidates(mut sdp: SessionDescription, local: &LocalTransport) -> SessionDescription {
    let Some(tagged) = Bundle::of(&sdp).members.first().copied() else {
        return sdp;
    };
    let media = &mut sdp.media[tagged];
    media
        .attributes
        .retain(|line| !matches!(line, Attribute::Candidate(_) | Attribute::EndOfCandidates));
    if let Some((address, port)) = default_address(&local.candidates) {
        let address_type = if address.is_ipv4() {
            AddressType::Ip4
        } else {
            AddressType::Ip6
        };
        media.connections = vec![Connection {
            address_type,
            address: address.to_string(),
        }];
        if media.port != 0 {
            media.port = port;
        }
    }
    let mut lines: Vec<Attribute> = local
        .candidates
        .iter()
        .map(|line| line.strip_prefix("a=").unwrap_or(line))
        .map(|line| Attribute::Candidate(line.strip_prefix("candidate:").unwrap_or(line).to_owned()))
        .collect();
    if local.end_of_candidates {
        lines.push(Attribute::EndOfCandidates);
    }
    let at = media
        .attributes
        .iter()
        .position(|line| matches!(line, Attribute::IceUfrag(_)))
        .unwrap_or(0);
    media.attributes.splice(at..at, lines);
    sdp
}

/// RFC 8839 section 4.2.1.2: the default candidate is the one most likely to work with a peer without ICE: relayed,
/// else server-reflexive, else host; IPv4 where there is a choice. Names and TCP are left out.
fn default_address(candidates: &[String]) -> Option<(IpAddr, u16)> {
    let parsed = candidates.iter().filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, "1", transport, _, address, port, "typ", kind, ..] = words.as_slice() else {
            return None;
        };
        if !transport.eq_ignore_ascii_case("udp") {
            return None;
        }
        let (address, port): (IpAddr, u16) = (address.parse().ok()?, port.parse().ok()?);
        let preference = match *kind {
            "relay" => 3,
            "srflx" => 2,
            _ => 1,
        };
        Some(((preference, address.is_ipv4()), (address, port)))
    });
    // The first of equals: candidates are listed in order of preference.
    let mut best: Option<((u8, bool), (IpAddr, u16))> = None;
    for (rank, address) in parsed {
        if best.is_none_or(|(known, _)| rank > known) {
            best = Some((rank, address));
        }
    }
    best.map(|(_, address)| address)
}
