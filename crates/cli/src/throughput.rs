//! The throughput test: what a channel labelled `throughput` speaks.
//!
//! Text messages are JSON commands of the browser, binary messages are load.
//!
//! - `{"command": "upload"}`: the browser begins to send load. With `{"command": "end"}` it is done, and gets
//!   `{"bytes": n, "messages": n, "seconds": s}`: what arrived, from the first message of load to the last.
//! - `{"command": "download", "seconds": s, "size": n}`: we send messages of `n` bytes for `s` seconds, then the
//!   same JSON, counting what was sent.

use std::time::{Duration, Instant};

use dunlin::{Bytes, DataChannel, Error, Message};
use serde::{Deserialize, Serialize};

/// The longest download that is served.
const MAX_TIME: Duration = Duration::from_secs(30);
/// The largest message that is sent.
const MAX_SIZE: usize = 256 * 1024;

#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
enum Command {
    Upload,
    End,
    Download { seconds: f64, size: usize },
}

/// What went through, and in what time.
#[derive(Debug, Default, Serialize)]
struct Count {
    bytes: usize,
    messages: u64,
    seconds: f64,
    #[serde(skip)]
    begin: Option<Instant>,
}

impl Count {
    fn add(&mut self, bytes: usize) {
        let begin = *self.begin.get_or_insert_with(Instant::now);
        self.bytes += bytes;
        self.messages += 1;
        self.seconds = begin.elapsed().as_secs_f64();
    }

    fn report(&self) -> Message {
        Message::Text(serde_json::to_string(self).unwrap_or_default())
    }
}

/// Serves one channel until it is closed.
pub(crate) async fn run(mut channel: DataChannel) -> Result<(), Error> {
    let mut count = Count::default();
    while let Some(message) = channel.recv().await? {
        let text = match message {
            Message::Binary(load) => {
                count.add(load.len());
                continue;
            }
            Message::Text(text) => text,
        };
        match serde_json::from_str(&text) {
            Ok(Command::Upload) => count = Count::default(),
            Ok(Command::End) => channel.send(count.report()).await?,
            Ok(Command::Download { seconds, size }) => {
                let time = Duration::try_from_secs_f64(seconds)
                    .unwrap_or(MAX_TIME)
                    .min(MAX_TIME);
                let sent = download(&channel, time, size.clamp(1, MAX_SIZE)).await?;
                channel.send(sent.report()).await?;
            }
            Err(error) => {
                log::info!("throughput: {text:?} is no command: {error}");
                channel
                    .send(r#"{"error": "not a command of the throughput test"}"#)
                    .await?;
            }
        }
    }
    Ok(())
}

async fn download(channel: &DataChannel, time: Duration, size: usize) -> Result<Count, Error> {
    let load = Bytes::from(vec![0x55; size]);
    let mut count = Count::default();
    let end = Instant::now() + time;
    while Instant::now() < end {
        channel.send(load.clone()).await?;
        count.add(load.len());
    }
    Ok(count)
}
