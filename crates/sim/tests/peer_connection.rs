//! The laws, for `dunlin_peerconnection::PeerConnection`, and a few seeds of the scenarios.

use std::time::Instant;

use bytes::BytesMut;
use dunlin_net::{Path, Transmit, Transport};
use dunlin_peerconnection::{
    ChannelId, Config, ConnectionState, DataChannelInit, Event, Message, PeerConnection,
};
use dunlin_sim::laws::{self, Subject};
use dunlin_sim::peer::Party as Player;
use dunlin_sim::scenario::connect_and_talk;
use dunlin_sim::{Node, World};

/// A connection with one negotiated channel.
struct Party {
    peer: PeerConnection,
    channel: ChannelId,
    said: u64,
    heard: u64,
}

impl Party {
    fn new(side: usize, seed: [u8; 32], now: Instant) -> Self {
        let mut peer = PeerConnection::new(Config::default(), seed, now);
        peer.add_local_address(now, laws::address(side), Transport::Udp);
        let init = DataChannelInit {
            negotiated: true,
            id: Some(7),
            ..DataChannelInit::default()
        };
        let channel = peer.create_data_channel(now, "talk", init).unwrap();
        Self {
            peer,
            channel,
            said: 0,
            heard: 0,
        }
    }

    /// Reads the channel; what is heard is what was said, in order.
    fn listen(&mut self, now: Instant) {
        while let Some(message) = self.peer.receive(now, self.channel) {
            assert_eq!(message, Message::Text(self.heard.to_string()));
            self.heard += 1;
        }
    }
}

impl Node for Party {
    type Event = Event;

    fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        self.peer.handle_datagram(now, path, data);
        self.listen(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.peer.handle_timeout(now);
        self.listen(now);
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.peer.poll_transmit(now, out)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.peer.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.peer.poll_timeout()
    }
}

impl Subject for Party {
    const WITHSTANDS_FORGERY: bool = true;

    fn pair(seed: [u8; 32], now: Instant) -> [Self; 2] {
        let mut a = Party::new(0, seed, now);
        let mut b = Party::new(1, seed.map(|byte| byte ^ 0x55), now);
        // Host candidates are known at once, so the descriptions are complete.
        a.peer.set_local_description(now, None).unwrap();
        b.peer
            .set_remote_description(now, a.peer.local_description().unwrap())
            .unwrap();
        b.peer.set_local_description(now, None).unwrap();
        a.peer
            .set_remote_description(now, b.peer.local_description().unwrap())
            .unwrap();
        [a, b]
    }

    fn established(&self) -> bool {
        self.peer.connection_state() == ConnectionState::Connected
    }

    fn talk(&mut self, now: Instant) {
        if self
            .peer
            .send(now, self.channel, Message::Text(self.said.to_string()))
            .is_ok()
        {
            self.said += 1;
        }
    }

    fn heard(&self) -> u64 {
        self.heard
    }

    fn close(&mut self, now: Instant) {
        self.peer.close(now);
    }
}

#[test]
fn the_connection_keeps_the_laws() {
    for seed in 0..2 {
        laws::check::<Party>(seed);
    }
}

#[test]
fn a_flood_leaves_little_behind() {
    let [mut node, _] = Party::pair([1; 32], dunlin_sim::epoch());
    let kept = allocation_counter::measure(|| laws::flood(&mut node, 0, 1, 20_000));
    assert!(kept.bytes_current < 64_000, "{kept:?}");
}

/// More of them: `cargo xtask sim --seeds 1000`.
#[test]
fn two_peers_connect_and_talk_and_the_same_seed_gives_the_same_trace() {
    for seed in 1..=24 {
        let run = || connect_and_talk(seed, &mut World::<Player>::new(laws::seed_of(seed, 1)));
        let (one, other) = (run(), run());
        assert_eq!(one, other, "seed {seed}");
        assert!(one.datagrams > 10);
    }
}
