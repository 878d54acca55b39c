//! Relaying allocates nothing, on either side and in either framing.

mod world;

use std::time::Duration;

use bytes::BytesMut;
use dunlin_net::Transport;
use dunlin_turn::client::Received;
use dunlin_turn::server::{HEADROOM, TAILROOM};
use world::{World, at, path};

#[test]
fn datagrams_pass_client_and_server_without_an_allocation() {
    let (mut world, relayed) = World::allocated();
    let (channel, permitted) = (at("198.51.100.7:7000"), at("198.51.100.8:7000"));
    world.clients[0].bind(world.now, channel).unwrap();
    world.clients[0].permit(world.now, permitted.ip()).unwrap();
    world.run(Duration::from_secs(1));
    let relay = *world
        .relays
        .iter()
        .find(|(_, address)| **address == relayed)
        .unwrap()
        .0;
    let (now, client_path) = (world.now, path("192.0.2.1:5000", Transport::Udp));
    let mut out = Vec::with_capacity(2000);
    let mut buffer = vec![7; HEADROOM + 1200 + TAILROOM];
    for peer in [channel, permitted] {
        let mut sent = 0..0;
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                out.clear();
                let transmit = world.clients[0].send(&mut out, peer, |out| {
                    out.extend_from_slice(&[7; 1200]);
                    true
                });
                assert!(transmit.is_some());
                let forward = world
                    .server
                    .handle_packet(now, client_path.reversed(), &out)
                    .unwrap();
                assert_eq!((forward.peer, forward.data.len()), (peer, 1200));
                let data = HEADROOM..HEADROOM + 1200;
                sent = world
                    .server
                    .handle_relay(now, relay, peer, &mut buffer, data)
                    .unwrap()
                    .bytes;
            }
        });
        assert_eq!(counted.count_total, 0, "{peer}: {counted:?}");
        let datagram = BytesMut::from(&buffer[sent]);
        let mut received = Received::Consumed;
        let counted = allocation_counter::measure(|| {
            received = world.clients[0].handle_datagram(now, client_path, datagram);
        });
        assert_eq!(counted.count_total, 0, "{peer}: {counted:?}");
        let data = BytesMut::from(&[7; 1200][..]);
        assert_eq!(received, Received::Relayed { peer, data });
    }
}
