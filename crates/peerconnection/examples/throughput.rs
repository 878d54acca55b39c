//! How fast data moves through two connections in memory: ICE, DTLS and SCTP without sockets.
//!
//! `cargo run --release -p dunlin-peerconnection --example throughput [MESSAGE_BYTES]`

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program, which owns the clock"
)]

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use dunlin_net::Transport;
use dunlin_peerconnection::{ChannelId, Config, DataChannelInit, Event, Message, PeerConnection};

/// How many datagrams go over the wire in one go, as a driver with GSO would.
const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let size: usize = std::env::args().nth(1).map_or(Ok(65_536), |text| text.parse())?;
    let mut now = Instant::now();
    let addresses = ["192.0.2.1:1000".parse()?, "192.0.2.2:2000".parse()?];
    let mut peers = [[1; 32], [2; 32]].map(|seed| PeerConnection::new(Config::default(), seed, now));
    for (peer, address) in peers.iter_mut().zip(addresses) {
        peer.add_local_address(now, address, Transport::Udp);
    }
    let channel = peers[0].create_data_channel(now, "bulk", DataChannelInit::default())?;
    let offer = peers[0].set_local_description(now, None)?;
    peers[1].set_remote_description(now, offer)?;
    let answer = peers[1].set_local_description(now, None)?;
    peers[0].set_remote_description(now, answer)?;

    let message = Bytes::from(vec![7; size]);
    let (mut open, mut received) = (false, 0_u64);
    let mut far: Option<ChannelId> = None;
    let mut pool = BytesMut::new();
    let mut out = Vec::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        while open && peers[0].buffered_amount(channel) < 1 << 20 {
            peers[0].send(now, channel, Message::Binary(message.clone()))?;
        }
        for side in 0..2 {
            for _ in 0..BATCH {
                out.clear();
                let Some(transmit) = peers[side].poll_transmit(now, &mut out) else {
                    break;
                };
                pool.reserve(65_536);
                pool.extend_from_slice(&out);
                peers[1 - side].handle_datagram(now, transmit.path.reversed(), pool.split());
            }
            while let Some(event) = peers[side].poll_event() {
                match event {
                    Event::ChannelOpen(_) => open = true,
                    Event::DataChannel(id) => far = Some(id),
                    _ => {}
                }
            }
        }
        while let Some(message) = far.and_then(|id| peers[1].receive(now, id)) {
            received += message.len() as u64;
        }
        now += Duration::from_micros(if open { 20 } else { 1000 });
        for peer in &mut peers {
            if peer.poll_timeout().is_some_and(|due| due <= now) {
                peer.handle_timeout(now);
            }
        }
    }
    let rate = received as f64 / started.elapsed().as_secs_f64() / 1e6;
    println!("{size} B messages: {rate:.0} MB/s on one core, both ends");
    Ok(())
}
