//! How long NATs of all kinds keep a binding, measured in virtual time (RFC 5780, section 4.6).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::Path;
use dunlin_stun::BindingServer;
use dunlin_stun::discovery::Failure;
use dunlin_stun::discovery::lifetime::{Config, Event, Lifetime};

const SERVER: &str = "198.51.100.1:3478";
const FIRST: &str = "10.0.0.2:5000";
const SECOND: &str = "10.0.0.2:5001";

#[expect(clippy::disallowed_methods, reason = "a base to count virtual time from")]
fn base() -> Instant {
    Instant::now()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A binding that is forgotten when it was not used for a while.
struct Nat {
    keeps: Duration,
    /// Whether what comes in counts as use.
    inbound_refreshes: bool,
    /// Whether a new binding gets the port of one that was forgotten.
    reuses: bool,
    /// Every so many datagrams one is lost; 0: none.
    loses: usize,
    carried: usize,
    /// Inside address, outside port, last use.
    bindings: Vec<(SocketAddr, u16, Instant)>,
    next: u16,
}

impl Nat {
    fn new(keeps: u64) -> Self {
        Self {
            keeps: Duration::from_secs(keeps),
            inbound_refreshes: false,
            reuses: false,
            loses: 0,
            carried: 0,
            bindings: Vec::new(),
            next: 1,
        }
    }

    fn is_lost(&mut self) -> bool {
        self.carried += 1;
        self.loses > 0 && self.carried.is_multiple_of(self.loses)
    }

    fn out(&mut self, now: Instant, from: SocketAddr) -> SocketAddr {
        self.bindings.retain(|binding| now < binding.2 + self.keeps);
        let port = match self.bindings.iter_mut().find(|binding| binding.0 == from) {
            Some(binding) => {
                binding.2 = now;
                binding.1
            }
            None => {
                let free = (1..).find(|port| self.bindings.iter().all(|binding| binding.1 != *port));
                self.next += 1;
                let port = if self.reuses { free.unwrap() } else { self.next };
                self.bindings.push((from, port, now));
                port
            }
        };
        SocketAddr::new(at("203.0.113.7:0").ip(), port)
    }

    fn back(&mut self, now: Instant, to: SocketAddr) -> Option<SocketAddr> {
        let keeps = self.keeps;
        let mut kept = self.bindings.iter_mut();
        let binding = kept.find(|binding| binding.1 == to.port() && now < binding.2 + keeps)?;
        if self.inbound_refreshes {
            binding.2 = now;
        }
        Some(binding.0)
    }
}

fn server() -> BindingServer {
    let mut server = BindingServer::default();
    server.response_port = true;
    server
}

fn measure(server: &BindingServer, mut nat: Nat) -> (Event, Duration) {
    let start = base();
    let mut now = start;
    let path = Path::udp(at(FIRST), at(SERVER));
    let mut lifetime = Lifetime::new(Config::new(path, at(SECOND)), [3; 32], now);
    loop {
        let mut request = Vec::new();
        while let Some(transmit) = lifetime.poll_transmit(now, &mut request) {
            assert_eq!(transmit.path.remote, at(SERVER));
            let outside = nat.out(now, transmit.path.local);
            let mut response = Vec::new();
            let answer = server.answer(Path::udp(at(SERVER), outside), &request, &mut response);
            if !nat.is_lost()
                && let Some(answer) = answer
                && let Some(inside) = nat.back(now, answer.path.remote)
                && !nat.is_lost()
            {
                let path = Path::udp(inside, at(SERVER));
                lifetime.handle_datagram(now, path, BytesMut::from(&response[..]));
            }
            request.clear();
        }
        if let Some(event) = lifetime.poll_event() {
            assert_eq!((lifetime.poll_timeout(), lifetime.poll_event()), (None, None));
            return (event, now - start);
        }
        now = lifetime.poll_timeout().expect("something is awaited");
        lifetime.handle_timeout(now);
    }
}

#[test]
fn what_a_nat_keeps_is_found_between_two_times_that_are_close() {
    for keeps in [3, 14, 29, 30, 64, 120, 301, 599] {
        for bits in 0..4 {
            let mut nat = Nat::new(keeps);
            (nat.inbound_refreshes, nat.reuses) = (bits & 1 != 0, bits & 2 != 0);
            let (event, took) = measure(&server(), nat);
            let Event::Measured {
                at_least,
                less_than: Some(less_than),
            } = event
            else {
                panic!("{keeps}: {event:?}");
            };
            let keeps = Duration::from_secs(keeps);
            assert!(at_least < keeps && keeps <= less_than, "{keeps:?}: {event:?}");
            assert!(
                less_than - at_least <= Duration::from_secs(1).max(at_least / 8),
                "{event:?}"
            );
            assert!(
                took < keeps * 12 + Duration::from_secs(120),
                "{keeps:?}: {took:?}"
            );
        }
    }
}

#[test]
fn who_keeps_it_for_ever_is_not_asked_for_ever() {
    let (event, took) = measure(&server(), Nat::new(100_000));
    let longest = Duration::from_mins(10);
    assert_eq!(
        event,
        Event::Measured {
            at_least: longest,
            less_than: None
        }
    );
    assert!(took < longest * 3, "{took:?}");
}

#[test]
fn a_lost_datagram_is_no_lost_binding() {
    for loses in [3, 5, 7] {
        let mut nat = Nat::new(60);
        nat.loses = loses;
        let (event, _) = measure(&server(), nat);
        let Event::Measured { at_least, .. } = event else {
            panic!("{event:?}");
        };
        assert!(at_least > Duration::from_secs(48), "{loses}: {event:?}");
    }
}

#[test]
fn a_server_without_response_port_and_one_that_is_silent_say_so() {
    let (event, _) = measure(&BindingServer::default(), Nat::new(60));
    assert_eq!(event, Event::Failed(Failure::NoResponsePort));
    assert!(Failure::NoResponsePort.to_string().contains("RESPONSE-PORT"));
    let mut nat = Nat::new(60);
    nat.loses = 1;
    let (event, took) = measure(&server(), nat);
    assert_eq!(event, Event::Failed(Failure::NoAnswer));
    assert!(took < Duration::from_secs(6), "{took:?}");
}
