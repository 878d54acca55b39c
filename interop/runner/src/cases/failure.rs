//! Ends: in good order, without a word, and before anything began.

use super::data::{connect_with_channel, exchange, open};
use crate::negotiate::{Plan, negotiate, wrong_fingerprint as forged};
use crate::pair::{Pair, SOON};
use crate::peers::Seat;
use crate::session::Session;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Over: by the connection's own state.
fn ended(event: &Value) -> bool {
    let state = event["connection"].as_str();
    event["event"] == "state" && matches!(state, Some("closed" | "failed" | "disconnected"))
}

/// One side closes; the other notices at once, by its channel or its state.
pub async fn closes(closing: &Session, other: &Session, pair: &Pair) -> Result<String, String> {
    connect_with_channel(pair, json!({}), Plan::default()).await?;
    exchange(pair.offerer(), "data", "text", 100, pair.seed).await?;
    closing.command("close", json!({})).await?;
    let noticed = other
        .event(Duration::from_secs(5), "the end", |event| {
            ended(event) || event["event"] == "channel-closed"
        })
        .await?;
    Ok(noticed["connection"]
        .as_str()
        .unwrap_or("channel closed")
        .to_owned())
}

/// RFC 7675, section 5.1: consent expires 30 s after the last valid answer.
const CONSENT: Duration = Duration::from_secs(30);

pub async fn vanishes(pair: &Pair, peer: &mut Seat) -> Result<String, String> {
    connect_with_channel(pair, json!({}), Plan::default()).await?;
    exchange(pair.offerer(), "data", "text", 100, pair.seed).await?;
    peer.vanish().await;
    let gone = Instant::now();
    let limit = CONSENT + Duration::from_secs(5);
    pair.ours.event(limit, "that the peer is gone", ended).await?;
    Ok(format!("after {:.1} s", gone.elapsed().as_secs_f64()))
}

/// Our side is told another fingerprint than the peer's.
pub async fn wrong_fingerprint(pair: &Pair) -> Result<String, String> {
    pair.start_data().await?;
    open(pair, "data", json!({})).await?;
    let mut plan = Plan::default();
    if pair.peer_offers {
        plan.edit_offer = forged;
    } else {
        plan.edit_answer = forged;
    }
    negotiate(pair, plan).await?;
    pair.ours.event(SOON + SOON, "that it failed", ended).await?;
    for session in [&pair.peer, &pair.ours] {
        for name in ["open", "message", "channel"] {
            if !session.seen(name).is_empty() {
                return Err(format!(
                    "{} reported `{name}` in spite of the fingerprint",
                    session.name()
                ));
            }
        }
    }
    // Browsers do not tell why.
    if !pair.ours.name().starts_with("dunlin") {
        return Ok(String::new());
    }
    let named = |event: &Value| {
        event["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("fingerprint"))
    };
    let reason = pair
        .ours
        .event(SOON, "that the fingerprint is wrong", |event| {
            event["event"] == "failure" && named(event)
        })
        .await?;
    Ok(reason["reason"].as_str().unwrap_or_default().to_owned())
}
