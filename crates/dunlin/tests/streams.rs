//! Messages larger than what is kept, and channels as streams of bytes, between two peers over loopback.

mod common;

use std::io::ErrorKind;
use std::time::Duration;

use common::{Pair, soon};
use dunlin::{
    Bytes, ChannelState, DataChannel, DataChannelInit, Message, MessageKind, SendError, WriteError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One byte that only depends on where it is.
fn byte(at: usize) -> u8 {
    (at * 31 % 251) as u8
}

fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(byte).collect()
}

/// A channel of Alice's, and Bob's end of it. Bob takes messages of any size.
async fn channel(pair: &mut Pair, label: &str) -> (DataChannel, DataChannel) {
    let ours = pair
        .alice
        .create_data_channel(label, DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    let theirs = pair.accepted().await;
    (ours, theirs)
}

async fn pair() -> Pair {
    Pair::with(|config| {
        config.peer.max_message_size = 0;
        config.peer.receive_buffer = 1 << 20;
    })
    .await
}

#[tokio::test]
async fn a_message_of_forty_buffers_goes_through_in_pieces() {
    let mut pair = pair().await;
    let (ours, mut theirs) = channel(&mut pair, "large").await;
    let total = 40 << 20;
    let sending = tokio::spawn(async move {
        let mut message = ours
            .begin_message(MessageKind::Binary, Some(total))
            .await
            .unwrap();
        let mut at = 0;
        while at < total {
            let piece = pattern(at, 100_000.min(total - at));
            message.write_all(&piece).await.unwrap();
            at += piece.len();
        }
        message.shutdown().await.unwrap();
        drop(message);
        ours.send("after").await.unwrap();
        ours
    });
    let mut reader = soon("a message", theirs.recv_stream()).await.unwrap().unwrap();
    assert_eq!(reader.kind(), MessageKind::Binary);
    let (mut at, mut buffer) = (0, vec![0; 70_000]);
    loop {
        let read = soon("more", reader.read(&mut buffer)).await.unwrap();
        if read == 0 {
            break;
        }
        assert!(
            buffer[..read]
                .iter()
                .enumerate()
                .all(|(i, got)| *got == byte(at + i)),
            "at {at}"
        );
        at += read;
    }
    assert_eq!(at, total);
    drop(reader);
    assert_eq!(
        soon("text", theirs.recv()).await.unwrap(),
        Some(Message::from("after"))
    );
    sending.await.unwrap();
}

#[tokio::test]
async fn whole_messages_can_be_read_as_streams_and_messages_of_pieces_as_a_whole() {
    let mut pair = pair().await;
    let (ours, mut theirs) = channel(&mut pair, "both").await;
    for text in ["", "short"] {
        ours.send(text).await.unwrap();
        let mut reader = soon("a message", theirs.recv_stream()).await.unwrap().unwrap();
        let mut got = String::new();
        reader.read_to_string(&mut got).await.unwrap();
        assert_eq!((reader.kind(), got.as_str()), (MessageKind::Text, text));
    }
    for len in [0, 1, 65_536, 300_000] {
        let mut message = ours.begin_message(MessageKind::Binary, None).await.unwrap();
        for piece in pattern(0, len).chunks(7_777) {
            message.write_all(piece).await.unwrap();
            message.flush().await.unwrap();
        }
        message.shutdown().await.unwrap();
        assert_eq!(
            message.write(b"x").await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        drop(message);
        let got = soon("a message", theirs.recv()).await.unwrap();
        assert_eq!(got, Some(Message::from(pattern(0, len))), "{len}");
    }
}

#[tokio::test]
async fn a_writer_that_is_dropped_gives_its_message_up_and_the_channel_goes_on() {
    let mut pair = pair().await;
    let (ours, mut theirs) = channel(&mut pair, "given up").await;
    let mut message = ours.begin_message(MessageKind::Binary, None).await.unwrap();
    message.write_all(&pattern(0, 500_000)).await.unwrap();
    message.flush().await.unwrap();
    assert!(matches!(ours.try_send("no"), Err(SendError::MessageOpen { .. })));
    let mut reader = soon("a message", theirs.recv_stream()).await.unwrap().unwrap();
    drop(message);
    let mut got = Vec::new();
    let error = soon("the end", reader.read_to_end(&mut got)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert_eq!(got, pattern(0, got.len()));
    drop(reader);
    ours.send("after").await.unwrap();
    assert_eq!(
        soon("text", theirs.recv()).await.unwrap(),
        Some(Message::from("after"))
    );
}

#[tokio::test]
async fn a_reader_that_is_dropped_skips_the_rest_of_its_message() {
    let mut pair = pair().await;
    let (ours, mut theirs) = channel(&mut pair, "skipped").await;
    let sending = tokio::spawn(async move {
        let mut message = ours.begin_message(MessageKind::Binary, None).await.unwrap();
        message.write_all(&pattern(0, 5 << 20)).await.unwrap();
        message.shutdown().await.unwrap();
        drop(message);
        ours.send("after").await.unwrap();
        ours
    });
    let mut reader = soon("a message", theirs.recv_stream()).await.unwrap().unwrap();
    reader.read_exact(&mut [0; 10]).await.unwrap();
    drop(reader);
    assert_eq!(
        soon("text", theirs.recv()).await.unwrap(),
        Some(Message::from("after"))
    );
    sending.await.unwrap();
}

/// Everything that says it is cancel-safe is dropped again and again before it is ready.
#[tokio::test]
async fn cancelled_reads_and_writes_lose_and_repeat_nothing() {
    let mut pair = pair().await;
    let (ours, mut theirs) = channel(&mut pair, "cancelled").await;
    let total = 3 << 20;
    let sending = tokio::spawn(async move {
        let mut message = loop {
            tokio::select! {
                biased;
                begun = ours.begin_message(MessageKind::Binary, Some(total)) => break begun.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        };
        let mut at = 0;
        while at < total {
            let piece = pattern(at, 50_000.min(total - at));
            tokio::select! {
                biased;
                written = message.write(&piece) => at += written.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        }
        message.shutdown().await.unwrap();
        drop(message);
        ours
    });
    let mut reader = loop {
        tokio::select! {
            biased;
            reader = theirs.recv_stream() => break reader.unwrap().unwrap(),
            () = tokio::task::yield_now() => {}
        }
    };
    let (mut at, mut buffer) = (0, [0; 9_999]);
    loop {
        tokio::select! {
            biased;
            read = reader.read(&mut buffer) => {
                let read = read.unwrap();
                if read == 0 {
                    break;
                }
                assert!(buffer[..read].iter().enumerate().all(|(i, got)| *got == byte(at + i)), "at {at}");
                at += read;
            }
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(at, total);
    sending.await.unwrap();
}

#[tokio::test]
async fn a_message_that_the_peer_does_not_take_is_refused_as_soon_as_that_is_known() {
    let mut pair = Pair::new().await;
    let (ours, mut theirs) = channel(&mut pair, "limited").await;
    let refused = ours.begin_message(MessageKind::Binary, Some(262_145)).await;
    let (size, limit) = (262_145, 262_144);
    assert_eq!(refused.unwrap_err(), WriteError::TooLarge { size, limit });
    let mut message = ours.begin_message(MessageKind::Binary, None).await.unwrap();
    let written = message.write_all(&pattern(0, 400_000)).await;
    assert_eq!(written.unwrap_err().kind(), ErrorKind::InvalidInput);
    drop(message);
    ours.send("after").await.unwrap();
    assert_eq!(
        soon("text", theirs.recv()).await.unwrap(),
        Some(Message::from("after"))
    );
}

#[tokio::test]
async fn a_channel_is_a_stream_of_bytes_both_ways() {
    let mut pair = Pair::new().await;
    let ours = pair
        .alice
        .create_data_channel("bytes", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    // Written before the channel is open: it waits.
    let mut ours = ours.into_stream();
    let total = 8 << 20;
    let writing = tokio::spawn(async move {
        ours.write_all(&pattern(0, total)).await.unwrap();
        ours.flush().await.unwrap();
        assert_eq!(ours.channel().buffered_amount(), 0);
        let mut answer = [0; 4];
        ours.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"done");
        ours.shutdown().await.unwrap();
        ours
    });
    let mut theirs = pair.accepted().await.into_stream();
    let mut got = vec![0; total];
    soon("all", theirs.read_exact(&mut got)).await.unwrap();
    assert!(got == pattern(0, total));
    theirs.write_all(b"done").await.unwrap();
    let ours = soon("the writer", writing).await.unwrap();
    let mut rest = Vec::new();
    assert_eq!(soon("the end", theirs.read_to_end(&mut rest)).await.unwrap(), 0);
    assert_eq!(ours.channel().ready_state(), ChannelState::Closed);
    let late = theirs.write_all(b"late").await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::BrokenPipe);
}

/// A peer that knows nothing of streams: it sends messages, and one of them is a text.
#[tokio::test]
async fn messages_of_any_size_are_bytes_and_a_text_is_an_error() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = channel(&mut pair, "mixed").await;
    let mut theirs = theirs.into_stream();
    for len in [0, 1, 100_000, 3] {
        ours.send(Bytes::from(pattern(0, len))).await.unwrap();
    }
    ours.send("text").await.unwrap();
    let mut got = vec![0; 100_004];
    soon("bytes", theirs.read_exact(&mut got)).await.unwrap();
    assert_eq!(got[1..100_001], pattern(0, 100_000));
    let error = soon("the text", theirs.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

/// A handle that is dropped while the peer floods its channel must not stop the others.
#[tokio::test]
async fn a_flooded_channel_that_nobody_holds_does_not_stop_the_others() {
    let mut pair = Pair::with(|config| config.peer.receive_buffer = 300_000).await;
    let (flooding, flooded) = channel(&mut pair, "flood").await;
    let other = pair
        .alice
        .create_data_channel("other", DataChannelInit::default())
        .unwrap();
    let mut quiet = pair.accepted().await;
    for _ in 0..8 {
        let _ = flooding.try_send(pattern(0, 100_000));
    }
    // What has arrived by now fills what all channels share.
    tokio::time::timeout(Duration::from_secs(10), flooding.low())
        .await
        .unwrap();
    drop(flooded);
    other.send("heard").await.unwrap();
    assert_eq!(
        soon("a message", quiet.recv()).await.unwrap(),
        Some(Message::from("heard"))
    );
    soon("the flood to end", flooding.closed()).await;
}
