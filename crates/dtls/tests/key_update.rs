//! New keys (RFC 9147, section 8): asked for or not, crossing, lost, many times, by themselves; and forgeries, which
//! wear keys out.

mod common;

use std::time::Duration;

use common::{BOTH_ROLES, BOTH_VERSIONS, Net, closed, configs_of, connect, other, pass};
use dunlin_dtls::{AlertDescription, CloseReason, Connection, Role, UpdateError, Version};

fn updates(side: &Connection) -> (u64, u64) {
    (side.stats().key_updates_sent, side.stats().key_updates_received)
}

fn update(net: &mut Net, role: Role, request: bool) {
    let now = net.now;
    net.side(role).update_keys(now, request).unwrap();
}

/// The low bits of the epoch of a side's next record.
fn epoch_bits(net: &mut Net, role: Role) -> u8 {
    net.seal(role, b"")[0] & 3
}

#[test]
fn one_side_or_both_go_on_with_new_keys() {
    for role in BOTH_ROLES {
        for request in [false, true] {
            let mut net = Net::connected(Version::Dtls13);
            update(&mut net, role, request);
            // "MUST NOT send records with the new keys [...] until the previous KeyUpdate has been acknowledged"
            assert_eq!(epoch_bits(&mut net, role), 3);
            let now = net.now;
            assert_eq!(net.side(role).update_keys(now, false), Err(UpdateError::Pending));
            net.assert_working();
            net.settle(Duration::from_secs(3));
            assert_eq!(epoch_bits(&mut net, role), 0, "epoch 4");
            assert_eq!(epoch_bits(&mut net, other(role)), if request { 0 } else { 3 });
            let there = u64::from(request);
            assert_eq!(updates(net.side(role)), (1, there));
            assert_eq!(updates(net.side(other(role))), (there, 1));
            net.assert_working();
            assert_eq!(
                (net.client.poll_timeout(), net.server.poll_timeout()),
                (None, None)
            );
            assert_eq!(
                net.client.stats().retransmissions + net.server.stats().retransmissions,
                0
            );
        }
    }
}

/// "If endpoints independently send KeyUpdates with request_update set to update_requested, and they cross in flight, then
/// each side will also send a response" (RFC 8446, section 4.6.3); here the one that is out already is the response.
#[test]
fn updates_that_cross_leave_both_sides_with_the_same_keys() {
    for (of_client, of_server) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut net = Net::connected(Version::Dtls13);
        update(&mut net, Role::Client, of_client);
        update(&mut net, Role::Server, of_server);
        net.settle(Duration::from_secs(3));
        net.assert_working();
        assert!(net.client.stats().key_updates_sent == net.server.stats().key_updates_received);
        assert!(net.server.stats().key_updates_sent == net.client.stats().key_updates_received);
        assert_eq!(
            (net.client.poll_timeout(), net.server.poll_timeout()),
            (None, None)
        );
    }
}

#[test]
fn every_datagram_of_an_update_and_every_pair_may_be_lost_or_repeated() {
    for role in BOTH_ROLES {
        for request in [false, true] {
            for first in 0..6 {
                for second in first..6 {
                    for twice in [false, true] {
                        let mut net = Net::connected(Version::Dtls13);
                        let base = net.sent.len();
                        update(&mut net, role, request);
                        let limit = net.now - net.start + Duration::from_secs(60);
                        let fate = |index, datagram: &common::Datagram| match index == base + first
                            || index == base + second
                        {
                            true if twice => [pass(index, datagram), pass(index, datagram)].concat(),
                            true => vec![],
                            false => pass(index, datagram),
                        };
                        net.run_until(limit, fate, |_| false);
                        let what = format!("{role:?} {request} {first} {second} {twice}");
                        assert_eq!(epoch_bits(&mut net, role), 0, "{what}");
                        assert_eq!(
                            epoch_bits(&mut net, other(role)),
                            if request { 0 } else { 3 },
                            "{what}"
                        );
                        net.assert_working();
                        assert_eq!(
                            (net.client.poll_timeout(), net.server.poll_timeout()),
                            (None, None),
                            "{what}"
                        );
                    }
                }
            }
        }
    }
}

/// > receivers MUST retain the pre-update keying material until receipt and successful decryption of a message using the
/// > new keys. (RFC 9147, section 8)
#[test]
fn data_that_an_update_overtook_is_still_read() {
    let mut net = Net::connected(Version::Dtls13);
    let old = [net.seal(Role::Client, b"old 1"), net.seal(Role::Client, b"old 2")];
    update(&mut net, Role::Client, false);
    net.settle(Duration::from_secs(1));
    net.give(Role::Server, &old[0]);
    assert_eq!(net.heard(Role::Server), [b"old 1"]);
    let new = net.seal(Role::Client, b"new");
    net.give(Role::Server, &new);
    net.give(Role::Server, &old[1]);
    net.give(Role::Server, &new);
    assert_eq!(net.heard(Role::Server), [&b"new"[..], b"old 2"]);
    // One more, and it is too old; and when its bits come again, it is read with other keys, in vain.
    for _ in 0..4 {
        let older = net.seal(Role::Client, b"older");
        update(&mut net, Role::Client, false);
        net.settle(Duration::from_secs(1));
        net.assert_working();
        update(&mut net, Role::Client, false);
        net.settle(Duration::from_secs(1));
        net.assert_working();
        net.give(Role::Server, &older);
        net.give(Role::Server, &old[1]);
        assert_eq!(net.heard(Role::Server), Vec::<Vec<u8>>::new());
    }
}

#[test]
fn records_of_keys_that_are_not_there_yet_are_not_believed() {
    let mut net = Net::connected(Version::Dtls13);
    update(&mut net, Role::Client, false);
    net.settle(Duration::from_secs(1));
    let new = net.seal(Role::Client, b"new");
    let mut other = Net::connected(Version::Dtls13);
    other.give(Role::Server, &new);
    assert_eq!(other.heard(Role::Server), Vec::<Vec<u8>>::new());
    other.assert_working();
}

#[test]
fn forty_updates_in_a_row_go_round_the_two_bits_of_the_epoch() {
    for role in BOTH_ROLES {
        let mut net = Net::connected(Version::Dtls13);
        for count in 1..=40u64 {
            update(&mut net, role, count % 3 == 0);
            net.settle(Duration::from_millis(200));
            net.assert_working();
            assert_eq!(u64::from(epoch_bits(&mut net, role)), (3 + count) & 3);
        }
        let drops = net.client.stats().drops.total() + net.server.stats().drops.total();
        assert_eq!(drops, 0);
    }
}

/// > Implementations SHOULD initiate a key update before reaching this limit. (RFC 9147, section 4.5.3)
#[test]
fn threat_2_keys_change_by_themselves_after_so_many_records() {
    let (mut client, server) = configs_of(Version::Dtls13);
    client.key_update_after = 10;
    let mut net = connect(client, server);
    let mut seen = std::collections::BTreeSet::new();
    for index in 0..200u8 {
        let record = net.seal(Role::Client, &[index]);
        seen.insert(record[0] & 3);
        net.give(Role::Server, &record);
        assert_eq!(net.heard(Role::Server), [[index]]);
        net.settle(Duration::from_millis(50));
    }
    let count = net.client.stats().key_updates_sent;
    assert!(
        (12..=20).contains(&count),
        "{count} updates for 200 records, 10 to a key"
    );
    assert_eq!(net.server.stats().key_updates_received, count);
    assert_eq!(net.server.stats().key_updates_sent, 0);
    assert_eq!(seen.len(), 4);
}

#[test]
fn keys_can_only_be_changed_when_connected_and_in_1_3() {
    let mut net = Net::connected(Version::Dtls12);
    let now = net.now;
    assert_eq!(net.client.update_keys(now, true), Err(UpdateError::Version));
    let (client, server) = configs_of(Version::Dtls13);
    let mut net = Net::new(client, server);
    assert_eq!(net.client.update_keys(now, true), Err(UpdateError::NotConnected));
    net.client.close(now);
    assert_eq!(net.client.update_keys(now, true), Err(UpdateError::NotConnected));
}

fn forge(net: &mut Net, from: Role) {
    let mut record = net.seal(from, b"forged");
    *record.last_mut().unwrap() ^= 1;
    net.give(other(from), &record);
}

/// > If the number of packets that fail authentication exceeds a limit that is specific to the AEAD in use, an
/// > implementation SHOULD immediately close the connection. Implementations SHOULD initiate a key update with
/// > update_requested before reaching this limit. (RFC 9147, section 4.5.3)
#[test]
fn too_many_forgeries_end_the_connection_unless_new_keys_come_in_time() {
    for version in BOTH_VERSIONS {
        for role in BOTH_ROLES {
            let (mut client, mut server) = configs_of(version);
            (client.max_forgeries, server.max_forgeries) = (10, 10);
            let mut net = connect(client, server);
            for _ in 0..9 {
                forge(&mut net, other(role));
            }
            assert!(net.side(role).is_connected());
            assert_eq!(updates(net.side(role)).0, u64::from(version == Version::Dtls13));
            forge(&mut net, other(role));
            net.settle(Duration::from_secs(1));
            assert_eq!(
                closed(net.events(role)),
                Some(&CloseReason::TooManyForgeries(10)),
                "{version}"
            );
            let alert = CloseReason::PeerAlert(AlertDescription::BAD_RECORD_MAC);
            assert_eq!(closed(net.events(other(role))), Some(&alert), "{version}");
        }
    }
    let (mut client, server) = configs_of(Version::Dtls13);
    client.max_forgeries = 10;
    let mut net = connect(client, server);
    for _ in 0..5 {
        for _ in 0..5 {
            forge(&mut net, Role::Server);
        }
        net.settle(Duration::from_secs(1));
    }
    net.assert_working();
    assert_eq!((updates(&net.client), updates(&net.server)), ((5, 5), (5, 5)));
}
