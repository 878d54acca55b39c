//! Two whole connections over a network that drops, repeats, cuts and changes datagrams, with messages under way.
#![no_main]

use bytes::{Bytes, BytesMut};
use dunlin_fuzz::{Dice, carry};
use dunlin_net::Transport;
use dunlin_peerconnection::{Config, DataChannelInit, Event, Message, PeerConnection};
use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

fn connection(seed: u8, now: Instant) -> PeerConnection {
    static CERTIFICATE: OnceLock<dunlin_peerconnection::Certificate> = OnceLock::new();
    let generate = || dunlin_peerconnection::Certificate::generate().expect("a certificate");
    let mut config = Config::default();
    config.certificate = Some(CERTIFICATE.get_or_init(generate).clone());
    let mut connection = PeerConnection::new(config, [seed; 32], now);
    connection.add_local_address(now, SocketAddr::from(([10, 0, 0, seed], 5000)), Transport::Udp);
    connection
}

fuzz_target!(|data: &[u8]| {
    let mut dice = Dice::new(data);
    let mut now = Instant::now();
    let mut ends = [connection(1, now), connection(2, now)];
    let channel = ends[0].create_data_channel(now, "fuzz", DataChannelInit::default()).expect("a channel");
    let offer = ends[0].set_local_description(now, None).expect("an offer");
    ends[1].set_remote_description(now, offer).expect("an offer that we made");
    let answer = ends[1].set_local_description(now, None).expect("an answer");
    ends[0].set_remote_description(now, answer).expect("an answer that we made");
    let mut out = Vec::new();
    for _round in 0..200 {
        let mut moved = false;
        for from in [0, 1] {
            while let Some(event) = ends[from].poll_event() {
                match event {
                    Event::IceCandidate(candidate) => drop(ends[1 - from].add_ice_candidate(now, candidate)),
                    Event::ChannelOpen(_) if from == 0 => {
                        let message = Message::Binary(Bytes::from(vec![7; 3000]));
                        let _ = ends[0].send(now, channel, message);
                    }
                    _ => {}
                }
            }
            loop {
                out.clear();
                let Some(transmit) = ends[from].poll_transmit(now, &mut out) else { break };
                moved = true;
                let path = transmit.path.reversed();
                let to = &mut ends[1 - from];
                carry(&mut dice, &out, |bytes| to.handle_datagram(now, path, BytesMut::from(bytes)));
            }
        }
        if !moved {
            let Some(next) = ends.iter().filter_map(PeerConnection::poll_timeout).min() else { return };
            now = next.max(now + Duration::from_millis(1));
            for end in &mut ends {
                end.handle_timeout(now);
            }
        }
    }
});
