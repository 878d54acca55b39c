//! A host with two uplinks loses, in mid-call, the one that the call goes by.

use super::lab::{Lab, Side};
use super::meet::{self, Met};
use crate::cases::data::exchange;
use crate::negotiate;
use crate::pair::Pair;
use crate::pattern;
use crate::peers::Seat;
use crate::session::Session;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// When the call has to go on.
const BAR: Duration = Duration::from_secs(2);
/// How long the call is waited for, so that a failure says how late it was.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the call lasts before, so that the ways that were not chosen are forgotten.
const BEFORE: Duration = Duration::from_secs(4);
/// Messages are this far apart, and as many are there at most.
const PACE: Duration = Duration::from_millis(20);
const MESSAGES: u32 = 1000;

/// The first of the seats is that of the host with two uplinks; it offers or answers.
pub async fn lose(lab: &Lab, seats: &[Seat; 2], told: &Value, offers: bool) -> Result<Met, String> {
    let pair = Pair {
        peer: seats[0].session.clone(),
        ours: seats[1].session.clone(),
        peer_offers: offers,
        seed: std::process::id(),
    };
    let result = tokio::select! {
        result = call(lab, &pair, told) => result,
        reason = negotiate::carry_candidates(&pair) => Err(reason),
    };
    match result {
        Ok(met) => Ok(met),
        Err(reason) => Err(format!("{reason}\n{}", pair.post_mortem().await)),
    }
}

async fn call(lab: &Lab, pair: &Pair, told: &Value) -> Result<Met, String> {
    meet::connect(pair, told).await?;
    let (until, mut number) = (Instant::now() + BEFORE, 0);
    while Instant::now() < until {
        exchange(pair.offerer(), "data", "binary", 100, number).await?;
        number += 1;
    }
    let lost = uplink(&pair.peer).await?;
    lab.cut(lost)?;
    let cut = Instant::now();
    tokio::select! {
        first = first_back(pair.offerer()) => first?,
        error = keep_sending(pair.offerer()) => return Err(error),
    }
    let took = cut.elapsed();
    if took > BAR {
        return Err(format!("the call went on after {} ms only", took.as_millis()));
    }
    if uplink(&pair.peer).await? == lost {
        return Err("the call goes by an interface that is gone".to_owned());
    }
    let route = meet::route(pair).await?;
    Ok(Met { route, took })
}

/// The first message from behind the cut that comes back.
async fn first_back(session: &Session) -> Result<(), String> {
    let sent: Vec<String> = (0..MESSAGES)
        .map(|number| pattern::hash("binary", 100, seed(number)))
        .collect();
    let back = session.event(PATIENCE, "an echo through its other uplink", |event| {
        let hash = event["sha256"].as_str();
        event["event"] == "message" && hash.is_some_and(|hash| sent.iter().any(|known| known == hash))
    });
    back.await.map(drop)
}

/// Messages at a pace, as a call has them; ends only when one cannot be sent.
async fn keep_sending(session: &Session) -> String {
    let mut ticks = tokio::time::interval(PACE);
    for number in 0..MESSAGES {
        ticks.tick().await;
        let message = json!({"label": "data", "kind": "binary", "size": 100, "seed": seed(number)});
        if let Err(reason) = session.command("send", message).await {
            return reason;
        }
    }
    std::future::pending().await
}

/// Others than those of before.
fn seed(number: u32) -> u32 {
    0x4000_0000 + number
}

/// The uplink that a session's data takes.
async fn uplink(session: &Session) -> Result<Side, String> {
    let stats = session.command("stats", json!({})).await?;
    let local = stats["local"].as_str().unwrap_or_default();
    if local.contains("10.3.0.2") {
        Ok(Side::C)
    } else if local.contains("10.1.0.2") {
        Ok(Side::A)
    } else {
        Err(format!("{} has the local address {local:?}", session.name()))
    }
}
