//! What a suite for RFC 8445, 8838 and 7675 would ask, beyond the stories of the other files.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use bytes::BytesMut;
use dunlin_ice::{AddCandidateError, Candidate, Config, DropReason, Event, Role, State};
use dunlin_net::Path;
use dunlin_stun::{Class, IntegrityKey, Message, Method, TransactionId, Writer};
use world::{A, B, World, addr, config, ms};

/// A's check to B with what `write` adds; the code of B's answer, 0 for success.
fn check(world: &mut World, from: &str, write: impl FnOnce(&mut Writer<'_>)) -> u16 {
    let [a, b] = [A, B].map(|node| world.nodes[node].agent.local_credentials().clone());
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([5; 12]));
    writer.username(format!("{}:{}", b.ufrag(), a.ufrag()).as_bytes());
    write(&mut writer);
    writer
        .integrity(&IntegrityKey::short_term(b.password()))
        .fingerprint();
    let path = Path::udp(addr("10.0.0.2:2000"), addr(from));
    let (now, agent) = (world.now, &mut world.nodes[B].agent);
    assert_eq!(agent.handle_datagram(now, path, BytesMut::from(&out[..])), None);
    let mut code = None;
    let mut out = Vec::new();
    while agent.poll_transmit(now, &mut out).is_some() {
        let answer = Message::parse(&out).unwrap();
        if answer.class() != Class::Request {
            assert!(
                answer
                    .verify_integrity(&IntegrityKey::short_term(b.password()))
                    .is_ok()
            );
            code = Some(answer.error_code().map_or(0, |error| error.code));
        }
        out.clear();
    }
    code.expect("an answer")
}

fn dropped(world: &World, reason: DropReason) -> u64 {
    world.nodes[B].agent.stats().drops.get(reason)
}

/// RFC 8445, section 7.1.1: "The PRIORITY attribute MUST be included in a Binding request".
#[test]
fn a_check_without_priority_is_refused_and_makes_no_pair() {
    let mut world = World::simple(1);
    world.tell_credentials(A, B);
    let code = check(&mut world, "10.0.0.1:1000", |writer| {
        writer.ice_controlling(1);
    });
    assert_eq!(code, 400);
    assert_eq!(dropped(&world, DropReason::NoPriority), 1);
    assert_eq!(world.nodes[B].agent.stats().pairs, 0);
}

/// Any 32 bits are a priority to those who read them; none of them overflows the priority of a pair.
#[test]
fn priorities_from_one_end_of_the_range_to_the_other_are_survived() {
    for priority in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        for role in [Role::Controlling, Role::Controlled] {
            let mut world = World::new(2, [config(role.opposite()), config(role)]);
            world.add(A, "10.0.0.1:1000");
            world.add(B, "10.0.0.2:2000");
            world.tell_credentials(A, B);
            let code = check(&mut world, "10.0.0.1:1000", |writer| {
                writer.priority(priority);
            });
            assert_eq!(code, 0);
            let line = format!("candidate:1 1 udp {priority} 10.0.0.1 1000 typ host");
            if let Ok(candidate) = line.parse::<Candidate>() {
                let now = world.now;
                let _refused = world.nodes[B].agent.add_remote_candidate(now, candidate);
            }
            world.tell_credentials(B, A);
            assert!(world.run(ms(5000), World::both_completed), "{priority} {role}");
        }
    }
}

/// RFC 8445, section 7.1.2: "The controlled agent MUST NOT include the USE-CANDIDATE attribute in a Binding request."
#[test]
fn use_candidate_of_a_controlled_peer_nominates_nothing() {
    let mut world = World::new(3, [config(Role::Controlled), config(Role::Controlling)]);
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.0.0.2:2000");
    world.tell_credentials(A, B);
    let code = check(&mut world, "10.0.0.1:1000", |writer| {
        writer.priority(1_862_270_975).ice_controlled(1).use_candidate();
    });
    assert_eq!(code, 0);
    assert_eq!(world.nodes[B].agent.role(), Role::Controlling);
    assert!(world.nodes[B].agent.selected_pair().is_none());
    assert!(!world.nodes[B].agent.pair_stats()[0].nominated);
}

/// RFC 8445, section 7.3.1.1, with either agent claiming the other's role; the larger tie-breaker controls.
#[test]
fn a_conflict_is_repaired_whoever_claims_what_the_other_has() {
    for both in [Role::Controlling, Role::Controlled] {
        for (tie_breaker, code) in [(0, [487, 0]), (u64::MAX, [0, 487])] {
            let mut world = World::new(4, [config(both.opposite()), config(both)]);
            world.add(B, "10.0.0.2:2000");
            world.tell_credentials(A, B);
            let answered = check(&mut world, "10.0.0.1:1000", |writer| {
                writer.priority(1_862_270_975);
                match both {
                    Role::Controlling => writer.ice_controlling(tie_breaker),
                    Role::Controlled => writer.ice_controlled(tie_breaker),
                };
            });
            let stays = usize::from(both == Role::Controlled);
            assert_eq!(answered, code[stays], "{both} {tie_breaker}");
            let switched = answered == 0;
            let role = world.nodes[B].agent.role();
            assert_eq!(role == both.opposite(), switched);
            let told = |event: &Event| matches!(event, Event::RoleChanged(new) if *new == role);
            world.drain();
            assert_eq!(world.nodes[B].events.iter().any(told), switched);
        }
    }
}

#[test]
fn of_a_thousand_candidates_some_are_taken_and_the_session_goes_on() {
    let mut world = World::simple(5);
    world.tell_credentials(A, B);
    world.tell_credentials(B, A);
    let now = world.now;
    let (mut taken, mut refused) = (0, 0);
    for n in 0..1000 {
        let line = format!(
            "candidate:{n} 1 udp {n} 10.9.{}.{} 9 typ host",
            n / 250,
            1 + n % 250
        );
        match world.nodes[B]
            .agent
            .add_remote_candidate(now, line.parse().unwrap())
        {
            Ok(()) => taken += 1,
            Err(AddCandidateError::TooMany(64)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((taken, refused), (64, 936));
    assert_eq!(dropped(&world, DropReason::TooManyCandidates), 936);
    // A's own candidate is one too many: it is learned from its checks.
    world.tell_candidates(B, A);
    assert!(world.run(ms(5000), World::both_completed));
    assert!(world.nodes[B].agent.stats().pairs <= Config::default().max_pairs);
}

/// RFC 8838, section 14 has the peer send none any more; one that does loses nothing by it.
#[test]
fn a_candidate_after_the_end_of_candidates_is_still_one() {
    let mut world = World::simple(6);
    world.tell_credentials(A, B);
    world.tell_credentials(B, A);
    for node in &mut world.nodes {
        node.agent.end_of_remote_candidates(world.now);
    }
    world.run_for(ms(3000));
    assert!(world.nodes.iter().all(|node| node.agent.state() != State::Failed));
    world.tell_candidates(A, B);
    assert!(world.run(ms(1000), World::both_completed));
}

/// RFC 8445, section 9: the peer's restart comes while checks are under way, and candidates of both generations with it.
#[test]
fn a_restart_during_the_checks_leaves_the_old_generation_behind() {
    for restarts in [A, B] {
        let other = 1 - restarts;
        let mut world = World::simple(7);
        world.signal();
        world.run_for(ms(5));
        let now = world.now;
        let old = world.nodes[restarts].agent.local_credentials().clone();
        world.nodes[restarts].agent.restart(now);
        world.tell_credentials(restarts, other);
        // Late signalling of the old generation.
        let line = format!(
            "candidate:1 1 udp 2122260223 10.0.0.9 1000 typ host ufrag {}",
            old.ufrag()
        );
        let stale = world.nodes[other]
            .agent
            .add_remote_candidate(now, line.parse().unwrap());
        assert_eq!(stale, Err(AddCandidateError::Generation));
        world.tell_candidates(restarts, other);
        world.tell_credentials(other, restarts);
        world.tell_candidates(other, restarts);
        assert!(world.run(ms(5000), World::both_completed), "{restarts}");
        let [a, b] = [A, B].map(|node| world.nodes[node].agent.selected_path());
        assert_eq!(a, b.map(Path::reversed));
    }
}

/// Without checks there is no consent (RFC 7675), and without it nothing may be sent.
#[test]
fn two_lite_agents_send_nothing_and_fail_in_time() {
    let mut world = World::new(
        8,
        [Role::Controlling, Role::Controlled].map(|role| {
            let mut config = config(role);
            config.lite = true;
            config
        }),
    );
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.0.0.2:2000");
    world.tell_credentials_lite(A, B, true);
    world.tell_credentials_lite(B, A, true);
    world.tell_candidates(A, B);
    world.tell_candidates(B, A);
    world.run_for(ms(120_000));
    assert!(world.log.is_empty());
    for node in &world.nodes {
        assert!(node.agent.selected_path().is_none());
        assert!(matches!(
            node.agent.state(),
            State::New | State::Checking | State::Failed
        ));
    }
}
