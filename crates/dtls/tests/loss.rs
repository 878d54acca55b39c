//! Every harm that a network can do to one datagram of the handshake, and to every pair, in virtual time. A
//! handshake has to come out of all of it.

mod common;

use std::time::Duration;

use common::harm::{HARMS, Harm, KINDS, Kind, apply, in_both, small, survives};
use common::{BOTH_VERSIONS, Datagram, Net, closed, configs_of};
use dunlin_dtls::{AlertDescription, Certificate, CloseReason, HashAlgorithm, PeerIdentity, Role, Version};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Sizes that flights are cut to, smaller ones for the plain kind alone.
fn sizes(kind: Kind) -> &'static [usize] {
    if kind == Kind::Plain {
        &[1200, 300, 200]
    } else {
        &[1200, 300]
    }
}

#[test]
fn every_harm_to_every_datagram_is_survived() {
    for (version, kind) in in_both(&KINDS) {
        for &max_datagram in sizes(kind) {
            let configs = small(version, max_datagram, kind);
            let count = survives(&configs, |_, _| None, "no harm");
            for at in 0..count {
                for harm in HARMS {
                    let what = format!("{harm:?} {at} of {count} at {max_datagram}, {kind:?}, {version}");
                    survives(&configs, |index, _| (index == at).then_some(harm), &what);
                }
            }
        }
    }
}

#[test]
fn every_harm_to_every_pair_of_datagrams_is_survived() {
    for (version, kind) in in_both(&KINDS) {
        let max_datagram = if kind == Kind::Plain { 300 } else { 1200 };
        let configs = small(version, max_datagram, kind);
        // The retransmissions that the first harm causes are harmed too.
        let count = survives(&configs, |_, _| None, "no harm") + 3;
        for first in 0..count {
            for second in first + 1..count {
                for one in HARMS {
                    for other in HARMS {
                        let what = format!(
                            "{one:?} {first}, {other:?} {second} at {max_datagram}, {kind:?}, {version}"
                        );
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

/// A handshake that cannot succeed fails for its own reason, whatever the network does to it.
#[test]
fn every_harm_to_a_handshake_with_the_wrong_certificate_leaves_its_reason() {
    let somebody = Certificate::generate()
        .unwrap()
        .fingerprint(HashAlgorithm::Sha256);
    for (version, role) in in_both(&[Role::Client, Role::Server]) {
        let (mut client, mut server) = small(version, 300, Kind::Plain);
        let judge = if role == Role::Client {
            &mut client
        } else {
            &mut server
        };
        judge.peer = PeerIdentity::Fingerprints(vec![somebody.clone()]);
        for first in 0..8 {
            for second in first..8 {
                for harm in HARMS {
                    let what = format!("{harm:?} {first} {second} {role:?} {version}");
                    let mut net = Net::new(client.clone(), server.clone());
                    let fate = |index, datagram: &Datagram| {
                        apply((index == first || index == second).then_some(harm), datagram)
                    };
                    net.run_until(Duration::from_secs(40), fate, |net| {
                        net.client.is_closed() && net.server.is_closed()
                    });
                    let reason = closed(net.events(role));
                    assert!(
                        matches!(reason, Some(CloseReason::FingerprintMismatch { .. })),
                        "{what}: {reason:?}"
                    );
                    let alert = CloseReason::PeerAlert(AlertDescription::BAD_CERTIFICATE);
                    // The alert may be what was lost. A client of DTLS 1.3 may then believe that all is well: its
                    // last flight is repeated for a while.
                    match closed(net.events(common::other(role))) {
                        Some(CloseReason::Timeout { .. }) | None => assert!(harm == Harm::Drop, "{what}"),
                        reason => assert_eq!(reason, Some(&alert), "{what}"),
                    }
                }
            }
        }
    }
}

/// "DTLS 1.3 timers not armed -> lost flight never resent" (libwebrtc 2025), in the version that we have.
#[test]
fn threat_5_every_kth_datagram_lost_in_either_direction() {
    for (version, kind) in in_both(&[Kind::Plain, Kind::Hybrid, Kind::Cookie]) {
        let mut configs = small(version, 1200, kind);
        // Half of all lost takes more attempts than 30 seconds of doubling have.
        for config in [&mut configs.0, &mut configs.1] {
            config.handshake_timeout = Duration::from_secs(60);
            config.max_timeout = Duration::from_secs(2);
        }
        // Every second of all would hit each answer, of one datagram, to each retransmission, of one datagram.
        for k in 3..12 {
            for phase in 0..k {
                let what = format!("every {k}th from {phase}, {kind:?}, {version}");
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
                    format!("every {k}th each way from {phase_there} and {phase_back}, {kind:?}, {version}");
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
                let what = format!("the first {lost} to the {role:?}, {kind:?}, {version}");
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
    for (seed, version) in (0..200).zip([Version::Dtls12, Version::Dtls13].into_iter().cycle()) {
        let mut configs = small(version, 150, Kind::Plain);
        for config in [&mut configs.0, &mut configs.1] {
            config.handshake_timeout = Duration::from_secs(1000);
            config.max_timeout = Duration::from_secs(2);
        }
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
    // An ACK of 100 bytes names four records only, and the others go out again.
    for (version, max_datagram) in in_both(&[200, 300, 600]) {
        let configs = small(version, max_datagram, Kind::Plain);
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
    let (mut client, server) = configs_of(Version::Dtls12);
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
        reason.contains("12s") && reason.contains("ServerHello") && reason.contains("256"),
        "{reason}"
    );
    assert_eq!(net.client.poll_timeout(), None);
}

#[test]
fn a_first_flight_that_went_nowhere_goes_again_when_the_path_is_ready_and_no_other_does() {
    let (client, server) = configs_of(Version::Dtls12);
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
    for version in BOTH_VERSIONS {
        for (initial, max, total) in [(0, 0, 0), (0, 0, 1), (5, 1, 100)] {
            let (mut client, server) = configs_of(version);
            client.initial_timeout = Duration::from_millis(initial);
            client.max_timeout = Duration::from_millis(max);
            client.handshake_timeout = Duration::from_millis(total);
            client.doubt = Duration::ZERO;
            let mut net = Net::new(client, server);
            net.run_until(Duration::from_secs(60), |_, _| vec![], |_| false);
            assert!(net.client.is_closed());
            let times = net.client.stats().retransmissions;
            assert!(times <= 100, "{times}");
        }
        let (mut client, server) = configs_of(version);
        client.initial_timeout = Duration::MAX;
        client.max_timeout = Duration::MAX;
        client.handshake_timeout = Duration::MAX;
        client.doubt = Duration::MAX;
        let mut net = Net::new(client, server);
        net.run(common::pass);
        net.assert_working();
    }
}

#[test]
fn a_repeated_flight_is_answered_once_however_often_the_network_repeats_it() {
    let (client, server) = configs_of(Version::Dtls12);
    let mut net = Net::new(client, server);
    net.run(|_, datagram| vec![(Duration::ZERO, datagram.data.clone()); 20]);
    net.assert_working();
    assert_eq!(net.sent.len(), 4, "duplicates at once are no sign of loss");
}
