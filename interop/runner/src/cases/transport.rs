//! How candidates travel and which DTLS role we take.

use super::data::{connect_with_channel, exchange, open, opened};
use crate::negotiate::{Plan, connect, is_tcp, setup_active, setup_passive};
use crate::pair::Pair;
use serde_json::json;

pub async fn trickle(pair: &Pair) -> Result<String, String> {
    fn without_candidates(sdp: &str) -> String {
        let kept = sdp.split("\r\n").filter(|line| !line.starts_with("a=candidate:"));
        kept.collect::<Vec<_>>().join("\r\n")
    }
    // Whatever a side had gathered already travels as an event too.
    let plan = Plan {
        edit_offer: without_candidates,
        edit_answer: without_candidates,
        ..Plan::default()
    };
    connect_with_channel(pair, json!({}), plan).await?;
    exchange(pair.offerer(), "data", "text", 100, pair.seed).await?;
    for session in [&pair.peer, &pair.ours] {
        if session
            .seen("candidate")
            .iter()
            .all(|event| event["candidate"].is_null())
        {
            return Err(format!("{} reported no candidate", session.name()));
        }
    }
    Ok(String::new())
}

pub async fn no_trickle(pair: &Pair) -> Result<String, String> {
    let plan = Plan {
        trickle: false,
        ..Plan::default()
    };
    connect_with_channel(pair, json!({}), plan).await?;
    exchange(pair.offerer(), "data", "text", 100, pair.seed).await?;
    Ok(String::new())
}

/// Browsers tell only active candidates of TCP (RFC 6544): they connect, and we listen.
pub async fn ice_tcp(pair: &Pair) -> Result<String, String> {
    fn only_tcp(sdp: &str) -> String {
        let kept = sdp
            .split("\r\n")
            .filter(|line| !line.starts_with("a=candidate:") || is_tcp(line));
        kept.collect::<Vec<_>>().join("\r\n")
    }
    let plan = Plan {
        edit_offer: only_tcp,
        edit_answer: only_tcp,
        ..Plan::default()
    };
    pair.peer
        .command("new", json!({"echo": !pair.peer_offers}))
        .await?;
    pair.ours
        .command("new", json!({"echo": pair.peer_offers, "tcp": true}))
        .await?;
    open(pair, "data", json!({})).await?;
    connect(pair, plan).await?;
    opened(pair, "data").await?;
    for size in [0, 100, 100_000] {
        exchange(pair.offerer(), "data", "binary", size, pair.seed).await?;
    }
    let stats = pair.ours.command("stats", json!({})).await?;
    let transport = &stats["route"]["relayProtocol"];
    if transport != "tcp" {
        return Err(format!("the path should be TCP, stats say {transport}"));
    }
    let remote = stats["stats"]["candidatePair"]["remote"].as_str();
    Ok(remote.unwrap_or_default().to_owned())
}

/// The offer is changed on its way so that our side must take `role`.
pub async fn dtls_role(pair: &Pair, role: &str) -> Result<String, String> {
    let offerer_is_client = (role == "client") != pair.peer_offers;
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
    exchange(pair.offerer(), "data", "text", 100, pair.seed).await?;
    let stats = pair.ours.command("stats", json!({})).await?;
    if stats["dtlsRole"] != role {
        return Err(format!(
            "we should be the DTLS {role}, stats say {}",
            stats["dtlsRole"]
        ));
    }
    let peer = pair.peer.command("stats", json!({})).await?;
    Ok(format!(
        "{} {}",
        version(&peer["tlsVersion"]),
        peer["dtlsCipher"].as_str().unwrap_or_default()
    ))
}

fn version(value: &serde_json::Value) -> &'static str {
    match value.as_str().map(str::to_ascii_uppercase).as_deref() {
        Some("FEFC") => "DTLS 1.3",
        Some("FEFD") => "DTLS 1.2",
        _ => "",
    }
}
