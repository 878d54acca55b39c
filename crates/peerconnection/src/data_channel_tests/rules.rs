//! The rules of webrtc-pc, section 6, and of RFC 8831 and 8832, one by one.

use std::time::Duration;

use bytes::Bytes;

use super::{A, B, World, init};
use crate::config::Config;
use crate::data_channel::{ChannelFailure, ChannelId, DataChannelInit, Message, MessageKind, Piece};
use crate::dcep::{DcepMessage, Open};
use crate::error::{CreateChannelError, PieceError, SendMessageError};
use crate::event::Event;
use crate::state::ChannelState;

const SOON: Duration = Duration::from_secs(2);

fn negotiated(id: u16) -> DataChannelInit {
    DataChannelInit {
        negotiated: true,
        id: Some(id),
        ..init()
    }
}

fn open(world: &mut World) -> (ChannelId, ChannelId) {
    let ours = world.create(A, "a", init()).unwrap();
    world.run(SOON);
    let theirs = *world.accepted(B).last().unwrap();
    (ours, theirs)
}

fn stream(world: &World, side: usize, id: ChannelId) -> Option<u16> {
    world.sides[side].channels.get(id).unwrap().stream()
}

fn failure(world: &World, side: usize, id: ChannelId) -> Option<ChannelFailure> {
    world.sides[side].channels.get(id).unwrap().failure()
}

fn open_message() -> Bytes {
    DcepMessage::Open(Open::new("evil", &init())).to_bytes()
}

/// "If both [[MaxPacketLifeTime]] and [[MaxRetransmits]] attributes are set (not null), throw a TypeError", and the others.
#[test]
fn options_that_contradict_each_other_are_refused_by_name() {
    let mut world = World::new(Config::default(), 1);
    let two = DataChannelInit {
        max_retransmits: Some(1),
        max_packet_life_time: Some(1),
        ..init()
    };
    assert_eq!(world.create(A, "", two), Err(CreateChannelError::TwoLimits));
    let without = DataChannelInit {
        negotiated: true,
        ..init()
    };
    assert_eq!(
        world.create(A, "", without),
        Err(CreateChannelError::NegotiatedWithoutId)
    );
    assert_eq!(
        world.create(A, "", negotiated(65_535)),
        Err(CreateChannelError::IdOutOfRange {
            id: 65_535,
            limit: 65_535
        })
    );
    world.create(A, "", negotiated(65_534)).unwrap();
    assert_eq!(
        world.create(A, "", negotiated(65_534)),
        Err(CreateChannelError::IdInUse { id: 65_534 })
    );
    // Bytes of UTF-8 count, not characters.
    let long = "é".repeat(32_768);
    let refused = world.create(A, &long, init()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the label is 65536 bytes of UTF-8, the limit is 65535"
    );
    let protocol = DataChannelInit {
        protocol: "p".repeat(65_536),
        ..init()
    };
    let refused = world.create(A, "", protocol).unwrap_err();
    assert!(refused.to_string().starts_with("the protocol is 65536 bytes"));
}

/// "the id member will be ignored if the data channel is negotiated in-band".
#[test]
fn an_id_means_nothing_without_negotiated() {
    let mut world = World::new(Config::default(), 1);
    let seven = DataChannelInit {
        id: Some(7),
        ..init()
    };
    let ids = [0, 1].map(|_| world.create(A, "", seven.clone()).unwrap());
    let last = DataChannelInit {
        id: Some(65_535),
        ..init()
    };
    world.create(A, "", last).unwrap();
    world.connect();
    assert_eq!(ids.map(|id| stream(&world, A, id)), [Some(0), Some(2)]);
}

/// RFC 8832, section 6: "If the side is acting as the DTLS client, it MUST choose an even stream identifier; if the side is
/// acting as the DTLS server, it MUST choose an odd one."
#[test]
fn ids_follow_the_dtls_role_as_soon_as_it_is_known() {
    let mut world = World::new(Config::default(), 1);
    world.create(A, "", negotiated(2)).unwrap();
    let early = [A, B].map(|side| [0, 1].map(|_| world.create(side, "", init()).unwrap()));
    assert_eq!(stream(&world, A, early[0][0]), None);
    world.set_roles();
    assert_eq!(early[0].map(|id| stream(&world, A, id)), [Some(0), Some(4)]);
    assert_eq!(early[1].map(|id| stream(&world, B, id)), [Some(1), Some(3)]);
    let later = world.create(A, "", init()).unwrap();
    assert_eq!(stream(&world, A, later), Some(6));
    assert_eq!(world.state(A, later), Some(ChannelState::Connecting));
}

/// Browsers take 1,024 streams and fewer. "Let maxChannels be …": no identifier is beyond it, those of closed channels come
/// again, and more come with more streams (webrtc-pc, section 6.1.1; RFC 6525).
#[test]
fn no_identifier_is_beyond_the_streams_of_the_peer() {
    let mut world = World::new(Config::default(), 1);
    let early = [10, 11].map(|id| world.create(A, "", negotiated(id)).unwrap());
    world.connect_with_streams(11, 65_535);
    assert_eq!(world.state(A, early[0]), Some(ChannelState::Open));
    assert_eq!(world.state(A, early[1]), Some(ChannelState::Closed));
    assert_eq!(failure(&world, A, early[1]), Some(ChannelFailure::NoSuchStream));
    assert_eq!(
        world.create(A, "", negotiated(11)),
        Err(CreateChannelError::IdOutOfRange { id: 11, limit: 11 })
    );
    let some: Vec<_> = (0..5).map(|_| world.create(A, "", init()).unwrap()).collect();
    assert_eq!(world.create(A, "", init()), Err(CreateChannelError::NoIdLeft));
    world.run(SOON);
    world.close(A, some[3]);
    world.run(SOON);
    let again = world.create(A, "", init()).unwrap();
    assert_eq!(stream(&world, A, again), Some(6));
    world.sides[A].sctp.as_mut().unwrap().add_streams(2);
    world.run(SOON);
    let more = world.create(A, "", init()).unwrap();
    assert_eq!(stream(&world, A, more), Some(12));
    world.run(SOON);
    assert_eq!(world.state(A, more), Some(ChannelState::Open));
    assert_eq!(world.accepted(B).len(), 7);
}

/// What the peer opens where we cannot answer waits for more streams, and is no channel if there are none.
#[test]
fn a_channel_of_the_peer_without_a_stream_for_the_answer_is_none() {
    for closes in [false, true] {
        let mut world = World::new(Config::default(), 1);
        world.connect_with_streams(11, if closes { 65_535 } else { 11 });
        world.sides[A].sctp.as_mut().unwrap().add_streams(2);
        world.run(SOON);
        let opened = world.create(A, "", negotiated(12)).unwrap();
        world.send_raw(A, 12, 50, open_message());
        if closes {
            world.close(A, opened);
        }
        world.run(SOON);
        assert_eq!(world.accepted(B).len(), usize::from(closes));
        let none_left = world.sides[B]
            .channels
            .iter()
            .all(|(_, channel)| channel.state() == ChannelState::Closed);
        assert!(none_left, "closes: {closes}");
        // The connection lives on.
        let (_, theirs) = open(&mut world);
        assert_eq!(world.state(B, theirs), Some(ChannelState::Open));
    }
}

/// libwebrtc announces 65,535 streams and refuses a channel beyond stream 1,023: a connection that opens channels one after the
/// other must not come there.
#[test]
fn identifiers_of_closed_channels_come_again_before_the_high_ones_and_not_at_once() {
    let mut world = World::connected();
    let mut highest = 0;
    for round in 0..600 {
        let (ours, _) = open(&mut world);
        let used = stream(&world, A, ours).unwrap();
        assert_eq!(used, round % 512 * 2);
        highest = highest.max(used);
        world.close(A, ours);
        world.run(SOON);
    }
    assert_eq!(highest, 1022);
    let all: Vec<_> = (0..513).map(|_| world.create(A, "", init()).unwrap()).collect();
    assert_eq!(stream(&world, A, all[512]), Some(1024));
    world.run(SOON);
    world.close(A, all[7]);
    world.run(SOON);
    let freed = stream(&world, A, all[7]);
    let last = [0, 1].map(|_| world.create(A, "", init()).unwrap());
    assert_eq!(stream(&world, A, last[0]), freed);
    assert_eq!(stream(&world, A, last[1]), Some(1026));
}

#[test]
fn a_label_and_a_protocol_of_the_full_length_arrive() {
    let mut config = Config::default();
    // What opens a channel is no message: the limit of messages is not its limit.
    config.max_message_size = 1000;
    let mut world = World::new(config, 1);
    for side in &mut world.sides {
        side.channels.set_max_message_size(1000);
    }
    world.connect();
    let (label, protocol) = ("l".repeat(65_535), "é".repeat(32_767));
    let options = DataChannelInit {
        protocol: protocol.clone(),
        ordered: false,
        max_packet_life_time: Some(65_535),
        priority: 1024,
        ..init()
    };
    world.create(A, &label, options.clone()).unwrap();
    world.run(SOON);
    let theirs = world.accepted(B)[0];
    let channel = world.sides[B].channels.get(theirs).unwrap();
    assert_eq!(channel.label(), label);
    let told = DataChannelInit {
        id: Some(0),
        ..options
    };
    assert_eq!(*channel.init(), told);
}

/// "All DCEP messages MUST be sent": whatever waits in the buffer, and it is no message of the application.
#[test]
fn a_full_buffer_keeps_no_channel_from_opening_and_openings_are_not_buffered_messages() {
    let mut config = Config::default();
    config.send_buffer = 100_000;
    let mut world = World::new(config, 1);
    world.connect();
    let (ours, theirs) = open(&mut world);
    for (side, id) in [(A, ours), (B, theirs)] {
        world.send(side, id, vec![1; 99_000]).unwrap();
        let full = world.send(side, id, vec![1; 99_000]);
        assert!(matches!(full, Err(SendMessageError::Full { .. })));
    }
    let second = world.create(A, "second", init()).unwrap();
    assert_eq!(world.state(A, second), Some(ChannelState::Open));
    assert_eq!(world.buffered(A, second), 0);
    world.run(SOON);
    let accepted = world.accepted(B);
    assert_eq!(accepted.len(), 2);
    assert_eq!(world.buffered(B, accepted[1]), 0);
    let low = |event: &Event| matches!(event, Event::BufferedAmountLow(id) if *id == second);
    assert_eq!(world.count(A, low), 0);
}

#[test]
fn the_low_threshold_may_be_set_before_the_channel_opens() {
    let mut world = World::new(Config::default(), 1);
    let id = world.create(A, "", init()).unwrap();
    let side = &mut world.sides[A];
    side.channels.set_low_threshold(id, 50_000, side.sctp.as_mut());
    world.connect();
    world.send(A, id, vec![1; 100_000]).unwrap();
    assert_eq!(world.buffered(A, id), 100_000);
    let low = |event: &Event| matches!(event, Event::BufferedAmountLow(_));
    while world.count(A, low) == 0 {
        world.run(Duration::from_millis(1));
    }
    let left = world.buffered(A, id);
    assert!((1..=50_000).contains(&left), "{left}");
    world.run(SOON);
    assert_eq!(world.count(A, low), 1, "it was crossed once");
}

#[test]
fn messages_before_the_channel_is_open_are_refused_and_the_first_ones_are_ordered() {
    let mut world = World::new(Config::default(), 1);
    let unordered = DataChannelInit {
        ordered: false,
        ..init()
    };
    let id = world.create(A, "", unordered).unwrap();
    let early = world.send(A, id, "early");
    assert!(matches!(early, Err(SendMessageError::NotOpen { .. })));
    world.connect();
    // "before the DATA_CHANNEL_ACK message or any other message has been received on a data channel, all other messages
    // … MUST be sent ordered": or they would come before what opens it.
    world.reorder = 1.0;
    let unordered = DataChannelInit {
        ordered: false,
        ..init()
    };
    for round in 0..20 {
        let id = world.create(A, "", unordered.clone()).unwrap();
        for text in ["1", "2", "3"] {
            world.send(A, id, text).unwrap();
            world.run(Duration::from_millis(1));
        }
        world.run(SOON);
        let theirs = world.accepted(B)[round + 1];
        assert_eq!(world.all(B, theirs), ["1", "2", "3"].map(Message::from));
    }
}

#[test]
fn what_is_wrong_with_an_opening_resets_its_stream_without_an_answer() {
    let bad_type = {
        let mut message = open_message().to_vec();
        message[1] = 0x03;
        message
    };
    let messages: [(&str, u16, Vec<u8>); 6] = [
        ("our parity", 1, open_message().to_vec()),
        ("an unknown channel type", 8, bad_type),
        ("cut short", 8, open_message()[..13].to_vec()),
        ("too long", 8, [&open_message()[..], b"x"].concat()),
        ("an unknown message", 8, vec![9]),
        ("far too long", 8, vec![3; 140_000]),
    ];
    for (name, stream, message) in messages {
        let mut config = Config::default();
        config.max_message_size = 0;
        let mut world = World::new(config, 1);
        world.connect();
        world.send_raw(A, stream, 50, message);
        world.run(SOON);
        assert!(world.accepted(B).is_empty(), "{name}");
        assert_eq!(world.sides[B].channels.dropped, 1, "{name}");
        assert_eq!(world.sides[B].channels.unread(), 0, "{name}");
        // The refused stream is not used by B until A has reset its side of it, either.
        let own: Vec<_> = (0..2)
            .map(|_| {
                let id = world.create(B, "", init()).unwrap();
                super::super::data_channel_table::Channels::get(&world.sides[B].channels, id)
                    .unwrap()
                    .stream()
                    .unwrap()
            })
            .collect();
        assert_eq!(own.contains(&1), stream != 1, "{name}: {own:?}");
    }
}

/// A peer whose opening is refused closes the channel, and both may use the stream again.
#[test]
fn a_refused_channel_closes_on_the_side_that_opened_it() {
    let mut config = Config::default();
    config.max_channels = 1;
    let mut world = World::new(config, 1);
    world.connect();
    let kept = world.create(B, "", init()).unwrap();
    world.run(SOON);
    assert_eq!(world.accepted(A).len(), 1);
    world.sides[A].channels.max_channels = 9;
    let refused = world.create(A, "one too many", init()).unwrap();
    world.send(A, refused, "lost").unwrap();
    world.run(SOON);
    assert_eq!(world.state(A, refused), Some(ChannelState::Closed));
    assert!(world.sides[B].channels.refused.is_empty());
    assert_eq!(world.state(B, kept), Some(ChannelState::Open));
    world.sides[B].channels.max_channels = 9;
    let again = world.create(A, "", negotiated(0)).unwrap();
    world.create(B, "", negotiated(0)).unwrap();
    world.send(A, again, "hello").unwrap();
    world.run(SOON);
    assert_eq!(world.sides[B].channels.dropped, 2, "the opening and the message");
}

#[test]
fn an_opening_on_a_stream_in_use_closes_the_channel_that_uses_it() {
    let mut world = World::connected();
    let (ours, theirs) = open(&mut world);
    let before = world.sides[B].channels.iter().count();
    world.send_raw(A, 0, 50, open_message());
    world.run(SOON);
    assert_eq!(world.state(B, theirs), Some(ChannelState::Closed));
    assert_eq!(failure(&world, B, theirs), Some(ChannelFailure::Establishment));
    assert_eq!(world.state(A, ours), Some(ChannelState::Closed));
    assert_eq!(world.sides[B].channels.iter().count(), before);
}

#[test]
fn messages_that_are_not_what_they_say_close_their_channel_and_no_other() {
    for (ppid, data, expected) in [
        (99, vec![1, 2], ChannelFailure::UnknownMessage { ppid: 99 }),
        (54, vec![1, 2], ChannelFailure::UnknownMessage { ppid: 54 }),
        (51, vec![0xff, 0xfe], ChannelFailure::NotText),
        (53, vec![0; 2001], ChannelFailure::MessageTooLarge { limit: 2000 }),
    ] {
        let mut config = Config::default();
        config.max_message_size = 2000;
        let mut world = World::new(config, 1);
        world.connect();
        let (_, first) = open(&mut world);
        let (other, second) = open(&mut world);
        world.send_raw(A, 0, ppid, data);
        world.run(SOON);
        assert_eq!(world.state(B, first), Some(ChannelState::Closed), "{ppid}");
        assert_eq!(failure(&world, B, first), Some(expected));
        assert_eq!(world.state(B, second), Some(ChannelState::Open));
        world.send(A, other, "fine").unwrap();
        world.run(SOON);
        assert_eq!(world.all(B, second), [Message::from("fine")]);
    }
}

#[test]
fn user_data_on_a_stream_without_a_channel_is_dropped_and_counted() {
    let mut world = World::connected();
    world.send_raw(A, 4, 53, vec![1; 5]);
    world.run(SOON);
    assert_eq!(world.sides[B].channels.dropped, 1);
    assert!(world.accepted(B).is_empty());
}

/// RFC 8831, section 6.6: "if an empty message has to be sent, the appropriate PPID … is used, and the SCTP user message of
/// one zero byte is sent. … the receiver MUST ignore the SCTP user message and process it as an empty message."
#[test]
fn empty_messages_are_messages_whatever_byte_they_carry() {
    let mut world = World::connected();
    let (ours, theirs) = open(&mut world);
    world.send(A, ours, "").unwrap();
    world.send(A, ours, Bytes::new()).unwrap();
    world.send_raw(A, 0, 56, vec![7; 3]);
    world.send_raw(A, 0, 57, vec![7; 3]);
    world.run(SOON);
    let empty = [Message::from(""), Message::from(Bytes::new())];
    assert_eq!(world.all(B, theirs), [empty.clone(), empty].concat());
    let counters = world.sides[A].channels.get(ours).unwrap().counters();
    assert_eq!((counters.messages_sent, counters.bytes_sent), (2, 0));
}

/// The closing procedure: what was queued arrives, what comes after `close` is discarded, both sides end, once.
#[test]
fn closing_flushes_what_was_sent_and_discards_what_comes() {
    let mut world = World::connected();
    let (ours, theirs) = open(&mut world);
    for i in 0..20 {
        world.send(A, ours, vec![i; 50_000]).unwrap();
    }
    world.close(A, ours);
    assert_eq!(world.state(A, ours), Some(ChannelState::Closing));
    let late = world.send(A, ours, "late");
    assert!(matches!(late, Err(SendMessageError::NotOpen { .. })));
    world.send(B, theirs, "unheard").unwrap();
    world.run(SOON);
    let got = world.all(B, theirs);
    assert_eq!(got.len(), 20);
    assert!(
        got.iter()
            .enumerate()
            .all(|(i, m)| *m == Message::from(vec![i as u8; 50_000]))
    );
    assert_eq!(world.all(A, ours), []);
    for (side, id) in [(A, ours), (B, theirs)] {
        assert_eq!(world.state(side, id), Some(ChannelState::Closed));
        assert_eq!(failure(&world, side, id), None);
        assert_eq!(
            world.count(side, |event| matches!(event, Event::ChannelClosed(x) if *x == id)),
            1
        );
    }
    assert_eq!(
        world.count(B, |event| matches!(event, Event::ChannelClosing(_))),
        1
    );
    // Closing again is nothing.
    world.close(A, ours);
    world.run(SOON);
    assert_eq!(
        world.count(A, |event| matches!(event, Event::ChannelClosed(_))),
        1
    );
}

#[test]
fn both_sides_may_close_at_the_same_moment_or_before_the_channel_is_open() {
    let mut world = World::connected();
    let (ours, theirs) = open(&mut world);
    world.close(A, ours);
    world.close(B, theirs);
    let hasty = world.create(A, "hasty", init()).unwrap();
    world.close(A, hasty);
    world.run(SOON);
    for (side, id) in [(A, ours), (B, theirs), (A, hasty)] {
        assert_eq!(world.state(side, id), Some(ChannelState::Closed));
    }
    let accepted = world.accepted(B)[1];
    assert_eq!(world.state(B, accepted), Some(ChannelState::Closed));
    let mut world = World::new(Config::default(), 1);
    let early = world.create(A, "", init()).unwrap();
    world.close(A, early);
    assert_eq!(world.state(A, early), Some(ChannelState::Closed));
    world.connect();
    assert!(world.accepted(B).is_empty());
}

/// The word that our reset was performed is lost; the peer, which performed it, uses the stream anew already.
#[test]
fn a_stream_that_is_used_anew_before_the_old_channel_is_known_to_be_closed_loses_nothing() {
    for seed in 0..12 {
        let mut world = World::new(Config::default(), seed);
        world.connect();
        // All but one identifier is in use.
        for id in (2..40).step_by(2) {
            world.create(A, "", negotiated(id)).unwrap();
        }
        world.sides[A]
            .channels
            .refused
            .extend((40..65_535).step_by(2).map(dunlin_sctp::StreamId));
        world.loss = 0.3;
        let (mut sent, mut last) = (0, None);
        let mut deadline = world.now + Duration::from_secs(600);
        while sent < 6 {
            assert!(world.now < deadline, "seed {seed}");
            let over = last.is_none_or(|id| world.state(A, id) == Some(ChannelState::Closed));
            if over {
                let id = world.create(A, &sent.to_string(), init()).unwrap();
                world.send(A, id, sent.to_string()).unwrap();
                world.close(A, id);
                last = Some(id);
                sent += 1;
                deadline = world.now + Duration::from_secs(600);
            }
            world.run(Duration::from_millis(3));
        }
        // At that loss the association itself would not live long.
        world.loss = 0.0;
        world.run(Duration::from_secs(60));
        let accepted = world.accepted(B);
        let texts: Vec<_> = accepted
            .iter()
            .map(|id| {
                let label = world.sides[B].channels.get(*id).unwrap().label().to_owned();
                assert_eq!(world.all(B, *id), [Message::from(label.clone())], "seed {seed}");
                label
            })
            .collect();
        assert_eq!(texts, ["0", "1", "2", "3", "4", "5"], "seed {seed}");
    }
}

#[test]
fn a_negotiated_id_can_be_used_again_after_both_sides_have_closed() {
    let mut world = World::connected();
    for round in 0..3 {
        let ids = [A, B].map(|side| world.create(side, "", negotiated(7)).unwrap());
        let text = format!("round {round}");
        world.send(A, ids[A], text.as_str()).unwrap();
        world.send(B, ids[B], text.as_str()).unwrap();
        world.run(SOON);
        for side in [A, B] {
            assert_eq!(world.all(side, ids[side]), [Message::from(text.as_str())]);
        }
        world.close(round % 2, ids[round % 2]);
        assert_eq!(
            world.create(round % 2, "", negotiated(7)),
            Err(CreateChannelError::IdInUse { id: 7 })
        );
        world.run(SOON);
    }
}

/// A channel that nobody listens to any more must not fill the buffer that all channels share.
#[test]
fn a_forgotten_channel_holds_no_other_one_up() {
    let mut config = Config::default();
    config.receive_buffer = 100_000;
    let mut world = World::new(config, 1);
    world.connect();
    let (flooding, flooded) = open(&mut world);
    let (other, quiet) = open(&mut world);
    for _ in 0..30 {
        world.send(A, flooding, vec![1; 50_000]).unwrap();
    }
    world.run(SOON);
    assert!(world.sides[B].channels.unread() >= 100_000);
    world.close(B, flooded);
    world.sides[B].channels.forget(flooded);
    world.send(A, other, "heard").unwrap();
    world.run(Duration::from_secs(10));
    assert_eq!(world.all(B, quiet), [Message::from("heard")]);
    assert_eq!(world.state(A, flooding), Some(ChannelState::Closed));
}

#[test]
fn a_lost_association_closes_every_channel_and_says_why() {
    let mut world = World::connected();
    let (ours, theirs) = open(&mut world);
    let now = world.now;
    world.sides[A].sctp.as_mut().unwrap().abort(now, "gone");
    world.run(SOON);
    for (side, id) in [(A, ours), (B, theirs)] {
        assert_eq!(world.state(side, id), Some(ChannelState::Closed));
        assert_eq!(failure(&world, side, id), Some(ChannelFailure::Transport));
    }
}

/// One byte that only depends on where it is.
fn byte(at: usize) -> u8 {
    (at * 31 % 251) as u8
}

/// `a=max-message-size:0`: a message of eight receive buffers goes through in pieces.
#[test]
fn a_message_larger_than_all_buffers_is_sent_and_received_in_pieces() {
    let mut config = Config::default();
    config.max_message_size = 0;
    config.receive_buffer = 500_000;
    config.send_buffer = 500_000;
    let mut world = World::new(config, 7);
    world.loss = 0.02;
    world.connect();
    let (ours, theirs) = open(&mut world);
    let total = 4_000_000;
    world.sides[A]
        .channels
        .begin_message(ours, MessageKind::Binary, None)
        .unwrap();
    let meanwhile = world.send(A, ours, "no");
    assert!(matches!(meanwhile, Err(SendMessageError::MessageOpen { .. })));
    let (mut sent, mut got, mut most) = (0, 0, 0);
    while got < total {
        while sent < total {
            let len = 60_000.min(total - sent);
            let piece: Bytes = (sent..sent + len).map(byte).collect();
            match world.send_piece(A, ours, piece, sent + len == total) {
                Ok(()) => sent += len,
                Err(PieceError::Full { .. }) => break,
                Err(other) => panic!("{other}"),
            }
        }
        world.run(Duration::from_millis(50));
        most = most.max(world.sides[B].channels.unread());
        while let Some(Piece::Data { kind, data, last }) = world.receive_piece(B, theirs) {
            assert_eq!(kind, MessageKind::Binary);
            assert!(data.iter().enumerate().all(|(i, b)| *b == byte(got + i)));
            got += data.len();
            assert_eq!(last, got == total);
        }
    }
    assert!(most < 700_000, "{most} bytes waited");
    world.send(A, ours, "after").unwrap();
    world.run(SOON);
    assert_eq!(world.all(B, theirs), [Message::from("after")]);
    let counters = world.sides[B].channels.get(theirs).unwrap().counters();
    assert_eq!(
        (counters.messages_received, counters.bytes_received),
        (2, 4_000_005)
    );
}

/// Who receives whole messages gets large ones whole, as long as they fit; one that cannot closes the channel with a reason.
#[test]
fn pieces_are_joined_for_who_wants_whole_messages_and_what_cannot_fit_closes_the_channel() {
    let mut config = Config::default();
    config.max_message_size = 0;
    config.receive_buffer = 1_000_000;
    let mut world = World::new(config, 7);
    world.connect();
    let (ours, theirs) = open(&mut world);
    let message = Message::from((0..400_000).map(byte).collect::<Vec<u8>>());
    let text = Message::from("é".repeat(100_000));
    for message in [&message, &text] {
        world.send(A, ours, message.clone()).unwrap();
    }
    world.run(SOON);
    assert_eq!(world.all(B, theirs), [message, text]);
    world.send(A, ours, vec![1; 3_000_000]).unwrap();
    world.run(SOON);
    assert_eq!(world.all(B, theirs), []);
    let limit = 500_000;
    assert_eq!(
        failure(&world, B, theirs),
        Some(ChannelFailure::MessageTooLarge { limit })
    );
    world.run(Duration::from_secs(10));
    assert_eq!(world.state(A, ours), Some(ChannelState::Closed));
    assert_eq!(world.sides[B].channels.unread(), 0);
}

#[test]
fn a_message_that_is_given_up_in_the_middle_is_told_to_who_has_begun_to_read_it() {
    for reads in [true, false] {
        let mut config = Config::default();
        config.max_message_size = 0;
        let mut world = World::new(config, 3);
        world.connect();
        let (ours, theirs) = open(&mut world);
        world.sides[A]
            .channels
            .begin_message(ours, MessageKind::Binary, None)
            .unwrap();
        world
            .send_piece(A, ours, Bytes::from(vec![5; 200_000]), false)
            .unwrap();
        world.run(SOON);
        if reads {
            assert!(matches!(
                world.receive_piece(B, theirs),
                Some(Piece::Data { last: false, .. })
            ));
        }
        let now = world.now;
        let side = &mut world.sides[A];
        side.channels.abandon_message(now, ours, side.sctp.as_mut());
        world.send(A, ours, "after").unwrap();
        world.run(SOON);
        if reads {
            let rest: Vec<_> = std::iter::from_fn(|| world.receive_piece(B, theirs)).collect();
            assert_eq!(rest[0], Piece::Aborted);
            assert_eq!(rest.len(), 2);
        } else {
            assert_eq!(world.all(B, theirs), [Message::from("after")]);
        }
        assert_eq!(world.sides[B].channels.unread(), 0);
    }
}

#[test]
fn the_rest_of_a_message_that_nobody_wants_is_dropped_as_it_comes() {
    let mut config = Config::default();
    config.max_message_size = 0;
    config.receive_buffer = 200_000;
    let mut world = World::new(config, 3);
    world.connect();
    let (ours, theirs) = open(&mut world);
    world.send(A, ours, vec![5; 3_000_000]).unwrap();
    world.send(A, ours, "after").unwrap();
    world.run(SOON);
    assert!(matches!(
        world.receive_piece(B, theirs),
        Some(Piece::Data { last: false, .. })
    ));
    world.sides[B].channels.skip_message(theirs);
    world.run(Duration::from_secs(10));
    assert_eq!(world.all(B, theirs), [Message::from("after")]);
}

#[test]
fn pieces_have_the_limits_of_messages() {
    let mut world = World::connected();
    let (ours, theirs) = open(&mut world);
    world.sides[A].channels.set_max_message_size(1000);
    let channels = &mut world.sides[A].channels;
    let (size, limit) = (1001, 1000);
    let known = channels.begin_message(ours, MessageKind::Binary, Some(1001));
    assert_eq!(known, Err(PieceError::TooLarge { size, limit }));
    channels.begin_message(ours, MessageKind::Binary, None).unwrap();
    let twice = channels.begin_message(ours, MessageKind::Binary, None);
    assert_eq!(twice, Err(PieceError::MessageOpen));
    world
        .send_piece(A, ours, Bytes::from(vec![0; 900]), false)
        .unwrap();
    let large = world.send_piece(A, ours, Bytes::from(vec![0; 101]), true);
    assert_eq!(large, Err(PieceError::TooLarge { size, limit }));
    let empty = world.send_piece(A, ours, Bytes::new(), true);
    assert_eq!(empty, Err(PieceError::Empty));
    world
        .send_piece(A, ours, Bytes::from(vec![0; 100]), true)
        .unwrap();
    let none = world.send_piece(A, ours, Bytes::from(vec![0; 1]), true);
    assert_eq!(none, Err(PieceError::GivenUp));
    // A message of no bytes is a message.
    world.sides[A]
        .channels
        .begin_message(ours, MessageKind::Text, Some(0))
        .unwrap();
    world.send_piece(A, ours, Bytes::new(), true).unwrap();
    world.run(SOON);
    assert_eq!(
        world.all(B, theirs),
        [Message::from(vec![0; 1000]), Message::from("")]
    );
}
