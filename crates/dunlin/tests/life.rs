//! How connections begin and end: setup, handles, failures, many on one port.

mod common;

use std::time::Duration;

use common::{Pair, config, connect_whole, echo, soon, trickle};
use dunlin::{
    ConnectionError, ConnectionState, DataChannelInit, Endpoint, EndpointConfig, Event, Message,
    PeerConnection, SessionDescription,
};

#[tokio::test]
async fn the_peer_learns_of_a_close_and_every_wait_ends() {
    let mut pair = Pair::new().await;
    let mut channel = pair
        .alice
        .create_data_channel("x", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    let mut accepted = pair.accepted().await;
    pair.connected().await;
    pair.alice.close();
    assert_eq!(soon("alice", pair.alice.closed()).await, ConnectionError::Closed);
    assert!(matches!(
        soon("bob", pair.bob.closed()).await,
        ConnectionError::ClosedByPeer(_)
    ));
    assert_eq!(soon("the channel", channel.recv()).await, Ok(None));
    assert_eq!(soon("the channel", accepted.recv()).await, Ok(None));
    assert_eq!(pair.bob.connection_state(), ConnectionState::Closed);
    assert!(pair.alice.set_local_description().is_err());
    let ended = async { while pair.bob_events.recv().await.is_some() {} };
    soon("the events to end", ended).await;
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_connection() {
    let (alice, alice_events) = PeerConnection::bind(config()).await.unwrap();
    let (bob, bob_events) = PeerConnection::bind(config()).await.unwrap();
    let channel = alice
        .create_data_channel("held", DataChannelInit::default())
        .unwrap();
    connect_whole(&alice, &bob).await;
    drop((alice, alice_events));
    // The channel is a handle: the connection lives.
    soon("a message to leave", channel.send("alive")).await.unwrap();
    assert_eq!(bob.connection_state(), ConnectionState::Connected);
    drop(channel);
    assert!(matches!(
        soon("bob", bob.closed()).await,
        ConnectionError::ClosedByPeer(_)
    ));
    drop(bob_events);
}

#[test]
fn every_task_ends_with_its_connections() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (alice, alice_events) = PeerConnection::bind(config()).await.unwrap();
        let (bob, mut bob_events) = PeerConnection::bind(config()).await.unwrap();
        let mut channel = alice
            .create_data_channel("x", DataChannelInit::default())
            .unwrap();
        connect_whole(&alice, &bob).await;
        tokio::spawn(async move {
            while let Some(event) = bob_events.next().await {
                if let Event::DataChannel(channel) = event {
                    echo(channel);
                }
            }
        });
        channel.send("x").await.unwrap();
        soon("echo", channel.recv()).await.unwrap();
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 4);
        // The peer's tasks hold its handles: they end as the peer learns of the end.
        drop((alice, alice_events, channel, bob));
        soon("the tasks to end", async {
            while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    });
}

#[test]
fn handles_that_outlive_their_runtime_say_so() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (pc, events) = runtime.block_on(PeerConnection::bind(config())).unwrap();
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime.block_on(soon("the error", pc.connected())).unwrap_err();
    assert!(error.to_string().contains("runtime"), "{error}");
    drop((pc, events));
}

#[tokio::test]
async fn a_malformed_description_names_its_line_and_changes_nothing() {
    let (pc, _events) = PeerConnection::bind(config()).await.unwrap();
    let error = pc
        .set_remote_description(SessionDescription::offer("v=0\r\nnonsense\r\n"))
        .unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert_eq!(pc.signaling_state().as_str(), "stable");
    pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    pc.set_local_description().unwrap();
}

#[tokio::test]
async fn a_wrong_fingerprint_fails_before_any_data_and_says_so() {
    let pair = Pair::new().await;
    let _channel = pair
        .alice
        .create_data_channel("x", DataChannelInit::default())
        .unwrap();
    let mut offer = pair.alice.set_local_description().unwrap();
    let at = offer.sdp.find("a=fingerprint:sha-256 ").unwrap() + "a=fingerprint:sha-256 ".len();
    let other = if &offer.sdp[at..at + 2] == "00" {
        "11"
    } else {
        "00"
    };
    offer.sdp.replace_range(at..at + 2, other);
    pair.bob.set_remote_description(offer).unwrap();
    pair.alice
        .set_remote_description(pair.bob.set_local_description().unwrap())
        .unwrap();
    let error = soon("bob", pair.bob.connected()).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Failed(_)), "{error:?}");
    assert!(error.to_string().contains("fingerprint"), "{error}");
}

#[tokio::test]
async fn fifty_connections_share_one_port() {
    let server = Endpoint::bind(EndpointConfig::at("127.0.0.1:0".parse().unwrap()))
        .await
        .unwrap();
    assert_eq!(server.local_addresses().len(), 1);
    let mut talks = Vec::new();
    for i in 0..50 {
        let (far, far_events) = server.connection(config()).await.unwrap();
        let (near, near_events) = PeerConnection::bind(config()).await.unwrap();
        let mut far_events = trickle(far_events, &near);
        let near_events = trickle(near_events, &far);
        let mut channel = near
            .create_data_channel("echo", DataChannelInit::default())
            .unwrap();
        far.set_remote_description(near.set_local_description().unwrap())
            .unwrap();
        near.set_remote_description(far.set_local_description().unwrap())
            .unwrap();
        tokio::spawn(async move {
            while let Some(event) = far_events.recv().await {
                if let Event::DataChannel(channel) = event {
                    echo(channel);
                }
            }
        });
        talks.push(tokio::spawn(async move {
            let message = Message::Text(format!("I am {i}"));
            channel.send(message.clone()).await.unwrap();
            assert_eq!(channel.recv().await.unwrap(), Some(message));
            drop((near, near_events));
        }));
    }
    for talk in talks {
        soon("a talk", talk).await.unwrap();
    }
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let mut pair = Pair::new().await;
    let mut channel = pair
        .alice
        .create_data_channel("x", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    echo(pair.accepted().await);
    for i in 0..50 {
        channel.send(format!("{i}")).await.unwrap();
        let message = soon("echo", async {
            loop {
                // Given up again and again before the message is there.
                if let Ok(message) = tokio::time::timeout(Duration::from_micros(1), channel.recv()).await {
                    return message.unwrap().unwrap();
                }
            }
        })
        .await;
        assert_eq!(message, Message::from(format!("{i}")));
    }
}
