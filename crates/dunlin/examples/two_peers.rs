//! Two peers in one process: an offer, an answer, trickled candidates, and a conversation on a data channel.
#![allow(clippy::print_stdout, clippy::print_stderr)]
use dunlin::{Config, DataChannelInit, Error, Event, Events, Message, PeerConnection};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.sockets.include_loopback = true;
    let (alice, alice_events) = PeerConnection::bind(config.clone()).await?;
    let (bob, bob_events) = PeerConnection::bind(config).await?;

    let mut channel = alice.create_data_channel("greetings", DataChannelInit::default())?;
    bob.set_remote_description(alice.set_local_description()?)?;
    alice.set_remote_description(bob.set_local_description()?)?;
    tokio::spawn(serve("alice", alice_events, bob.clone()));
    tokio::spawn(serve("bob", bob_events, alice.clone()));

    alice.connected().await?;
    println!(
        "connected over {}",
        alice
            .selected_path()
            .map_or("?".to_owned(), |path| path.to_string())
    );
    channel.send("Hello, Bob.").await?;
    if let Some(Message::Text(text)) = channel.recv().await? {
        println!("alice hears: {text}");
    }
    alice.close();
    println!("bob: {}", bob.closed().await);
    Ok(())
}

/// What a program's signalling does: candidates go to the other side.
async fn serve(name: &'static str, mut events: Events, other: PeerConnection) -> Result<(), Error> {
    while let Some(event) = events.next().await {
        match event {
            Event::IceCandidate(candidate) => other.add_ice_candidate(candidate)?,
            Event::ConnectionState(state) => println!("{name} is {state}"),
            Event::DataChannel(mut channel) => {
                tokio::spawn(async move {
                    while let Some(Message::Text(text)) = channel.recv().await? {
                        println!("{name} hears: {text}");
                        channel.send("Hello, Alice.").await?;
                    }
                    Ok::<(), Error>(())
                });
            }
            _ => {}
        }
    }
    Ok(())
}
