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
/// When it has to go on in the direction that a browser decides on: it holds on to a path that has fallen silent for two
/// and a half seconds, then waits for one more, and its SCTP has backed off by then.
const BROWSERS_BAR: Duration = Duration::from_secs(10);
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
        reason = negotiate::carry_candidates(&pair, None, false) => Err(reason),
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
    let arrivals = async { tokio::try_join!(arrival(&pair.ours, OUT, cut), arrival(&pair.peer, BACK, cut)) };
    let (out, back) = tokio::select! {
        both = arrivals => both?,
        error = keep_sending(&pair.peer, OUT) => return Err(error),
        error = keep_sending(&pair.ours, BACK) => return Err(error),
    };
    let browser = pair.ours.name().starts_with("chromium");
    let bars = [(out, BAR), (back, if browser { BROWSERS_BAR } else { BAR })];
    if bars.iter().any(|(took, bar)| took > bar) {
        let (out, back) = (out.as_millis(), back.as_millis());
        return Err(format!(
            "the call went on after {out} ms, and {back} ms from the other side"
        ));
    }
    if uplink(&pair.peer).await? == lost {
        return Err("the call goes by an interface that is gone".to_owned());
    }
    let route = meet::route(pair).await?;
    Ok(Met {
        route,
        took: out,
        note: format!("and {} ms from the other side", back.as_millis()),
    })
}

/// Where the numbers begin of what the host that loses its interface sends, and of what it receives.
const OUT: u32 = 0x4000_0000;
const BACK: u32 = 0x5000_0000;

/// How long after the cut the first of the messages from `first` on comes to a session.
async fn arrival(session: &Session, first: u32, cut: Instant) -> Result<Duration, String> {
    let sent: Vec<String> = (first..first + MESSAGES)
        .map(|number| pattern::hash("binary", 100, number))
        .collect();
    let come = session.event(PATIENCE, "a message from behind the cut", |event| {
        let hash = event["sha256"].as_str();
        event["event"] == "message" && hash.is_some_and(|hash| sent.iter().any(|known| known == hash))
    });
    come.await?;
    Ok(cut.elapsed())
}

/// Messages at a pace, as a call has them; ends only when one cannot be sent.
async fn keep_sending(session: &Session, first: u32) -> String {
    let mut ticks = tokio::time::interval(PACE);
    for number in first..first + MESSAGES {
        ticks.tick().await;
        let message = json!({"label": "data", "kind": "binary", "size": 100, "seed": number});
        if let Err(reason) = session.command("send", message).await {
            return reason;
        }
    }
    std::future::pending().await
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
