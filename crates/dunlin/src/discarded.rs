//! Datagrams that nobody took: a socket refused them, or the queue of a connection was full. They count as discarded on
//! the pair in use (W3C webrtc-stats, `packetsDiscardedOnSend`).

use std::time::Instant;

use dunlin_net::{Path, Transport};

use crate::core::Core;
use crate::routes::may_be_stun;
use crate::train::Train;

/// Those of one turn of the driver, with their sizes.
#[derive(Debug, Default)]
pub(crate) struct Discarded(Vec<(Path, usize)>);

impl Discarded {
    /// Requests and responses are none of the application's datagrams. What goes over a connection has its framing first
    /// and is not looked into.
    pub(crate) fn note(&mut self, path: Path, datagram: &[u8]) {
        if path.transport != Transport::Udp || !may_be_stun(datagram) {
            self.0.push((path, datagram.len()));
        }
    }

    /// None of a train was taken.
    pub(crate) fn note_all(&mut self, train: &Train, contents: &[u8]) {
        for datagram in contents.chunks(train.segment.max(1)) {
            self.note(train.path, datagram);
        }
    }

    /// Tells those whose pair in use has the path.
    pub(crate) fn tell<'a>(self, now: Instant, connections: impl Iterator<Item = (&'a Core, Option<Path>)>) {
        if self.0.is_empty() {
            return;
        }
        for (core, selected) in connections {
            for (path, bytes) in self.0.iter().filter(|(path, _)| selected == Some(*path)) {
                core.lock().peer.datagram_discarded(now, *path, *bytes);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn noted(&self) -> &[(Path, usize)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::State;
    use crate::mailbox::Mailbox;
    use bytes::BytesMut;
    use dunlin_net::Transmit;
    use dunlin_peerconnection::{Config, DataChannelInit, PeerConnection};
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    /// Two that have found each other, without sockets.
    fn connected(mut now: Instant) -> PeerConnection {
        let mut peers = [1, 2].map(|side: u8| {
            let mut peer = PeerConnection::new(Config::default(), [side; 32], now);
            peer.add_local_address(now, SocketAddr::from(([10, 0, 0, side], 5000)), Transport::Udp);
            peer
        });
        let [alice, bob] = &mut peers;
        alice
            .create_data_channel(now, "x", DataChannelInit::default())
            .unwrap();
        alice.set_local_description(now, None).unwrap();
        bob.set_remote_description(now, alice.local_description().unwrap())
            .unwrap();
        bob.set_local_description(now, None).unwrap();
        alice
            .set_remote_description(now, bob.local_description().unwrap())
            .unwrap();
        while peers[0].selected_path().is_none() {
            now += Duration::from_millis(1);
            for side in [0, 1] {
                peers[side].handle_timeout(now);
                let mut out = Vec::new();
                while let Some(transmit) = peers[side].poll_transmit(now, &mut out) {
                    peers[1 - side].handle_datagram(now, transmit.path.reversed(), BytesMut::from(&out[..]));
                    out.clear();
                }
            }
        }
        let [alice, _] = peers;
        alice
    }

    #[test]
    fn datagrams_that_nobody_took_are_those_of_the_pair_in_use() {
        let now = Instant::now();
        let peer = connected(now);
        let path = peer.selected_path().unwrap();
        let core = Core::new(1, State::new(peer, 16), Arc::new(Mailbox::default()));
        let other = Path::udp(path.local, path.local);
        let mut discarded = Discarded::default();
        discarded.note(path, &[0x80; 100]);
        discarded.note(path, &[0x00, 0x01, 0x00, 0x00]);
        discarded.note(other, &[0x80; 50]);
        let mut trains = crate::train::Trains::default();
        for _ in 0..2 {
            let start = trains.buffer().len();
            trains.buffer().resize(start + 7, 0x80);
            trains.push(Transmit::new(path), start, 8);
        }
        let (train, contents) = trains.front().unwrap();
        discarded.note_all(train, contents);
        discarded.tell(now, [(&core, Some(path))].into_iter());
        let pair = core.lock().peer.stats(now).candidate_pair.unwrap();
        assert_eq!(
            (pair.packets_discarded_on_send, pair.bytes_discarded_on_send),
            (3, 114)
        );
    }
}
