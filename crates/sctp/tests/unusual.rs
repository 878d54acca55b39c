//! What seldom happens: answers that get lost, paths that shrink at the wrong moment, readers that stop, years that pass.

mod common;

use std::time::Duration;

use common::*;
use dunlin_sctp::{
    Association, Config, CongestionControl, EcnState, Event, Reliability, SendOptions, StreamId, Tsn,
};

/// B, whose peer's requests are numbered from 1000, and the tag of packets for it.
fn victim() -> (World, u32) {
    let mut config = Config::default();
    config.initial_tsn = Some(Tsn(1000));
    config.interleaving = false;
    let mut world = World::connected(config);
    world.send(A, 9, "what is your tag?");
    let tag = u32_at(&world.take_packet(A).unwrap(), 4);
    (world, tag)
}

fn answers(world: &mut World, side: usize) -> String {
    std::iter::from_fn(|| world.take_packet(side))
        .map(|packet| dissect(&packet))
        .collect::<Vec<_>>()
        .join(" + ")
}

fn outgoing(number: u32, last_tsn: u32, streams: &[u16]) -> Vec<u8> {
    let mut value = vec![0, 13];
    value.extend(u16::try_from(16 + 2 * streams.len()).unwrap().to_be_bytes());
    for number in [number, 999, last_tsn] {
        value.extend(number.to_be_bytes());
    }
    value.extend(streams.iter().flat_map(|stream| stream.to_be_bytes()));
    value.resize(value.len().next_multiple_of(4), 0);
    value
}

fn incoming(number: u32, stream: u16) -> Vec<u8> {
    let mut value = vec![0, 14, 0, 10];
    value.extend(number.to_be_bytes());
    value.extend(stream.to_be_bytes());
    value.extend([0, 0]);
    value
}

/// RFC 6525, section 5.2.1: "(i.e., a retransmission), the same RE-CONFIG chunk MUST to be sent back in response, as it was
/// earlier", also when the chunk held two requests.
#[test]
fn a_chunk_with_two_requests_is_answered_the_same_when_it_comes_again() {
    let (mut world, tag) = victim();
    let give = |world: &mut World, value: &[u8]| {
        world.inject(B, Forge::new(tag).chunk(130, 0, value).sealed());
        answers(world, B)
    };
    let both = [outgoing(1000, 999, &[1]), incoming(1001, 7)].concat();
    for _ in 0..3 {
        assert_eq!(give(&mut world, &both), "SACK + RE-CONFIG result 1 0");
    }
    // The next chunk is new, and then this one is old.
    assert_eq!(
        give(&mut world, &outgoing(1002, 999, &[2])),
        "SACK + RE-CONFIG result 1"
    );
    assert_eq!(give(&mut world, &both), "SACK + RE-CONFIG result 5 5");
}

#[test]
fn the_first_of_two_requests_that_had_to_wait_is_answered_when_its_data_has_come() {
    let (mut world, tag) = victim();
    let both = [outgoing(1000, 1000, &[1]), incoming(1001, 7)].concat();
    let packet = Forge::new(tag).chunk(130, 0, &both).sealed();
    world.inject(B, packet.clone());
    assert_eq!(answers(&mut world, B), "SACK + RE-CONFIG result 6 0");
    world.inject(B, Forge::new(tag).data(3, 1000, 1, 0, b"last").sealed());
    assert!(answers(&mut world, B).contains("RE-CONFIG result 1"));
    world.inject(B, packet);
    assert_eq!(answers(&mut world, B), "SACK + RE-CONFIG result 1 0");
}

/// Section 3.2.2: the ERROR chunk goes with the COOKIE ECHO. Section 8.3: "A receiver of a HEARTBEAT chunk MUST respond … after
/// entering the COOKIE-ECHOED state", and section 5.1: "until the COOKIE ACK chunk is returned, the sender MUST NOT send any
/// other packets to the peer".
#[test]
fn answers_in_cookie_echoed_go_with_the_cookie() {
    let mut world = World::new(Config::default());
    world.ends[A].connect(world.now);
    let init = world.take_packet(A).unwrap();
    world.inject(B, init);
    let init_ack = world.take_packet(B).unwrap();
    let (tag, (_, _, value)) = (u32_at(&init_ack, 4), chunks(&init_ack)[0]);
    let mut value = value.to_vec();
    value.resize(value.len().next_multiple_of(4), 0);
    value.extend([0xc1, 0x23, 0, 4]);
    world.inject(A, Forge::new(tag).chunk(2, 0, &value).sealed());
    let echo = world.take_packet(A).unwrap();
    assert_eq!(dissect(&echo), "COOKIE ECHO + ERROR 8");
    assert_eq!(world.take_packet(A), None);
    world.inject(B, echo);
    assert_eq!(answers(&mut world, B), "COOKIE ACK");
    let heartbeat = [0, 1, 0, 8, 1, 2, 3, 4];
    world.inject(A, Forge::new(tag).chunk(4, 0, &heartbeat).sealed());
    let echo = world.take_packet(A).unwrap();
    assert_eq!(dissect(&echo), "COOKIE ECHO + HEARTBEAT ACK");
    assert_eq!(world.take_packet(A), None);
    world.inject(B, echo);
    world.run(millis(100));
    assert!(world.ends.iter().all(Association::is_connected));
}

/// Section 5.1.1: "if there is a mismatch between OS and MIS for the association, the endpoint MUST use MIS outbound streams".
#[test]
fn what_was_queued_for_streams_that_the_peer_does_not_take_is_not_sent() {
    for both in [false, true] {
        let mut few = Config::default();
        few.streams = 3;
        let mut world = World::with(Config::default(), few, 1);
        world.ends[A].connect(world.now);
        if both {
            world.ends[B].connect(world.now);
        }
        for stream in [2, 3, 70, 3, 0] {
            world.send(A, stream, format!("on {stream}"));
        }
        world.ends[A].reset_stream(StreamId(70));
        world.run(millis(500));
        let mut texts = world.texts(B);
        texts.sort_unstable();
        assert_eq!(texts, ["on 0", "on 2"]);
        assert_eq!(world.ends[B].stats().drops.invalid_stream, 0);
        for stream in [StreamId(3), StreamId(70)] {
            assert!(world.notices(A).contains(&Event::StreamRefused(stream)));
        }
        assert!(world.notices(A).contains(&Event::StreamResetFailed(StreamId(70))));
        assert_eq!(world.ends[A].total_buffered(), 0);
        world.ends[A].shutdown(world.now);
        world.run(millis(500));
        assert!(matches!(world.notices(A).last(), Some(Event::Closed(_))));
    }
}

/// A restart begins as a first association does, with ECN, too.
#[test]
fn a_restart_asks_again_whether_the_path_carries_marks() {
    let mut world = World::connected(Config::default());
    world.ends[A] = Association::new(Config::default(), [77; 32], world.now);
    world.ends[A].connect(world.now);
    world.run(millis(200));
    assert!(world.notices(B).contains(&Event::Restarted));
    let states = [A, B].map(|side| world.ends[side].stats().ecn);
    assert_eq!(states, [EcnState::Testing; 2]);
}

/// RFC 9653, section 5.3: who has not told the peer that a zero checksum is accepted "MUST drop" packets with one that is wrong.
#[test]
fn a_zero_checksum_is_not_taken_from_who_was_not_told_that_it_would_be() {
    let mut without = Config::default();
    without.zero_checksum = false;
    let mut world = World::with(without, Config::default(), 1);
    world.connect();
    world.send(A, 1, "hello");
    let packet = world.take_packet(A).unwrap();
    let mut zero = packet.clone();
    zero[8..12].fill(0);
    world.inject(B, zero);
    assert_eq!(world.ends[B].stats().drops.bad_checksum, 1);
    world.inject(B, packet);
    world.pump();
    assert_eq!(world.texts(B), ["hello"]);
}

/// What waits when the path turns out to be smaller must not block everything behind it.
#[test]
fn a_smaller_path_does_not_strand_what_was_ready_for_a_larger_one() {
    let (mut world, tag) = victim();
    let heartbeat = [&[0, 1, 3, 0xe8][..], &[7; 996]].concat();
    world.inject(B, Forge::new(tag).chunk(4, 0, &heartbeat).sealed());
    world.ends[B].set_max_datagram(500);
    let heartbeat = [0, 1, 0, 8, 1, 2, 3, 4];
    world.inject(B, Forge::new(tag).chunk(4, 0, &heartbeat).sealed());
    assert_eq!(answers(&mut world, B), "HEARTBEAT ACK");
    // A long request is under way, and must not change.
    for stream in 0..400 {
        world.send(B, stream, "x");
        world.ends[B].reset_stream(StreamId(stream));
    }
    world.filter = Some(Box::new(|_, packet| !has_chunk(packet, 130)));
    world.run(millis(300));
    world.ends[B].set_max_datagram(300);
    world.filter = None;
    world.run(Duration::from_secs(20));
    let is_done = |event: &Event| matches!(event, Event::StreamResetDone(_));
    assert_eq!(
        world.notices(B).iter().filter(|event| is_done(event)).count(),
        400
    );
}

/// A reader that has stopped is not told of changes without end.
#[test]
fn what_waits_for_the_reader_is_bounded_though_it_is_no_message() {
    let (mut world, tag) = victim();
    world.reads = [false, false];
    let streams: Vec<u16> = (0..500).collect();
    let mut denied = 0;
    for number in 1000..2000 {
        let value = outgoing(number, 999, &streams);
        world.inject(B, Forge::new(tag).chunk(130, 0, &value).sealed());
        denied += usize::from(answers(&mut world, B).contains("RE-CONFIG result 2"));
    }
    assert!((700..760).contains(&denied), "{denied}");
    let mut named = 0;
    while let Some(event) = world.ends[B].poll_event() {
        if let Event::StreamsReset { streams } = event {
            named += streams.len();
        }
    }
    assert!(named < 135_000, "{named}");
    let value = outgoing(2000, 999, &streams);
    world.inject(B, Forge::new(tag).chunk(130, 0, &value).sealed());
    assert_eq!(answers(&mut world, B), "SACK + RE-CONFIG result 1");
}

/// 100 days of hardly anything, with and without HEARTBEATs, losses among it, and then a burst: each message takes half a
/// round trip, or what a loss costs, and the burst what the path carries.
#[test]
fn a_message_now_and_then_for_a_hundred_days_and_then_a_burst() {
    for (control, heartbeat, pause) in [
        (CongestionControl::Bbr, true, 86_400),
        (CongestionControl::Bbr, false, 4_400),
        (CongestionControl::Bbr, false, 86_400 * 7),
        (CongestionControl::Cubic, true, 86_400),
        (CongestionControl::Cubic, false, 4_400),
    ] {
        let mut config = Config::default();
        config.congestion = control;
        config.heartbeat_interval = heartbeat.then_some(Duration::from_secs(30));
        let mut world = World::connected(config);
        world.record = false;
        let days = 100 * 86_400 / pause;
        for day in 0..days {
            let lost = day % 3 == 1;
            world.links[A].loss = if lost { 1.0 } else { 0.0 };
            let sent = world.now;
            let mut options = SendOptions::default();
            if day % 5 == 4 {
                options.reliability = Reliability::MaxLifetime(Duration::from_secs(60));
            }
            world.send_with(A, 1, vec![7; 100], options);
            world.run(millis(5));
            world.links[A].loss = 0.0;
            world.run_until_received(B, 1, Duration::from_secs(5));
            let took = world.now - sent;
            let limit = if lost { millis(600) } else { millis(11) };
            assert!(
                took <= limit,
                "{control:?} {heartbeat} {pause}: {took:?} after {day}"
            );
            world.events = [Vec::new(), Vec::new()];
            world.run(Duration::from_secs(pause));
        }
        for link in &mut world.links {
            link.rate = 100e6;
            link.queue = millis(50);
        }
        for _ in 0..100 {
            world.send(A, 2, vec![7; 100_000]);
        }
        let began = world.now;
        world.run_until_received(B, 100, Duration::from_secs(60));
        let took = world.now - began;
        assert!(took < millis(2500), "{control:?} {heartbeat} {pause}: {took:?}");
    }
}
