//! A file over a data channel, with progress as the receiver sees it.
//!
//! `cargo run --release --example send_file -- FILE [COPY]` sends FILE from one peer to another, both in this
//! process, and compares (or keeps) the copy. Signalling aside, each half is what a program of its own would do.
#![allow(clippy::print_stdout, clippy::print_stderr)]
use std::path::PathBuf;

use dunlin::{Bytes, Config, DataChannel, DataChannelInit, Error, Event, Events, Message, PeerConnection};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What browsers take at most without being asked.
const PIECE: usize = 64 * 1024;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(source) = arguments.next() else {
        return Err("usage: send_file FILE [COPY]".into());
    };
    let copy = arguments.next().unwrap_or_else(|| source.with_extension("copy"));

    let (sender, receiver, events) = connect().await?;
    let receiving = tokio::spawn(receive(receiver, events, copy.clone()));
    let channel = sender.create_data_channel("file", DataChannelInit::default())?;
    send(&channel, &source).await?;
    channel.close();
    let received = receiving.await??;
    println!("{} bytes are at {}", received, copy.display());
    Ok(())
}

/// The sending half: the size as text, the file in pieces, and the receiver's last word.
async fn send(channel: &DataChannel, source: &PathBuf) -> Result<()> {
    let mut file = File::open(source).await?;
    let size = file.metadata().await?.len();
    channel.send(size.to_string()).await?;
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}")?;
    let bar = ProgressBar::new(size).with_style(style);
    let mut acknowledgements = channel.clone();
    let progress = tokio::spawn({
        let bar = bar.clone();
        async move {
            while let Some(Message::Text(text)) = acknowledgements.recv().await? {
                bar.set_position(text.parse().unwrap_or(0));
                if bar.position() == size {
                    break;
                }
            }
            Ok::<(), Error>(())
        }
    });
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        if (&mut file).take(PIECE as u64).read_to_end(&mut piece).await? == 0 {
            break;
        }
        // Waits when the channel's buffer is full.
        channel.send(Bytes::from(piece)).await?;
    }
    progress.await??;
    bar.finish();
    Ok(())
}

/// The receiving half: writes what comes, and says how far it is.
async fn receive(_connection: PeerConnection, mut events: Events, copy: PathBuf) -> Result<u64> {
    let mut channel = loop {
        match events.next().await {
            Some(Event::DataChannel(channel)) => break channel,
            Some(_) => {}
            None => return Err("the connection ended before the file came".into()),
        }
    };
    let size: u64 = match channel.recv().await? {
        Some(Message::Text(text)) => text.parse()?,
        _ => return Err("the first message is not the size".into()),
    };
    let mut file = File::create(copy).await?;
    let mut received = 0;
    while received < size {
        let Some(Message::Binary(piece)) = channel.recv().await? else {
            break;
        };
        file.write_all(&piece).await?;
        received += piece.len() as u64;
        channel.send(received.to_string()).await?;
    }
    if size == 0 {
        channel.send("0").await?;
    }
    file.flush().await?;
    // The sender closes when it has heard the last number.
    channel.recv().await?;
    Ok(received)
}

/// Two peers in this process: in real life the descriptions travel over your signalling.
async fn connect() -> Result<(PeerConnection, PeerConnection, Events)> {
    let mut config = Config::default();
    config.sockets.include_loopback = true;
    let (sender, mut events) = PeerConnection::bind(config.clone()).await?;
    let (receiver, receiver_events) = PeerConnection::bind(config).await?;
    // A channel of its own, so that the first offer has a data section.
    sender
        .create_data_channel("control", DataChannelInit::default())?
        .close();
    sender.set_local_description()?;
    sender.gathered().await?;
    receiver.set_remote_description(sender.local_description().ok_or("no offer")?)?;
    receiver.set_local_description()?;
    receiver.gathered().await?;
    sender.set_remote_description(receiver.local_description().ok_or("no answer")?)?;
    tokio::spawn(async move { while events.next().await.is_some() {} });
    sender.connected().await?;
    Ok((sender, receiver, receiver_events))
}
