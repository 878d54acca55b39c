//! What seldom happens: answers that get lost, paths that shrink at the wrong moment, readers that stop, years that pass.

mod common;

use std::time::Duration;

use common::*;
use dunlin_sctp::{Config, CongestionControl, Event, Reliability, SendOptions, StreamId, Tsn};

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
