//! Another pair without a restart (draft-thatcher-tsvwg-renomination), in both dialects, and without either.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use bytes::BytesMut;
use dunlin_ice::{Agent, Credentials, Renomination, Role, State};
use dunlin_net::{Path, Transport};
use dunlin_stun::{Class, IntegrityKey, Message, Method, TransactionId, Writer, attribute};
use std::time::Instant;
use world::{A, B, World, addr, base_instant, config, ms};

const DIALECTS: [Option<Renomination>; 2] = [Some(Renomination::Deployed), Some(Renomination::Draft)];

/// A has two addresses; nothing gets through on the preferred one.
fn first_choice_is_dead(dialect: Option<Renomination>) -> World {
    let mut world = World::new(3, [config(Role::Controlling), config(Role::Controlled)]);
    world.add(A, "10.0.0.1:1000");
    world.add(A, "10.0.1.1:1000");
    world.add(B, "10.0.0.2:2000");
    world.dead.insert(addr("10.0.0.1:1").ip());
    for node in &mut world.nodes {
        node.agent.set_remote_renomination(dialect);
    }
    world.signal();
    assert!(world.run(ms(5000), World::both_completed));
    assert_eq!(local_of_a(&world), "10.0.1.1:1000");
    world
}

fn local_of_a(world: &World) -> String {
    world.nodes[A].agent.selected_path().unwrap().local.to_string()
}

fn same_path(world: &World) -> bool {
    let [a, b] = [A, B].map(|node| world.nodes[node].agent.selected_path());
    a == b.map(Path::reversed)
}

/// RFC 8445, section 8.1.1: "one and only one candidate pair". The peer has heard the nomination, and its answer is lost.
#[test]
fn without_numbers_a_better_pair_does_not_take_the_nomination_that_waits_for_its_answer() {
    let mut world = World::new(3, [config(Role::Controlling), config(Role::Controlled)]);
    world.add(A, "10.0.0.1:1000");
    world.add(A, "10.0.1.1:1000");
    world.add(B, "10.0.0.2:2000");
    let [first, second, peer] = ["10.0.0.1:1", "10.0.1.1:1", "10.0.0.2:1"].map(|text| addr(text).ip());
    world.dead.insert(first);
    world.signal();
    let nominated = |world: &World| {
        let mut found: Vec<_> = Vec::new();
        for (_, from, _, data) in &world.log {
            let nominates = Message::parse(data).is_ok_and(|check| check.use_candidate());
            if nominates && !found.contains(&from.ip()) {
                found.push(from.ip());
            }
        }
        found
    };
    assert!(world.run(ms(5000), |w| nominated(w) == [second]));
    world.mute.insert((peer, second));
    world.dead.clear();
    world.run_for(ms(5000));
    let better = Path::udp(addr("10.0.0.1:1000"), addr("10.0.0.2:2000"));
    assert_eq!(
        world.nodes[A].agent.selected_path(),
        Some(better),
        "it works and carries data"
    );
    assert_eq!(nominated(&world), [second], "but is not nominated");
    world.mute.clear();
    assert!(world.run(ms(10_000), |w| w.both_completed() && same_path(w)));
    assert_eq!(local_of_a(&world), "10.0.1.1:1000");
}

#[test]
fn a_better_pair_that_comes_to_life_takes_over_and_nobody_notices() {
    for dialect in DIALECTS {
        let mut world = first_choice_is_dead(dialect);
        world.dead.clear();
        assert!(
            world.run(ms(20_000), |w| local_of_a(w) == "10.0.0.1:1000" && same_path(w)),
            "{dialect:?}"
        );
        for node in &world.nodes {
            assert_eq!(node.states, [State::Checking, State::Connected, State::Completed]);
            assert!(node.agent.selected_pair().unwrap().nominated);
        }
        assert!(world.say(A, b"\x80still") && world.say(B, b"\x80there"));
        world.run_for(ms(1000));
        assert_eq!(
            (world.nodes[A].received.len(), world.nodes[B].received.len()),
            (1, 1)
        );
    }
}

const ROLES: [[Role; 2]; 2] = [
    [Role::Controlling, Role::Controlled],
    [Role::Controlled, Role::Controlling],
];

/// B is behind a NAT that lets in only whom B has sent something, and that has forgotten A's second address.
fn behind_a_forgetful_nat(dialect: Option<Renomination>, roles: [Role; 2]) -> World {
    let mut world = World::new(5, roles.map(config));
    world.add(A, "192.0.2.1:1000");
    world.add(A, "192.0.2.2:1000");
    world.nat("10.0.0.2", "203.0.113.1", true);
    world.add(B, "10.0.0.2:2000");
    for node in &mut world.nodes {
        node.agent.set_remote_renomination(dialect);
    }
    world.signal();
    assert!(world.run(ms(5000), World::both_completed));
    world.run_for(ms(10_000));
    assert_eq!(local_of_a(&world), "192.0.2.1:1000");
    world.nats[0].contacted.remove(&addr("192.0.2.2:1").ip());
    let now = world.now;
    world.hosts[A].retain(|host| *host != addr("192.0.2.1:1000"));
    world.dead.insert(addr("192.0.2.1:1").ip());
    let agent = &mut world.nodes[A].agent;
    agent.remove_local_address(now, addr("192.0.2.1:1000"), Transport::Udp);
    world
}

fn moved(world: &World) -> bool {
    let remote = world.nodes[B].agent.selected_path().map(|path| path.remote);
    world.nodes[A].agent.selected_path().is_some() && remote == Some(addr("192.0.2.2:1000"))
}

/// Found by the lab of kernel NATs: the peer that had lost nothing kept still, and the other's checks stayed outside.
#[test]
fn a_peer_that_falls_silent_is_looked_for_and_so_let_in() {
    for dialect in [None, DIALECTS[0], DIALECTS[1]] {
        for roles in ROLES {
            let mut world = behind_a_forgetful_nat(dialect, roles);
            assert!(
                world.run(ms(10_000), |w| moved(w) && w.both_completed()),
                "{dialect:?} {roles:?}"
            );
        }
    }
}

/// A candidate long after the others says that something has changed: there is no need to wait for silence.
#[test]
fn a_late_candidate_makes_the_other_side_look_for_its_peer_at_once() {
    for dialect in DIALECTS {
        for roles in ROLES {
            let mut world = behind_a_forgetful_nat(dialect, roles);
            world.run_for(ms(500));
            world.add(A, "192.0.2.3:1000");
            world.dead.insert(addr("192.0.2.3:1").ip());
            world.tell_candidates(A, B);
            assert!(
                world.run(ms(1500), |w| moved(w) && w.both_completed()),
                "{dialect:?} {roles:?}"
            );
            // The pair that is gone has the higher priority: nobody goes back to it.
            world.keep_log = true;
            world.log.clear();
            world.run_for(ms(3000));
            assert!(
                world
                    .log
                    .iter()
                    .all(|(_, _, to, _)| *to != addr("192.0.2.1:1000"))
            );
        }
    }
}

#[test]
fn the_pair_that_was_left_is_kept_with_consent_and_takes_over_when_the_new_one_dies() {
    for dialect in DIALECTS {
        let mut world = first_choice_is_dead(dialect);
        world.dead.clear();
        assert!(world.run(ms(20_000), |w| local_of_a(w) == "10.0.0.1:1000" && same_path(w)));
        // Long after the others would have gone.
        world.run_for(ms(60_000));
        assert_eq!(world.nodes[A].agent.stats().pairs, 2);
        let now = world.now;
        world.hosts[A].retain(|host| *host != addr("10.0.0.1:1000"));
        let agent = &mut world.nodes[A].agent;
        agent.remove_local_address(now, addr("10.0.0.1:1000"), Transport::Udp);
        assert_eq!(local_of_a(&world), "10.0.1.1:1000", "at once");
        assert!(world.run(ms(2000), |w| same_path(w) && w.both_completed()));
    }
}

#[test]
fn without_the_option_one_nomination_is_all_there_is() {
    let mut world = first_choice_is_dead(None);
    world.dead.clear();
    world.run_for(ms(60_000));
    assert_eq!(local_of_a(&world), "10.0.1.1:1000");
    assert_eq!(world.nodes[A].agent.stats().pairs, 1);
    let nomination = |data: &[u8]| {
        let message = Message::parse(data).unwrap();
        let numbers = [attribute::NOMINATION, attribute::GOOG_NOMINATION];
        numbers.iter().any(|kind| message.attribute(*kind).is_some())
    };
    assert!(!world.log.iter().any(|(_, _, _, data)| nomination(data)));
}

#[test]
fn a_better_address_that_is_added_later_is_taken_up() {
    // RFC 8421: IPv6 is preferred.
    for dialect in DIALECTS {
        let mut world = World::new(4, [config(Role::Controlling), config(Role::Controlled)]);
        world.add(A, "10.0.0.1:1000");
        world.add(B, "10.0.0.2:2000");
        world.add(B, "[2001:db8::2]:2000");
        for node in &mut world.nodes {
            node.agent.set_remote_renomination(dialect);
        }
        world.signal();
        assert!(world.run(ms(5000), World::both_completed));
        world.run_for(ms(10_000));
        world.add(A, "[2001:db8::1]:1000");
        world.tell_candidates(A, B);
        assert!(
            world.run(ms(1000), |w| local_of_a(w) == "[2001:db8::1]:1000"
                && same_path(w)),
            "{dialect:?}"
        );
        assert!(world.both_completed());
    }
}

/// What is heard on A's preferred address cannot be answered from there.
#[test]
fn a_nomination_of_a_pair_that_was_only_heard_gives_way_to_one_that_works() {
    for dialect in DIALECTS {
        let mut world = World::new(6, [config(Role::Controlling), config(Role::Controlled)]);
        world.add(A, "10.0.0.1:1000");
        world.add(A, "10.0.1.1:1000");
        world.add(B, "10.0.0.2:2000");
        world
            .mute
            .insert((addr("10.0.0.1:1").ip(), addr("10.0.0.2:1").ip()));
        for node in &mut world.nodes {
            node.agent.set_remote_renomination(dialect);
            node.agent.set_remote_pacing(Some(ms(10)));
        }
        world.signal();
        assert!(world.run(ms(100), World::both_completed), "{dialect:?}");
        assert!(local_of_a(&world) == "10.0.1.1:1000" && same_path(&world));
        world.run_for(ms(60_000));
        assert!(local_of_a(&world) == "10.0.1.1:1000" && same_path(&world));
        assert_eq!(world.nodes[A].agent.stats().path_changes, 0);
        assert_eq!(world.nodes[B].agent.stats().path_changes, 0);
    }
}

/// Every check up to a moment is lost, so that nominations are sent for pairs that do not work yet, in any order.
#[test]
fn whatever_is_lost_at_first_both_sides_end_on_the_same_pair() {
    for dialect in DIALECTS {
        for lost_until in (0..1500).step_by(35) {
            let mut world = World::new(lost_until, [config(Role::Controlling), config(Role::Controlled)]);
            for host in ["10.0.0.1:1000", "10.0.1.1:1000"] {
                world.add(A, host);
            }
            for host in ["10.0.0.2:2000", "10.0.1.2:2000"] {
                world.add(B, host);
            }
            let way = |from: &str, to: &str| (addr(from).ip(), addr(to).ip());
            world.mute.insert(way("10.0.0.1:1", "10.0.0.2:1"));
            world.mute.insert(way("10.0.1.2:1", "10.0.0.1:1"));
            world.mute.insert(way("10.0.1.1:1", "10.0.0.2:1"));
            for node in &mut world.nodes {
                node.agent.set_remote_renomination(dialect);
                node.agent.set_remote_pacing(Some(ms(10)));
            }
            world.signal();
            world.run_for(ms(lost_until));
            world.mute.clear();
            assert!(
                world.run(ms(10_000), |w| w.both_completed() && same_path(w)),
                "{dialect:?} {lost_until}"
            );
            world.run_for(ms(60_000));
            assert!(
                world.both_completed() && same_path(&world),
                "{dialect:?} {lost_until}"
            );
        }
    }
}

/// A controlling peer in the hands of the test: it checks from where it wants, and answers.
struct Peer {
    now: Instant,
    agent: Agent,
    checks: u8,
}

const HERE: &str = "10.0.0.2:2000";
const ONE: &str = "10.0.0.1:1001";
const TWO: &str = "10.0.0.1:1002";
const PASSWORD: &str = "thePasswordOfThePeer+++";

impl Peer {
    fn meet(dialect: Option<Renomination>) -> Self {
        let mut peer = Self::early();
        peer.agent.set_remote_renomination(dialect);
        peer.agent
            .set_remote_credentials(Credentials::new("peer", PASSWORD).unwrap(), false);
        peer
    }

    /// Its description is not there yet.
    fn early() -> Self {
        let now = base_instant();
        let mut agent = Agent::new(config(Role::Controlled), [5; 32], now);
        agent.add_local_address(now, addr(HERE), Transport::Udp).unwrap();
        Self {
            now,
            agent,
            checks: 0,
        }
    }

    /// A check from `from`; the error code of the answer, 0 for success.
    fn check(&mut self, from: &str, use_candidate: bool, number: Option<(u16, u32)>) -> u16 {
        self.checks += 1;
        let id = TransactionId([self.checks; 12]);
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, Class::Request, Method::BINDING, id);
        let local = self.agent.local_credentials();
        writer.username(format!("{}:peer", local.ufrag()).as_bytes());
        writer.priority(1_862_270_975).ice_controlling(1 << 40);
        if use_candidate {
            writer.use_candidate();
        }
        if let Some((kind, number)) = number {
            writer.attribute(kind, &number.to_be_bytes());
        }
        writer
            .integrity(&IntegrityKey::short_term(local.password()))
            .fingerprint();
        let path = Path::udp(addr(HERE), addr(from));
        assert_eq!(
            self.agent
                .handle_datagram(self.now, path, BytesMut::from(&out[..])),
            None
        );
        self.serve(Some(id)).expect("an answer")
    }

    /// Answers checks for a while; the error code of the answer to `id`.
    fn serve(&mut self, id: Option<TransactionId>) -> Option<u16> {
        let end = self.now + ms(300);
        let (mut out, mut code) = (Vec::new(), None);
        loop {
            while let Some(transmit) = self.agent.poll_transmit(self.now, &mut out) {
                let message = Message::parse(&out).unwrap();
                if Some(message.transaction_id()) == id {
                    code = Some(message.error_code().map_or(0, |error| error.code));
                } else if message.class() == Class::Request {
                    let mut answer = Vec::new();
                    Writer::success(&mut answer, &message)
                        .xor_mapped_address(transmit.path.local)
                        .integrity(&IntegrityKey::short_term(PASSWORD))
                        .fingerprint();
                    let back = BytesMut::from(&answer[..]);
                    assert_eq!(self.agent.handle_datagram(self.now, transmit.path, back), None);
                }
                out.clear();
            }
            match self.agent.poll_timeout().filter(|at| *at <= end) {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
            self.agent.handle_timeout(self.now);
        }
        self.now = end;
        code
    }

    fn uses(&self, address: &str) -> bool {
        self.agent
            .selected_path()
            .is_some_and(|path| path.remote == addr(address))
    }
}

#[test]
fn the_highest_number_wins_whatever_comes_after_it() {
    // "A nomination request whose NOMINATION value is less than or equal to the highest previously accepted NOMINATION
    // value for the same ICE generation and component MUST be ignored" (section 3.1).
    for (dialect, kind) in [
        (Renomination::Deployed, attribute::GOOG_NOMINATION),
        (Renomination::Draft, attribute::NOMINATION),
    ] {
        let mut peer = Peer::meet(Some(dialect));
        assert_eq!(peer.check(ONE, true, Some((kind, 5))), 0);
        assert!(peer.uses(ONE));
        assert_eq!(
            peer.check(TWO, true, Some((kind, 4))),
            0,
            "answered, and nothing else"
        );
        assert!(peer.uses(ONE));
        assert_eq!(peer.check(TWO, true, Some((kind, 5))), 0);
        assert!(peer.uses(ONE));
        assert_eq!(peer.check(TWO, true, Some((kind, 6))), 0);
        assert!(peer.uses(TWO));
        assert_eq!(peer.check(ONE, true, Some((kind, 5))), 0, "late");
        assert!(peer.uses(TWO));
        assert_eq!(peer.check(ONE, true, Some((kind, u32::MAX))), 0);
        assert!(peer.uses(ONE) && peer.agent.state() == State::Completed);
    }
}

#[test]
fn in_the_draft_use_candidate_alone_nominates_nothing_and_in_the_other_dialect_it_does() {
    let mut peer = Peer::meet(Some(Renomination::Draft));
    assert_eq!(peer.check(ONE, true, None), 0);
    assert_ne!(peer.agent.state(), State::Completed);
    let mut peer = Peer::meet(Some(Renomination::Deployed));
    assert_eq!(peer.check(ONE, true, None), 0);
    assert_eq!(peer.agent.state(), State::Completed);
    // libwebrtc leaves USE-CANDIDATE away.
    assert_eq!(peer.check(TWO, false, Some((attribute::GOOG_NOMINATION, 2))), 0);
    assert!(peer.uses(TWO));
}

#[test]
fn the_drafts_attribute_must_be_understood_and_is_so_only_where_it_was_agreed_on() {
    for dialect in [None, Some(Renomination::Deployed)] {
        let mut peer = Peer::meet(dialect);
        assert_eq!(peer.check(ONE, true, Some((attribute::NOMINATION, 1))), 420);
    }
    // From the range that may be left unread: unread.
    let mut peer = Peer::meet(None);
    assert_eq!(peer.check(ONE, false, Some((attribute::GOOG_NOMINATION, 1))), 0);
    assert_ne!(peer.agent.state(), State::Completed);
}

#[test]
fn a_nomination_before_the_peers_description_counts_in_either_form() {
    for number in [None, Some((attribute::NOMINATION, 3))] {
        let mut peer = Peer::early();
        assert_eq!(peer.check(ONE, true, number), 0);
        peer.agent.set_remote_renomination(Some(Renomination::Draft));
        peer.agent
            .set_remote_credentials(Credentials::new("peer", PASSWORD).unwrap(), false);
        peer.serve(None);
        assert!(
            peer.uses(ONE) && peer.agent.state() == State::Completed,
            "{number:?}"
        );
    }
}

/// The last one is a retransmission of the first that was overtaken on the way.
#[test]
fn of_nominations_before_the_peers_description_the_highest_number_counts() {
    let mut peer = Peer::early();
    for (from, number) in [(ONE, 1), (TWO, 2), (ONE, 3), (ONE, 1)] {
        assert_eq!(peer.check(from, true, Some((attribute::NOMINATION, number))), 0);
    }
    peer.agent.set_remote_renomination(Some(Renomination::Draft));
    peer.agent
        .set_remote_credentials(Credentials::new("peer", PASSWORD).unwrap(), false);
    peer.serve(None);
    assert!(peer.uses(ONE) && peer.agent.state() == State::Completed);
}

#[test]
fn a_restart_begins_the_numbers_anew() {
    let mut peer = Peer::meet(Some(Renomination::Draft));
    peer.check(ONE, true, Some((attribute::NOMINATION, 900)));
    peer.agent.restart(peer.now);
    peer.agent.set_remote_renomination(Some(Renomination::Draft));
    peer.agent
        .set_remote_credentials(Credentials::new("peer", PASSWORD).unwrap(), false);
    peer.check(TWO, true, Some((attribute::NOMINATION, 1)));
    assert!(peer.uses(TWO));
}
