//! Well-made chunks where they must not be: bundled with what goes alone, or behind a tag that is not theirs.

mod common;

use common::*;
use dunlin_sctp::{Association, Config, Event, Tsn};

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

fn answers(world: &mut World, side: usize) -> Vec<String> {
    std::iter::from_fn(|| world.take_packet(side))
        .map(|packet| dissect(&packet))
        .collect()
}

/// Section 8.5.1, rule A: "When an endpoint receives an SCTP packet with the Verification Tag set to 0, it SHOULD verify
/// that the packet contains only an INIT chunk. Otherwise, the receiver MUST silently discard the packet."
#[test]
fn a_packet_tagged_zero_that_is_no_init_is_never_answered() {
    for kind in (0..=255).filter(|kind| *kind != 1) {
        for waits in [false, true] {
            let mut world = World::new(config());
            if waits {
                world.ends[B].connect(world.now);
                let _ = answers(&mut world, B);
            }
            world.inject(B, Forge::new(0).chunk(kind, 0, &[0; 16]).sealed());
            assert_eq!(answers(&mut world, B), [""; 0], "chunk {kind}");
        }
    }
}

/// Section 8.4 asks what a packet out of the blue "contains", wherever in it.
#[test]
fn what_comes_out_of_the_blue_is_judged_by_all_its_chunks() {
    for (kinds, expected) in [
        (&[4, 6][..], &[""; 0][..]),
        (&[8, 6], &[]),
        (&[3, 14], &[]),
        (&[3, 11], &[]),
        (&[4, 8], &["SHUTDOWN COMPLETE"]),
        (&[9, 8], &["SHUTDOWN COMPLETE"]),
        (&[3, 4], &["ABORT"]),
        (&[9], &["ABORT"]),
    ] {
        let mut world = World::new(config());
        let forge = kinds
            .iter()
            .fold(Forge::new(0xdead), |forge, &kind| forge.chunk(kind, 0, &[0; 12]));
        world.inject(B, forge.sealed());
        assert_eq!(answers(&mut world, B), expected, "{kinds:?}");
    }
}

/// Section 8.4, rule 7: of ERROR chunks only those that say "Stale Cookie", as any of their causes, are discarded silently.
#[test]
fn a_stale_cookie_out_of_the_blue_is_not_answered() {
    let stale = [0, 3, 0, 8, 0, 0, 0, 1];
    let other = [0, 6, 0, 8, 1, 2, 3, 4];
    let both = [other, stale].concat();
    for (causes, before) in [(&stale[..], false), (&both, false), (&stale, true), (&both, true)] {
        let mut world = World::new(config());
        let mut forge = Forge::new(0xdead);
        if before {
            forge = forge.chunk(9, 0, &other);
        }
        world.inject(B, forge.chunk(9, 0, causes).sealed());
        assert_eq!(answers(&mut world, B), [""; 0], "{causes:?}");
    }
}

/// Section 5.2.4, action A in SHUTDOWN-ACK-SENT: the answer, "ERROR + SHUTDOWN ACK", has the tag of the association that the
/// peer has forgotten, and is out of the blue there (section 8.5.1, rule E). It ends the old association at once.
#[test]
fn who_restarts_while_the_other_shuts_down_lets_it_end() {
    let (mut world, _) = connected();
    let mut restarted = Association::new(config(), [99; 32], world.now);
    restarted.connect(world.now);
    let mut packet = Vec::new();
    assert!(restarted.poll_transmit(world.now, &mut packet));
    world.inject(B, packet);
    let init_ack = world.take_packet(B).unwrap();
    world.ends[A].shutdown(world.now);
    let shutdown = world.take_packet(A).unwrap();
    world.inject(B, shutdown);
    assert_eq!(answers(&mut world, B), ["SHUTDOWN ACK"]);
    world.ends[A] = restarted;
    world.inject(A, init_ack);
    let echo = world.take_packet(A).unwrap();
    world.inject(B, echo);
    let refusal = world.take_packet(B).unwrap();
    assert_eq!(dissect(&refusal), "ERROR 10 + SHUTDOWN ACK");
    world.inject(A, refusal);
    let complete = world.take_packet(A).unwrap();
    assert_eq!(dissect(&complete), "SHUTDOWN COMPLETE");
    world.inject(B, complete);
    world.pump();
    assert!(
        matches!(world.notices(B)[..], [Event::Closed(_)]),
        "{:?}",
        world.notices(B)
    );
}

/// "INIT, INIT ACK, and SHUTDOWN COMPLETE chunks MUST NOT be bundled with any other chunk into an SCTP packet."
#[test]
fn an_init_behind_another_chunk_is_not_answered() {
    let (mut world, [_, to_b]) = connected();
    let packet = Forge::new(to_b).chunk(132, 0, &[]).init(1, 7, 9, &[]).sealed();
    world.inject(B, packet);
    assert_eq!(answers(&mut world, B), [""; 0]);
    assert!(world.ends[B].is_connected());
}

#[test]
fn an_init_ack_with_anything_beside_it_is_dropped() {
    let mut world = World::new(config());
    world.ends[A].connect(world.now);
    let init = world.take_packet(A).unwrap();
    world.inject(B, init);
    let init_ack = world.take_packet(B).unwrap();
    let (tag, (_, _, value)) = (u32_at(&init_ack, 4), chunks(&init_ack)[0]);
    for packet in [
        // A COOKIE ACK would end the handshake before the cookie is echoed.
        Forge::new(tag).chunk(2, 0, value).chunk(11, 0, &[]),
        Forge::new(tag).chunk(132, 0, &[]).chunk(2, 0, value),
    ] {
        world.inject(A, packet.sealed());
        assert!(!world.ends[A].is_connected());
        assert_eq!(answers(&mut world, A), [""; 0]);
    }
    world.inject(A, init_ack);
    assert_eq!(answers(&mut world, A), ["COOKIE ECHO"]);
}

/// Section 8.5.1, rule B: an ABORT is for us with our tag and without the T bit, or with the peer's tag and with it.
/// "Otherwise, the receiver MUST silently discard the packet and take no further action."
#[test]
fn a_t_bit_behind_our_own_tag_is_not_believed_wherever_the_abort_stands() {
    let (mut world, [to_a, to_b]) = connected();
    for (tag, flags, lives) in [(to_b, 1, true), (to_a, 1, true), (to_b, 0, false)] {
        let packet = Forge::new(tag).chunk(132, 0, &[]).chunk(6, flags, &[]).sealed();
        world.inject(B, packet);
        assert_eq!(world.ends[B].is_connected(), lives);
    }
}

/// The tag of a packet with a SHUTDOWN COMPLETE may be reflected, but nothing else may follow in it.
#[test]
fn a_reflected_tag_opens_the_door_to_no_other_chunk() {
    let (mut world, [to_a, _]) = connected();
    let packet = Forge::new(to_a)
        .chunk(14, 1, &[])
        .data(3, 1001, 1, 0, b"by the back door")
        .chunk(4, 0, &[0, 1, 0, 8, 1, 2, 3, 4])
        .sealed();
    world.inject(B, packet);
    world.run(millis(1000));
    assert_eq!(world.texts(B), [""; 0]);
    assert!(!world.diagram.iter().any(|line| line.contains("HEARTBEAT ACK")));
}
