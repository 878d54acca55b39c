//! Every harm that a network can do to one datagram of the handshake, and to every pair, in virtual time. A
//! handshake has to come out of all of it.

mod common;

use std::time::Duration;

use common::{Datagram, Fate, Net, configs};
use dunlin_dtls::{Config, Role};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// What happens to one datagram.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Harm {
    Drop,
    Duplicate,
    DuplicateLater,
    /// Longer than a neighbour takes: out of order.
    Delay,
    /// Longer than the first retransmission takes.
    DelayLong,
}

const HARMS: [Harm; 5] = [
    Harm::Drop,
    Harm::Duplicate,
    Harm::DuplicateLater,
    Harm::Delay,
    Harm::DelayLong,
];

fn apply(harm: Option<Harm>, datagram: &Datagram) -> Fate {
    let data = || datagram.data.clone();
    match harm {
        None => vec![(Duration::ZERO, data())],
        Some(Harm::Drop) => vec![],
        Some(Harm::Duplicate) => vec![(Duration::ZERO, data()), (Duration::ZERO, data())],
        Some(Harm::DuplicateLater) => vec![(Duration::ZERO, data()), (Duration::from_millis(300), data())],
        Some(Harm::Delay) => vec![(Duration::from_millis(5), data())],
        Some(Harm::DelayLong) => vec![(Duration::from_millis(900), data())],
    }
}

/// A handshake of small datagrams, so that every flight has several.
fn small(max_datagram: usize, cookie: bool) -> (Config, Config) {
    let (mut client, mut server) = configs();
    client.max_datagram = max_datagram;
    server.max_datagram = max_datagram;
    server.cookie = cookie;
    (client, server)
}

/// Runs a handshake in which `harm` says what happens to each datagram; answers with how many were sent.
fn survives(
    configs: &(Config, Config),
    harm: impl Fn(usize, &Datagram) -> Option<Harm>,
    what: &str,
) -> usize {
    let mut net = Net::new(configs.0.clone(), configs.1.clone());
    net.run(|index, datagram| apply(harm(index, datagram), datagram));
    assert!(
        net.client.is_connected(),
        "{what}: client {:?}",
        net.client_events
    );
    assert!(
        net.server.is_connected(),
        "{what}: server {:?}",
        net.server_events
    );
    net.assert_working();
    let after = Duration::from_secs(100);
    let sent = net.sent.len();
    net.run_until(
        after,
        |index, datagram| apply(harm(index, datagram), datagram),
        |_| false,
    );
    assert_eq!(net.client.poll_timeout(), None, "{what}");
    assert_eq!(net.server.poll_timeout(), None, "{what}");
    assert!(net.sent.len() < 100, "{what}: {} datagrams", net.sent.len());
    sent
}

#[test]
fn every_harm_to_every_datagram_is_survived() {
    for (max_datagram, cookie) in [(1200, false), (1200, true), (200, false), (200, true)] {
        let configs = small(max_datagram, cookie);
        let count = survives(&configs, |_, _| None, "no harm");
        for at in 0..count {
            for harm in HARMS {
                let what = format!("{harm:?} {at} of {count} at {max_datagram}, cookie {cookie}");
                survives(&configs, |index, _| (index == at).then_some(harm), &what);
            }
        }
    }
}

#[test]
fn every_harm_to_every_pair_of_datagrams_is_survived() {
    for (max_datagram, cookie) in [(1200, false), (1200, true), (300, false)] {
        let configs = small(max_datagram, cookie);
        // The retransmissions that the first harm causes are harmed too.
        let count = survives(&configs, |_, _| None, "no harm") + 3;
        for first in 0..count {
            for second in first + 1..count {
                for one in HARMS {
                    for other in HARMS {
                        let what =
                            format!("{one:?} {first}, {other:?} {second} at {max_datagram}, cookie {cookie}");
                        let harm = |index, _: &Datagram| {
                            [(first, one), (second, other)]
                                .into_iter()
                                .find_map(|(at, harm)| (at == index).then_some(harm))
                        };
                        survives(&configs, harm, &what);
                    }
                }
            }
        }
    }
}

/// "DTLS 1.3 timers not armed -> lost flight never resent" (libwebrtc 2025), in the version that we have.
#[test]
fn threat_5_every_kth_datagram_lost_in_either_direction() {
    for (max_datagram, cookie) in [(1200, false), (1200, true)] {
        let configs = small(max_datagram, cookie);
        // Every second of all would hit each answer, of one datagram, to each retransmission, of one datagram.
        for k in 3..12 {
            for phase in 0..k {
                let what = format!("every {k}th from {phase} at {max_datagram}, cookie {cookie}");
                survives(
                    &configs,
                    |index, _| (index % k == phase).then_some(Harm::Drop),
                    &what,
                );
            }
        }
        for k in 2..8 {
            for (phase_there, phase_back) in (0..k).flat_map(|there| (0..k).map(move |back| (there, back))) {
                let (there, back) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
                let what =
                    format!("every {k}th each way from {phase_there} and {phase_back} at {max_datagram}");
                let harm = |_, datagram: &Datagram| {
                    let (count, phase) = match datagram.to {
                        Role::Server => (&there, phase_there),
                        Role::Client => (&back, phase_back),
                    };
                    let index = count.replace(count.get() + 1);
                    (index % k == phase).then_some(Harm::Drop)
                };
                survives(&configs, harm, &what);
            }
        }
        for role in [Role::Client, Role::Server] {
            for lost in 1..6 {
                let left = std::cell::Cell::new(lost);
                let what = format!("the first {lost} to the {role:?} at {max_datagram}, cookie {cookie}");
                let harm = |_, datagram: &Datagram| {
                    let hit = datagram.to == role && left.get() > 0;
                    left.set(left.get() - usize::from(hit));
                    hit.then_some(Harm::Drop)
                };
                survives(&configs, harm, &what);
            }
        }
    }
}

/// With small datagrams a regular pattern can hit the same fragment each time, so here the losses are random.
#[test]
fn threat_5_a_third_of_all_datagrams_lost_at_random() {
    let mut configs = small(150, false);
    for config in [&mut configs.0, &mut configs.1] {
        config.handshake_timeout = Duration::from_secs(1000);
        config.max_timeout = Duration::from_secs(2);
    }
    for seed in 0..200 {
        let rng = std::cell::RefCell::new(StdRng::seed_from_u64(seed));
        let harm = |_, _: &Datagram| rng.borrow_mut().random_bool(0.33).then_some(Harm::Drop);
        let mut net = Net::new(configs.0.clone(), configs.1.clone());
        net.run_until(
            Duration::from_secs(1000),
            |index, datagram| apply(harm(index, datagram), datagram),
            |net| net.client.is_connected() && net.server.is_connected(),
        );
        net.assert_working();
    }
}

#[test]
fn datagrams_of_a_flight_in_reverse_order() {
    for max_datagram in [100, 200, 300, 600] {
        let configs = small(max_datagram, false);
        let mut net = Net::new(configs.0.clone(), configs.1.clone());
        net.run(|index, datagram| {
            let late = Duration::from_micros(9_000).saturating_sub(Duration::from_micros(100) * index as u32);
            vec![(late, datagram.data.clone())]
        });
        net.assert_working();
        assert_eq!(
            net.client.stats().retransmissions + net.server.stats().retransmissions,
            0
        );
    }
}

#[test]
fn retransmissions_wait_twice_as_long_each_time_up_to_the_maximum_and_end_with_the_handshake_time() {
    let (mut client, server) = configs();
    client.initial_timeout = Duration::from_millis(400);
    client.max_timeout = Duration::from_secs(2);
    client.handshake_timeout = Duration::from_secs(12);
    let mut net = Net::new(client, server);
    net.run_until(Duration::from_secs(60), |_, _| vec![], |_| false);
    let times: Vec<u128> = net
        .sent
        .iter()
        .map(|(at, _)| (*at - net.start).as_millis())
        .collect();
    assert_eq!(times, [0, 400, 1200, 2800, 4800, 6800, 8800, 10800]);
    let reason = common::closed(&net.client_events).unwrap().to_string();
    assert!(
        reason.contains("12s") && reason.contains("ServerHello") && reason.contains("1200"),
        "{reason}"
    );
    assert_eq!(net.client.poll_timeout(), None);
}

#[test]
fn a_first_flight_that_went_nowhere_goes_again_when_the_path_is_ready_and_no_other_does() {
    let (client, server) = configs();
    let mut net = Net::new(client, server);
    net.run_until(Duration::from_millis(8), |_, _| vec![], |_| false);
    assert_eq!(net.sent.len(), 1);
    net.client.handle_path_ready(net.now);
    net.server.handle_path_ready(net.now);
    net.run_until(Duration::from_millis(200), common::pass, |net| {
        net.client.is_connected() && net.server.is_connected()
    });
    net.assert_working();
    let retransmissions = |net: &Net| {
        (
            net.client.stats().retransmissions,
            net.server.stats().retransmissions,
        )
    };
    assert_eq!(retransmissions(&net), (1, 0));
    let due = net.client.poll_timeout();
    net.client.handle_path_ready(net.now);
    assert_eq!(net.client.poll_timeout(), due);
}

/// str0m #1017: an infinite loop when the time-out fails.
#[test]
fn threat_6_time_outs_make_progress_even_with_nonsense_settings() {
    for (initial, max, total) in [(0, 0, 0), (0, 0, 1), (5, 1, 100)] {
        let (mut client, server) = configs();
        client.initial_timeout = Duration::from_millis(initial);
        client.max_timeout = Duration::from_millis(max);
        client.handshake_timeout = Duration::from_millis(total);
        client.doubt = Duration::ZERO;
        let mut net = Net::new(client, server);
        net.run_until(Duration::from_secs(60), |_, _| vec![], |_| false);
        assert!(net.client.is_closed());
        assert!(net.sent.len() <= 101, "{}", net.sent.len());
    }
    let (mut client, server) = configs();
    client.initial_timeout = Duration::MAX;
    client.max_timeout = Duration::MAX;
    client.handshake_timeout = Duration::MAX;
    client.doubt = Duration::MAX;
    let mut net = Net::new(client, server);
    net.run(common::pass);
    net.assert_working();
}

#[test]
fn a_repeated_flight_is_answered_once_however_often_the_network_repeats_it() {
    let (client, server) = configs();
    let mut net = Net::new(client, server);
    net.run(|_, datagram| vec![(Duration::ZERO, datagram.data.clone()); 20]);
    net.assert_working();
    assert_eq!(net.sent.len(), 4, "duplicates at once are no sign of loss");
}
