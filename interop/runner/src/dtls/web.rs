//! WebRTC peers in the matrix: a data channel through both stacks, the DTLS role laid down in the offer.

use super::setup::{Role, Version};
use crate::cases::data::{connect_with_channel, exchange};
use crate::negotiate::{self, Plan, setup_active, setup_passive};
use crate::pair::Pair;
use crate::peers::{Flavour, Kind, Peers};
use serde_json::{Value, json};
use std::time::Duration;

/// When a cell is given up.
const LIMIT: Duration = Duration::from_secs(90);

/// One peer and what it must come to.
#[derive(Debug)]
pub struct Web {
    pub kind: Kind,
    pub flavours: &'static [(Flavour, Version)],
    /// Why a role cannot be laid down in this way: whether we are the client, whether the peer offers.
    pub absent: fn(bool, bool) -> Option<&'static str>,
    /// For the legend.
    pub remarks: &'static [&'static str],
}

const OLD: &[(Flavour, Version)] = &[(Flavour::Usual, Version::V12)];

pub const ALL: &[Web] = &[
    Web {
        kind: Kind::Chromium,
        flavours: &[
            (Flavour::Usual, Version::V13),
            (Flavour::WithoutHybrid, Version::V13),
        ],
        absent: |_, _| None,
        remarks: &["chromium: cannot be kept to DTLS 1.2 any more"],
    },
    Web {
        kind: Kind::Firefox,
        flavours: &[
            (Flavour::Usual, Version::V13),
            (Flavour::WithoutHybrid, Version::V13),
            (Flavour::Dtls12, Version::V12),
        ],
        absent: |_, _| None,
        remarks: &[],
    },
    Web {
        kind: Kind::Libwebrtc,
        flavours: &[(Flavour::Usual, Version::V13)],
        absent: |_, _| None,
        remarks: &["libwebrtc: the wheel offers no hybrid group"],
    },
    Web {
        kind: Kind::Aiortc,
        flavours: OLD,
        absent: |_, _| None,
        remarks: &["aiortc: DTLS 1.2 only, by OpenSSL"],
    },
    Web {
        kind: Kind::Werift,
        flavours: OLD,
        absent: |we_are_client, peer_offers| match (we_are_client, peer_offers) {
            (true, false) => Some("werift answers `active` to an offer that says `active`"),
            (false, true) => {
                Some("werift numbers its channels by its ICE role: as the offerer, like a DTLS server")
            }
            _ => None,
        },
        remarks: &["werift: DTLS 1.2 only; its servers ask for a cookie"],
    },
    Web {
        kind: Kind::NodeDatachannel,
        flavours: OLD,
        absent: |_, _| None,
        remarks: &["node-datachannel: DTLS 1.2 only, and does not tell"],
    },
    Web {
        kind: Kind::Gstreamer,
        flavours: OLD,
        absent: |_, _| None,
        remarks: &[
            "gstreamer: DTLS 1.2 only, with RSA and messages in pieces of 256 bytes, and does not tell",
        ],
    },
    Web {
        kind: Kind::Pion,
        flavours: OLD,
        absent: |we_are_client, peer_offers| {
            let reason = "pion answers `active` to an offer that says `active`, and then waits as the server";
            (we_are_client && !peer_offers).then_some(reason)
        },
        remarks: &["pion: version 3 has DTLS 1.2 only, and does not tell"],
    },
];

/// The name of a row.
pub fn case(flavour: Flavour, peer_offers: bool) -> &'static str {
    match (flavour, peer_offers) {
        (Flavour::WithoutHybrid, true) => "no-hybrid-peer-offers",
        (Flavour::WithoutHybrid, false) => "no-hybrid-we-offer",
        (_, true) => "peer-offers",
        (_, false) => "we-offer",
    }
}

/// A cell.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub web: &'static Web,
    pub flavour: Flavour,
    pub version: Version,
    pub we: Role,
    pub peer_offers: bool,
}

impl Cell {
    /// Why the peer has no part in it, if so.
    pub fn absent(&self) -> Option<&'static str> {
        (self.web.absent)(self.we == Role::Client, self.peer_offers)
    }
}

/// Runs a cell; a success says what was agreed on.
pub async fn run(peers: &Peers, cell: &Cell) -> Result<String, String> {
    let peer = peers.start(cell.web.kind, cell.flavour, "", false).await?;
    let ours = peers.start(Kind::Dunlin, Flavour::Usual, "", false).await?;
    let pair = Pair {
        peer: peer.session.clone(),
        ours: ours.session.clone(),
        peer_offers: cell.peer_offers,
        seed: std::process::id(),
    };
    let result = tokio::select! {
        result = talk(&pair, cell) => result,
        reason = negotiate::carry_candidates(&pair, None, false) => Err(reason),
        () = tokio::time::sleep(LIMIT) => Err(format!("given up after {LIMIT:?}")),
    };
    let result = match result {
        Ok(detail) => Ok(detail),
        Err(reason) => Err(format!("{reason}\n{}", pair.post_mortem().await)),
    };
    peer.leave().await;
    ours.leave().await;
    result
}

async fn talk(pair: &Pair, cell: &Cell) -> Result<String, String> {
    // RFC 8842, section 5.3: the answerer takes the role that the offerer leaves.
    let offerer_is_client = (cell.we == Role::Client) != cell.peer_offers;
    let edit_offer = if offerer_is_client {
        setup_active
    } else {
        setup_passive
    };
    let plan = Plan {
        edit_offer,
        ..Plan::default()
    };
    connect_with_channel(pair, json!({}), plan).await?;
    for kind in ["text", "binary"] {
        // Several datagrams, several SCTP packets.
        exchange(pair.offerer(), "data", kind, 5000, pair.seed).await?;
    }
    let ours = pair.ours.command("stats", json!({})).await?;
    let theirs = pair.peer.command("stats", json!({})).await?;
    agreed(cell, &ours, &theirs)
}

/// Both ends say what they must, as far as they tell.
fn agreed(cell: &Cell, ours: &Value, theirs: &Value) -> Result<String, String> {
    let (transport, role) = (&ours["stats"]["transport"], cell.we.to_string());
    if transport["dtlsRole"] != json!(role) {
        return Err(format!("we should be the DTLS {role}: {transport}"));
    }
    let wanted = match cell.version {
        Version::V12 => "FEFD",
        Version::V13 => "FEFC",
    };
    let right = |told: &Value| {
        told.as_str()
            .is_some_and(|told| told.eq_ignore_ascii_case(wanted))
    };
    if !right(&transport["tlsVersion"]) {
        let told = &transport["tlsVersion"];
        return Err(format!("the version should be {wanted}, we say {told}"));
    }
    let told = &theirs["tlsVersion"];
    if !told.is_null() && !right(told) {
        return Err(format!("the version should be {wanted}, the peer says {told}"));
    }
    let cipher = transport["dtlsCipher"].as_str().unwrap_or_default();
    let group = transport["tlsGroup"].as_str().unwrap_or_default();
    hybrid(cell, group)?;
    Ok(format!("{} {group} {cipher}", cell.version))
}

/// The browsers prefer the hybrid group, unless they are told to do without.
fn hybrid(cell: &Cell, group: &str) -> Result<(), String> {
    let browser = matches!(cell.web.kind, Kind::Chromium | Kind::Firefox);
    if !browser || cell.version == Version::V12 {
        return Ok(());
    }
    let wanted = cell.flavour == Flavour::Usual;
    if group.eq_ignore_ascii_case("x25519mlkem768") == wanted {
        return Ok(());
    }
    Err(format!("the group is {group:?}"))
}
