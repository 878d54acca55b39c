//! Answers one WebRTC offer and sends everything back: messages, sound and picture.
//!
//! `cargo run --example echo`, then paste the JSON of an offer (with its candidates inside) and end the input.
#![allow(clippy::print_stdout, clippy::print_stderr)]
use dunlin::{Config, DataChannel, Error, Event, Events, PeerConnection};

/// Answers an offer in JSON, as browsers write it, and serves the connection in the background.
pub async fn answer(offer: &str) -> Result<String, Error> {
    let (pc, events) = PeerConnection::bind(Config::default()).await?;
    pc.set_remote_description(offer.parse()?)?;
    // What an offer brings only receives at first: let it send, too.
    dunlin::echo::accept(&pc);
    let answer = pc.set_local_description()?;
    // A peer that trickles would get the answer at once and the candidates as they are found.
    pc.gathered().await?;
    let answer = pc.local_description().unwrap_or(answer);
    tokio::spawn(serve(events));
    Ok(answer.to_string())
}

async fn serve(mut events: Events) {
    while let Some(event) = events.next().await {
        match event {
            Event::DataChannel(channel) => drop(tokio::spawn(echo(channel))),
            Event::Track(track) => drop(tokio::spawn(dunlin::echo::track(track))),
            other => eprintln!("{other:?}"),
        }
    }
}

async fn echo(mut channel: DataChannel) -> Result<(), Error> {
    while let Some(message) = channel.recv().await? {
        channel.send(message).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let offer = std::io::read_to_string(std::io::stdin())?;
    println!("{}", answer(&offer).await?);
    std::future::pending().await
}
