//! Rules whose breach nobody notices at once: what a suite that goes through RFC 7675, 8445 and 8489 sentence by sentence
//! asks, and what a peer gets out of an agent that is told odd things.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use std::time::Duration;

use bytes::BytesMut;
use dunlin_ice::{
    AddAddressError, Agent, CheckState, Config, DropReason, GatheringState, Outcome, Role, State,
};
use dunlin_net::{Path, Transport};
use dunlin_stun::{Class, IntegrityKey, Message, Method, TransactionId, Writer, code};
use world::{A, B, World, addr, base_instant, config, ms};

/// How many requests went out on a path after this time.
fn requests(world: &World, path: Path, after: Duration) -> usize {
    let on_it = |(at, from, to, data): &&(Duration, _, _, Vec<u8>)| {
        let is_request = Message::parse(data).is_ok_and(|message| message.class() == Class::Request);
        *at > after && (*from, *to) == (path.local, path.remote) && is_request
    };
    world.log.iter().filter(on_it).count()
}

/// Mutes a path in both directions, or lets it be heard again.
fn mute(world: &mut World, path: Path, muted: bool) {
    for way in [path, path.reversed()] {
        let way = (way.local.ip(), way.remote.ip());
        match muted {
            true => world.mute.insert(way),
            false => world.mute.remove(&way),
        };
    }
}

/// A pair that A keeps beside the one in use.
fn in_reserve(world: &World) -> Path {
    let pairs = world.nodes[A].agent.pair_stats();
    let kept = pairs
        .iter()
        .find(|pair| pair.state == CheckState::Succeeded && !pair.selected);
    let kept = kept.expect("a pair in reserve");
    let [local, remote] = [&kept.local, &kept.remote].map(|end| end.address.socket().unwrap());
    Path::udp(local, remote)
}

/// What A says became of this path.
fn outcome(world: &World, path: Path) -> Option<Outcome> {
    let pairs = world.nodes[A].agent.report().pairs;
    let it = pairs
        .iter()
        .find(|pair| (pair.local, pair.remote) == (path.local, path.remote));
    it.map(|pair| pair.outcome)
}

/// Tells each side of an address where nobody is, which makes it look at all pairs again.
fn look_again(world: &mut World) {
    for (n, node) in [(7, A), (8, B)] {
        let line = format!("candidate:{n} 1 udp {n} 10.9.0.{n} 9 typ host");
        let now = world.now;
        let agent = &mut world.nodes[node].agent;
        agent.add_remote_candidate(now, line.parse().unwrap()).unwrap();
        world.run_for(ms(20_000));
    }
}

/// RFC 7675, section 5.1: "After consent is lost, the same ICE credentials MUST NOT be used on the affected 5-tuple again."
#[test]
fn a_path_whose_consent_has_ended_is_not_asked_again_before_a_restart() {
    let mut world = World::with_two_ways();
    let lost = in_reserve(&world);
    mute(&mut world, lost, true);
    assert!(world.run(ms(90_000), |w| outcome(w, lost) != Some(Outcome::Valid)));
    assert_eq!(outcome(&world, lost), Some(Outcome::ConsentExpired));
    let ended = world.elapsed();
    mute(&mut world, lost, false);
    look_again(&mut world);
    assert!(world.both_completed());
    assert_eq!(requests(&world, lost, ended), 0);
    assert_eq!(outcome(&world, lost), Some(Outcome::ConsentExpired));
    // A restart obtains consent anew, and where nothing else works, the path is used again.
    let now = world.now;
    world.nodes[A].agent.restart(now);
    world.nodes[B].agent.restart(now);
    for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let path = Path::udp(world.hosts[A][a], world.hosts[B][b]);
        mute(&mut world, path, path != lost);
    }
    world.signal();
    assert!(world.run(ms(5000), |w| w.nodes[A].agent.selected_path() == Some(lost)));
}

/// RFC 7675, section 5.2: the same holds when the peer takes its consent back.
#[test]
fn a_path_that_the_peer_takes_back_is_not_asked_again() {
    let mut world = World::with_two_ways();
    let lost = in_reserve(&world);
    let b = world.nodes[B].agent.local_credentials().password().to_owned();
    world.log.clear();
    assert!(world.run(ms(30_000), |w| requests(w, lost, Duration::ZERO) > 0));
    let (.., request) = world
        .log
        .iter()
        .rfind(|(_, from, to, _)| (*from, *to) == (lost.local, lost.remote))
        .unwrap();
    let mut answer = Vec::new();
    Writer::error(&mut answer, &Message::parse(request).unwrap(), 403, "Forbidden")
        .integrity(&IntegrityKey::short_term(&b))
        .fingerprint();
    world.inject(lost.remote, lost.local, answer);
    world.run_for(ms(50));
    assert_eq!(outcome(&world, lost), Some(Outcome::ConsentRevoked));
    let ended = world.elapsed();
    look_again(&mut world);
    assert!(world.both_completed());
    assert_eq!(requests(&world, lost, ended), 0);
}

/// RFC 8445, section 5.2: "Lite implementations only utilize host candidates."
#[test]
fn a_lite_agent_asks_no_stun_server() {
    let mut lite = Config::default();
    lite.lite = true;
    lite.stun_servers = vec![addr("192.0.2.1:3478")];
    let now = base_instant();
    let mut agent = Agent::new(lite, [1; 32], now);
    let here = addr("10.0.0.1:1000");
    agent.add_local_address(now, here, Transport::Udp).unwrap();
    for _restart in 0..2 {
        let mut out = Vec::new();
        assert_eq!(agent.poll_transmit(now, &mut out), None);
        agent.handle_timeout(now);
        assert_eq!(agent.gathering_state(), GatheringState::Complete);
        agent.restart(now);
    }
}

/// A check for B from A with a list of attributes that nobody knows; B's answer.
fn ask(world: &mut World, unknown: &[u16]) -> Vec<u8> {
    let [a, b] = [A, B].map(|node| world.nodes[node].agent.local_credentials().clone());
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([5; 12]));
    writer
        .username(format!("{}:{}", b.ufrag(), a.ufrag()).as_bytes())
        .priority(1);
    for kind in unknown {
        writer.attribute(*kind, b"");
    }
    writer
        .integrity(&IntegrityKey::short_term(b.password()))
        .fingerprint();
    let path = Path::udp(addr("10.0.0.2:2000"), addr("10.0.0.1:1000"));
    let (now, agent) = (world.now, &mut world.nodes[B].agent);
    assert_eq!(agent.handle_datagram(now, path, BytesMut::from(&out[..])), None);
    let mut answer = Vec::new();
    assert!(agent.poll_transmit(now, &mut answer).is_some());
    answer
}

/// RFC 8489, section 6.3.1: the answer has "an UNKNOWN-ATTRIBUTES attribute in the response that lists the unknown
/// comprehension-required attributes".
#[test]
fn all_attributes_that_are_not_understood_are_named() {
    let mut world = World::simple(4);
    world.tell_credentials(A, B);
    for unknown in [&[0x7001][..], &[0], &[0x7001, 0x7002], &[0, 0x7003, 0x7fff]] {
        let answer = ask(&mut world, unknown);
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.error_code().unwrap().code, code::UNKNOWN_ATTRIBUTE);
        assert_eq!(message.unknown_attributes().collect::<Vec<_>>(), unknown);
    }
    // Of a flood of them some, so that the answer is not larger than the question.
    let many: Vec<u16> = (0x7000..0x7080).collect();
    let answer = ask(&mut world, &many);
    let message = Message::parse(&answer).unwrap();
    let named: Vec<u16> = message.unknown_attributes().collect();
    assert!(!named.is_empty() && many.starts_with(&named));
    // The same one twice is one.
    let answer = ask(&mut world, &[0x7001, 0x7001]);
    let message = Message::parse(&answer).unwrap();
    assert_eq!(message.unknown_attributes().collect::<Vec<_>>(), [0x7001]);
}

/// What A sends first when B has one candidate.
fn first_check(world: &mut World, lite: bool) -> (Path, Vec<u8>) {
    let credentials = world.nodes[B].agent.local_credentials().clone();
    let now = world.now;
    let agent = &mut world.nodes[A].agent;
    agent.set_remote_credentials(credentials, lite);
    let line = "candidate:1 1 udp 2130706431 10.0.0.2 2000 typ host";
    agent.add_remote_candidate(now, line.parse().unwrap()).unwrap();
    agent.handle_timeout(now);
    let mut check = Vec::new();
    let path = agent.poll_transmit(now, &mut check).unwrap().path;
    (path, check)
}

/// A peer that is lite has no role to change (RFC 8445, section 6.1.1): one that says so again and again is broken, and is
/// not to be asked 200 times a second.
#[test]
fn a_lite_peer_that_claims_a_role_conflict_is_not_asked_for_ever() {
    let mut world = World::simple(5);
    let password = world.nodes[B].agent.local_credentials().password().to_owned();
    let (path, mut check) = first_check(&mut world, true);
    let agent = &mut world.nodes[A].agent;
    let mut now = world.now;
    let mut asked = 0;
    while !check.is_empty() && asked < 100 {
        asked += 1;
        let mut answer = Vec::new();
        Writer::error(
            &mut answer,
            &Message::parse(&check).unwrap(),
            code::ROLE_CONFLICT,
            "Role Conflict",
        )
        .integrity(&IntegrityKey::short_term(&password))
        .fingerprint();
        assert_eq!(
            agent.handle_datagram(now, path, BytesMut::from(&answer[..])),
            None
        );
        now += ms(20);
        agent.handle_timeout(now);
        check.clear();
        let _none = agent.poll_transmit(now, &mut check);
    }
    assert_eq!(asked, 1);
    assert_eq!(agent.role(), Role::Controlling);
    assert_eq!(agent.report().pairs[0].outcome, Outcome::Refused(487));
}

/// A success without an address, and an error without a code, are no numbers to show to a person.
#[test]
fn an_answer_that_says_nothing_is_told_as_such() {
    for class in [Class::Success, Class::Error] {
        let mut world = World::simple(6);
        let password = world.nodes[B].agent.local_credentials().password().to_owned();
        let (path, check) = first_check(&mut world, false);
        let id = Message::parse(&check).unwrap().transaction_id();
        let mut answer = Vec::new();
        Writer::new(&mut answer, class, Method::BINDING, id)
            .integrity(&IntegrityKey::short_term(&password))
            .fingerprint();
        let (now, agent) = (world.now, &mut world.nodes[A].agent);
        assert_eq!(
            agent.handle_datagram(now, path, BytesMut::from(&answer[..])),
            None
        );
        let told = agent.report().pairs[0].outcome.to_string();
        assert_eq!(told, "answered with a message that makes no sense", "{class:?}");
    }
}

/// RFC 8445, section 14.2: "Regardless of the Ta value chosen", transactions "MUST NOT be sent more often than once every 5
/// ms".
#[test]
fn nobody_is_checked_more_often_than_every_5_ms() {
    let mut hasty = config(Role::Controlling);
    (hasty.pacing, hasty.min_pacing) = (Duration::ZERO, Duration::ZERO);
    let mut world = World::new(7, [hasty, config(Role::Controlled)]);
    world.add(A, "10.0.0.1:1000");
    world.nodes[A].agent.set_remote_pacing(Some(Duration::ZERO));
    assert_eq!(world.nodes[A].agent.pacing(), ms(5));
    world.tell_credentials(B, A);
    let now = world.now;
    for n in 1..40 {
        let line = format!("candidate:{n} 1 udp {n} 10.9.0.{n} 9 typ host");
        let agent = &mut world.nodes[A].agent;
        agent.add_remote_candidate(now, line.parse().unwrap()).unwrap();
    }
    world.run_for(ms(100));
    let checks = world.log.len();
    assert!((15..=21).contains(&checks), "{checks}");
}

/// "For ever" is a fair thing to say of a patience, and no sum of times may overflow by it.
#[test]
fn times_without_end_are_taken() {
    for longest in [Duration::MAX, Duration::from_secs(u64::MAX)] {
        let forever = |role| {
            let mut config = config(role);
            for timer in [
                &mut config.gathering_timeout,
                &mut config.initial_rto,
                &mut config.nomination_wait_host,
                &mut config.nomination_wait,
                &mut config.nomination_wait_relay,
                &mut config.pac_timeout,
                &mut config.consent_interval,
                &mut config.consent_timeout,
                &mut config.disconnected_timeout,
                &mut config.keepalive_interval,
                &mut config.release_delay,
                &mut config.tcp_delay,
            ] {
                *timer = longest;
            }
            config.stun_servers = vec![addr("192.0.2.1:3478")];
            config
        };
        let mut world = World::new(8, [forever(Role::Controlling), forever(Role::Controlled)]);
        world.add(A, "10.0.0.1:1000");
        world.add(B, "10.0.0.2:2000");
        world.signal();
        assert!(world.run(ms(5000), World::both_completed));
        world.run_for(ms(100_000));
        assert!(
            world
                .nodes
                .iter()
                .all(|node| node.agent.state() == State::Completed)
        );
        let mut lonely = World::new(9, [forever(Role::Controlling), forever(Role::Controlled)]);
        lonely.add(A, "10.0.0.1:1000");
        lonely.tell_credentials(B, A);
        lonely.run_for(ms(100_000));
        assert_ne!(lonely.nodes[A].agent.state(), State::Failed);
    }
}

/// RFC 8445, section 5.1.1.1: "IPv4-mapped IPv6 addresses SHOULD NOT be included", "Deprecated IPv4-compatible IPv6
/// addresses and IPv6 site-local unicast addresses MUST NOT be included".
#[test]
fn addresses_that_are_no_candidates_are_refused_with_a_reason() {
    let now = base_instant();
    let mut agent = Agent::new(Config::default(), [1; 32], now);
    for odd in [
        "[::ffff:10.0.0.1]:5",
        "[::10.0.0.1]:5",
        "[fec0::1]:5",
        "255.255.255.255:5",
    ] {
        let error = agent.add_local_address(now, addr(odd), Transport::Udp);
        assert_eq!(error, Err(AddAddressError::NotConcrete(addr(odd))), "{odd}");
    }
    for fine in ["[::1]:5", "[fe80::1]:5", "[fd00::1]:5", "127.0.0.1:5"] {
        assert_eq!(agent.add_local_address(now, addr(fine), Transport::Udp), Ok(()));
    }
    assert_eq!(agent.stats().drops.get(DropReason::Malformed), 0);
}
