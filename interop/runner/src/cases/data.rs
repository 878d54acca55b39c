//! Data channels. The offerer sends and the answerer echoes, so with both variants each side does both.

use crate::negotiate::{self, Plan, connect};
use crate::pair::{Pair, SOON};
use crate::pattern;
use crate::session::Session;
use serde_json::{Value, json};
use std::time::Duration;

const SIZES: &[usize] = &[0, 1, 1200, 16 * 1024, 64 * 1024, 256 * 1024];

/// Opens the channel `label` from the offerer.
pub async fn open(pair: &Pair, label: &str, options: Value) -> Result<(), String> {
    let mut arguments = options;
    arguments["label"] = json!(label);
    pair.offerer().command("channel", arguments).await?;
    Ok(())
}

/// Waits until both ends have the channel open.
pub async fn opened(pair: &Pair, label: &str) -> Result<(), String> {
    pair.offerer()
        .expect(SOON, "open", json!({"label": label}))
        .await?;
    pair.answerer()
        .expect(SOON, "open", json!({"label": label}))
        .await?;
    Ok(())
}

/// Sends one message and waits for the same to come back.
pub async fn exchange(
    session: &Session,
    label: &str,
    kind: &str,
    size: usize,
    seed: u32,
) -> Result<(), String> {
    let sent = session
        .command(
            "send",
            json!({"label": label, "kind": kind, "size": size, "seed": seed}),
        )
        .await?;
    let hash = pattern::hash(kind, size, seed);
    if sent["sha256"] != json!(hash) {
        return Err(format!("{} made other contents than asked for", session.name()));
    }
    let echo = json!({"label": label, "kind": kind, "size": size, "sha256": hash});
    session.expect(SOON, "message", echo).await?;
    Ok(())
}

/// Connects with one echoed channel, open on both ends.
pub async fn connect_with_channel(pair: &Pair, options: Value, plan: Plan) -> Result<(), String> {
    pair.start_data().await?;
    open(pair, "data", options).await?;
    connect(pair, plan).await?;
    opened(pair, "data").await
}

pub async fn echo(pair: &Pair) -> Result<String, String> {
    connect_with_channel(pair, json!({}), Plan::default()).await?;
    for (index, size) in SIZES.iter().enumerate() {
        for kind in ["text", "binary"] {
            let seed = pair.seed.wrapping_add(index as u32);
            let result = exchange(pair.offerer(), "data", kind, *size, seed).await;
            result.map_err(|reason| format!("{kind} of {size} B: {reason}"))?;
        }
    }
    Ok(String::new())
}

pub async fn unordered(pair: &Pair) -> Result<String, String> {
    connect_with_channel(pair, json!({"ordered": false}), Plan::default()).await?;
    announced(pair, json!({"ordered": false})).await?;
    let echoed = volley(pair).await?;
    if echoed == VOLLEY {
        Ok(String::new())
    } else {
        Err(format!("{echoed} of {VOLLEY} messages came back"))
    }
}

pub async fn no_retransmits(pair: &Pair) -> Result<String, String> {
    connect_with_channel(pair, json!({"maxRetransmits": 0}), Plan::default()).await?;
    announced(pair, json!({"maxRetransmits": 0, "ordered": true})).await?;
    // Losses are allowed, on a loopback interface they are rare.
    let echoed = volley(pair).await?;
    if echoed * 2 < VOLLEY {
        return Err(format!("{echoed} of {VOLLEY} messages came back"));
    }
    Ok(format!("{echoed} of {VOLLEY}"))
}

const VOLLEY: usize = 50;

/// Sends many messages without waiting, then counts which of them came back.
async fn volley(pair: &Pair) -> Result<usize, String> {
    let session = pair.offerer();
    for index in 0..VOLLEY as u32 {
        let seed = pair.seed.wrapping_add(index);
        let message = json!({"label": "data", "kind": "binary", "size": 1000 + index, "seed": seed});
        session.command("send", message).await?;
    }
    let hashes: Vec<String> = (0..VOLLEY as u32)
        .map(|index| pattern::hash("binary", 1000 + index as usize, pair.seed.wrapping_add(index)))
        .collect();
    let mut waited = Duration::ZERO;
    loop {
        let messages = session.seen("message");
        let came = |hash: &&String| messages.iter().any(|message| message["sha256"] == json!(hash));
        let echoed = hashes.iter().filter(came).count();
        if messages.len() > echoed {
            return Err("a message came back twice or changed".to_owned());
        }
        if echoed == VOLLEY || waited > Duration::from_secs(3) {
            return Ok(echoed);
        }
        let pause = Duration::from_millis(50);
        tokio::time::sleep(pause).await;
        waited += pause;
    }
}

/// The answerer was told what the channel is like.
async fn announced(pair: &Pair, values: Value) -> Result<(), String> {
    let mut wanted = values;
    wanted["label"] = json!("data");
    pair.answerer().expect(SOON, "channel", wanted).await.map(drop)
}

pub async fn negotiated(pair: &Pair) -> Result<String, String> {
    pair.start_data().await?;
    let channel = json!({"label": "data", "negotiated": true, "id": 7});
    pair.offerer().command("channel", channel.clone()).await?;
    let mut echoing = channel;
    echoing["echo"] = json!(true);
    pair.answerer().command("channel", echoing).await?;
    connect(pair, Plan::default()).await?;
    opened(pair, "data").await?;
    exchange(pair.offerer(), "data", "text", 100, pair.seed).await?;
    if !pair.answerer().seen("channel").is_empty() {
        return Err("a negotiated channel was announced as if the other side had opened it".to_owned());
    }
    Ok(String::new())
}

/// Many channels at once, with one message on each that comes back.
pub async fn channels(pair: &Pair, count: u32, size: usize) -> Result<String, String> {
    pair.start_data().await?;
    let labels: Vec<String> = (0..count).map(|index| format!("channel {index}")).collect();
    for label in &labels {
        open(pair, label, json!({})).await?;
    }
    connect(pair, Plan::default()).await?;
    for label in &labels {
        opened(pair, label).await?;
    }
    for (index, label) in labels.iter().enumerate() {
        let seed = pair.seed.wrapping_add(index as u32);
        let message = json!({"label": label, "kind": "binary", "size": size, "seed": seed});
        pair.offerer().command("send", message).await?;
    }
    for (index, label) in labels.iter().enumerate() {
        let hash = pattern::hash("binary", size, pair.seed.wrapping_add(index as u32));
        pair.offerer()
            .expect(SOON, "message", json!({"label": label, "sha256": hash}))
            .await?;
    }
    Ok(String::new())
}

/// More channels than a browser has identifiers for, in crowds that come and go: identifiers are used again.
pub async fn in_turn(pair: &Pair) -> Result<String, String> {
    const CROWD: u32 = 60;
    connect_with_channel(pair, json!({}), Plan::default()).await?;
    for crowd in 0..10 {
        let labels: Vec<String> = (0..CROWD).map(|index| format!("{crowd}: {index}")).collect();
        for label in &labels {
            open(pair, label, json!({})).await?;
        }
        for label in &labels {
            opened(pair, label).await?;
        }
        exchange(pair.offerer(), &labels[0], "text", 100, pair.seed).await?;
        for label in &labels {
            pair.offerer()
                .command("close-channel", json!({"label": label}))
                .await?;
        }
        for label in &labels {
            for session in [pair.offerer(), pair.answerer()] {
                session
                    .expect(SOON, "channel-closed", json!({"label": label}))
                    .await?;
            }
        }
    }
    Ok(String::new())
}

pub async fn close(pair: &Pair, closing: &Session, other: &Session) -> Result<String, String> {
    connect_with_channel(pair, json!({}), Plan::default()).await?;
    exchange(pair.offerer(), "data", "text", 100, pair.seed).await?;
    closing.command("close-channel", json!({"label": "data"})).await?;
    other
        .expect(SOON, "channel-closed", json!({"label": "data"}))
        .await?;
    closing
        .expect(SOON, "channel-closed", json!({"label": "data"}))
        .await?;
    // The connection lives on: another channel opens, perhaps on the same stream.
    open(pair, "after", json!({})).await?;
    opened(pair, "after").await?;
    exchange(pair.offerer(), "after", "binary", 5000, pair.seed).await?;
    Ok(String::new())
}

pub async fn bulk(pair: &Pair) -> Result<String, String> {
    let limit = Duration::from_secs(50);
    flood(
        pair,
        (pair.offerer(), pair.answerer()),
        32 << 20,
        limit,
        Plan::default(),
    )
    .await
}

/// We send, whoever offers: with the congestion control of other stacks it would take an hour.
pub async fn lossy(pair: &Pair) -> Result<String, String> {
    let plan = Plan {
        edit_offer: negotiate::without_candidates,
        edit_answer: negotiate::without_candidates,
        ..Plan::default()
    };
    flood(
        pair,
        (&pair.ours, &pair.peer),
        256 << 20,
        Duration::from_secs(590),
        plan,
    )
    .await
}

async fn flood(
    pair: &Pair,
    (from, to): (&Session, &Session),
    total: usize,
    limit: Duration,
    plan: Plan,
) -> Result<String, String> {
    pair.offerer().command("new", json!({})).await?;
    pair.answerer().command("new", json!({})).await?;
    open(pair, "data", json!({})).await?;
    connect(pair, plan).await?;
    opened(pair, "data").await?;
    to.command("collect", json!({"label": "data", "total": total}))
        .await?;
    let flood = json!({"label": "data", "total": total, "chunk": 65536, "seed": pair.seed});
    let sent = from.command_within(limit, "flood", flood).await?;
    let got = to.expect(limit, "collected", json!({"label": "data"})).await?;
    let wanted = json!(pattern::hash("binary", total, pair.seed));
    if got["sha256"] != wanted || sent["sha256"] != wanted || got["size"] != json!(total) {
        return Err(format!("not what was sent: {got}"));
    }
    let seconds = got["seconds"].as_f64().unwrap_or(f64::INFINITY);
    Ok(format!("{:.0} MB/s", total as f64 / 1e6 / seconds))
}

/// RFC 8260: the peer has I-DATA switched on, and so have we.
pub async fn interleaved(pair: &Pair) -> Result<String, String> {
    echo(pair).await?;
    let stats = pair.ours.command("stats", json!({})).await?;
    let agreed = &stats["stats"]["sctp"]["interleaving"];
    if *agreed != json!(true) {
        return Err(format!("I-DATA was not agreed on: {agreed}"));
    }
    Ok(String::new())
}
