//! What an idle connection costs: heap bytes, all layers together, with an open channel.
#![allow(clippy::print_stdout)]

mod common;

use allocation_counter::measure;
use common::{config, soon};
use dunlin::{DataChannel, DataChannelInit, Endpoint, EndpointConfig, Event, Events, PeerConnection};

/// Connected pairs, with what keeps them alive.
struct Pairs {
    _endpoints: Vec<Endpoint>,
    peers: Vec<(PeerConnection, Events, DataChannel)>,
}

async fn connect(
    (alice, mut alice_events): (PeerConnection, Events),
    (bob, mut bob_events): (PeerConnection, Events),
    pairs: &mut Pairs,
) {
    let ours = alice
        .create_data_channel("idle", DataChannelInit::default())
        .unwrap();
    bob.set_remote_description(alice.set_local_description().unwrap())
        .unwrap();
    alice
        .set_remote_description(bob.set_local_description().unwrap())
        .unwrap();
    let theirs = loop {
        tokio::select! {
            event = alice_events.next() => {
                if let Some(Event::IceCandidate(candidate)) = event {
                    bob.add_ice_candidate(candidate).unwrap();
                }
            }
            event = bob_events.next() => match event {
                Some(Event::IceCandidate(candidate)) => alice.add_ice_candidate(candidate).unwrap(),
                Some(Event::DataChannel(channel)) => break channel,
                _ => {}
            },
        }
    };
    soon("the channel", ours.opened()).await.unwrap();
    pairs.peers.push((alice, alice_events, ours));
    pairs.peers.push((bob, bob_events, theirs));
}

/// Makes `count` pairs; what they allocate and keep is all that is measured.
fn kept(count: usize, shared: bool) -> (i64, i64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let make = async |pairs: &mut Pairs, count| {
        for _ in 0..count {
            let endpoints = pairs._endpoints.clone();
            let [alice, bob] = match &endpoints[..] {
                [a, b] => [
                    a.connection(config()).await.unwrap(),
                    b.connection(config()).await.unwrap(),
                ],
                _ => [
                    PeerConnection::bind(config()).await.unwrap(),
                    PeerConnection::bind(config()).await.unwrap(),
                ],
            };
            connect(alice, bob, pairs).await;
        }
    };
    let mut pairs = Pairs {
        _endpoints: Vec::new(),
        peers: Vec::with_capacity(4 * count),
    };
    runtime.block_on(async {
        if shared {
            for _ in 0..2 {
                let at = EndpointConfig::at("127.0.0.1:0".parse().unwrap());
                pairs._endpoints.push(Endpoint::bind(at).await.unwrap());
            }
        }
        // What is made once: tables, buffers of the thread.
        make(&mut pairs, 2).await;
    });
    let measured = measure(|| runtime.block_on(make(&mut pairs, count)));
    let peers = 2 * count as i64;
    let result = (measured.bytes_current / peers, measured.count_current / peers);
    drop(pairs);
    result
}

/// What is left is the protocols' own state, of which ICE has most, and the keys. The bar of the product is 40 kB of resident
/// memory, which is more than this. The keys count on CPUs where they are not OpenSSL's (decision 31): 1.2 kB.
#[test]
fn an_idle_connection_costs_no_more_than_it_did() {
    for (name, shared, bound) in [
        ("on a shared endpoint", true, 24_000),
        ("with sockets of their own", false, 41_500),
    ] {
        let (bytes, pieces) = kept(20, shared);
        println!("{name}: {bytes} bytes in {pieces} pieces per peer, besides what OpenSSL allocates");
        assert!(bytes < bound, "{name}: {bytes}");
    }
}
