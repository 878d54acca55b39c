//! Two agents find each other (RFC 8445, RFC 8838), in virtual time.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use dunlin_ice::{Config, Event, GatheringState, Kind, Role, State};
use world::{A, B, World, addr, config, ms};

#[test]
fn two_hosts_on_one_network_connect_in_one_round_trip_and_settle_in_two() {
    // offerer A                        answerer B
    //    |<-- check ----------------------|   B has both descriptions first
    //    |--- response, own check ------->|
    //    |<-- response -------------------|   A: Connected
    //    |--- check + USE-CANDIDATE ----->|
    //    |<-- response -------------------|   both: Completed
    let mut world = World::simple(1);
    world.signal();
    assert!(world.run(ms(1000), |w| {
        w.nodes.iter().all(|n| n.agent.state() != State::Checking)
    }));
    assert!(world.elapsed() <= ms(20), "{:?}", world.elapsed());
    assert!(world.run(ms(1000), World::both_completed));
    assert!(world.elapsed() <= ms(50), "{:?}", world.elapsed());
    assert_eq!(
        world.nodes[A].states,
        [State::Checking, State::Connected, State::Completed]
    );
    assert_eq!(
        world.nodes[B].states,
        [State::Checking, State::Connected, State::Completed]
    );

    let path = world.nodes[A].agent.selected_path().unwrap();
    assert_eq!(path, world.nodes[B].agent.selected_path().unwrap().reversed());
    let pair = world.nodes[A].agent.selected_pair().unwrap();
    assert_eq!(
        (pair.local.kind, pair.remote.kind, pair.nominated),
        (Kind::Host, Kind::Host, true)
    );
    assert_eq!(pair.rtt, Some(ms(20)));

    assert!(world.say(A, b"\x80hello") && world.say(B, b"\x80hi"));
    world.run_for(ms(20));
    assert_eq!(world.nodes[B].received, [b"\x80hello"]);
    assert_eq!(world.nodes[A].received, [b"\x80hi"]);
    assert_eq!(world.nodes[A].agent.stats().drops.total(), 0);
    assert_eq!(world.nodes[B].agent.stats().drops.total(), 0);
}

#[test]
fn data_flows_on_the_first_valid_pair_before_it_is_nominated() {
    // RFC 8445, section 12.1: an agent "MAY send data on any valid pair before selected pairs have been produced".
    let mut world = World::simple(2);
    world.signal();
    assert!(world.run(ms(1000), |w| w.nodes[B].agent.state() == State::Connected));
    assert!(world.say(B, b"\x16early"));
    assert!(world.run(ms(100), |w| !w.nodes[A].received.is_empty()));
}

#[test]
fn loopback_of_both_families_connects_without_waiting_for_a_timer() {
    let mut world = World::new(3, [config(Role::Controlling), config(Role::Controlled)]);
    world.delay = std::time::Duration::from_micros(20);
    for (node, port) in [(A, 1000), (B, 2000)] {
        world.add(node, &format!("127.0.0.1:{port}"));
        world.add(node, &format!("[::1]:{port}"));
    }
    world.signal();
    assert!(world.run(ms(1000), |w| {
        w.nodes.iter().all(|n| n.agent.selected_path().is_some())
    }));
    assert!(world.elapsed() < ms(1), "{:?}", world.elapsed());
    assert!(world.run(ms(1000), World::both_completed));
    assert!(world.elapsed() < ms(20), "{:?}", world.elapsed());
    // RFC 8421: IPv6 is preferred.
    assert!(world.nodes[A].agent.selected_path().unwrap().local.is_ipv6());
}

#[test]
fn candidates_that_trickle_in_late_are_checked_when_they_come() {
    let mut world = World::simple(4);
    world.tell_credentials(A, B);
    world.tell_credentials(B, A);
    world.run_for(ms(300));
    assert_eq!(world.nodes[A].agent.state(), State::New);
    world.tell_candidates(B, A);
    assert_eq!(world.nodes[A].agent.state(), State::Checking);
    assert!(world.run(ms(200), World::both_completed));
    // B was never told A's candidate: it learned it from the check.
    assert_eq!(
        world.nodes[B].agent.selected_pair().unwrap().remote.kind,
        Kind::PeerReflexive
    );
    world.tell_candidates(A, B);
    assert_eq!(
        world.nodes[B].agent.selected_pair().unwrap().remote.kind,
        Kind::Host
    );
}

#[test]
fn candidates_before_the_description_wait_for_it() {
    let mut world = World::simple(5);
    world.tell_candidates(A, B);
    world.tell_candidates(B, A);
    world.run_for(ms(500));
    assert!(world.log.is_empty(), "no check without credentials");
    world.tell_credentials(A, B);
    world.tell_credentials(B, A);
    assert!(world.run(ms(200), World::both_completed));
}

#[test]
fn checks_before_the_answer_are_answered_and_triggered_when_it_comes() {
    // RFC 8445, section 7.3: the offerer must be ready for checks before it has the answer.
    let mut world = World::simple(6);
    world.tell_credentials(A, B);
    world.tell_candidates(A, B);
    assert!(
        world.run(ms(100), |w| w.nodes[B].agent.state() == State::Connected),
        "A answers B"
    );
    assert_eq!(world.nodes[A].agent.state(), State::New);
    assert!(world.say(B, b"\x16client hello"));
    world.run_for(ms(1000));
    assert_eq!(
        world.nodes[A].received,
        [b"\x16client hello"],
        "B may send on its valid pair, and A's password was in B's check"
    );
    let before = world.elapsed();
    world.tell_credentials(B, A);
    assert!(
        world.run(ms(200), World::both_completed),
        "A knows B's address from the early check"
    );
    assert!(
        world.elapsed() - before <= ms(60),
        "{:?}",
        world.elapsed() - before
    );
}

#[test]
fn an_address_that_appears_later_joins_the_checks() {
    let mut world = World::new(7, [config(Role::Controlling), config(Role::Controlled)]);
    world.add(B, "10.0.0.2:2000");
    world.signal();
    world.run_for(ms(2000));
    world.add(A, "10.0.0.1:1000");
    world.tell_candidates(A, B);
    assert!(world.run(ms(500), World::both_completed));
}

#[test]
fn two_hosts_behind_nats_connect_through_server_reflexive_candidates() {
    for filters in [false, true] {
        let mut configs = [config(Role::Controlling), config(Role::Controlled)];
        for config in &mut configs {
            config.stun_servers = vec![addr("198.51.100.1:3478")];
        }
        let mut world = World::new(8, configs);
        world.stun_server = Some(addr("198.51.100.1:3478"));
        world.nat("10.1.0.1", "203.0.113.1", filters);
        world.nat("10.2.0.1", "203.0.113.2", filters);
        world.add(A, "10.1.0.1:1000");
        world.add(B, "10.2.0.1:2000");
        let complete = |w: &World, n: usize| w.nodes[n].agent.gathering_state() == GatheringState::Complete;
        assert!(world.run(ms(1000), |w| complete(w, A) && complete(w, B)));
        let found = world.nodes[A]
            .agent
            .local_candidates()
            .find(|c| c.kind == Kind::ServerReflexive)
            .unwrap();
        assert_eq!(found.address.socket(), Some(addr("203.0.113.1:40000")));
        assert_eq!(
            found.related.as_ref().and_then(|r| r.socket()),
            Some(addr("10.1.0.1:1000"))
        );
        assert!(world.nodes[A].events.contains(&Event::GatheringComplete));
        world.signal();
        assert!(world.run(ms(5000), World::both_completed), "filters: {filters}");
        let pair = world.nodes[A].agent.selected_pair().unwrap();
        assert_eq!(
            (pair.local.kind, pair.remote.kind),
            (Kind::ServerReflexive, Kind::ServerReflexive)
        );
    }
}

#[test]
fn a_host_behind_a_nat_without_a_stun_server_is_learned_as_peer_reflexive() {
    let mut world = World::new(9, [config(Role::Controlling), config(Role::Controlled)]);
    world.nat("10.1.0.1", "203.0.113.1", true);
    world.add(A, "10.1.0.1:1000");
    world.add(B, "198.51.100.2:2000");
    world.signal();
    assert!(world.run(ms(2000), World::both_completed));
    let (a, b) = (&world.nodes[A].agent, &world.nodes[B].agent);
    let seen = addr("203.0.113.1:40000");
    let (local, remote) = (
        a.selected_pair().unwrap().local,
        b.selected_pair().unwrap().remote,
    );
    assert_eq!(
        (local.kind, local.address.socket()),
        (Kind::PeerReflexive, Some(seen))
    );
    assert_eq!(
        (remote.kind, remote.address.socket()),
        (Kind::PeerReflexive, Some(seen))
    );
    assert_eq!(a.selected_path().unwrap().local, addr("10.1.0.1:1000"));
}

#[test]
fn one_to_one_nat_addresses_are_advertised_instead_of_the_interfaces() {
    let mut server = config(Role::Controlled);
    server.external_ips = vec!["203.0.113.9".parse().unwrap()];
    let mut world = World::new(10, [config(Role::Controlling), server]);
    world.add(A, "198.51.100.1:1000");
    world.add(B, "10.0.0.2:2000");
    world.add(B, "127.0.0.1:2000");
    world.add(B, "10.0.0.3:2000");
    let lines: Vec<_> = world.nodes[B]
        .agent
        .local_candidates()
        .map(|c| c.address.socket().unwrap())
        .collect();
    assert_eq!(lines, [addr("203.0.113.9:2000"), addr("127.0.0.1:2000")]);
}

#[test]
fn roles_are_repaired_when_both_sides_claim_the_same() {
    for role in [Role::Controlling, Role::Controlled] {
        for seed in 0..40 {
            let mut world = World::new(seed, [config(role), config(role)]);
            world.add(A, "10.0.0.1:1000");
            world.add(B, "10.0.0.2:2000");
            world.signal();
            assert!(world.run(ms(2000), World::both_completed), "{role} {seed}");
            assert_ne!(world.nodes[A].agent.role(), world.nodes[B].agent.role());
            let told = |n: usize| {
                world.nodes[n]
                    .events
                    .iter()
                    .any(|e| matches!(e, Event::RoleChanged(_)))
            };
            assert!(told(A) ^ told(B), "one side has changed its role and said so");
        }
    }
}

#[test]
fn a_lite_agent_answers_and_never_asks() {
    for (a, b) in [
        (Role::Controlling, Role::Controlled),
        (Role::Controlled, Role::Controlling),
    ] {
        let mut lite = config(b);
        lite.lite = true;
        let mut world = World::new(11, [config(a), lite]);
        world.add(A, "10.0.0.1:1000");
        world.add(B, "10.0.0.2:2000");
        world.tell_credentials(A, B);
        world.tell_credentials_lite(B, A, true);
        world.tell_candidates(A, B);
        world.tell_candidates(B, A);
        assert!(world.run(ms(500), World::both_completed));
        // RFC 8445, section 6.1.1: the full agent controls, whoever has offered.
        assert_eq!(world.nodes[A].agent.role(), Role::Controlling);
        world.run_for(ms(60_000));
        assert!(world.both_completed());
        assert_eq!(world.nodes[B].agent.stats().checks_sent, 0);
        assert_eq!(world.nodes[B].agent.stats().consent_checks_sent, 0);
        assert!(world.say(B, b"\x80still here"));
    }
}

#[test]
fn the_best_pair_wins_when_it_answers_within_the_wait() {
    // IPv6 is preferred and has a higher priority; its datagrams are lost at first.
    let mut world = World::new(12, [config(Role::Controlling), config(Role::Controlled)]);
    for (node, port) in [(A, 1000), (B, 2000)] {
        world.add(node, &format!("10.0.0.{}:{port}", node + 1));
        world.add(node, &format!("[2001:db8::{}]:{port}", node + 1));
    }
    world.dead.insert("2001:db8::1".parse().unwrap());
    world.signal();
    world.run_for(ms(20));
    world.dead.clear();
    assert!(world.run(ms(3000), World::both_completed));
    let winner = world.nodes[A].agent.selected_path().unwrap();
    assert_eq!(
        Some(winner),
        world.nodes[B].agent.selected_path().map(|path| path.reversed())
    );
}

#[test]
fn links_of_different_scope_are_not_paired() {
    // RFC 8445, section 6.1.2.2: link-local with link-local only.
    let mut world = World::new(13, [config(Role::Controlling), config(Role::Controlled)]);
    world.add(A, "[fe80::1%3]:1000");
    world.add(A, "[2001:db8::1]:1000");
    world.add(B, "[fe80::2%7]:2000");
    world.signal();
    world.run_for(ms(60));
    let to: Vec<_> = world
        .log
        .iter()
        .map(|(_, source, target, _)| (source.ip(), target.ip()))
        .collect();
    assert!(!to.is_empty());
    let local = |ip: &std::net::IpAddr| ip.to_string().starts_with("fe80");
    assert!(to.iter().all(|(source, target)| local(source) == local(target)));
}

#[test]
fn what_cannot_be_checked_is_left_out_and_counted() {
    use dunlin_ice::DropReason;
    let mut world = World::simple(14);
    world.tell_credentials(B, A);
    let now = world.now;
    for line in [
        "candidate:1 1 udp 2122260223 8f2b.local 5000 typ host",
        "candidate:1 1 tcp 2122260223 10.0.0.9 9 typ host tcptype so",
        "candidate:1 2 udp 2122260222 10.0.0.9 5001 typ host",
    ] {
        world.nodes[A]
            .agent
            .add_remote_candidate(now, line.parse().unwrap())
            .unwrap();
    }
    let mut refused = |line: &str| {
        world.nodes[A]
            .agent
            .add_remote_candidate(now, line.parse().unwrap())
            .is_err()
    };
    assert!(refused("candidate:1 1 udp 1 0.0.0.0 5000 typ host"));
    assert!(refused("candidate:1 1 udp 1 ::ffff:10.0.0.1 5000 typ host"));
    assert!(refused("candidate:1 1 udp 1 10.0.0.7 5000 typ host ufrag stale"));
    world.run_for(ms(1000));
    assert!(world.log.is_empty());
    let drops = world.nodes[A].agent.stats().drops;
    for reason in [
        DropReason::CandidateName,
        DropReason::CandidateProtocol,
        DropReason::CandidateComponent,
        DropReason::CandidateGeneration,
    ] {
        assert_eq!(drops.get(reason), 1, "{reason:?}");
    }
    assert_eq!(drops.get(DropReason::CandidateDenied), 2);
}

#[test]
fn tables_have_bounds() {
    let mut small = Config::default();
    (
        small.max_pairs,
        small.max_remote_candidates,
        small.max_local_addresses,
    ) = (3, 5, 2);
    let mut world = World::new(15, [small, config(Role::Controlled)]);
    world.add(A, "10.0.0.1:1000");
    world.add(A, "10.0.0.2:1000");
    let more =
        world.nodes[A]
            .agent
            .add_local_address(world.now, addr("10.0.0.3:1"), dunlin_net::Transport::Udp);
    assert!(more.is_err());
    world.tell_credentials(B, A);
    let results: Vec<bool> = (0..8)
        .map(|i| {
            let line = format!("candidate:{i} 1 udp {} 10.9.0.{i} 5000 typ host", 1000 + i);
            world.nodes[A]
                .agent
                .add_remote_candidate(world.now, line.parse().unwrap())
                .is_ok()
        })
        .collect();
    assert_eq!(results, [true, true, true, true, true, false, false, false]);
    assert_eq!(world.nodes[A].agent.stats().pairs, 3);
}

#[test]
fn an_agent_that_hides_its_addresses_tells_what_the_stun_server_sees_and_no_more() {
    // RFC 8828, section 5.2, mode 3.
    let mut configs = [config(Role::Controlling), config(Role::Controlled)];
    configs[A].advertise_hosts = false;
    configs[A].stun_servers = vec![addr("198.51.100.1:3478")];
    let mut world = World::new(31, configs);
    world.stun_server = Some(addr("198.51.100.1:3478"));
    world.nat("10.0.0.1", "203.0.113.1", false);
    world.add(A, "10.0.0.1:1000");
    world.add(B, "192.0.2.2:2000");
    world.run_for(ms(500));
    let told: Vec<String> = world.nodes[A].fresh.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains(" typ srflx raddr 0.0.0.0 rport 9") && !told[0].contains("10.0.0.1"),
        "{told:?}"
    );
    world.signal();
    assert!(world.run(ms(2000), World::both_completed));
}
