//! The receive window grows to what the reader takes and the path needs, and not before.

mod common;

use common::*;
use dunlin_sctp::{Config, Tsn};

const MIB: usize = 1 << 20;
/// What is offered at first.
const FIRST: usize = 2 * MIB;

/// A transfer of messages of 256 KiB for some seconds over a path of so many bits per second and milliseconds.
fn transfer(config: &Config, rate: f64, rtt: u64, reads: bool, seconds: u64) -> World {
    let mut world = World::with(config.clone(), config.clone(), 1);
    for link in &mut world.links {
        link.delay = millis(rtt) / 2;
    }
    world.connect();
    world.run(millis(1000));
    world.links[A].rate = rate;
    world.links[A].queue = millis(100);
    world.reads[B] = reads;
    world.record = false;
    for _ in 0..seconds * 100 {
        while world.ends[A].total_buffered() < 4 * MIB {
            world.send(A, 1, vec![7; 256 << 10]);
        }
        world.run(millis(10));
    }
    world
}

#[test]
fn who_reads_nothing_is_given_two_mebibytes_however_much_is_allowed() {
    let world = transfer(&Config::default(), 0.0, 20, false, 5);
    let stats = world.ends[A].stats();
    assert!(stats.bytes_sent <= FIRST as u64 * 9 / 8, "{}", stats.bytes_sent);
}

#[test]
fn the_window_of_a_reader_who_keeps_up_is_some_round_trips_of_the_path() {
    for (rate, rtt, least, most) in [
        (5e6, 20, FIRST, FIRST),
        (200e6, 100, 4_000_000, 21_000_000),
        (1e9, 100, 20_000_000, Config::default().receive_window),
    ] {
        let world = transfer(&Config::default(), rate, rtt, true, 4);
        let window = world.ends[A].stats().peer_window;
        assert!(
            (least - 300_000..=most).contains(&window),
            "{rate} {rtt}: {window}"
        );
        let got = world.messages(B).len() * (256 << 10) * 8;
        assert!(got as f64 / 4.0 > rate * 0.5, "{rate} {rtt}: {got}");
    }
}

#[test]
fn the_configured_size_is_the_most_that_is_offered() {
    let mut config = Config::default();
    config.receive_window = 2 * MIB;
    let world = transfer(&config, 1e9, 100, true, 2);
    assert!(world.ends[A].stats().peer_window <= 2 * MIB);
    config.receive_window = 600_000;
    let world = transfer(&config, 1e9, 100, true, 2);
    assert!(world.ends[A].stats().peer_window <= 600_000);
}

/// When the reader stops in the middle, it is owed what was offered.
#[test]
fn a_reader_who_stops_has_what_was_offered_at_most() {
    let mut world = transfer(&Config::default(), 200e6, 50, true, 3);
    world.reads[B] = false;
    let before = world.ends[B].stats().bytes_received;
    let offered = world.ends[A].stats().peer_window;
    for _ in 0..500 {
        while world.ends[A].total_buffered() < 4 * MIB {
            world.send(A, 1, vec![7; 256 << 10]);
        }
        world.run(millis(10));
    }
    let waits = world.ends[B].stats().bytes_received - before;
    assert!(waits as usize <= offered + MIB, "{waits} {offered}");
}

/// A receiver with a window of 600,000 bytes, which is given a message of 1000 bytes by its TSN, 1000 at first: how many were
/// dropped for want of room until now, and how many handed up.
fn receiver() -> impl FnMut(u32) -> (u64, usize) {
    let mut config = Config::default();
    config.initial_tsn = Some(Tsn(1000));
    config.receive_window = 600_000;
    config.interleaving = false;
    let mut world = World::connected(config);
    world.send(A, 9, "what is your tag?");
    let tag = u32_at(&world.take_packet(A).unwrap(), 4);
    move |tsn: u32| {
        let forge = Forge::new(tag).data(3, tsn, 1, (tsn - 1000) as u16, &[7; 1000]);
        world.inject(B, forge.packet);
        world.pump();
        (world.ends[B].stats().drops.no_room, world.messages(B).len())
    }
}

/// RFC 9260, section 6.2: with a window of 0 what is later than all that has arrived MUST be dropped, and what is not, SHOULD be
/// accepted. Found by the model's seed 203241: what filled a hole was dropped unless it came in order, each time something
/// overtook that it took T3-rtx to go on, and nothing measured a round trip meanwhile.
#[test]
fn a_full_window_still_takes_what_fills_holes_in_any_order() {
    let mut give = receiver();
    // Twenty are missing, and what follows fills the window: 1096 bytes each with their bookkeeping.
    let full = (1020..1600).find(|&tsn| give(tsn).0 > 0).unwrap();
    assert!((545..=548).contains(&(full - 1020)), "{full}");
    for tsn in (1001..1020).rev() {
        assert_eq!(give(tsn), (1, 0), "{tsn}");
    }
    assert_eq!(give(full), (2, 0));
    let all = (full - 1000) as usize;
    assert_eq!(give(1000), (2, all));
    assert_eq!(give(full), (2, all + 1));
}

/// What fills holes has a bound of its own, and leaves room for what comes in order.
#[test]
fn what_fills_holes_goes_beyond_the_window_by_a_sixteenth() {
    let mut give = receiver();
    let full = (1100..1700).find(|&tsn| give(tsn).0 > 0).unwrap();
    let first = (1000..1100).rev().find(|&tsn| give(tsn).0 > 1).unwrap();
    assert!((33..=36).contains(&(1099 - first)), "{first}");
    for tsn in 1000..first {
        assert_eq!(give(tsn).0, 2, "{tsn}");
    }
    assert_eq!(give(first), (2, (full - 1000) as usize));
}
