//! Data channels between two peers over loopback.

mod common;

use common::{Pair, echo, soon};
use dunlin::{Bytes, ChannelState, DataChannelInit, Message, SendError};

fn pattern(size: usize) -> Bytes {
    (0..size).map(|i| (i * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn messages_of_every_size_come_back_as_they_were() {
    let mut pair = Pair::new().await;
    let mut channel = pair
        .alice
        .create_data_channel("echo", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    echo(pair.accepted().await);
    for size in [0, 1, 1200, 16 * 1024, 64 * 1024, 256 * 1024] {
        let message = Message::Binary(pattern(size));
        soon("send", channel.send(message.clone())).await.unwrap();
        assert_eq!(
            soon("echo", channel.recv()).await.unwrap().unwrap(),
            message,
            "{size} bytes"
        );
    }
    for text in ["", "x", "Größe: 256 KiB"] {
        channel.send(text).await.unwrap();
        assert_eq!(
            soon("echo", channel.recv()).await.unwrap().unwrap(),
            Message::from(text)
        );
    }
    let error = channel.send(pattern(256 * 1024 + 1)).await.unwrap_err();
    assert!(
        matches!(
            error,
            SendError::TooLarge {
                size: 262_145,
                limit: 262_144,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn twenty_channels_talk_at_once() {
    let mut pair = Pair::new().await;
    let channels: Vec<_> = (0..20)
        .map(|i| {
            pair.alice
                .create_data_channel(&format!("channel {i}"), DataChannelInit::default())
                .unwrap()
        })
        .collect();
    pair.negotiate();
    for _ in 0..20 {
        echo(pair.accepted().await);
    }
    let talks = channels.into_iter().enumerate().map(|(i, mut channel)| {
        tokio::spawn(async move {
            for round in 0..10 {
                let message = Message::Text(format!("{i}.{round}"));
                channel.send(message.clone()).await.unwrap();
                assert_eq!(channel.recv().await.unwrap().unwrap(), message);
            }
        })
    });
    for talk in talks.collect::<Vec<_>>() {
        soon("a talk", talk).await.unwrap();
    }
}

#[tokio::test]
async fn thirty_two_mebibytes_arrive_in_order_through_a_full_buffer() {
    let mut pair = Pair::new().await;
    let channel = pair
        .alice
        .create_data_channel("bulk", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    let mut received = pair.accepted().await;
    let sending = tokio::spawn(async move {
        for i in 0..512_u32 {
            let mut message = vec![0; 64 * 1024];
            message[..4].copy_from_slice(&i.to_be_bytes());
            channel.send(message).await.unwrap();
        }
        channel
    });
    for i in 0..512_u32 {
        let Some(Message::Binary(message)) = soon("bulk", received.recv()).await.unwrap() else {
            panic!("message {i} is missing")
        };
        assert_eq!(message.len(), 64 * 1024);
        assert_eq!(message[..4], i.to_be_bytes());
    }
    let channel = soon("the sender", sending).await.unwrap();
    soon("an empty buffer", channel.low()).await;
    assert_eq!(channel.buffered_amount(), 0);
}

#[tokio::test]
async fn the_options_of_a_channel_reach_the_other_side() {
    let mut pair = Pair::new().await;
    let init = DataChannelInit {
        ordered: false,
        max_retransmits: Some(0),
        protocol: "chess".to_owned(),
        ..DataChannelInit::default()
    };
    let mut channel = pair.alice.create_data_channel("moves", init).unwrap();
    assert_eq!(channel.ready_state(), ChannelState::Connecting);
    pair.negotiate();
    let accepted = pair.accepted().await;
    assert_eq!((accepted.label(), accepted.protocol()), ("moves", "chess"));
    assert!(!accepted.ordered() && !accepted.negotiated());
    assert_eq!(
        (accepted.max_retransmits(), accepted.max_packet_life_time()),
        (Some(0), None)
    );
    assert_eq!(accepted.id(), channel.id());
    echo(accepted);
    channel.send("e4").await.unwrap();
    assert_eq!(
        soon("echo", channel.recv()).await.unwrap(),
        Some(Message::from("e4"))
    );
}

#[tokio::test]
async fn a_negotiated_channel_needs_no_announcement() {
    let pair = Pair::new().await;
    let init = DataChannelInit {
        negotiated: true,
        id: Some(7),
        ..DataChannelInit::default()
    };
    let alice = pair.alice.create_data_channel("known", init.clone()).unwrap();
    let mut bob = pair.bob.create_data_channel("known", init).unwrap();
    pair.negotiate();
    alice.send("hello").await.unwrap();
    assert_eq!(
        soon("a message", bob.recv()).await.unwrap(),
        Some(Message::from("hello"))
    );
}

#[tokio::test]
async fn a_closed_channel_delivers_what_was_sent_and_then_ends_on_both_sides() {
    let mut pair = Pair::new().await;
    let mut channel = pair
        .alice
        .create_data_channel("short", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    let mut accepted = pair.accepted().await;
    for i in 0..100 {
        channel.send(format!("{i}")).await.unwrap();
    }
    channel.close();
    assert!(matches!(channel.try_send("late"), Err(SendError::Closed { .. })));
    for i in 0..100 {
        assert_eq!(
            soon("a message", accepted.recv()).await.unwrap(),
            Some(Message::from(format!("{i}")))
        );
    }
    assert_eq!(soon("the end", accepted.recv()).await.unwrap(), None);
    assert_eq!(soon("the end", channel.recv()).await.unwrap(), None);
    soon("both sides to close", channel.closed()).await;
    assert_eq!(channel.ready_state(), ChannelState::Closed);
}

#[tokio::test]
async fn dropping_the_last_handle_of_a_channel_closes_it_and_not_the_connection() {
    let mut pair = Pair::new().await;
    let channel = pair
        .alice
        .create_data_channel("dropped", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    let mut accepted = pair.accepted().await;
    let clone = channel.clone();
    drop(channel);
    clone.send("still here").await.unwrap();
    assert_eq!(
        soon("a message", accepted.recv()).await.unwrap(),
        Some(Message::from("still here"))
    );
    drop(clone);
    assert_eq!(soon("the end", accepted.recv()).await.unwrap(), None);
    let mut second = pair
        .alice
        .create_data_channel("second", DataChannelInit::default())
        .unwrap();
    echo(pair.accepted().await);
    second.send("again").await.unwrap();
    assert_eq!(
        soon("echo", second.recv()).await.unwrap(),
        Some(Message::from("again"))
    );
}

#[tokio::test]
async fn a_full_channel_hands_the_message_back_and_says_when_there_is_room() {
    let mut pair = Pair::new().await;
    let channel = pair
        .alice
        .create_data_channel("full", DataChannelInit::default())
        .unwrap();
    assert!(matches!(
        channel.try_send("early"),
        Err(SendError::NotOpen { .. })
    ));
    pair.negotiate();
    let mut accepted = pair.accepted().await;
    channel.opened().await.unwrap();
    let mut sent = 0_usize;
    let message = Message::Binary(pattern(100_000));
    let error = loop {
        match channel.try_send(message.clone()) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SendError::Full { .. }), "{error}");
    assert_eq!(error.into_message(), message);
    assert!(sent >= 10, "{sent}");
    channel.set_buffered_amount_low_threshold(200_000);
    let reading = tokio::spawn(async move {
        for _ in 0..=sent {
            accepted.recv().await.unwrap().unwrap();
        }
    });
    soon("room", channel.low()).await;
    assert!(channel.buffered_amount() <= 200_000);
    channel.send(message).await.unwrap();
    soon("everything", reading).await.unwrap();
}
