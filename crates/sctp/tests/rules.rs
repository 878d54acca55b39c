//! Rules of RFC 9260 that a peer can put to the test, one story each: what comes in the wrong state is discarded, or
//! answered as the section says.

mod common;

use common::*;
use dunlin_sctp::{Association, CloseReason, Config, Event, StreamId, Tsn};

fn config() -> Config {
    let mut config = Config::default();
    config.initial_tsn = Some(Tsn(1000));
    config.interleaving = false;
    config
}

/// Connected, and the tags that packets for A and for B carry.
fn connected() -> (World, [u32; 2]) {
    let mut world = World::connected(config());
    let tags = world.tags();
    (world, tags)
}

/// B in SHUTDOWN-ACK-SENT: A shuts down, and does not get the answer.
fn b_shuts_down_for_a(world: &mut World) {
    world.ends[A].shutdown(world.now);
    let shutdown = world.take_packet(A).unwrap();
    assert_eq!(dissect(&shutdown), "SHUTDOWN");
    world.inject(B, shutdown);
    assert_eq!(dissect(&world.take_packet(B).unwrap()), "SHUTDOWN ACK");
}

fn drops(world: &World, side: usize) -> u64 {
    world.ends[side].stats().drops.unexpected_chunk
}

/// Section 8.5.1, rule E: "the receiver … SHOULD treat it as an Out Of The Blue packet".
#[test]
fn a_shutdown_ack_before_there_is_an_association_is_completed_and_changes_nothing() {
    for echoed in [false, true] {
        let mut world = World::new(config());
        world.ends[A].connect(world.now);
        let init = world.take_packet(A).unwrap();
        if echoed {
            world.inject(B, init.clone());
            let init_ack = world.take_packet(B).unwrap();
            world.inject(A, init_ack);
        }
        world.inject(A, Forge::new(0xbeef).chunk(8, 0, &[]).sealed());
        let mut answers = std::iter::from_fn(|| world.take_packet(A));
        let answer = answers.find(|packet| has_chunk(packet, 14)).unwrap();
        assert_eq!((u32_at(&answer, 4), answer[13]), (0xbeef, 1));
        world.run(millis(3000));
        assert!(world.ends.iter().all(Association::is_connected), "{echoed}");
    }
}

/// Section 9.2: "If an endpoint is in the SHUTDOWN-ACK-SENT state and receives an INIT chunk …, it SHOULD discard the INIT
/// chunk and retransmit the SHUTDOWN ACK chunk."
#[test]
fn an_init_in_shutdown_ack_sent_gets_the_shutdown_ack_again() {
    let (mut world, _) = connected();
    b_shuts_down_for_a(&mut world);
    world.inject(B, Forge::new(0).init(1, 7, 9, &[]).sealed());
    assert_eq!(dissect(&world.take_packet(B).unwrap()), "SHUTDOWN ACK");
    assert_eq!(world.take_packet(B), None);
}

/// Section 5.2.4, action A in SHUTDOWN-ACK-SENT.
#[test]
fn a_restart_while_shutting_down_is_refused_with_its_own_cause() {
    let (mut world, _) = connected();
    let mut restarted = Association::new(config(), [99; 32], world.now);
    restarted.connect(world.now);
    let mut packet = Vec::new();
    assert!(restarted.poll_transmit(world.now, &mut packet));
    world.inject(B, packet);
    let init_ack = world.take_packet(B).unwrap();
    b_shuts_down_for_a(&mut world);
    restarted.handle_datagram(world.now, init_ack.into());
    let mut packet = Vec::new();
    assert!(restarted.poll_transmit(world.now, &mut packet));
    assert_eq!(dissect(&packet), "COOKIE ECHO");
    world.inject(B, packet);
    assert_eq!(dissect(&world.take_packet(B).unwrap()), "ERROR 10 + SHUTDOWN ACK");
    assert!(!world.notices(B).contains(&Event::Restarted));
}

/// Section 5.2.3: "the endpoint SHOULD discard the INIT ACK chunk".
#[test]
fn a_second_init_ack_is_discarded() {
    let mut world = World::new(config());
    world.ends[A].connect(world.now);
    let init = world.take_packet(A).unwrap();
    world.inject(B, init);
    let init_ack = world.take_packet(B).unwrap();
    for expected in [0, 1] {
        world.inject(A, init_ack.clone());
        assert_eq!(drops(&world, A), expected);
    }
    world.run(millis(500));
    world.inject(A, init_ack);
    assert_eq!(drops(&world, A), 2);
    assert!(world.ends[A].is_connected());
}

/// Section 3.2.1: what is to be reported about an INIT ACK goes out in an ERROR chunk.
#[test]
fn unknown_parameters_of_an_init_ack_are_reported_by_their_high_bits() {
    let mut world = World::new(config());
    world.ends[A].connect(world.now);
    let init = world.take_packet(A).unwrap();
    world.inject(B, init);
    let init_ack = world.take_packet(B).unwrap();
    let (_, _, value) = chunks(&init_ack)[0];
    let unknown = [0x81, 0x23, 0, 4, 0xc1, 0x23, 0, 6, 1, 2, 0, 0];
    let value = [
        value,
        &[0; 3][..value.len().next_multiple_of(4) - value.len()],
        &unknown,
    ]
    .concat();
    let packet = Forge::new(u32_at(&init_ack, 4)).chunk(2, 0, &value).sealed();
    world.inject(A, packet);
    let mut reported = None;
    world.filter = None;
    for _ in 0..4 {
        while let Some(packet) = world.take_packet(A) {
            if let Some((_, _, value)) = chunks(&packet).into_iter().find(|chunk| chunk.0 == 9) {
                reported = Some(value.to_vec());
            }
            world.inject(B, packet);
        }
        while let Some(packet) = world.take_packet(B) {
            world.inject(A, packet);
        }
    }
    assert_eq!(reported.unwrap(), [0, 8, 0, 12, 0xc1, 0x23, 0, 6, 1, 2, 0, 0]);
    assert!(world.ends.iter().all(Association::is_connected));
}

/// Section 5.2.6: "if the association is not in the COOKIE-ECHOED state, the ERROR chunk SHOULD be silently discarded". The
/// other causes tell of something that we did, and change nothing.
#[test]
fn no_error_cause_ends_an_association() {
    let (mut world, tags) = connected();
    for cause in 1..=14u8 {
        let value = [0, cause, 0, 8, 0, 0, 0, 0];
        world.inject(A, Forge::new(tags[A]).chunk(9, 0, &value).packet);
        assert_eq!(world.take_packet(A), None, "cause {cause}");
    }
    assert_eq!(drops(&world, A), 1);
    assert!(world.ends[A].is_connected());
}

/// Section 9.2: both sides have sent a SHUTDOWN.
#[test]
fn shutdowns_that_cross_end_both_sides_gracefully() {
    let (mut world, _) = connected();
    for side in [A, B] {
        world.ends[side].shutdown(world.now);
    }
    world.run(millis(2000));
    assert_eq!(
        world.diagram[..4],
        ["A> SHUTDOWN", "B> SHUTDOWN", "B> SHUTDOWN ACK", "A> SHUTDOWN ACK"]
    );
    assert!(
        world
            .diagram
            .iter()
            .any(|line| line.contains("SHUTDOWN COMPLETE"))
    );
    for side in [A, B] {
        assert_eq!(
            world.notices(side),
            [Event::Closed(CloseReason::Shutdown)],
            "{:#?}",
            world.diagram
        );
    }
}

/// "If a SHUTDOWN chunk is received in the COOKIE-WAIT or COOKIE ECHOED state, the SHUTDOWN chunk SHOULD be silently
/// discarded"; SHUTDOWN ACK and SHUTDOWN COMPLETE mean something only to who has sent a SHUTDOWN, or a SHUTDOWN ACK.
#[test]
fn chunks_of_a_shutdown_out_of_place_are_discarded() {
    let (mut world, tags) = connected();
    for (kind, value) in [(8, &[][..]), (14, &[]), (7, &[1, 2])] {
        world.inject(A, Forge::new(tags[A]).chunk(kind, 0, value).packet);
        assert_eq!(world.take_packet(A), None, "chunk {kind}");
        assert!(world.ends[A].is_connected());
    }
    let mut world = World::new(config());
    world.ends[A].connect(world.now);
    let tag = u32_at(&world.take_packet(A).unwrap(), 16);
    world.inject(A, Forge::new(tag).chunk(7, 0, &[0; 4]).packet);
    assert_eq!((drops(&world, A), world.take_packet(A)), (1, None));
}

/// "While in the SHUTDOWN-SENT state, the SHUTDOWN chunk sender MUST immediately respond to each received packet containing
/// one or more DATA chunks with a SHUTDOWN chunk"; a peer that has sent its SHUTDOWN ACK sends no more DATA.
#[test]
fn data_in_the_states_of_a_shutdown() {
    let (mut world, tags) = connected();
    world.ends[B].shutdown(world.now);
    let _ = world.take_packet(B).unwrap();
    world.inject(B, Forge::new(tags[B]).data(3, 1001, 1, 0, b"late").packet);
    assert_eq!(dissect(&world.take_packet(B).unwrap()), "SHUTDOWN + SACK");
    assert!(matches!(world.ends[B].poll_event(), Some(Event::Message { .. })));

    let (mut world, tags) = connected();
    b_shuts_down_for_a(&mut world);
    world.inject(B, Forge::new(tags[B]).data(3, 1001, 1, 0, b"too late").packet);
    assert_eq!((drops(&world, B), world.take_packet(B)), (1, None));
    assert_eq!(world.ends[B].poll_event(), None);
}

/// Section 8.3: the information is "copied unchanged"; an answer that we did not ask for measures nothing.
#[test]
fn heartbeats_are_echoed_and_made_up_answers_dropped() {
    let (mut world, tags) = connected();
    let info = [0, 1, 0, 9, 1, 2, 3, 4, 5];
    world.inject(A, Forge::new(tags[A]).chunk(4, 0, &info).packet);
    let answer = world.take_packet(A).unwrap();
    assert_eq!(chunks(&answer), [(5, 0, &info[..])]);
    let before = world.ends[A].stats().smoothed_rtt;
    world.inject(A, Forge::new(tags[A]).chunk(5, 0, &info).packet);
    let stats = world.ends[A].stats();
    assert_eq!((stats.drops.unknown_heartbeat, stats.smoothed_rtt), (1, before));
}

/// Section 8.5.1, rules B and C: an ABORT or a SHUTDOWN COMPLETE may reflect the tag that we sent, and says so.
#[test]
fn an_abort_that_reflects_our_peers_tag_is_believed_and_not_answered() {
    let (mut world, tags) = connected();
    world.inject(A, Forge::new(tags[A]).chunk(6, 1, &[]).packet);
    assert!(world.ends[A].is_connected());
    world.inject(A, Forge::new(tags[B]).chunk(6, 1, &[]).packet);
    assert!(matches!(
        world.ends[A].poll_event(),
        Some(Event::Closed(CloseReason::AbortedByPeer { code: 0, .. }))
    ));
    assert_eq!(world.take_packet(A), None);
}

/// Section 6.2: at least every second packet, within the delay, and at once for what asks for it, comes twice, or leaves a
/// gap.
#[test]
fn when_data_is_acknowledged() {
    let (mut world, tags) = connected();
    let data = |flags, tsn| Forge::new(tags[B]).data(flags, tsn, 1, 0, b"x").packet;
    // One packet: after the delay. It is unordered, so that its number does not matter.
    world.inject(B, data(7, 1001));
    assert_eq!(world.take_packet(B), None);
    let asked = world.now;
    let until = asked + millis(1000);
    while world.diagram.is_empty() {
        assert!(world.step(until));
    }
    assert_eq!(
        (world.now - asked, world.diagram[0].as_str()),
        (millis(50), "B> SACK")
    );
    // Two packets.
    world.inject(B, data(7, 1002));
    world.inject(B, data(7, 1003));
    assert_eq!(dissect(&world.take_packet(B).unwrap()), "SACK");
    // The I bit.
    world.inject(B, data(15, 1004));
    assert_eq!(dissect(&world.take_packet(B).unwrap()), "SACK");
    // A gap, and each packet until it is filled.
    for (tsn, answer) in [(1006, "SACK 2-2"), (1007, "SACK 2-3"), (1005, "SACK")] {
        world.inject(B, data(7, tsn));
        assert_eq!(dissect(&world.take_packet(B).unwrap()), answer);
    }
    // A duplicate is reported.
    world.inject(B, data(7, 1006));
    let sack = world.take_packet(B).unwrap();
    let (_, _, value) = chunks(&sack)[0];
    assert_eq!((u16_at(value, 10), u32_at(value, 12)), (1, 1006));
}

/// Section 6.1, rule A: "the sender can always have one DATA chunk in flight to the receiver if allowed by cwnd", a probe that is sent
/// again as the timer says, and as long as SACKs come, forever.
#[test]
fn a_closed_window_is_probed_with_one_chunk_at_a_time() {
    let (mut world, tags) = connected();
    world.run(millis(3000));
    let sack = |cumulative| Forge::new(tags[A]).sack(cumulative, 0, &[]).packet;
    let cumulative = 1000;
    world.inject(A, sack(cumulative));
    for _ in 0..5 {
        world.send(A, 1, vec![7; 1000]);
    }
    world.filter = Some(Box::new(|_, _| false));
    world.diagram.clear();
    let mut probes = 0;
    for _ in 0..60 {
        world.run(millis(5000));
        let sent = world.diagram.iter().filter(|line| line.contains("DATA")).count();
        assert!(world.diagram.iter().all(|line| line.matches("DATA").count() <= 1));
        assert!(
            !world.diagram.iter().any(|line| line.contains("s1")),
            "more than one chunk"
        );
        probes = sent;
        world.inject(A, sack(cumulative));
    }
    assert!((20..80).contains(&probes), "{probes}");
    assert!(world.ends[A].is_connected());
    assert!(world.ends[A].buffered_amount(StreamId(1)) >= 4000);
    // The window opens.
    world.filter = None;
    world.inject(A, Forge::new(tags[A]).sack(cumulative, 100_000, &[]).packet);
    world.run(millis(60_000));
    assert_eq!(world.messages(B).len(), 5);
}

/// Section 8.4, and what came before it: nothing is answered that could be answered again without end.
#[test]
fn two_ends_that_know_nothing_of_each_other_fall_silent() {
    let mut world = World::new(config());
    for kind in 0..=255u8 {
        world.inject(A, Forge::new(0x1234).chunk(kind, 0, &[0; 16]).sealed());
        for turn in 0..6 {
            let Some(packet) = world.take_packet(turn % 2) else {
                break;
            };
            assert!(turn < 2, "chunk {kind}: {}", dissect(&packet));
            world.inject(1 - turn % 2, packet);
        }
    }
}
