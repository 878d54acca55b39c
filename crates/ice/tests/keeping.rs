//! A path that exists: consent (RFC 7675), silence, keepalives, restarts (RFC 8445, section 9), and the end.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use std::net::SocketAddr;
use std::time::Duration;

use dunlin_ice::{Event, FailureReason, Outcome, Role, State};
use dunlin_net::Transport;
use dunlin_stun::{Class, Message};
use world::{A, B, World, addr, config, ms};

fn connected(seed: u64) -> World {
    let mut world = World::simple(seed);
    world.signal();
    assert!(world.run(ms(2000), World::both_completed));
    world.run_for(ms(5000));
    world
}

#[test]
fn consent_checks_keep_a_silent_session_alive() {
    let mut world = connected(1);
    let before = world.nodes[A].agent.stats().consent_checks_sent;
    world.run_for(ms(600_000));
    assert!(world.both_completed());
    let sent = world.nodes[A].agent.stats().consent_checks_sent - before;
    // One every 5 s, each at 0.8 to 1.2 times that.
    assert!((100..=150).contains(&sent), "{sent}");
    assert_eq!(world.nodes[A].agent.stats().pairs, 1);
    assert!(world.nodes[A].agent.stats().pending_transactions <= 1);
    assert_eq!(world.nodes[A].agent.stats().drops.total(), 0);
}

/// Both ends wake up for one check of each, not for two: what the peer asks is answered together with ours, which goes first.
#[test]
fn the_checks_of_both_ends_go_together() {
    let mut world = connected(4);
    world.run_for(ms(20_000));
    world.log.clear();
    world.keep_log = true;
    world.run_for(ms(600_000));
    let mut steps: Vec<(Duration, SocketAddr, Vec<Class>)> = Vec::new();
    for (at, from, _, bytes) in &world.log {
        let class = Message::parse(bytes).unwrap().class();
        match steps.last_mut() {
            Some((time, source, classes)) if (*time, *source) == (*at, *from) => classes.push(class),
            _ => steps.push((*at, *from, vec![class])),
        }
    }
    let count = |wanted: &[Class]| steps.iter().filter(|(.., classes)| classes == wanted).count();
    let (alone, together) = (count(&[Class::Request]), count(&[Class::Request, Class::Success]));
    assert!(alone > 100, "{alone}");
    // Those that met on their way had nothing to go along with.
    assert!(together * 10 >= alone * 9, "{together} of {alone}");
    assert_eq!(count(&[Class::Success]) + together, alone + together);
}

/// Nor does an end wake up for the check that it has sent along, at the time for which that was planned.
#[test]
fn a_check_that_went_along_leaves_no_timer_behind() {
    let mut world = connected(4);
    world.run_for(ms(20_000));
    for _ in 0..50 {
        let sent = |w: &World| [A, B].map(|side| w.nodes[side].agent.stats().consent_checks_sent);
        let before = sent(&world);
        assert!(world.run(ms(6_000), |w| sent(w) == before.map(|count| count + 1)));
        let at = world.now;
        world.run_for(ms(200));
        for side in [A, B] {
            let next = world.nodes[side].agent.poll_timeout().unwrap();
            assert!(next > at + ms(3_900), "{side}: {:?}", next - at);
        }
    }
}

#[test]
fn a_peer_that_vanishes_is_noticed_in_seconds_and_given_up_when_consent_expires() {
    let mut world = connected(2);
    world.dead.insert(addr("10.0.0.2:1").ip());
    let gone = world.now;
    assert!(world.run(ms(60_000), |w| w.nodes[A].agent.state() == State::Disconnected));
    let noticed = world.now - gone;
    assert!(noticed <= ms(7_000), "{noticed:?}");
    assert!(world.say(A, b"\x80still trying"), "disconnected may heal");
    assert!(world.run(ms(60_000), |w| w.nodes[A].agent.state() == State::Failed));
    let failed = world.now - gone;
    assert!(failed > ms(23_000) && failed <= ms(30_000), "{failed:?}");
    // RFC 7675: nothing may be sent without consent.
    assert!(!world.say(A, b"\x80no more"));
    let report = world.nodes[A].failure.clone().unwrap();
    assert_eq!(report.reason, FailureReason::ConsentExpired);
    assert_eq!(report.tried.pairs[0].outcome, Outcome::ConsentExpired);
    assert!(
        report
            .to_string()
            .starts_with("consent expired: the path worked and then went silent")
    );
    assert_eq!(world.nodes[A].agent.poll_timeout(), None);
}

#[test]
fn a_short_outage_heals() {
    let mut world = connected(3);
    world.loss = 1.0;
    assert!(world.run(ms(20_000), |w| w.nodes[A].agent.state() == State::Disconnected));
    world.run_for(ms(8_000));
    world.loss = 0.0;
    assert!(world.run(ms(10_000), World::both_completed));
    world.run_for(ms(60_000));
    assert!(world.both_completed());
    assert!(!world.nodes[A].states.contains(&State::Failed));
}

#[test]
fn data_from_the_peer_is_a_sign_of_life_too() {
    let mut world = connected(4);
    world.loss = 1.0;
    assert!(world.run(ms(20_000), |w| w.nodes[A].agent.state() == State::Disconnected));
    world.loss = 0.0;
    assert!(world.say(B, b"\x80alive"));
    assert!(world.run(ms(50), |w| w.is_done(A)));
}

#[test]
fn a_lite_agent_notices_when_its_peer_goes_silent() {
    let mut lite = config(Role::Controlled);
    lite.lite = true;
    let mut world = World::new(5, [config(Role::Controlling), lite]);
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.0.0.2:2000");
    world.tell_credentials(A, B);
    world.tell_credentials_lite(B, A, true);
    world.tell_candidates(B, A);
    assert!(world.run(ms(500), World::both_completed));
    world.run_for(ms(20_000));
    world.dead.insert(addr("10.0.0.1:1").ip());
    assert!(world.run(ms(40_000), |w| w.nodes[B].agent.state() == State::Failed));
    // It sends no checks, but keeps the binding of a NAT on its way alive (RFC 8445, section 11).
    let indication = |(_, source, _, data): &(_, std::net::SocketAddr, _, Vec<u8>)| {
        *source == addr("10.0.0.2:2000") && data[..2] == [0x00, 0x11]
    };
    assert!(world.log.iter().any(indication));
}

#[test]
fn a_restart_keeps_the_old_pair_until_the_new_one_is_nominated() {
    for offerer in [A, B] {
        let answerer = 1 - offerer;
        let mut world = connected(6);
        let old = world.nodes[offerer].agent.local_credentials().clone();
        let now = world.now;
        world.nodes[offerer].agent.restart(now);
        assert_ne!(&old, world.nodes[offerer].agent.local_credentials());
        // RTCIceTransportState: (completed, ICE restart occurs): connected.
        assert_eq!(world.nodes[offerer].agent.state(), State::Connected);
        world.drain();
        assert!(
            !world.nodes[offerer].fresh.is_empty(),
            "its candidates are told again"
        );
        // The answer takes a while: the old pair, its consent and its data go on.
        world.run_for(ms(40_000));
        assert_eq!(world.nodes[offerer].agent.state(), State::Connected);
        assert!(world.say(offerer, b"\x80one") && world.say(answerer, b"\x80two"));
        world.run_for(ms(50));
        assert_eq!(world.nodes[answerer].received.last().unwrap(), b"\x80one");

        let now = world.now;
        world.nodes[answerer].agent.restart(now);
        world.tell_credentials(offerer, answerer);
        world.tell_candidates(offerer, answerer);
        world.tell_credentials(answerer, offerer);
        world.tell_candidates(answerer, offerer);
        assert!(world.say(offerer, b"\x80three"), "never without a path");
        assert!(world.run(ms(2000), World::both_completed));
        world.run_for(ms(60_000));
        assert!(world.both_completed());
        assert_eq!(world.nodes[A].agent.stats().pairs, 1, "the old pair is gone");
        assert!(
            world
                .nodes
                .iter()
                .all(|node| !node.states.contains(&State::Disconnected))
        );
    }
}

#[test]
fn the_answerers_early_checks_of_a_restart_wait_for_its_description() {
    let mut world = connected(7);
    let now = world.now;
    world.nodes[A].agent.restart(now);
    world.nodes[B].agent.restart(now);
    world.tell_credentials(A, B);
    world.tell_candidates(A, B);
    world.run_for(ms(1000));
    assert_eq!(world.nodes[A].agent.state(), State::Connected, "on the old pair");
    world.tell_credentials(B, A);
    assert!(world.run(ms(1000), World::both_completed));
}

#[test]
fn a_restart_brings_a_failed_session_back() {
    let mut world = connected(8);
    world.loss = 1.0;
    let failed = |w: &World| w.nodes.iter().all(|n| n.agent.state() == State::Failed);
    assert!(world.run(ms(60_000), failed));
    world.loss = 0.0;
    let now = world.now;
    world.nodes[A].agent.restart(now);
    world.nodes[B].agent.restart(now);
    assert_eq!(world.nodes[A].agent.state(), State::Checking);
    world.signal();
    assert!(world.run(ms(2000), World::both_completed));
}

#[test]
fn a_new_interface_takes_over_after_the_old_one_went() {
    for moves in [A, B] {
        let mut world = connected(9);
        let stays = 1 - moves;
        let (old, new) = (["10.0.0.1:1000", "10.0.0.2:2000"][moves], "10.0.0.77:7000");
        let now = world.now;
        world.nodes[moves]
            .agent
            .remove_local_address(now, addr(old), Transport::Udp);
        assert_eq!(world.nodes[moves].agent.selected_path(), None);
        assert!(!world.say(moves, b"\x80nowhere to go"));
        world.add(moves, new);
        if moves == A {
            // The controlling side may nominate anew with the same credentials.
            let followed =
                |w: &World| w.nodes[stays].agent.selected_path().map(|path| path.remote) == Some(addr(new));
            assert!(world.run(ms(3000), |w| w.both_completed() && followed(w)));
        } else {
            // The controlled side works on the new pair at once, and a restart settles it.
            let now = world.now;
            world.nodes[A].agent.restart(now);
            world.nodes[B].agent.restart(now);
            world.signal();
            assert!(world.run(ms(3000), World::both_completed), "{moves}");
        }
    }
}

#[test]
fn a_session_without_a_path_fails_after_the_pac_timer_and_says_why() {
    // RFC 8863: not before, whatever becomes of the pairs.
    let mut world = World::simple(10);
    world.tell_credentials(B, A);
    world.run_for(ms(39_000));
    assert_eq!(world.nodes[A].agent.state(), State::New);
    assert!(world.run(ms(1000), |w| w.nodes[A].agent.state() == State::Failed));
    let report = world.nodes[A].failure.clone().unwrap();
    assert_eq!(report.reason, FailureReason::NoPath);
    assert_eq!(
        report.explanation(),
        "the peer sent no candidate: look at the signalling"
    );

    let mut world = World::simple(11);
    world.dead.insert(addr("10.0.0.2:1").ip());
    world.signal();
    assert!(!world.run(ms(39_400), |w| w.nodes[A].agent.state() == State::Failed));
    assert!(world.run(ms(1000), |w| w.nodes[A].agent.state() == State::Failed));
    let report = world.nodes[A].failure.clone().unwrap();
    assert_eq!(report.tried.pairs.len(), 1);
    assert_eq!(
        (report.tried.pairs[0].requests_sent, report.tried.pairs[0].outcome),
        (7, Outcome::TimedOut)
    );
    assert!(report.to_string().contains("a firewall blocks UDP"), "{report}");
    assert!(
        report
            .to_string()
            .contains("10.0.0.1:1000 to 10.0.0.2:2000: no answer"),
        "{report}"
    );
}

#[test]
fn a_wrong_password_is_told_from_a_firewall() {
    let mut world = World::simple(12);
    let now = world.now;
    let ufrag = world.nodes[B].agent.local_credentials().ufrag().to_owned();
    let wrong = dunlin_ice::Credentials::new(ufrag, "thisIsNotThePasswordOfB").unwrap();
    world.nodes[A].agent.set_remote_credentials(wrong, false);
    let line = "candidate:1 1 udp 2130706431 10.0.0.2 2000 typ host";
    world.nodes[A]
        .agent
        .add_remote_candidate(now, line.parse().unwrap())
        .unwrap();
    assert!(world.run(ms(90_000), |w| w.nodes[A].agent.state() == State::Failed));
    let report = world.nodes[A].failure.clone().unwrap();
    assert_eq!(report.tried.pairs[0].outcome, Outcome::Refused(401));
    assert!(
        report.to_string().contains("usernames or passwords differ"),
        "{report}"
    );
}

#[test]
fn after_close_every_call_does_nothing() {
    let mut world = connected(13);
    world.nodes[A].agent.close();
    world.drain();
    assert_eq!(world.nodes[A].events.last(), Some(&Event::State(State::Closed)));
    let now = world.now + ms(100);
    let agent = &mut world.nodes[A].agent;
    assert_eq!(agent.poll_timeout(), None);
    agent.handle_timeout(now);
    agent.restart(now);
    agent.end_of_remote_candidates(now);
    agent.close();
    agent.set_role(Role::Controlled);
    assert!(
        agent
            .add_local_address(now, addr("10.0.0.5:5"), Transport::Udp)
            .is_err()
    );
    assert!(agent.send(&mut Vec::new(), |_| true).is_none());
    assert_eq!(agent.poll_timeout(), None);
    assert_eq!(agent.poll_event(), None);
    assert!(agent.poll_transmit(now, &mut Vec::new()).is_none());
}

#[test]
fn send_appends_nothing_when_the_writer_declines() {
    let mut world = connected(14);
    let mut out = b"before".to_vec();
    let declined = world.nodes[A].agent.send(&mut out, |out| {
        out.extend_from_slice(b"half a packet");
        false
    });
    assert!(declined.is_none());
    assert_eq!(out, b"before");
}

#[test]
fn an_address_that_vanishes_moves_the_session_within_two_seconds_whichever_side_loses_it() {
    let sides = [
        (A, "10.0.0.1:1000", "controlling"),
        (B, "10.0.0.2:2000", "controlled"),
    ];
    // Long after the choice, and so soon that the nomination is still fresh.
    let whens = [20_000, 4_000];
    for ((loser, gone, ends), after) in sides.into_iter().flat_map(|side| whens.map(|when| (side, when))) {
        let mut world = World::simple(40);
        world.add(A, "10.0.1.1:1001");
        world.add(B, "10.0.1.2:2001");
        world.signal();
        assert!(world.run(ms(2000), World::both_completed));
        world.run_for(ms(after));
        let other = [B, A][loser];
        // Whichever pair it is: its address on this side vanishes.
        let path = world.nodes[loser].agent.selected_path().unwrap();
        world.dead.insert(path.local.ip());
        assert!(
            path.local == addr(gone) || path.local.ip().to_string().starts_with("10.0.1."),
            "{path}"
        );
        let now = world.now;
        world.nodes[loser]
            .agent
            .remove_local_address(now, path.local, Transport::Udp);
        world.drain();
        assert_eq!(world.nodes[loser].agent.state(), State::Disconnected);
        let moved = |world: &World| {
            let uses = |node: usize| world.nodes[node].agent.selected_path();
            let (Some(ours), Some(theirs)) = (uses(loser), uses(other)) else {
                return false;
            };
            ours == theirs.reversed() && world.both_completed()
        };
        assert!(world.run(ms(2000), moved), "the {ends} side lost its address");
        for (from, to) in [(A, B), (B, A)] {
            world.say(from, b"\x80still here");
            world.run_for(ms(100));
            assert_eq!(
                world.nodes[to].received.pop().as_deref(),
                Some(&b"\x80still here"[..])
            );
        }
        // And it stays like that.
        world.run_for(ms(60_000));
        assert!(moved(&world));
    }
}

#[test]
fn a_peer_that_only_checks_another_path_does_not_move_a_session_whose_path_works() {
    let mut world = World::simple(41);
    world.add(B, "10.0.1.2:2001");
    world.signal();
    assert!(world.run(ms(2000), World::both_completed));
    world.run_for(ms(20_000));
    let before = world.nodes[A].agent.selected_path();
    // B begins again on all its paths, as after a hiccup of its network.
    let now = world.now;
    let kept = world.nodes[B].agent.selected_path().unwrap().local;
    let other = [addr("10.0.0.2:2000"), addr("10.0.1.2:2001")]
        .into_iter()
        .find(|at| *at != kept)
        .unwrap();
    world.nodes[B]
        .agent
        .remove_local_address(now, other, Transport::Udp);
    world.nodes[B]
        .agent
        .add_local_address(now, other, Transport::Udp)
        .unwrap();
    world.run_for(ms(60_000));
    assert_eq!(world.nodes[A].agent.selected_path(), before);
    assert!(world.both_completed());
}
