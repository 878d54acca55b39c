//! The forwarding path of an SFU, without sockets: a protected packet arrives on one connection and leaves on
//! another. Heap allocations and time of one packet, once everything is warm.

use crate::figures::Figures;
use crate::link::text;
use bytes::{Bytes, BytesMut};
use dunlin_net::{Path, Transport};
use dunlin_peerconnection::{
    Config, ConnectionState, Event, MediaKind, OutgoingPacket, PayloadType, PeerConnection, Timestamp,
    TransceiverId, TransceiverInit,
};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const PAYLOAD: usize = 1100;
const WARM_UP: u32 = 2_000;
const PACKETS: u32 = 20_000;

/// A peer on the virtual wire.
#[derive(Debug)]
struct End {
    peer: PeerConnection,
    address: SocketAddr,
    video: TransceiverId,
}

/// Source, the two connections of the forwarder, sink.
#[derive(Debug)]
struct Wire {
    ends: Vec<End>,
    now: Instant,
    /// Where datagrams arrive, as in the driver: one large buffer that is cut.
    arena: BytesMut,
    out: Vec<u8>,
}

pub fn measure(figures: &mut Figures) -> Result<(), String> {
    let mut wire = Wire::connected()?;
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let (mut allocations, mut bytes, mut took) = (0, 0, Duration::ZERO);
    for count in 0..WARM_UP + PACKETS {
        let packet = wire.packet(count, &payload)?;
        let source = &mut wire.ends[0];
        source
            .peer
            .send_rtp(wire.now, source.video, packet)
            .map_err(text)?;
        let Some((path, datagram)) = wire.next_datagram(0) else {
            return Err("nothing was sent".to_owned());
        };
        let start = Instant::now();
        let mut forwarded = 0;
        let counted = allocation_counter::measure(|| forwarded = wire.forward(path, datagram));
        if count >= WARM_UP {
            took += start.elapsed();
            allocations += counted.count_total;
            bytes += counted.bytes_total;
        }
        if forwarded != 1 {
            return Err(format!("packet {count} became {forwarded} datagrams"));
        }
        wire.now += Duration::from_millis(1);
        wire.settle();
    }
    let each = |total: u64| total as f64 / f64::from(PACKETS);
    figures.add(
        "forward allocations",
        each(allocations),
        "/packet",
        format!("{:.0} B; the bar is 0", each(bytes)),
    );
    figures.add(
        "forward",
        took.as_secs_f64() * 1e9 / f64::from(PACKETS),
        "ns/packet",
        "no sockets, one receiver",
    );
    Ok(())
}

impl Wire {
    /// Two connections side by side: 0 with 1 and 2 with 3; 1 and 2 belong to the forwarder.
    fn connected() -> Result<Self, String> {
        let now = Instant::now();
        let mut ends = Vec::new();
        for number in 0..4u8 {
            let mut peer = PeerConnection::new(Config::default(), [number; 32], now);
            let address = SocketAddr::from(([10, 0, 0, number + 1], 5000));
            peer.add_local_address(now, address, Transport::Udp);
            // In the answerers the offer replaces it.
            let video = peer
                .add_transceiver(MediaKind::Video, TransceiverInit::default())
                .map_err(text)?;
            ends.push(End { peer, address, video });
        }
        let mut wire = Wire {
            ends,
            now,
            arena: BytesMut::new(),
            out: Vec::new(),
        };
        for (offerer, answerer) in [(0, 1), (2, 3)] {
            wire.negotiate(offerer, answerer)?;
        }
        for _ in 0..5_000 {
            wire.settle();
            if wire
                .ends
                .iter()
                .all(|end| end.peer.connection_state() == ConnectionState::Connected)
            {
                return Ok(wire);
            }
            wire.now += Duration::from_millis(1);
        }
        Err("the virtual peers did not connect".to_owned())
    }

    fn negotiate(&mut self, offerer: usize, answerer: usize) -> Result<(), String> {
        let now = self.now;
        let offer = self.ends[offerer]
            .peer
            .set_local_description(now, None)
            .map_err(text)?;
        self.ends[answerer]
            .peer
            .set_remote_description(now, offer)
            .map_err(text)?;
        let answer = self.ends[answerer]
            .peer
            .set_local_description(now, None)
            .map_err(text)?;
        self.ends[offerer]
            .peer
            .set_remote_description(now, answer)
            .map_err(text)?;
        for (from, to) in [(offerer, answerer), (answerer, offerer)] {
            while let Some(event) = self.ends[from].peer.poll_event() {
                if let Event::IceCandidate(candidate) = event {
                    self.ends[to]
                        .peer
                        .add_ice_candidate(now, candidate)
                        .map_err(text)?;
                }
            }
        }
        // The answerer's section for the offer's is the one that carries media.
        for end in [offerer, answerer] {
            let mid_zero = self.ends[end]
                .peer
                .transceivers()
                .iter()
                .find(|t| t.mid() == Some("0"));
            self.ends[end].video = mid_zero.map(|t| t.id()).ok_or("no section was negotiated")?;
        }
        Ok(())
    }

    /// The packet that the source sends: its payload type is that of the first codec.
    fn packet(&self, count: u32, payload: &Bytes) -> Result<OutgoingPacket, String> {
        let source = &self.ends[0];
        let parameters = source
            .peer
            .send_parameters(source.video)
            .ok_or("sending was not negotiated")?;
        let codec = parameters.codecs.first().ok_or("no codec was negotiated")?;
        let payload_type = PayloadType::new(codec.payload_type).ok_or("a payload type above 127")?;
        Ok(OutgoingPacket::new(
            payload_type,
            Timestamp(count * 90),
            payload.clone(),
        ))
    }

    /// The next datagram that an end sends, and the path it arrives on.
    fn next_datagram(&mut self, end: usize) -> Option<(Path, BytesMut)> {
        self.out.clear();
        let transmit = self.ends[end].peer.poll_transmit(self.now, &mut self.out)?;
        self.arena.reserve(65_536.max(self.out.len()));
        self.arena.extend_from_slice(&self.out);
        Some((transmit.path.reversed(), self.arena.split()))
    }

    /// What an SFU does with a datagram; answers how many datagrams left.
    fn forward(&mut self, path: Path, datagram: BytesMut) -> usize {
        let now = self.now;
        let (left, right) = self.ends.split_at_mut(2);
        let (incoming, outgoing) = (&mut left[1], &mut right[0]);
        incoming.peer.handle_datagram(now, path, datagram);
        while let Some(event) = incoming.peer.poll_event() {
            if let Event::Rtp { packet, .. } = event {
                // A refusal shows in the count of datagrams.
                let _ = outgoing.peer.send_rtp(now, outgoing.video, packet.forward());
            }
        }
        let mut sent = 0;
        self.out.clear();
        while outgoing.peer.poll_transmit(now, &mut self.out).is_some() {
            sent += 1;
        }
        sent
    }

    /// Timers, and every datagram that waits, delivered to whom it is addressed.
    fn settle(&mut self) {
        for _ in 0..20 {
            let mut moved = false;
            for end in 0..self.ends.len() {
                self.ends[end].peer.handle_timeout(self.now);
                while self.ends[end].peer.poll_event().is_some() {}
                while let Some((path, datagram)) = self.next_datagram(end) {
                    moved = true;
                    let receiver = self.ends.iter_mut().find(|other| other.address == path.local);
                    if let Some(receiver) = receiver {
                        receiver.peer.handle_datagram(self.now, path, datagram);
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }
}
