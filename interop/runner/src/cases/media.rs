//! Audio and video: the peer sends, our side sends it back, the peer judges what it hears and decodes.

use super::data;
use crate::judge;
use crate::negotiate::{Plan, connect};
use crate::pair::{Pair, SOON};
use serde_json::{Value, json};
use std::time::Duration;

fn section(kind: &str, source: &str, codec: Option<&str>) -> Value {
    let mut section = json!({"kind": kind, "source": source});
    if let Some(codec) = codec {
        section["codec"] = json!(codec);
    }
    section
}

/// Connects with the peer sending these sections and our side echoing them.
async fn start(pair: &Pair, sections: &[(&str, &str, Option<&str>)], channel: bool) -> Result<(), String> {
    let sent: Vec<Value> = sections
        .iter()
        .map(|(kind, source, codec)| section(kind, source, *codec))
        .collect();
    let echoed: Vec<Value> = sections
        .iter()
        .map(|(kind, _, codec)| section(kind, "echo", *codec))
        .collect();
    pair.start(
        json!({"media": sent, "echo": true}),
        json!({"media": echoed, "echo": true}),
    )
    .await?;
    if channel {
        data::open(pair, "data", json!({})).await?;
    }
    connect(pair, Plan::default()).await?;
    for (kind, ..) in sections {
        pair.ours.expect(SOON, "track", json!({"kind": kind})).await?;
        pair.peer.expect(SOON, "track", json!({"kind": kind})).await?;
    }
    Ok(())
}

async fn measure(pair: &Pair, kind: &str, seconds: f64) -> Result<Value, String> {
    let limit = Duration::from_secs_f64(seconds + 10.0);
    pair.peer
        .command_within(limit, "measure", json!({"kind": kind, "seconds": seconds}))
        .await
}

/// Waits for the first decoded frames, so that the judged seconds hold none of the start.
async fn first_frames(pair: &Pair) -> Result<(), String> {
    let mut last = Value::Null;
    for _ in 0..30 {
        last = measure(pair, "video", 0.4).await?;
        if last["frames"].as_u64() > Some(3) {
            return Ok(());
        }
    }
    Err(format!("no video was decoded: {last}"))
}

pub async fn audio(pair: &Pair) -> Result<String, String> {
    start(pair, &[("audio", "tone", Some("opus"))], false).await?;
    judge::tone(&measure(pair, "audio", 5.0).await?)
}

pub async fn video(pair: &Pair, codec: &str) -> Result<String, String> {
    start(pair, &[("video", "moving", Some(codec))], false).await?;
    first_frames(pair).await?;
    judge::picture(&measure(pair, "video", 10.0).await?, codec, 10.0)
}

pub async fn together(pair: &Pair) -> Result<String, String> {
    let sections = [("audio", "tone", None), ("video", "moving", Some("VP8"))];
    start(pair, &sections, true).await?;
    data::opened(pair, "data").await?;
    first_frames(pair).await?;
    let talk = async {
        for index in 0..20u32 {
            let seed = pair.seed.wrapping_add(index);
            data::exchange(pair.offerer(), "data", "binary", 4000 + index as usize, seed).await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    };
    let (heard, seen, talked) = tokio::join!(measure(pair, "audio", 5.0), measure(pair, "video", 5.0), talk);
    talked.map_err(|reason: String| format!("data: {reason}"))?;
    Ok(format!(
        "{}; {}",
        judge::tone(&heard?)?,
        judge::picture(&seen?, "VP8", 5.0)?
    ))
}
