//! A controlling peer that behaves as libwebrtc does: USE-CANDIDATE on the first check already, pings all the time on
//! several pairs, nominates pair after pair, and adds attributes of its own.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use bytes::BytesMut;
use dunlin_ice::{Agent, Config, Credentials, Kind, Role, State};
use dunlin_net::{Path, Transport};
use dunlin_stun::{Class, IntegrityKey, Message, Method, TransactionId, Writer, attribute};
use std::time::Instant;
use world::{addr, base_instant, config, ms};

const HERE: &str = "10.0.0.2:2000";
const WIFI: &str = "10.0.0.1:1000";
const CABLE: &str = "10.0.0.1:1001";
const PASSWORD: &str = "thePasswordOfTheBrowser+";

struct Browser {
    now: Instant,
    agent: Agent,
    pings: u8,
    /// Answers the agent's checks.
    answers: bool,
}

impl Browser {
    /// The agent knows the browser's credentials; its candidates are hidden behind names, as browsers do.
    fn meet(role: Role) -> Self {
        let now = base_instant();
        let mut agent = Agent::new(config(role), [5; 32], now);
        agent.add_local_address(now, addr(HERE), Transport::Udp).unwrap();
        agent.set_remote_credentials(Credentials::new("brow", PASSWORD).unwrap(), false);
        let hidden = "candidate:1 1 udp 2122260223 3c0bd27e-9f4e-4dc1-8a4b-6e8d5ab0d9a1.local 50000 typ host";
        agent.add_remote_candidate(now, hidden.parse().unwrap()).unwrap();
        Self {
            now,
            agent,
            pings: 0,
            answers: true,
        }
    }

    fn ping(&mut self, from: &str, priority: u32, use_candidate: bool) {
        let local = self.agent.local_credentials().clone();
        self.pings = self.pings.wrapping_add(1);
        let mut out = Vec::new();
        let mut writer = Writer::new(
            &mut out,
            Class::Request,
            Method::BINDING,
            TransactionId([self.pings; 12]),
        );
        writer.username(format!("{}:brow", local.ufrag()).as_bytes());
        writer.attribute(attribute::GOOG_NETWORK_INFO, &[0, 1, 0, 50]);
        writer.ice_controlling(0x1234);
        if use_candidate {
            writer.use_candidate();
        }
        writer
            .priority(priority)
            .integrity(&IntegrityKey::short_term(local.password()))
            .fingerprint();
        self.hand_over(from, &out);
    }

    fn hand_over(&mut self, from: &str, data: &[u8]) {
        let path = Path::udp(addr(HERE), addr(from));
        let taken = self.agent.handle_datagram(self.now, path, BytesMut::from(data));
        assert!(taken.is_none());
        self.talk();
    }

    /// Answers what the agent asks.
    fn talk(&mut self) {
        let mut out = Vec::new();
        while let Some(transmit) = self.agent.poll_transmit(self.now, &mut out) {
            let data = std::mem::take(&mut out);
            let message = Message::parse(&data).unwrap();
            if message.class() == Class::Request && self.answers {
                let mut answer = Vec::new();
                Writer::success(&mut answer, &message)
                    .xor_mapped_address(addr(HERE))
                    .integrity(&IntegrityKey::short_term(PASSWORD))
                    .fingerprint();
                let _none = self
                    .agent
                    .handle_datagram(self.now, transmit.path, BytesMut::from(&answer[..]));
            }
        }
    }

    fn wait(&mut self, millis: u64) {
        let end = self.now + ms(millis);
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.agent.handle_timeout(self.now);
            self.talk();
        }
        self.now = end;
    }

    fn uses(&self) -> String {
        self.agent
            .selected_path()
            .map_or(String::new(), |path| path.remote.to_string())
    }
}

#[test]
fn use_candidate_on_the_first_check_is_a_nomination() {
    let mut browser = Browser::meet(Role::Controlled);
    assert_eq!(browser.agent.state(), State::New);
    browser.ping(WIFI, 1_853_824_767, true);
    browser.wait(10);
    assert_eq!(browser.agent.state(), State::Completed);
    assert_eq!(browser.uses(), WIFI);
    assert_eq!(
        browser.agent.selected_pair().unwrap().remote.kind,
        Kind::PeerReflexive
    );
}

#[test]
fn a_better_pair_that_is_nominated_later_takes_over() {
    let mut browser = Browser::meet(Role::Controlled);
    browser.ping(WIFI, 1_000, true);
    browser.wait(10);
    for _ in 0..10 {
        browser.ping(WIFI, 1_000, true);
        browser.ping(CABLE, 2_000, false);
        browser.wait(48);
        assert_eq!(
            browser.uses(),
            WIFI,
            "a ping without USE-CANDIDATE changes nothing"
        );
    }
    browser.ping(CABLE, 2_000, true);
    browser.wait(10);
    assert_eq!(browser.uses(), CABLE);
    assert_eq!(browser.agent.state(), State::Completed);
    // Both nominated in turns, as RFC 5245's aggressive nomination does: the better one it stays.
    for _ in 0..200 {
        browser.ping(WIFI, 1_000, true);
        browser.ping(CABLE, 2_000, true);
        browser.wait(480);
        assert_eq!(browser.uses(), CABLE);
    }
}

#[test]
fn a_worse_pair_takes_over_when_the_better_one_is_not_nominated_any_more() {
    let mut browser = Browser::meet(Role::Controlled);
    browser.ping(CABLE, 2_000, true);
    browser.wait(1_000);
    assert_eq!(browser.uses(), CABLE);
    for _ in 0..4 {
        browser.ping(WIFI, 1_000, true);
        browser.wait(2_500);
    }
    assert_eq!(browser.uses(), WIFI);
    assert_eq!(browser.agent.state(), State::Completed);
}

#[test]
fn data_on_a_pair_that_a_browser_prefers_before_it_nominates_it_is_not_lost() {
    let mut browser = Browser::meet(Role::Controlled);
    browser.ping(WIFI, 1_000, true);
    browser.wait(10);
    assert_eq!(browser.uses(), WIFI);
    // Long after the other pairs were let go, the browser pings one again and sends on it.
    browser.wait(4_000);
    browser.ping(WIFI, 1_000, true);
    browser.ping(CABLE, 2_000, false);
    let data = BytesMut::from(&[0x80, 111, 0, 1][..]);
    let cable = Path::udp(addr(HERE), addr(CABLE));
    let now = browser.now;
    assert_eq!(
        browser.agent.handle_datagram(now, cable, data.clone()),
        Some(data.clone())
    );
    // From an address that never showed our password nothing is taken.
    let stranger = Path::udp(addr(HERE), addr("10.0.0.9:9"));
    assert_eq!(browser.agent.handle_datagram(now, stranger, data), None);
}

#[test]
fn a_browser_that_claims_our_role_is_refused_when_our_tie_breaker_is_larger() {
    let mut browser = Browser::meet(Role::Controlling);
    browser.ping(WIFI, 1_853_824_767, false);
    browser.wait(100);
    assert_eq!(
        browser.agent.role(),
        Role::Controlling,
        "0x1234 is smaller than a random tie-breaker"
    );
    assert_eq!(browser.agent.stats().role_conflicts, 1);
}

#[test]
fn a_browser_that_pings_but_never_answers_is_given_up() {
    let mut browser = Browser::meet(Role::Controlled);
    browser.answers = false;
    for _ in 0..300 {
        browser.ping(WIFI, 1_000, true);
        browser.wait(480);
    }
    assert_eq!(browser.agent.state(), State::Failed);
    assert!(
        browser.agent.stats().checks_sent < 400,
        "{:?}",
        browser.agent.stats()
    );
}

#[test]
fn default_bounds_are_those_of_the_rfcs() {
    let config = Config::default();
    assert_eq!(config.max_pairs, 100);
    // With a peer that proposes nothing, as browsers.
    let agent = Agent::new(config.clone(), [1; 32], base_instant());
    assert_eq!(agent.pacing(), ms(50));
    assert_eq!(
        (config.consent_interval, config.consent_timeout),
        (ms(5_000), ms(30_000))
    );
    assert_eq!(
        (config.pac_timeout, config.keepalive_interval),
        (ms(39_500), ms(15_000))
    );
}
