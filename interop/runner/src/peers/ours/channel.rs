//! Our data channels: what is echoed, reported, collected, sent.

use crate::pattern;
use crate::session::Log;
use dunlin::{Bytes, DataChannel, Message};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The channels of a session by label.
#[derive(Debug, Clone, Default)]
pub struct Channels(Arc<Mutex<BTreeMap<String, Entry>>>);

#[derive(Debug)]
struct Entry {
    channel: DataChannel,
    /// What is counted instead of reported.
    collecting: Option<Collecting>,
}

#[derive(Debug)]
struct Collecting {
    total: usize,
    bytes: Vec<u8>,
    started: Option<Instant>,
}

impl Channels {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, command: &Value) -> Result<DataChannel, String> {
        let label = command["label"].as_str().unwrap_or_default();
        let entry = self.lock().get(label).map(|entry| entry.channel.clone());
        entry.ok_or_else(|| format!("there is no channel {label:?}"))
    }

    pub async fn send(&self, command: &Value) -> Result<Value, String> {
        let channel = self.get(command)?;
        let (size, seed) = (number(command, "size"), number(command, "seed") as u32);
        let (message, hash) = if command["kind"] == "text" {
            let text = pattern::text(size, seed);
            let hash = pattern::sha256(text.as_bytes());
            (Message::Text(text), hash)
        } else {
            let bytes = pattern::binary(size, seed);
            let hash = pattern::sha256(&bytes);
            (Message::Binary(Bytes::from(bytes)), hash)
        };
        channel.send(message).await.map_err(|error| error.to_string())?;
        Ok(json!({"sha256": hash}))
    }

    pub async fn flood(&self, command: &Value) -> Result<Value, String> {
        let channel = self.get(command)?;
        let (total, chunk) = (number(command, "total"), number(command, "chunk").max(1));
        let mut bytes = Bytes::from(pattern::binary(total, number(command, "seed") as u32));
        let hash = pattern::sha256(&bytes);
        while !bytes.is_empty() {
            let piece = bytes.split_to(chunk.min(bytes.len()));
            channel
                .send(Message::Binary(piece))
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(json!({"sha256": hash}))
    }

    pub fn collect(&self, command: &Value) -> Result<(), String> {
        let total = number(command, "total");
        let label = command["label"].as_str().unwrap_or_default();
        let mut channels = self.lock();
        let entry = channels
            .get_mut(label)
            .ok_or_else(|| format!("there is no channel {label:?}"))?;
        entry.collecting = Some(Collecting {
            total,
            bytes: Vec::with_capacity(total),
            started: None,
        });
        Ok(())
    }

    pub fn close(&self, command: &Value) -> Result<(), String> {
        self.get(command)?.close();
        Ok(())
    }

    /// Takes a message that is counted; the event once all are there. `Err` gives the message back.
    fn count(&self, label: &str, message: Message) -> Result<Option<Value>, Message> {
        let mut channels = self.lock();
        let Some(entry) = channels.get_mut(label) else {
            return Err(message);
        };
        let Some(collecting) = &mut entry.collecting else {
            return Err(message);
        };
        let started = *collecting.started.get_or_insert_with(Instant::now);
        collecting.bytes.extend_from_slice(raw(&message));
        if collecting.bytes.len() < collecting.total {
            return Ok(None);
        }
        let seconds = started.elapsed().as_secs_f64();
        let bytes = std::mem::take(&mut collecting.bytes);
        entry.collecting = None;
        let hash = pattern::sha256(&bytes);
        let (event, size) = ("collected", bytes.len());
        Ok(Some(
            json!({"event": event, "label": label, "size": size, "sha256": hash, "seconds": seconds}),
        ))
    }
}

fn number(command: &Value, name: &str) -> usize {
    command[name]
        .as_u64()
        .and_then(|value| usize::try_from(value).ok())
        .unwrap_or(0)
}

/// Keeps a channel and serves it until it is closed.
pub fn adopt(channels: &Channels, channel: DataChannel, echo: bool, log: &Log) {
    let label = channel.label().to_owned();
    channels.lock().insert(
        label.clone(),
        Entry {
            channel: channel.clone(),
            collecting: None,
        },
    );
    tokio::spawn(serve(channels.clone(), channel, label, echo, log.clone()));
}

async fn serve(channels: Channels, mut channel: DataChannel, label: String, echo: bool, log: Log) {
    if channel.opened().await.is_ok() {
        log.push(json!({"event": "open", "label": label}));
    }
    while let Ok(Some(message)) = channel.recv().await {
        if echo && let Err(error) = channel.send(message.clone()).await {
            log.push(json!({"event": "failure", "reason": format!("echo: {error}")}));
        }
        match channels.count(&label, message) {
            Ok(None) => {}
            Ok(Some(event)) => log.push(event),
            Err(message) => log.push(reported(&label, &message)),
        }
    }
    channel.closed().await;
    log.push(json!({"event": "channel-closed", "label": label}));
}

fn reported(label: &str, message: &Message) -> Value {
    let kind = match message {
        Message::Text(_) => "text",
        Message::Binary(_) => "binary",
    };
    let bytes = raw(message);
    let hash = pattern::sha256(bytes);
    json!({"event": "message", "label": label, "kind": kind, "size": bytes.len(), "sha256": hash})
}

fn raw(message: &Message) -> &[u8] {
    match message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => bytes,
    }
}
