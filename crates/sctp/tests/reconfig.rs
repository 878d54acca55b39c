//! All requests of RFC 6525, as the one who asks and as the one who is asked.

mod common;

use common::*;
use dunlin_sctp::{Association, Config, Event, Ppid, Reconfiguration, SendError, SendOptions, StreamId, Tsn};

fn with(streams: u16, interleaving: bool) -> Config {
    let mut config = Config::default();
    config.streams = streams;
    config.interleaving = interleaving;
    config.initial_tsn = Some(Tsn(1000));
    config
}

fn done(what: Reconfiguration) -> Event {
    Event::ReconfigurationDone(what)
}

fn failed(what: Reconfiguration) -> Event {
    Event::ReconfigurationFailed(what)
}

fn added(outgoing: u16, incoming: u16) -> Event {
    Event::StreamsAdded { outgoing, incoming }
}

fn reset(streams: &[u16]) -> Event {
    let streams = streams.iter().map(|&stream| StreamId(stream)).collect();
    Event::StreamsReset { streams }
}

fn incoming(streams: &[u16]) -> Reconfiguration {
    Reconfiguration::IncomingReset(streams.iter().map(|&stream| StreamId(stream)).collect())
}

fn try_send(world: &mut World, side: usize, stream: u16) -> Result<(), SendError> {
    let (now, stream) = (world.now, StreamId(stream));
    world.ends[side].send(now, stream, Ppid(53), "new".into(), SendOptions::default())
}

#[test]
fn streams_are_added_and_used_only_when_the_peer_has_agreed() {
    let mut world = World::connected(with(4, true));
    world.ends[A].add_streams(3);
    assert!(matches!(
        try_send(&mut world, A, 6),
        Err(SendError::NoSuchStream { .. })
    ));
    world.run(millis(100));
    assert_eq!(
        world.diagram[..2],
        ["A> RE-CONFIG add 3", "B> SACK + RE-CONFIG result 1"]
    );
    assert_eq!(
        world.notices(A),
        [added(7, 4), done(Reconfiguration::AddOutgoing(3))]
    );
    assert_eq!(world.notices(B), [added(4, 7)]);
    assert_eq!(world.ends[A].outbound_streams(), Some(7));
    assert!(try_send(&mut world, A, 6).is_ok());
    assert!(try_send(&mut world, A, 7).is_err());
    assert!(try_send(&mut world, B, 4).is_err());
    world.run(millis(100));
    assert_eq!(world.messages(B), [(6, "new".into())]);
}

#[test]
fn the_peer_is_asked_to_send_on_more_streams() {
    let mut world = World::connected(with(4, true));
    world.ends[A].add_incoming_streams(2);
    world.run(millis(200));
    assert_eq!(
        world.diagram[..3],
        [
            "A> RE-CONFIG add incoming 2",
            "B> SACK + RE-CONFIG result 1 + RE-CONFIG add 2",
            "A> SACK + RE-CONFIG result 1"
        ]
    );
    assert_eq!(
        world.notices(A),
        [done(Reconfiguration::AddIncoming(2)), added(4, 6)]
    );
    assert_eq!(world.notices(B), [added(6, 4)]);
    assert!(try_send(&mut world, B, 5).is_ok());
    world.run(millis(100));
    assert_eq!(world.messages(A), [(5, "new".into())]);
}

#[test]
fn more_streams_than_the_limit_are_denied_and_impossible_ones_not_asked_for() {
    let mut config = with(4, true);
    config.max_streams = 6;
    let mut world = World::connected(config);
    world.ends[A].add_streams(3);
    world.ends[A].add_incoming_streams(3);
    world.ends[A].add_streams(u16::MAX);
    world.ends[A].add_incoming_streams(0);
    world.run(millis(500));
    assert_eq!(
        world.notices(A),
        [
            failed(Reconfiguration::AddOutgoing(u16::MAX)),
            failed(Reconfiguration::AddIncoming(0)),
            failed(Reconfiguration::AddOutgoing(3)),
            failed(Reconfiguration::AddIncoming(3)),
        ]
    );
    assert_eq!(world.notices(B), []);
    let requests = world.diagram.iter().filter(|line| line.contains("add")).count();
    assert_eq!(requests, 2);
}

#[test]
fn the_peer_is_asked_to_reset_its_streams() {
    for interleaving in [false, true] {
        let mut world = World::connected(with(10, interleaving));
        for stream in [1, 2] {
            world.send(B, stream, "before");
        }
        world.run(millis(100));
        world.diagram.clear();
        // B never sent on stream 3.
        world.ends[A].reset_incoming(&[StreamId(3)]);
        world.ends[A].reset_incoming(&[StreamId(1)]);
        world.run(millis(500));
        assert_eq!(
            world.diagram[..5],
            [
                "A> RE-CONFIG incoming reset",
                "B> SACK + RE-CONFIG result 0",
                "A> RE-CONFIG incoming reset",
                "B> SACK + RE-CONFIG result 1 + RE-CONFIG reset",
                "A> SACK + RE-CONFIG result 1",
            ]
        );
        assert_eq!(
            world.notices(A),
            [done(incoming(&[3])), done(incoming(&[1])), reset(&[1])]
        );
        assert_eq!(world.notices(B), [Event::StreamResetDone(StreamId(1))]);
        // All: stream 1 has been reset, so that is stream 2.
        world.ends[A].reset_incoming(&[]);
        world.run(millis(500));
        assert_eq!(world.notices(A)[3..], [done(incoming(&[])), reset(&[2])]);
        for stream in [1, 2] {
            world.send(B, stream, "after");
        }
        world.run(millis(100));
        assert_eq!(world.texts(A), ["before", "before", "after", "after"]);
    }
}

/// Only one request may be in flight, and each side's waits for what the other must send.
#[test]
fn both_sides_may_ask_each_other_at_once() {
    let mut world = World::connected(with(10, true));
    for side in [A, B] {
        world.send(side, 1, "before");
        world.ends[side].reset_incoming(&[StreamId(1)]);
    }
    world.run(millis(1000));
    for side in [A, B] {
        assert!(world.notices(side).contains(&done(incoming(&[1]))));
        assert!(world.notices(side).contains(&reset(&[1])));
        world.send(side, 1, "after");
    }
    world.run(millis(1000));
    assert_eq!((world.texts(A).len(), world.texts(B).len()), (2, 2));
}

#[test]
fn a_long_list_takes_several_requests() {
    let mut world = World::connected(Config::default());
    let streams: Vec<StreamId> = (0..2000).map(StreamId).collect();
    for stream in &streams {
        world.send(B, stream.0, "x");
    }
    world.run(millis(1000));
    world.ends[A].reset_incoming(&streams);
    world.run(millis(2000));
    let reset: usize = world.events[A]
        .iter()
        .map(|event| match event {
            Event::StreamsReset { streams } => streams.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(reset, 2000);
    assert!(world.largest <= 1191);
}

/// What both sides have sent, before and after.
fn reset_association(interleaving: bool, lost: Option<usize>) {
    let mut world = World::connected(with(10, interleaving));
    let mut count = 0;
    world.filter = Some(Box::new(move |_, _| {
        count += 1;
        Some(count - 1) != lost
    }));
    for i in 0..6u8 {
        world.send(A, 1, vec![i; 20_000]);
        world.send(B, 1, vec![i; 20_000]);
    }
    world.run(millis(25));
    world.ends[A].reset_association();
    // Both sides go on sending: these messages wait.
    for i in 6..9u8 {
        world.send(A, 1, vec![i; 3000]);
        world.send(B, 1, vec![i; 3000]);
        world.send(A, u16::from(i), vec![0; 3000]);
    }
    world.run(millis(8000));
    for side in [A, B] {
        let got: Vec<u8> = world
            .messages(side)
            .iter()
            .filter(|message| message.0 == 1)
            .map(|message| message.1[0])
            .collect();
        assert_eq!(
            got,
            (0..9).collect::<Vec<u8>>(),
            "{side} {lost:?} {:#?}",
            world.diagram
        );
        let resets = world.events[side]
            .iter()
            .filter(|event| **event == Event::AssociationReset)
            .count();
        assert_eq!(resets, 1, "{lost:?} {:#?}", world.diagram);
        let stats = world.ends[side].stats();
        assert_eq!(
            (stats.bytes_in_flight, stats.drops.stale_message),
            (0, 0),
            "{lost:?}"
        );
    }
    assert!(
        world
            .notices(A)
            .contains(&done(Reconfiguration::AssociationReset)),
        "{lost:?}"
    );
}

#[test]
fn the_association_is_reset_between_messages_and_none_is_lost() {
    for interleaving in [false, true] {
        reset_association(interleaving, None);
        for lost in 0..50 {
            reset_association(interleaving, Some(lost));
        }
    }
}

#[test]
fn a_reset_of_the_association_in_pictures() {
    let mut world = World::connected(with(10, false));
    world.send(A, 1, "before");
    world.run(millis(200));
    world.diagram.clear();
    world.ends[A].reset_association();
    world.send(A, 1, "after");
    let mut seen = None;
    while seen.is_none() {
        let packet = world.take_packet(A).unwrap();
        world.diagram.push(format!("A> {}", dissect(&packet)));
        world.inject(B, packet);
        let answer = world.take_packet(B).unwrap();
        world.diagram.push(format!("B> {}", dissect(&answer)));
        let value = chunks(&answer).last().unwrap().2.to_vec();
        seen = Some((u32_at(&value, 12), u32_at(&value, 16)));
        world.inject(A, answer);
    }
    world.run(millis(200));
    // As far away as can be from the next TSNs of both.
    assert_eq!(seen, Some((1000 + (3 << 29), 1001 + (1 << 31))));
    assert_eq!(
        world.diagram,
        [
            "A> RE-CONFIG association reset",
            "B> SACK + RE-CONFIG result 1",
            "A> DATA(1 s0 IBE 5)",
            "B> SACK",
        ]
    );
    assert_eq!(world.texts(B), ["before", "after"]);
    // Not again within 30 seconds.
    world.ends[A].reset_association();
    world.run(millis(100));
    let failed = failed(Reconfiguration::AssociationReset);
    assert_eq!(world.notices(A).last(), Some(&failed));
    world.run(millis(30_000));
    world.ends[A].reset_association();
    world.run(millis(100));
    assert_eq!(
        world.notices(A).last(),
        Some(&Event::AssociationReset),
        "{:?}",
        world.notices(A)
    );
}

#[test]
fn when_both_want_to_reset_the_association_at_once_neither_gets_it() {
    let mut world = World::connected(with(10, true));
    for side in [A, B] {
        world.ends[side].reset_association();
        world.send(side, 1, "goes on");
    }
    world.run(millis(2000));
    for side in [A, B] {
        assert_eq!(world.notices(side), [failed(Reconfiguration::AssociationReset)]);
        assert_eq!(world.texts(side), ["goes on"]);
    }
}

#[test]
fn request_numbers_wrap() {
    let mut config = with(10, true);
    config.initial_tsn = Some(Tsn(u32::MAX - 1));
    let mut world = World::connected(config);
    for count in 1..=5u16 {
        world.ends[A].add_streams(1);
        world.ends[B].add_incoming_streams(1);
        world.send(B, 1, "x");
        world.ends[A].reset_incoming(&[StreamId(1)]);
        world.run(millis(1000));
        assert_eq!(world.ends[A].outbound_streams(), Some(10 + 2 * count));
    }
    let refused = |event: &Event| matches!(event, Event::ReconfigurationFailed(_));
    assert!(world.events.iter().flatten().all(|event| !refused(event)));
}

#[test]
fn requests_go_one_at_a_time_and_survive_any_loss() {
    for lost in 0..20 {
        let mut world = World::connected(with(10, true));
        let mut count = 0;
        world.filter = Some(Box::new(move |_, _| {
            count += 1;
            count - 1 != lost
        }));
        world.send(A, 1, "x");
        world.ends[A].add_streams(1);
        world.ends[A].add_incoming_streams(1);
        world.ends[A].reset_incoming(&[]);
        world.ends[A].reset_stream(StreamId(1));
        world.ends[A].reset_association();
        world.run(millis(20_000));
        let finished = world
            .notices(A)
            .iter()
            .filter(|event| matches!(event, Event::ReconfigurationDone(_) | Event::StreamResetDone(_)))
            .count();
        assert_eq!(finished, 5, "{lost} {:?} {:#?}", world.notices(A), world.diagram);
        assert_eq!(world.ends[A].outbound_streams(), Some(11));
        assert_eq!(world.ends[B].outbound_streams(), Some(11));
    }
}

#[test]
fn a_peer_without_re_config_fails_every_request_at_once_and_so_does_no_peer() {
    let mut world = World::new(with(10, true));
    world.ends[A].connect(world.now);
    let init = world.take_packet(A).unwrap();
    let ask = |end: &mut Association| {
        end.add_streams(1);
        end.add_incoming_streams(1);
        end.reset_incoming(&[]);
        end.reset_association();
    };
    ask(&mut world.ends[A]);
    world.inject(B, Forge::new(0).chunk(1, 0, &init[16..32]).sealed());
    world.run(millis(500));
    ask(&mut world.ends[B]);
    world.run(millis(500));
    for side in [A, B] {
        let failures = world.events[side]
            .iter()
            .filter(|event| matches!(event, Event::ReconfigurationFailed(_)))
            .count();
        assert_eq!(failures, 4);
    }
    assert!(world.diagram.iter().all(|line| !line.contains("RE-CONFIG")));
}

/// "If multiple parameters have to be returned, they MUST be put into one RE_CONFIG chunk" (section 5.2.1).
#[test]
fn two_requests_in_one_chunk_get_their_answers_in_one() {
    let mut world = World::connected(with(10, true));
    world.send(A, 9, "what is your tag?");
    let tag = u32_at(&world.take_packet(A).unwrap(), 4);
    let mut value = vec![0, 14, 0, 10];
    value.extend(1000u32.to_be_bytes());
    value.extend([0, 3, 0, 0, 0, 13, 0, 18]);
    for number in [1001u32, 999, 999] {
        value.extend(number.to_be_bytes());
    }
    value.extend([0, 3]);
    world.inject(B, Forge::new(tag).chunk(130, 0, &value).packet);
    world.pump();
    assert_eq!(world.diagram, ["B> SACK + RE-CONFIG result 0 1"]);
    assert_eq!(world.notices(B), [reset(&[3])]);
}

/// An answer to a reset of the association that does not say where to go on is none.
#[test]
fn a_done_without_numbers_is_not_believed() {
    let mut world = World::connected(with(10, true));
    world.send(B, 9, "what is your tag?");
    let tag = u32_at(&world.take_packet(B).unwrap(), 4);
    world.ends[A].reset_association();
    let _ = world.take_packet(A).unwrap();
    let mut value = vec![0, 16, 0, 12];
    value.extend(1000u32.to_be_bytes());
    value.extend(1u32.to_be_bytes());
    world.inject(A, Forge::new(tag).chunk(130, 0, &value).packet);
    assert_eq!(world.ends[A].stats().drops.malformed_chunk, 1);
    world.run(millis(3000));
    assert!(world.notices(A).contains(&Event::AssociationReset));
}
