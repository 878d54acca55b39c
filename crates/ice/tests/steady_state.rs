//! The path of application data: no allocation per datagram in either direction.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use bytes::BytesMut;
use world::{A, World, ms};

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
