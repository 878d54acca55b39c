//! The path of application data: no allocation per datagram in either direction.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use bytes::BytesMut;
use dunlin_ice::{Role, TransportPolicy};
use dunlin_net::Transport;
use world::turn::with_turn;
use world::{A, World, config, ms};

#[test]
fn datagrams_pass_in_both_directions_without_an_allocation() {
    let mut world = World::simple(1);
    world.signal();
    assert!(world.run(ms(2000), World::both_completed));
    let now = world.now;
    let agent = &mut world.nodes[A].agent;
    let back = agent.selected_path().unwrap();
    let mut out = Vec::with_capacity(2000);
    let mut datagram = BytesMut::from(&[0x80; 1200][..]);
    let counted = allocation_counter::measure(|| {
        for _ in 0..1000 {
            out.clear();
            let sent = agent.send(&mut out, |out| {
                out.extend_from_slice(&[0x80; 1200]);
                true
            });
            assert!(sent.is_some());
            datagram = agent
                .handle_datagram(now, back, std::mem::take(&mut datagram))
                .unwrap();
            assert!(agent.poll_timeout().is_some());
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(agent.stats().bytes_received, 1_200_000);
}

#[test]
fn datagrams_leave_through_a_relay_without_an_allocation_and_with_one_copy() {
    const SERVER: &str = "203.0.113.7:3478";
    let configs = [Role::Controlling, Role::Controlled].map(|role| {
        let mut config = with_turn(config(role), SERVER, Transport::Udp);
        config.transport_policy = TransportPolicy::Relay;
        config
    });
    let mut world = World::new(2, configs);
    world.add_turn(SERVER, |_| {});
    world.add(A, "10.0.1.1:1000");
    world.add(world::B, "10.0.2.1:2000");
    world.run_for(ms(500));
    world.signal();
    assert!(world.run(ms(9000), World::both_completed));
    world.run_for(ms(500));
    let agent = &mut world.nodes[A].agent;
    let mut out = Vec::with_capacity(2000);
    let counted = allocation_counter::measure(|| {
        for _ in 0..1000 {
            out.clear();
            let sent = agent.send(&mut out, |out| {
                // The framing is there already, and the payload is written behind it.
                assert_eq!(out.len(), 4);
                out.extend_from_slice(&[0x80; 1200]);
                true
            });
            assert!(sent.is_some());
        }
    });
    assert_eq!((counted.count_total, out.len()), (0, 1204));
}
