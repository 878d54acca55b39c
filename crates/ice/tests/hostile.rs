//! What strangers, forgers and stale peers can and cannot do (THREATS 3, 16, 17, 18, 24).
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use bytes::BytesMut;
use dunlin_ice::{DropReason, Role, State};
use dunlin_net::Path;
use dunlin_stun::{Class, IntegrityKey, Message, Method, TransactionId, Writer, attribute};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use world::{A, B, World, addr, config, ms};

/// A check for B as A would write it, with what the test wants different.
struct Forgery {
    username: String,
    password: String,
    role: Option<(Role, u64)>,
    use_candidate: bool,
    fingerprint: bool,
    extra: Option<u16>,
    after_integrity: bool,
}

impl Forgery {
    fn honest(world: &World) -> Self {
        let (a, b) = (
            world.nodes[A].agent.local_credentials(),
            world.nodes[B].agent.local_credentials(),
        );
        Self {
            username: format!("{}:{}", b.ufrag(), a.ufrag()),
            password: b.password().to_owned(),
            role: Some((Role::Controlling, 7)),
            use_candidate: false,
            fingerprint: true,
            extra: None,
            after_integrity: false,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([9; 12]));
        writer.username(self.username.as_bytes()).priority(1_862_270_975);
        let role = |writer: &mut Writer<'_>| {
            match self.role {
                Some((Role::Controlling, value)) => writer.ice_controlling(value),
                Some((Role::Controlled, value)) => writer.ice_controlled(value),
                None => writer,
            };
        };
        if !self.after_integrity {
            role(&mut writer);
        }
        if self.use_candidate && !self.after_integrity {
            writer.use_candidate();
        }
        if let Some(kind) = self.extra {
            writer.attribute(kind, b"what");
        }
        writer.integrity(&IntegrityKey::short_term(&self.password));
        if self.after_integrity {
            role(&mut writer);
            writer.use_candidate();
        }
        if self.fingerprint {
            writer.fingerprint();
        }
        out
    }
}

/// The answer of B to what comes from `source`.
fn ask_b(world: &mut World, source: &str, data: &[u8]) -> Option<Vec<u8>> {
    let path = Path::udp(addr("10.0.0.2:2000"), addr(source));
    let now = world.now;
    let agent = &mut world.nodes[B].agent;
    assert_eq!(agent.handle_datagram(now, path, BytesMut::from(data)), None);
    let mut out = Vec::new();
    let mut answer = None;
    while let Some(transmit) = agent.poll_transmit(now, &mut out) {
        if Message::parse(&out).is_ok_and(|message| message.class() != Class::Request) {
            assert_eq!(transmit.path, path, "the answer goes back the same way");
            answer = Some(out.clone());
        }
        out.clear();
    }
    answer
}

fn error_code(answer: Option<Vec<u8>>) -> u16 {
    let answer = answer.expect("an answer");
    let message = Message::parse(&answer).unwrap();
    assert_eq!(message.verify_fingerprint(), Some(true));
    message.error_code().map_or(0, |error| error.code)
}

fn dropped(world: &World, node: usize, reason: DropReason) -> u64 {
    world.nodes[node].agent.stats().drops.get(reason)
}

/// B knows A's credentials and no candidate.
fn waiting_b() -> World {
    let mut world = World::simple(1);
    world.tell_credentials(A, B);
    world
}

#[test]
fn an_honest_check_is_answered_as_the_rfc_says() {
    let mut world = waiting_b();
    let check = Forgery::honest(&world);
    let answer = ask_b(&mut world, "10.0.0.1:1000", &check.bytes()).unwrap();
    let message = Message::parse(&answer).unwrap();
    assert_eq!(message.class(), Class::Success);
    assert_eq!(message.transaction_id(), TransactionId([9; 12]));
    assert_eq!(message.xor_mapped_address(), Some(addr("10.0.0.1:1000")));
    assert_eq!(
        message.verify_integrity(&IntegrityKey::short_term(&check.password)),
        Ok(())
    );
    assert_eq!(message.verify_fingerprint(), Some(true));
    assert_eq!(message.username(), None);
}

#[test]
fn forged_integrity_leaves_no_trace() {
    let mut world = waiting_b();
    let mut forged = Forgery::honest(&world);
    forged.password = "guessedguessedguessed!".into();
    for port in 1..200 {
        let source = format!("192.0.2.1:{port}");
        assert_eq!(error_code(ask_b(&mut world, &source, &forged.bytes())), 401);
    }
    let stats = world.nodes[B].agent.stats();
    assert_eq!(
        (stats.pairs, stats.pending_transactions, stats.requests_received),
        (0, 0, 0)
    );
    assert_eq!(dropped(&world, B, DropReason::WrongPassword), 199);
    assert_eq!(world.nodes[B].agent.state(), State::New);
}

#[test]
fn an_unauthenticated_request_does_not_flip_the_role() {
    // B is controlled. A claim to be controlled, with a tie-breaker that would make B switch.
    let mut world = waiting_b();
    let mut forged = Forgery::honest(&world);
    forged.role = Some((Role::Controlled, 0));
    forged.password = "guessedguessedguessed!".into();
    assert_eq!(
        error_code(ask_b(&mut world, "10.0.0.1:1000", &forged.bytes())),
        401
    );
    assert_eq!(world.nodes[B].agent.role(), Role::Controlled);
    let honest = Forgery {
        role: Some((Role::Controlled, 0)),
        ..Forgery::honest(&world)
    };
    assert_eq!(error_code(ask_b(&mut world, "10.0.0.1:1000", &honest.bytes())), 0);
    assert_eq!(
        world.nodes[B].agent.role(),
        Role::Controlling,
        "authenticated, the same claim is repaired"
    );
}

#[test]
fn what_follows_the_integrity_attribute_is_not_believed() {
    let mut world = waiting_b();
    let mut tail = Forgery::honest(&world);
    (tail.after_integrity, tail.role) = (true, Some((Role::Controlled, 0)));
    let _answer = ask_b(&mut world, "10.0.0.1:1000", &tail.bytes());
    assert_eq!(world.nodes[B].agent.role(), Role::Controlled);
    assert_ne!(
        world.nodes[B].agent.state(),
        State::Completed,
        "USE-CANDIDATE behind the integrity is no nomination"
    );
}

#[test]
fn credentials_of_an_old_generation_are_refused_once_the_new_pair_is_in_use() {
    let mut world = World::simple(2);
    world.signal();
    assert!(world.run(ms(2000), World::both_completed));
    let old = Forgery::honest(&world);
    let now = world.now;
    world.nodes[A].agent.restart(now);
    world.nodes[B].agent.restart(now);
    // The old pair is in use: its consent checks must be answered.
    assert_eq!(error_code(ask_b(&mut world, "10.0.0.1:1000", &old.bytes())), 0);
    world.signal();
    assert!(world.run(ms(2000), World::both_completed));
    world.run_for(ms(4000));
    assert_eq!(error_code(ask_b(&mut world, "10.0.0.1:1000", &old.bytes())), 401);
    assert_eq!(dropped(&world, B, DropReason::UnknownUfrag), 1);
    // Nor do they mix: the new username with the old password.
    let mixed = Forgery {
        password: old.password,
        ..Forgery::honest(&world)
    };
    assert_eq!(
        error_code(ask_b(&mut world, "10.0.0.1:1000", &mixed.bytes())),
        401
    );
}

#[test]
fn messages_without_fingerprint_username_or_integrity_are_refused() {
    let mut world = waiting_b();
    let bare = Forgery {
        fingerprint: false,
        ..Forgery::honest(&world)
    };
    assert_eq!(ask_b(&mut world, "10.0.0.1:1000", &bare.bytes()), None);
    assert_eq!(dropped(&world, B, DropReason::Fingerprint), 1);

    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([1; 12])).fingerprint();
    // Smaller than an answer would be: none, so that nobody can make us amplify.
    assert_eq!(ask_b(&mut world, "10.0.0.1:1000", &out), None);
    assert_eq!(dropped(&world, B, DropReason::Unauthenticated), 1);
    out.clear();
    Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([1; 12]))
        .software(&"x".repeat(40))
        .fingerprint();
    let answer = ask_b(&mut world, "10.0.0.1:1000", &out);
    assert!(answer.as_ref().is_some_and(|answer| answer.len() <= out.len()));
    assert_eq!(error_code(answer), 400);
}

#[test]
fn unknown_attributes_are_refused_when_required_and_ignored_when_not() {
    let mut world = waiting_b();
    let mut check = Forgery::honest(&world);
    // What libwebrtc adds is comprehension-optional.
    for optional in [attribute::GOOG_NETWORK_INFO, 0xC058, 0xC070, 0xFFFF] {
        check.extra = Some(optional);
        assert_eq!(error_code(ask_b(&mut world, "10.0.0.1:1000", &check.bytes())), 0);
    }
    check.extra = Some(0x0031);
    let answer = ask_b(&mut world, "10.0.0.1:1000", &check.bytes()).unwrap();
    let message = Message::parse(&answer).unwrap();
    assert_eq!(message.error_code().unwrap().code, 420);
    assert_eq!(message.unknown_attributes().collect::<Vec<_>>(), [0x0031]);
    assert_eq!(
        message.verify_integrity(&IntegrityKey::short_term(&check.password)),
        Ok(())
    );
}

#[test]
fn data_is_dropped_until_the_peer_has_proved_itself_on_the_path() {
    // THREATS 3: a ClientHello from anywhere must not reach DTLS.
    let mut world = waiting_b();
    let (here, stranger) = (addr("10.0.0.2:2000"), addr("192.0.2.66:6"));
    world.inject(stranger, here, b"\x16\xfe\xfdclient hello".to_vec());
    world.inject(addr("10.0.0.1:1000"), here, b"\x16\xfe\xfdtoo early".to_vec());
    world.run_for(ms(1));
    assert!(world.nodes[B].received.is_empty());
    assert_eq!(dropped(&world, B, DropReason::DataWithoutConsent), 2);
    let check = Forgery::honest(&world);
    let _answer = ask_b(&mut world, "10.0.0.1:1000", &check.bytes());
    world.inject(addr("10.0.0.1:1000"), here, b"\x16\xfe\xfdnow".to_vec());
    world.inject(stranger, here, b"\x16\xfe\xfdclient hello".to_vec());
    world.run_for(ms(1));
    assert_eq!(world.nodes[B].received, [b"\x16\xfe\xfdnow"]);
    assert_eq!(dropped(&world, B, DropReason::DataWithoutConsent), 3);
}

#[test]
fn a_flood_of_authentic_checks_from_many_addresses_meets_bounds() {
    let mut world = waiting_b();
    let check = Forgery::honest(&world);
    for port in 1..2000 {
        let _answer = ask_b(&mut world, &format!("192.0.2.1:{port}"), &check.bytes());
    }
    assert_eq!(world.nodes[B].agent.stats().pairs, 16);
    assert_eq!(dropped(&world, B, DropReason::TooManyPeerReflexive), 1999 - 16);

    let mut world = World::simple(3); // B does not know A at all
    let check = Forgery::honest(&world);
    for port in 1..2000 {
        let _answer = ask_b(&mut world, &format!("192.0.2.1:{port}"), &check.bytes());
    }
    assert_eq!(dropped(&world, B, DropReason::TooManyEarlyChecks), 1999 - 16);
    assert_eq!(world.nodes[B].agent.stats().pairs, 0);
}

#[test]
fn a_server_does_not_check_addresses_inside_its_network() {
    let mut server = config(Role::Controlled);
    server.remote_filter = dunlin_ice::RemoteFilter::public_only();
    let mut world = World::new(4, [config(Role::Controlling), server]);
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.0.0.2:2000");
    world.tell_credentials(A, B);
    let line = "candidate:1 1 udp 2130706431 169.254.169.254 80 typ host"
        .parse()
        .unwrap();
    let now = world.now;
    assert!(world.nodes[B].agent.add_remote_candidate(now, line).is_err());
    let check = Forgery::honest(&world);
    let _answer = ask_b(&mut world, "10.0.0.1:1000", &check.bytes());
    world.run_for(ms(2000));
    assert_eq!(world.nodes[B].agent.stats().checks_sent, 0);
    assert_eq!(dropped(&world, B, DropReason::CandidateDenied), 2);
}

#[test]
fn responses_that_are_forged_or_come_from_elsewhere_do_not_make_a_pair_valid() {
    let mut world = World::simple(5);
    world.tell_credentials(B, A);
    world.tell_candidates(B, A);
    let now = world.now;
    let agent = &mut world.nodes[A].agent;
    agent.handle_timeout(now);
    let mut request = Vec::new();
    let transmit = agent.poll_transmit(now, &mut request).unwrap();
    let request = Message::parse(&request).unwrap();
    let response = |password: &str| {
        let mut out = Vec::new();
        Writer::success(&mut out, &request)
            .xor_mapped_address(transmit.path.local)
            .integrity(&IntegrityKey::short_term(password))
            .fingerprint();
        BytesMut::from(&out[..])
    };
    assert_eq!(
        agent.handle_datagram(now, transmit.path, response("guessedguessedguessed!")),
        None
    );
    assert_eq!(agent.stats().drops.get(DropReason::ForgedResponse), 1);
    assert_eq!((agent.state(), agent.selected_path()), (State::Checking, None));
    // RFC 8445, section 7.2.5.2.1: an answer from another address ends the check as failed.
    let password = world.nodes[B].agent.local_credentials().password().to_owned();
    let agent = &mut world.nodes[A].agent;
    let elsewhere = Path {
        remote: addr("10.0.0.3:3"),
        ..transmit.path
    };
    assert_eq!(agent.handle_datagram(now, elsewhere, response(&password)), None);
    assert_eq!(agent.selected_path(), None);
    assert_eq!(
        agent.handle_datagram(now, transmit.path, response(&password)),
        None,
        "the transaction has ended"
    );
    assert_eq!(agent.selected_path(), None);
    assert_eq!(agent.stats().drops.get(DropReason::UnknownTransaction), 1);
}

#[test]
fn a_response_that_repeats_the_user_name_makes_a_pair_valid_and_one_with_unknown_attributes_does_not() {
    // libnice repeats USERNAME, which must be understood, in its responses; 0x7fff nobody knows.
    for (extra, valid) in [(attribute::USERNAME, true), (0x7fff, false)] {
        let mut world = World::simple(6);
        world.tell_credentials(B, A);
        world.tell_candidates(B, A);
        let now = world.now;
        let password = world.nodes[B].agent.local_credentials().password().to_owned();
        let agent = &mut world.nodes[A].agent;
        agent.handle_timeout(now);
        let mut request = Vec::new();
        let transmit = agent.poll_transmit(now, &mut request).unwrap();
        let mut response = Vec::new();
        Writer::success(&mut response, &Message::parse(&request).unwrap())
            .xor_mapped_address(transmit.path.local)
            .attribute(extra, b"bbbb:aaaa")
            .integrity(&IntegrityKey::short_term(&password))
            .fingerprint();
        let left = agent.handle_datagram(now, transmit.path, BytesMut::from(&response[..]));
        assert_eq!(left, None);
        assert_eq!(agent.selected_path().is_some(), valid, "{extra:#06x}");
    }
}

#[test]
fn any_bytes_at_any_moment_are_survived() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::simple(seed);
        world.keep_log = true;
        world.signal();
        world.run_for(ms(rng.random_range(0..100)));
        // Everything that went over the wire, bent.
        let seen = world.log.clone();
        for (_, source, target, data) in &seen {
            for _ in 0..20 {
                let mut data = data.clone();
                match rng.random_range(0..4) {
                    0 => data.truncate(rng.random_range(0..=data.len())),
                    1 => data
                        .iter_mut()
                        .for_each(|byte| *byte ^= u8::from(rng.random_bool(0.02)) << rng.random_range(0..8)),
                    2 => rng.fill_bytes(&mut data[20..]),
                    _ => {}
                }
                world.inject(*source, *target, data);
            }
        }
        assert!(world.run(ms(3000), World::both_completed), "seed {seed}");
        world.run_for(ms(40_000));
        assert!(world.both_completed(), "seed {seed}");
    }
}

#[test]
fn any_call_order_is_legal_and_time_does_not_run_backwards() {
    for seed in 0..400 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::simple(seed);
        world.keep_log = false;
        for _ in 0..60 {
            let node = rng.random_range(0..2);
            // One call in four comes with a time that has passed.
            let now = world.now
                - ms([0, 0, 0, 5000][rng.random_range(0..4)].min(world.elapsed().as_millis() as u64));
            let agent = &mut world.nodes[node].agent;
            match rng.random_range(0..14) {
                0 => agent.handle_timeout(now),
                1 => agent.restart(now),
                2 => agent.end_of_remote_candidates(now),
                3 => agent.set_role(if rng.random_bool(0.5) {
                    Role::Controlling
                } else {
                    Role::Controlled
                }),
                4 => drop(agent.add_local_address(now, addr("10.0.0.9:9"), dunlin_net::Transport::Udp)),
                5 => agent.remove_local_address(now, addr("10.0.0.9:9"), dunlin_net::Transport::Udp),
                6 => world.tell_credentials(node, 1 - node),
                7 | 8 => world.signal_leniently(),
                9 => drop(agent.send(&mut Vec::new(), |_| true)),
                10 if rng.random_bool(0.1) => agent.close(),
                11 => world.run_for(ms(40_000)),
                _ => world.run_for(ms(rng.random_range(0..500))),
            }
            let node = &mut world.nodes[node];
            let before = node.agent.state();
            node.agent.handle_timeout(now);
            if before == State::Closed {
                assert_eq!(
                    (node.agent.state(), node.agent.poll_timeout()),
                    (State::Closed, None)
                );
            }
            world.drain();
        }
    }
}
