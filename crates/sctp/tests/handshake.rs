//! The handshake (RFC 9260, section 5) as message diagrams: who starts, what is lost, what is forged, who restarts.

mod common;

use common::*;
use dunlin_sctp::{CloseReason, Config, Event};

fn diagram(world: &World) -> Vec<&str> {
    world.diagram.iter().map(String::as_str).collect()
}

#[test]
fn one_side_connects() {
    let mut world = World::new(Config::default());
    world.ends[A].connect(world.now);
    world.run(millis(300));
    assert_eq!(
        diagram(&world),
        ["A> INIT", "B> INIT ACK", "A> COOKIE ECHO", "B> COOKIE ACK"]
    );
    assert_eq!(world.events, [[Event::Connected], [Event::Connected]]);
}

#[test]
fn both_sides_connect_at_once() {
    let mut world = World::new(Config::default());
    world.ends[A].connect(world.now);
    world.ends[B].connect(world.now);
    world.run(millis(300));
    assert_eq!(
        diagram(&world),
        [
            "A> INIT",
            "B> INIT",
            "B> INIT ACK",
            "A> INIT ACK",
            "B> COOKIE ECHO",
            "A> COOKIE ECHO",
            "B> COOKIE ACK",
            "A> COOKIE ACK",
        ]
    );
    assert_eq!(world.events, [[Event::Connected], [Event::Connected]]);
}

#[test]
fn the_second_side_connects_at_every_moment_of_the_first_ones_handshake() {
    for wait in 0..60 {
        let mut world = World::with(Config::default(), Config::default(), wait);
        world.ends[A].connect(world.now);
        world.send(A, 1, "from a");
        world.run(millis(wait));
        world.ends[B].connect(world.now);
        world.send(B, 1, "from b");
        world.run(millis(3000));
        assert_eq!(world.texts(B), ["from a"], "{wait} {:#?}", world.diagram);
        assert_eq!(world.texts(A), ["from b"], "{wait} {:#?}", world.diagram);
        for side in [A, B] {
            assert_eq!(
                world
                    .notices(side)
                    .iter()
                    .filter(|event| **event == Event::Connected)
                    .count(),
                1
            );
            assert!(
                !world.notices(side).contains(&Event::Restarted),
                "{wait} {:#?}",
                world.diagram
            );
        }
    }
}

/// THREATS 5 in spirit: every packet of the handshake is lost once, both at once and one side only.
#[test]
fn any_one_or_two_packets_of_the_handshake_may_be_lost() {
    for both in [false, true] {
        for first in 0..10 {
            for second in first..10 {
                let mut world = World::new(Config::default());
                let mut count = 0;
                world.filter = Some(Box::new(move |_, _| {
                    count += 1;
                    count - 1 != first && count - 1 != second
                }));
                world.ends[A].connect(world.now);
                if both {
                    world.ends[B].connect(world.now);
                }
                world.send(A, 0, "hello");
                world.run(millis(6000));
                assert_eq!(
                    world.texts(B),
                    ["hello"],
                    "{both} {first} {second} {:#?}",
                    world.diagram
                );
                assert!(world.ends.iter().all(|end| end.is_connected()));
            }
        }
    }
}

#[test]
fn data_rides_on_the_cookie_echo_and_arrives_after_one_and_a_half_round_trips() {
    let mut world = World::new(Config::default());
    world.ends[A].connect(world.now);
    world.send(A, 0, "hello");
    world.run_until_received(B, 1, millis(100));
    assert_eq!(world.elapsed(), millis(30));
    assert_eq!(diagram(&world)[2], "A> COOKIE ECHO + I-DATA(0 m0 f0 IBE 5)");
}

#[test]
fn nobody_answers_and_the_reason_says_so() {
    let mut world = World::new(Config::default());
    world.filter = Some(Box::new(|_, _| false));
    world.ends[A].connect(world.now);
    world.run(millis(200_000));
    assert_eq!(world.events[A], [Event::Closed(CloseReason::HandshakeTimeout)]);
    // Max.Init.Retransmits, each of them with the zero checksum and without.
    assert_eq!(world.diagram.len(), 1 + 8 * 2);
    assert_eq!(world.ends[A].poll_timeout(), None);
}

fn cookie_echo(world: &mut World) -> Vec<u8> {
    world.ends[A].connect(world.now);
    let init = world.take_packet(A).unwrap();
    world.inject(B, init);
    let init_ack = world.take_packet(B).unwrap();
    world.inject(A, init_ack);
    world.take_packet(A).unwrap()
}

#[test]
fn a_forged_cookie_is_dropped_with_its_whole_packet() {
    let mut world = World::new(Config::default());
    let echo = cookie_echo(&mut world);
    for at in (16..16 + chunks(&echo)[0].2.len()).step_by(5) {
        let mut forged = echo.clone();
        forged[at] ^= 1;
        let tag = u32_at(&forged, 4);
        let value = chunks(&forged)[0].2.to_vec();
        let forged = Forge::new(tag)
            .chunk(10, 0, &value)
            .data(3, 1, 0, 0, b"evil")
            .sealed();
        world.inject(B, forged);
        assert!(!world.ends[B].is_connected());
        assert_eq!(world.take_packet(B), None);
    }
    assert!(world.ends[B].stats().drops.forged_cookie > 10);
    // The true one is still good.
    world.inject(B, echo);
    assert!(world.ends[B].is_connected());
}

#[test]
fn a_cookie_of_another_endpoint_is_no_good() {
    let mut world = World::new(Config::default());
    let echo = cookie_echo(&mut world);
    let mut other = World::with(Config::default(), Config::default(), 99);
    other.inject(B, echo);
    assert!(!other.ends[B].is_connected());
    assert_eq!(other.ends[B].stats().drops.forged_cookie, 1);
}

#[test]
fn a_stale_cookie_is_answered_with_its_staleness_and_the_handshake_starts_over() {
    let mut config = Config::default();
    config.max_init_retransmits = None;
    let mut world = World::new(config);
    let echo = cookie_echo(&mut world);
    world.send(A, 0, "hello");
    world.now += millis(60_010);
    world.inject(B, echo);
    assert!(!world.ends[B].is_connected());
    assert_eq!(world.ends[B].stats().drops.stale_cookie, 1);
    let error = world.take_packet(B).unwrap();
    let (kind, _, value) = chunks(&error)[0];
    assert_eq!((kind, u16_at(value, 0), u32_at(value, 4)), (9, 3, 10_000));
    world.inject(A, error);
    world.run(millis(20_000));
    assert!(
        world.ends.iter().all(|end| end.is_connected()),
        "{:#?}",
        world.diagram
    );
    assert_eq!(world.texts(B), ["hello"]);
}

#[test]
fn a_replayed_cookie_of_the_same_association_is_acknowledged_and_changes_nothing() {
    let mut world = World::new(Config::default());
    let echo = cookie_echo(&mut world);
    world.inject(B, echo.clone());
    world.run(millis(100));
    assert!(world.ends.iter().all(|end| end.is_connected()));
    world.send(A, 0, "one");
    world.run(millis(1000));
    // Even long after its life: "consider the State Cookie valid …, even if the lifespan is exceeded".
    world.now += millis(100_000);
    world.diagram.clear();
    world.inject(B, echo);
    world.pump();
    assert_eq!(world.diagram.first().map(String::as_str), Some("B> COOKIE ACK"));
    world.send(A, 0, "two");
    world.run(millis(1000));
    assert_eq!(world.texts(B), ["one", "two"]);
    assert_eq!(world.notices(B), [Event::Connected]);
}

#[test]
fn a_peer_that_restarts_is_recognised_and_surfaced() {
    let mut world = World::connected(Config::default());
    world.send(A, 3, "before");
    world.run(millis(300));
    // A crashes and comes back with another seed.
    world.ends[A] = dunlin_sctp::Association::new(Config::default(), [77; 32], world.now);
    world.ends[A].connect(world.now);
    world.send(A, 3, "after");
    world.run(millis(300));
    assert_eq!(world.notices(B), [Event::Restarted]);
    assert_eq!(world.notices(A), [Event::Connected]);
    world.send(B, 3, "back");
    world.run(millis(300));
    assert_eq!(world.texts(B), ["before", "after"]);
    assert_eq!(world.texts(A), ["back"]);
}

/// Table 12, action C, and the cases that are not in it: discarded without a change.
#[test]
fn a_cookie_whose_local_tag_is_not_ours_is_discarded() {
    let mut world = World::connected(Config::default());
    // B answers an unexpected INIT with a new tag in the cookie; an attacker who does not know the tie-tags is not
    // able to make this cookie, and one from before the association has tie-tags of zero.
    let mut fresh = World::new(Config::default());
    let echo = cookie_echo(&mut fresh);
    fresh.ends[B].connect(fresh.now);
    let _ = fresh.take_packet(B);
    // B is in COOKIE-WAIT with a tag of its own now: the cookie it made when closed has another one.
    fresh.inject(B, echo);
    assert!(!fresh.ends[B].is_connected());
    assert_eq!(fresh.ends[B].stats().drops.unexpected_chunk, 1);
    world.send(A, 0, "fine");
    world.run(millis(300));
    assert_eq!(world.texts(B), ["fine"]);
}

#[test]
fn an_unexpected_init_gets_a_new_tag_and_leaves_the_association_alone() {
    let mut world = World::connected(Config::default());
    world.inject(B, Forge::new(0).init(1, 0x0102_0304, 9, &[]).sealed());
    let answer = world.take_packet(B).unwrap();
    assert_eq!(dissect(&answer), "INIT ACK");
    assert_eq!(u32_at(&answer, 4), 0x0102_0304);
    world.send(A, 0, "fine");
    world.run(millis(300));
    assert_eq!(world.texts(B), ["fine"]);
}

#[test]
fn an_init_must_be_alone_and_its_packet_tagged_zero() {
    let mut world = World::new(Config::default());
    let bundled = Forge::new(0).init(1, 7, 9, &[]).chunk(11, 0, &[]).sealed();
    let tagged = Forge::new(5).init(1, 7, 9, &[]).sealed();
    let cookie_ack = Forge::new(0).chunk(11, 0, &[]).sealed();
    for packet in [bundled, tagged] {
        world.inject(B, packet);
        assert_eq!(world.take_packet(B), None);
    }
    assert_eq!(world.ends[B].stats().drops.wrong_tag, 2);
    world.inject(B, cookie_ack);
    assert_eq!(world.take_packet(B), None);
    let zero_tag = Forge::new(0).init(1, 0, 9, &[]).sealed();
    world.inject(B, zero_tag);
    assert_eq!(world.take_packet(B), None);
    // RFC 9653: an INIT has a checksum.
    world.inject(B, Forge::new(0).init(1, 7, 9, &[]).packet);
    assert_eq!(world.take_packet(B), None);
    assert_eq!(world.ends[B].stats().drops.bad_checksum, 1);
}

#[test]
fn an_init_with_impossible_values_is_aborted_with_its_own_tag() {
    let mut world = World::new(Config::default());
    let good = Forge::new(0).init(1, 7, 9, &[]).packet;
    // Window, outbound streams, inbound streams.
    for (at, len) in [(20, 4), (24, 2), (26, 2)] {
        let mut packet = good.clone();
        packet[at..at + len].fill(0);
        world.inject(B, Forge { packet }.sealed());
        let answer = world.take_packet(B).unwrap();
        assert_eq!((dissect(&answer).as_str(), u32_at(&answer, 4)), ("ABORT", 7));
    }
    // Host Name Address.
    world.inject(
        B,
        Forge::new(0)
            .init(1, 7, 9, &[0, 11, 0, 8, b'h', b'o', b's', b't'])
            .sealed(),
    );
    assert_eq!(dissect(&world.take_packet(B).unwrap()), "ABORT");
}

#[test]
fn unknown_parameters_of_an_init_come_back_in_the_init_ack() {
    let mut world = World::new(Config::default());
    world.inject(
        B,
        Forge::new(0)
            .init(1, 7, 9, &[0xc1, 0x23, 0, 6, 1, 2, 0, 0, 0x81, 0x23, 0, 4])
            .sealed(),
    );
    let answer = world.take_packet(B).unwrap();
    let value = chunks(&answer)[0].2;
    assert!(
        value
            .windows(12)
            .any(|window| window == [0, 8, 0, 10, 0xc1, 0x23, 0, 6, 1, 2, 0, 0])
    );
    assert!(!value.windows(4).any(|window| window == [0x81, 0x23, 0, 4]));
}

#[test]
fn an_init_ack_without_a_cookie_or_with_one_too_large_to_echo_ends_it() {
    let big = [&[0, 7, 0x05, 0xdc][..], &[0; 1496]].concat();
    for (parameters, cause) in [(&[][..], 2), (&big, 4)] {
        let mut world = World::new(Config::default());
        world.ends[A].connect(world.now);
        let init = world.take_packet(A).unwrap();
        let tag = u32_at(&init, 16);
        world.inject(A, Forge::new(tag).init(2, 7, 9, parameters).sealed());
        let answer = world.take_packet(A).unwrap();
        let (kind, _, value) = chunks(&answer)[0];
        assert_eq!((kind, u16_at(value, 0)), (6, cause));
        assert!(matches!(
            world.ends[A].poll_event(),
            Some(Event::Closed(CloseReason::ProtocolViolation(_)))
        ));
    }
}

#[test]
fn out_of_the_blue_packets_are_answered_by_the_rules_of_section_8_4() {
    let mut world = World::new(Config::default());
    for (kind, answer) in [
        (6, None),
        (14, None),
        (11, None),
        (9, Some("ABORT")),
        (8, Some("SHUTDOWN COMPLETE")),
        (3, Some("ABORT")),
        (4, Some("ABORT")),
    ] {
        world.inject(B, Forge::new(0xdead).chunk(kind, 0, &[0; 12]).sealed());
        let packet = world.take_packet(B);
        assert_eq!(packet.as_deref().map(dissect).as_deref(), answer, "chunk {kind}");
        if let Some(packet) = packet {
            // Reflected tag, T bit.
            assert_eq!((u32_at(&packet, 4), packet[13]), (0xdead, 1));
        }
    }
}

#[test]
fn the_zero_checksum_is_used_only_where_both_sides_want_it_and_never_with_a_cookie() {
    for (a, b) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut configs = [Config::default(), Config::default()];
        configs[0].zero_checksum = a;
        configs[1].zero_checksum = b;
        let [first, second] = configs;
        let mut world = World::with(first, second, 5);
        world.filter = Some(Box::new(move |_, packet| {
            let zero = packet[8..12] == [0; 4];
            let handshake = [1, 2, 10].iter().any(|kind| has_chunk(packet, *kind));
            assert_eq!(zero, a && b && !handshake, "{}", dissect(packet));
            true
        }));
        world.ends[A].connect(world.now);
        world.send(A, 0, vec![7; 5000]);
        world.run_until_received(B, 1, millis(1000));
    }
}

#[test]
fn a_wrong_checksum_is_dropped() {
    let mut world = World::connected(Config::default());
    world.send(A, 0, "hello");
    let mut packet = world.take_packet(A).unwrap();
    packet[9] = 1;
    world.inject(B, packet);
    assert_eq!(world.ends[B].stats().drops.bad_checksum, 1);
    assert_eq!(world.ends[B].poll_event(), None);
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let run = |seed| {
        let mut world = World::with(Config::default(), Config::default(), seed);
        world.links[A].loss = 0.1;
        let mut bytes = Vec::new();
        world.ends[A].connect(world.now);
        world.send(A, 0, vec![7; 50_000]);
        let until = world.now + millis(5000);
        while world.step(until) {}
        bytes.append(&mut world.diagram);
        (bytes, world.elapsed(), world.ends[A].stats())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

/// The parameters of an INIT or INIT ACK by their types.
fn parameters(packet: &[u8]) -> Vec<u16> {
    let value = chunks(packet)[0].2;
    let (mut found, mut at) = (Vec::new(), 16);
    while at + 4 <= value.len() {
        found.push(u16_at(value, at));
        at += usize::from(u16_at(value, at + 2)).next_multiple_of(4);
    }
    found
}

const ZERO_CHECKSUM: u16 = 0x8001;

fn offers_zero_checksum(packet: &[u8]) -> bool {
    [1, 2].contains(&packet[12]) && parameters(packet).contains(&ZERO_CHECKSUM)
}

/// A peer like pion/sctp 1.8.6: it drops every packet with a parameter that it does not know.
fn with_an_old_peer() -> World {
    let mut old = Config::default();
    old.zero_checksum = false;
    let mut world = World::with(Config::default(), old, 3);
    world.filter = Some(Box::new(|side, packet| {
        !(side == A && offers_zero_checksum(packet))
    }));
    world
}

#[test]
fn an_init_ack_offers_the_zero_checksum_only_to_who_offers_it_too() {
    for parameter in [&[][..], &[0x80, 1, 0, 8, 0, 0, 0, 1]] {
        let mut world = World::new(Config::default());
        world.inject(B, Forge::new(0).init(1, 7, 9, parameter).sealed());
        let answer = world.take_packet(B).unwrap();
        assert_eq!(offers_zero_checksum(&answer), !parameter.is_empty());
    }
}

#[test]
fn an_old_peer_that_connects_too_is_not_kept_waiting() {
    let mut world = with_an_old_peer();
    world.ends[A].connect(world.now);
    world.ends[B].connect(world.now);
    world.send(A, 1, "hello");
    world.run_until_received(B, 1, millis(50));
    assert_eq!(diagram(&world)[0], "A> INIT (lost)");
}

#[test]
fn an_old_peer_that_drops_the_first_init_gets_a_plainer_one() {
    let mut world = with_an_old_peer();
    world.ends[A].connect(world.now);
    world.send(A, 1, "hello");
    world.run_until_received(B, 1, millis(600));
    assert_eq!(
        diagram(&world)[..5],
        [
            "A> INIT (lost)",
            "A> INIT (lost)",
            "A> INIT",
            "B> INIT ACK",
            "A> COOKIE ECHO + I-DATA(1 m0 f0 IBE 5)"
        ]
    );
}

/// Whether it was lost or refused cannot be told: so the second try is both.
#[test]
fn a_modern_peer_that_only_listens_keeps_the_zero_checksum_though_an_init_is_lost() {
    let mut world = World::new(Config::default());
    let mut count = 0;
    world.filter = Some(Box::new(move |_, _| {
        count += 1;
        count != 1
    }));
    world.ends[A].connect(world.now);
    world.run(millis(2000));
    assert_eq!(
        diagram(&world)[..7],
        [
            "A> INIT (lost)",
            "A> INIT",
            "A> INIT",
            "B> INIT ACK",
            "B> INIT ACK",
            "A> COOKIE ECHO",
            "B> COOKIE ACK"
        ]
    );
    assert_eq!(world.ends[A].stats().drops.unexpected_chunk, 1);
    for side in [A, B] {
        world.send(side, 1, "hello");
        assert_eq!(world.take_packet(side).unwrap()[8..12], [0; 4]);
    }
}

#[test]
fn an_abort_for_the_first_init_is_answered_with_a_plainer_one_and_the_second_ends_it() {
    let mut world = World::new(Config::default());
    world.ends[A].connect(world.now);
    let init = world.take_packet(A).unwrap();
    assert!(offers_zero_checksum(&init));
    let tag = u32_at(&init, 16);
    // Unrecognized Parameters.
    let abort = Forge::new(tag).chunk(6, 0, &[0, 8, 0, 12, 0x80, 1, 0, 8, 0, 0, 0, 1]);
    world.inject(A, abort.clone().sealed());
    let plainer = world.take_packet(A).unwrap();
    assert_eq!(parameters(&plainer), [0xc000, 0x8008]);
    assert_eq!(u32_at(&plainer, 16), tag);
    assert_eq!(world.ends[A].poll_event(), None);
    world.inject(A, abort.sealed());
    assert_eq!(world.take_packet(A), None);
    assert!(matches!(
        world.ends[A].poll_event(),
        Some(Event::Closed(CloseReason::AbortedByPeer { code: 8, .. }))
    ));
    // Who says that it does not want to talk is believed at once.
    let mut world = World::new(Config::default());
    world.ends[A].connect(world.now);
    let tag = u32_at(&world.take_packet(A).unwrap(), 16);
    world.inject(A, Forge::new(tag).chunk(6, 0, &[0, 12, 0, 4]).sealed());
    assert_eq!(world.take_packet(A), None);
    assert!(world.ends[A].poll_timeout().is_none());
}

/// A lost INIT costs a modern peer nothing when it connects as well, as it does in WebRTC: each INIT ACK answers what
/// the other's INIT offered.
#[test]
fn a_modern_peer_keeps_the_zero_checksum_though_an_init_is_lost() {
    let mut world = World::new(Config::default());
    let mut count = 0;
    world.filter = Some(Box::new(move |_, _| {
        count += 1;
        count != 1
    }));
    world.ends[A].connect(world.now);
    world.ends[B].connect(world.now);
    world.run(millis(2000));
    for side in [A, B] {
        world.send(side, 1, "hello");
        assert_eq!(world.take_packet(side).unwrap()[8..12], [0; 4]);
    }
}
