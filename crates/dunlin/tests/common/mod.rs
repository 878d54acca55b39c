//! Two peers over loopback, as tests need them. No fixed ports, no sleeps.
#![allow(dead_code)]

use std::time::Duration;

use dunlin::{Config, DataChannel, DataChannelInit, EndpointConfig, Event, Events, Message, PeerConnection};

/// Nothing here takes longer; a test that waits for ever fails with the name of what it waited for.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// One IPv4 loopback socket.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.sockets = EndpointConfig::at("127.0.0.1:0".parse().unwrap());
    config
}

/// Carries a peer's candidates to the other side, and hands the other events on.
pub(crate) fn trickle(
    mut events: Events,
    to: &PeerConnection,
) -> tokio::sync::mpsc::UnboundedReceiver<Event> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let to = to.clone();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Event::IceCandidate(candidate) => {
                    // Late candidates of a connection that is gone.
                    let _ = to.add_ice_candidate(candidate);
                }
                other => drop(sender.send(other)),
            }
        }
    });
    receiver
}

/// Two peers, and the events of both that are not about candidates.
pub(crate) struct Pair {
    pub(crate) alice: PeerConnection,
    pub(crate) bob: PeerConnection,
    pub(crate) alice_events: tokio::sync::mpsc::UnboundedReceiver<Event>,
    pub(crate) bob_events: tokio::sync::mpsc::UnboundedReceiver<Event>,
}

impl Pair {
    /// Two peers that know nothing of each other.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Two peers that are made with other settings than the usual.
    pub(crate) async fn with(change: impl Fn(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        let (alice, alice_events) = PeerConnection::bind(config.clone()).await.unwrap();
        let (bob, bob_events) = PeerConnection::bind(config).await.unwrap();
        let (alice_events, bob_events) = (trickle(alice_events, &bob), trickle(bob_events, &alice));
        Self {
            alice,
            bob,
            alice_events,
            bob_events,
        }
    }

    /// Alice offers, Bob answers.
    pub(crate) fn negotiate(&self) {
        self.bob
            .set_remote_description(self.alice.set_local_description().unwrap())
            .unwrap();
        self.alice
            .set_remote_description(self.bob.set_local_description().unwrap())
            .unwrap();
    }

    /// Both are connected.
    pub(crate) async fn connected(&self) {
        soon("alice to connect", self.alice.connected()).await.unwrap();
        soon("bob to connect", self.bob.connected()).await.unwrap();
    }

    /// The next channel that Alice opened.
    pub(crate) async fn accepted(&mut self) -> DataChannel {
        soon("a channel", async {
            loop {
                if let Event::DataChannel(channel) = self.bob_events.recv().await.expect("bob lives") {
                    return channel;
                }
            }
        })
        .await
    }
}

/// Connects two peers without trickle, so that no task holds a handle of theirs.
pub(crate) async fn connect_whole(alice: &PeerConnection, bob: &PeerConnection) {
    alice.set_local_description().unwrap();
    soon("gathering", alice.gathered()).await.unwrap();
    bob.set_remote_description(alice.local_description().unwrap())
        .unwrap();
    dunlin::echo::accept(bob);
    bob.set_local_description().unwrap();
    soon("gathering", bob.gathered()).await.unwrap();
    alice
        .set_remote_description(bob.local_description().unwrap())
        .unwrap();
    soon("alice to connect", alice.connected()).await.unwrap();
    soon("bob to connect", bob.connected()).await.unwrap();
}

/// Sends everything back until the channel is closed.
pub(crate) fn echo(channel: DataChannel) {
    tokio::spawn(dunlin::echo::channel(channel));
}

/// Connects two peers, and sends messages there and back.
pub(crate) async fn echo_through(
    alice: PeerConnection,
    bob: PeerConnection,
    [alice_events, mut bob_events]: [Events; 2],
) {
    tokio::spawn(async move {
        while let Some(event) = bob_events.next().await {
            if let Event::DataChannel(channel) = event {
                echo(channel);
            }
        }
    });
    let mut channel = alice
        .create_data_channel("x", DataChannelInit::default())
        .unwrap();
    connect_whole(&alice, &bob).await;
    soon("sending", channel.send("hello")).await.unwrap();
    assert_eq!(
        soon("the echo", channel.recv()).await.unwrap(),
        Some(Message::from("hello"))
    );
    // More than a window, so that datagrams of full size pass.
    let large = vec![7u8; 300_000];
    for chunk in large.chunks(60_000) {
        soon("sending", channel.send(chunk.to_vec())).await.unwrap();
        assert_eq!(
            soon("the echo", channel.recv()).await.unwrap(),
            Some(Message::from(chunk.to_vec()))
        );
    }
    bob.close();
    drop((alice, bob, alice_events));
}
