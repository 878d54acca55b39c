//! Marks instead of losses (RFC 3168; RFC 4960, appendix A): who says so, who echoes, who reacts, and what is not believed.

#![allow(clippy::disallowed_types)]

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::*;
use dunlin_sctp::{Config, CongestionControl, EcnState, Tsn};

const ECNE: u8 = 12;
const CWR: u8 = 13;

fn config(control: CongestionControl) -> Config {
    let mut config = Config::default();
    config.congestion = control;
    config.initial_tsn = Some(Tsn(1000));
    config
}

/// Marks, of packets with ECT that A sends, those whose number is in the list; all pass.
fn marking(numbers: &'static [usize]) -> Router {
    let mut count = 0;
    Box::new(move |side, _, ect| {
        if side != A || !ect {
            return Fate::Passes;
        }
        count += 1;
        match numbers.contains(&count) {
            true => Fate::Marked,
            false => Fate::Passes,
        }
    })
}

fn without_sizes(diagram: &[String]) -> Vec<String> {
    let short = |line: &String| {
        let mut words = Vec::new();
        for word in line.split(" + ") {
            let side = word.get(..3).filter(|side| side.ends_with("> ")).unwrap_or("");
            let mark = word.find(" [").map_or("", |at| &word[at..]);
            let name = word.strip_prefix(side).unwrap_or(word);
            let name = if name.starts_with("I-DATA") {
                "DATA"
            } else {
                name.trim_end_matches(mark)
            };
            words.push(format!("{side}{name}{mark}"));
        }
        words.join(" + ")
    };
    diagram.iter().map(short).collect()
}

/// RFC 4960, appendix A: "To indicate that an endpoint is ECN capable, an endpoint SHOULD add to the INIT and or INIT ACK
/// chunk the TLV reserved for ECN."
#[test]
fn it_is_offered_in_the_init_and_answered_in_the_init_ack_and_one_side_alone_uses_nothing() {
    let has_it = |packet: &[u8]| {
        let value = chunks(packet)[0].2;
        let mut at = 16;
        while at + 4 <= value.len() {
            if value[at..at + 4] == [0x80, 0, 0, 4] {
                return true;
            }
            at += usize::from(u16_at(value, at + 2)).next_multiple_of(4);
        }
        false
    };
    for (ours, theirs) in [(true, true), (true, false), (false, true)] {
        let mut configs = [Config::default(), Config::default()];
        (configs[0].ecn, configs[1].ecn) = (ours, theirs);
        let [a, b] = configs;
        let mut world = World::with(a, b, 1);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let kept = seen.clone();
        world.filter = Some(Box::new(move |side, packet| {
            if has_chunk(packet, 1) || has_chunk(packet, 2) {
                kept.borrow_mut().push((side, has_it(packet)));
            }
            true
        }));
        world.connect();
        assert_eq!(*seen.borrow(), [(A, ours), (B, ours && theirs)]);
        world.router = Some(Box::new(|_, _, _| Fate::Passes));
        world.send(A, 1, "x");
        world.run_until_received(B, 1, millis(1000));
        let marked = world.diagram.iter().any(|line| line.contains("[ECT]"));
        assert_eq!(marked, ours && theirs, "{:#?}", world.diagram);
        world.run(millis(1000));
        let expected = if ours && theirs {
            EcnState::Capable
        } else {
            EcnState::Off
        };
        assert_eq!(world.ends[A].stats().ecn, expected);
    }
}

/// The appendix: "this same indication is made by including the ECNE chunk", at once and before the SACK, until "its peer … has
/// reduced its congestion window", which a CWR says in the next packet.
#[test]
fn a_mark_is_echoed_at_once_and_answered_in_the_next_packet() {
    let mut world = World::connected(config(CongestionControl::Cubic));
    world.router = Some(marking(&[1]));
    world.send(A, 1, vec![0; 500]);
    world.run(millis(1000));
    assert_eq!(
        without_sizes(&world.diagram),
        ["A> DATA [CE]", "B> ECNE x1 + SACK", "A> CWR",]
    );
    let (ours, theirs) = (world.ends[A].stats(), world.ends[B].stats());
    assert_eq!((ours.ect_packets_sent, ours.ecn_echoes_received), (1, 1));
    assert_eq!((ours.ecn_marks_reported, ours.ecn_reactions), (1, 1));
    assert_eq!(theirs.ce_packets_received, 1);
    assert_eq!(ours.ecn, EcnState::Capable);
    assert_eq!((ours.retransmissions, theirs.retransmissions), (0, 0));
}

#[test]
fn an_echo_is_repeated_until_a_cwr_comes_through_and_reacted_to_once() {
    let mut world = World::connected(config(CongestionControl::Cubic));
    world.router = Some(marking(&[1]));
    let mut lost = 0;
    world.filter = Some(Box::new(move |_, packet| {
        let is_lost = has_chunk(packet, CWR) && lost < 2;
        lost += u32::from(is_lost);
        !is_lost
    }));
    for _ in 0..8 {
        world.send(A, 1, vec![0; 500]);
        world.run(millis(100));
    }
    let echoes = world.diagram.iter().filter(|line| line.contains("ECNE")).count();
    assert!((2..=4).contains(&echoes), "{:#?}", world.diagram);
    let stats = world.ends[A].stats();
    assert_eq!((stats.ecn_reactions, stats.ecn_marks_reported), (1, 1));
    assert_eq!(world.messages(B).len(), 8);
    let last = world.diagram.iter().rev().take(4);
    assert!(
        last.into_iter().all(|line| !line.contains("ECNE")),
        "{:#?}",
        world.diagram
    );
}

/// RFC 3168, section 6.1.2: "TCP should not react to congestion indications more than once every window of data".
#[test]
fn many_marks_of_one_window_are_one_reaction_and_those_of_the_next_another() {
    let mut world = World::connected(config(CongestionControl::Cubic));
    world.send(A, 1, vec![0; 9000]);
    world.run(millis(500));
    let before = world.ends[A].stats().congestion_window;
    world.router = Some(marking(&[1, 2, 3, 4, 5, 6, 7, 8]));
    world.send(A, 1, vec![0; 9000]);
    world.run(millis(500));
    let stats = world.ends[A].stats();
    assert_eq!((stats.ecn_marks_reported, stats.ecn_reactions), (8, 1));
    let cut = stats.congestion_window as f64 / before as f64;
    assert!(
        (0.80..0.99).contains(&cut),
        "{cut}: RFC 8511 says 0.85, and something was acknowledged since"
    );
    world.router = Some(marking(&[1]));
    world.send(A, 1, vec![0; 900]);
    world.run(millis(500));
    assert_eq!(world.ends[A].stats().ecn_reactions, 2);
}

/// RFC 3168, section 6.1.5: ECN-capable "TCP implementations MUST NOT set either ECT codepoint … in the IP header for
/// retransmitted data packets"; 6.1.4 says the same of acknowledgements, 6.1.6 of window probes.
#[test]
fn only_new_data_says_that_it_may_be_marked() {
    let mut world = World::connected(config(CongestionControl::Bbr));
    let mut count = 0;
    world.router = Some(Box::new(move |side, packet, ect| {
        let data = has_data(packet);
        count += u32::from(side == A && data);
        assert!(data || !ect, "{}", dissect(packet));
        match side == A && data && count % 5 == 3 {
            true => Fate::Dropped,
            false => Fate::Passes,
        }
    }));
    let mut seen = std::collections::BTreeSet::new();
    world.send(A, 1, vec![0; 200_000]);
    world.run(millis(20_000));
    assert_eq!(world.messages(B).len(), 1);
    for line in world.diagram.iter().filter(|line| line.starts_with("A>")) {
        for fragment in line
            .match_indices(" f")
            .map(|(at, _)| line[at + 2..].split(' ').next().unwrap())
        {
            let is_new = seen.insert(fragment.to_owned());
            assert!(is_new || !line.contains("[ECT]"), "{line}");
        }
    }
    assert!(world.ends[A].stats().retransmissions > 10);
    assert!(world.ends[A].stats().ect_packets_sent > 100);
}

/// Handshakes, and what goes with them, would not survive a path that swallows ECT.
#[test]
fn a_path_that_swallows_ect_is_found_out_without_a_timeout_and_left_alone() {
    for control in [CongestionControl::Bbr, CongestionControl::Cubic] {
        let mut world = World::new(config(control));
        world.router = Some(Box::new(|_, _, ect| match ect {
            true => Fate::Dropped,
            false => Fate::Passes,
        }));
        world.connect();
        world.send(A, 1, vec![7; 60_000]);
        world.run_until_received(B, 1, millis(2_000));
        let stats = world.ends[A].stats();
        assert_eq!(stats.ecn, EcnState::BlackHole, "{stats:?}");
        assert!(stats.ect_packets_sent <= 8, "{stats:?}");
        world.send(A, 1, vec![7; 60_000]);
        world.run_until_received(B, 2, millis(1_000));
        assert_eq!(world.ends[A].stats().ect_packets_sent, stats.ect_packets_sent);
    }
}

#[test]
fn losses_alone_do_not_switch_it_off() {
    let mut world = World::connected(config(CongestionControl::Bbr));
    world.links[A].loss = 0.1;
    for _ in 0..200 {
        world.send(A, 1, vec![7; 10_000]);
        world.run(millis(100));
    }
    assert_eq!(world.ends[A].stats().ecn, EcnState::Capable);
}

#[test]
fn a_path_that_stops_carrying_ect_is_noticed_too() {
    let mut world = World::connected(config(CongestionControl::Bbr));
    world.send(A, 1, vec![7; 10_000]);
    world.run(millis(500));
    assert_eq!(world.ends[A].stats().ecn, EcnState::Capable);
    world.router = Some(Box::new(|_, _, ect| match ect {
        true => Fate::Dropped,
        false => Fate::Passes,
    }));
    for message in 0..4 {
        world.send(A, 1, vec![7; 10_000]);
        world.run_until_received(B, message + 2, millis(5_000));
    }
    assert_eq!(world.ends[A].stats().ecn, EcnState::BlackHole);
}

/// Marks without a queue say nothing.
#[test]
fn a_path_that_marks_everything_is_not_listened_to_for_long() {
    let mut world = World::connected(config(CongestionControl::Bbr));
    world.router = Some(Box::new(|_, _, ect| match ect {
        true => Fate::Marked,
        false => Fate::Passes,
    }));
    for _ in 0..40 {
        world.send(A, 1, vec![7; 20_000]);
        world.run(millis(100));
    }
    let stats = world.ends[A].stats();
    assert_eq!(stats.ecn, EcnState::FalseMarks, "{stats:?}");
    assert!(stats.ecn_reactions <= 12, "{stats:?}");
    assert_eq!(world.messages(B).len(), 40);
}

/// What was found out about one path says nothing about another.
#[test]
fn another_path_is_tested_anew_and_one_that_carries_no_marks_is_not_asked_to() {
    let mut world = World::connected(config(CongestionControl::Bbr));
    world.send(A, 1, vec![7; 10_000]);
    world.run(millis(500));
    world.ends[A].handle_path_change(world.now, 0);
    assert_eq!(world.ends[A].stats().ecn, EcnState::Testing);
    world.send(A, 1, vec![7; 10_000]);
    world.run(millis(500));
    assert_eq!(world.ends[A].stats().ecn, EcnState::Capable);
    world.ends[A].set_marks_carried(false);
    let before = world.ends[A].stats().ect_packets_sent;
    world.send(A, 1, vec![7; 10_000]);
    world.run(millis(500));
    let stats = world.ends[A].stats();
    assert_eq!((stats.ecn, stats.ect_packets_sent), (EcnState::Off, before));
    world.ends[A].set_marks_carried(true);
    assert_eq!(world.ends[A].stats().ecn, EcnState::Testing);
}

/// A forged packet for A.
struct Liar {
    world: World,
    tag: u32,
}

impl Liar {
    fn new(control: CongestionControl) -> Self {
        let mut world = World::connected(config(control));
        world.send(A, 1, vec![7; 40_000]);
        world.run(millis(1000));
        world.send(B, 9, "what is your tag?");
        let tag = u32_at(&world.take_packet(B).unwrap(), 4);
        Self { world, tag }
    }

    fn echo(&mut self, tsn: u32, count: Option<u32>) {
        let mut value = tsn.to_be_bytes().to_vec();
        value.extend(count.into_iter().flat_map(u32::to_be_bytes));
        let forge = Forge::new(self.tag).chunk(ECNE, 0, &value);
        self.world.inject(A, forge.packet);
    }
}

/// A peer that floods with echoes: one reaction for what can be true, none for the rest, and each kind of lie is counted.
#[test]
fn echoes_that_cannot_be_true_change_nothing() {
    let mut liar = Liar::new(CongestionControl::Cubic);
    let stats = liar.world.ends[A].stats();
    let sent = u32::try_from(stats.bytes_sent / 1100).unwrap();
    for tsn in [999, 1000 + sent * 2, 5000, 0, u32::MAX, 1000 ^ (1 << 31)] {
        for count in [None, Some(0), Some(1), Some(u32::MAX)] {
            liar.echo(tsn, count);
        }
    }
    let after = liar.world.ends[A].stats();
    assert_eq!(after.ecn_reactions, 0);
    assert_eq!(after.congestion_window, stats.congestion_window);
    assert_eq!(after.drops.echo_not_sent + after.drops.echo_not_capable, 24);
    assert!(after.drops.echo_not_sent > 0 && after.drops.echo_not_capable > 0);
    let malformed = after.drops.malformed_chunk;
    for len in [0usize, 3, 5, 12] {
        let forge = Forge::new(liar.tag).chunk(ECNE, 0, &vec![0; len]);
        liar.world.inject(A, forge.packet);
        let forge = Forge::new(liar.tag).chunk(CWR, 0, &vec![0; len]);
        liar.world.inject(A, forge.packet);
    }
    assert_eq!(liar.world.ends[A].stats().drops.malformed_chunk, malformed + 8);
    assert!(liar.world.ends[A].is_connected());
}

#[test]
fn a_flood_of_echoes_is_one_reaction_per_round_trip_however_new_their_tsns_are() {
    for control in [CongestionControl::Bbr, CongestionControl::Cubic] {
        let mut liar = Liar::new(control);
        let began = liar.world.now;
        let mut newest = 1034u32;
        for _ in 0..1000 {
            liar.world.send(A, 1, vec![7; 3_000]);
            liar.world.run(millis(1));
            // The liar has every TSN as soon as it is sent, and more.
            newest += 3;
            for tsn in newest.saturating_sub(3)..newest + 8 {
                liar.echo(tsn, Some(u32::MAX));
            }
        }
        let stats = liar.world.ends[A].stats();
        let round_trips = (liar.world.now - began).as_millis() as u64 / 20;
        assert!(stats.ecn_reactions <= round_trips + 1, "{control:?}: {stats:?}");
        assert!(stats.ecn_marks_reported <= stats.ect_packets_sent, "{stats:?}");
        assert!(stats.drops.echo_too_soon > 0, "{stats:?}");
        liar.world.run(Duration::from_secs(60));
        assert_eq!(liar.world.messages(B).len(), 1001, "{control:?}");
    }
}

/// usrsctp may answer each echo with a TSN that it never sent (its issue 595): that is given up, unlike a CWR that is late.
#[test]
fn an_echo_that_is_never_answered_rightly_ends_after_eight_wrong_answers() {
    let mut liar = Liar::new(CongestionControl::Cubic);
    let bare = Forge::new(liar.tag);
    let now = liar.world.now;
    let data = bare.clone().i_data(3, 1002, 1, 9, 53, b"x");
    liar.world.ends[A].handle_marked_datagram(now, data.packet.into());
    let echoed = |liar: &mut Liar| {
        let again = bare.clone().i_data(3, 1002, 1, 9, 53, b"x");
        // A duplicate is acknowledged at once.
        liar.world.inject(A, again.packet);
        let mut found = false;
        while let Some(packet) = liar.world.take_packet(A) {
            found |= has_chunk(&packet, ECNE);
        }
        found
    };
    for answer in 0..8 {
        assert!(echoed(&mut liar), "after {answer} answers");
        let cwr = bare.clone().chunk(CWR, 0, &990u32.to_be_bytes());
        liar.world.inject(A, cwr.packet);
    }
    assert!(!echoed(&mut liar));
}

#[test]
fn without_agreement_echoes_are_nothing() {
    let mut configs = [config(CongestionControl::Cubic), config(CongestionControl::Cubic)];
    configs[1].ecn = false;
    let [a, b] = configs;
    let mut world = World::with(a, b, 1);
    world.connect();
    world.send(A, 1, vec![7; 4_000]);
    world.run(millis(500));
    world.send(B, 9, "what is your tag?");
    let tag = u32_at(&world.take_packet(B).unwrap(), 4);
    world.inject(A, Forge::new(tag).chunk(ECNE, 0, &1001u32.to_be_bytes()).packet);
    world.inject(A, Forge::new(tag).chunk(CWR, 0, &1001u32.to_be_bytes()).packet);
    let stats = world.ends[A].stats();
    assert_eq!((stats.ecn_echoes_received, stats.ecn_reactions), (0, 0));
    assert_eq!(stats.drops.unexpected_chunk, 2);
}
