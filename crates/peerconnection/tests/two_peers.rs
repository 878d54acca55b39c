//! Two connections over a perfect wire in virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use dunlin_net::Transport;
use dunlin_peerconnection::*;

/// The base of virtual time: the only look at a clock.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

/// Two peers and a wire of 10 ms between them.
struct Pair {
    now: Instant,
    peers: [PeerConnection; 2],
    addresses: [SocketAddr; 2],
    wire: Vec<(Instant, usize, Vec<u8>)>,
    events: [Vec<Event>; 2],
    datagrams: usize,
    /// What the wire carries, and how many datagrams were larger than usual: those that arrived, and the others.
    mtu: usize,
    large: [usize; 2],
    /// The first peer drops DTLS until ICE is complete.
    strict: bool,
    dropped: usize,
}

impl Pair {
    fn new() -> Self {
        Self::with(Config::default(), Config::default())
    }

    fn with(a: Config, b: Config) -> Self {
        let now = start();
        let addresses = ["10.0.0.1:1000".parse().unwrap(), "10.0.0.2:2000".parse().unwrap()];
        let mut peers = [
            PeerConnection::new(a, [1; 32], now),
            PeerConnection::new(b, [2; 32], now),
        ];
        for (peer, address) in peers.iter_mut().zip(addresses) {
            peer.add_local_address(now, address, Transport::Udp);
        }
        Self {
            now,
            peers,
            addresses,
            wire: Vec::new(),
            events: [Vec::new(), Vec::new()],
            datagrams: 0,
            mtu: 1472,
            large: [0; 2],
            strict: false,
            dropped: 0,
        }
    }

    fn negotiate(&mut self) {
        let mut offer = self.peers[0].set_local_description(self.now, None).unwrap();
        self.simplify(&mut offer);
        self.peers[1].set_remote_description(self.now, offer).unwrap();
        let mut answer = self.peers[1].set_local_description(self.now, None).unwrap();
        self.simplify(&mut answer);
        self.peers[0].set_remote_description(self.now, answer).unwrap();
    }

    /// A strict peer nominates once, when it has seen that the pair works.
    fn simplify(&self, description: &mut SessionDescription) {
        if self.strict {
            description.sdp = description.sdp.replace(" renomination renomination2", "");
        }
    }

    fn drain(&mut self) {
        for side in 0..2 {
            let mut out = Vec::new();
            while let Some(transmit) = self.peers[side].poll_transmit(self.now, &mut out) {
                assert!(out.len() <= 16_368, "a datagram of {} bytes", out.len());
                assert_eq!(transmit.path.local, self.addresses[side]);
                if out.len() > 1200 {
                    let fits = out.len() <= self.mtu;
                    self.large[usize::from(!fits)] += 1;
                    if !fits {
                        out.clear();
                        continue;
                    }
                }
                let arrival = self.now + Duration::from_millis(10);
                self.wire.push((arrival, 1 - side, std::mem::take(&mut out)));
                self.datagrams += 1;
            }
            while let Some(event) = self.peers[side].poll_event() {
                self.events[side].push(event);
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.drain();
            let timer = self.peers.iter().filter_map(PeerConnection::poll_timeout).min();
            let arrival = self.wire.iter().map(|(at, ..)| *at).min();
            let Some(next) = timer.into_iter().chain(arrival).min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            for index in 0..self.wire.len() {
                if self.wire.get(index).is_some_and(|(at, ..)| *at <= self.now) {
                    let (_, side, bytes) = self.wire.remove(index);
                    let waits = self.peers[0].ice_connection_state() != IceConnectionState::Completed;
                    if self.strict && waits && side == 0 && (20..64).contains(&bytes[0]) {
                        self.dropped += 1;
                        break;
                    }
                    let path = dunlin_net::Path::udp(self.addresses[side], self.addresses[1 - side]);
                    self.peers[side].handle_datagram(self.now, path, BytesMut::from(&bytes[..]));
                    break;
                }
            }
            for peer in &mut self.peers {
                peer.handle_timeout(self.now);
            }
        }
        self.now = end;
        self.drain();
    }

    fn opened(&self, side: usize) -> Vec<ChannelId> {
        let opened = |event: &Event| match event {
            Event::DataChannel(id) => Some(*id),
            _ => None,
        };
        self.events[side].iter().filter_map(opened).collect()
    }

    fn received(&mut self, side: usize, channel: ChannelId) -> Vec<Message> {
        std::iter::from_fn(|| self.peers[side].receive(self.now, channel)).collect()
    }
}

#[test]
fn a_channel_opens_and_carries_messages_of_all_kinds_both_ways() {
    let mut pair = Pair::new();
    let init = DataChannelInit {
        protocol: "v1".to_owned(),
        ..DataChannelInit::default()
    };
    let ours = pair.peers[0].create_data_channel(pair.now, "chat", init).unwrap();
    pair.negotiate();
    pair.run(Duration::from_secs(2));
    for peer in &pair.peers {
        assert_eq!(peer.connection_state(), ConnectionState::Connected);
        assert_eq!(peer.ice_gathering_state(), IceGatheringState::Complete);
    }
    let theirs = pair.opened(1)[0];
    let channel = pair.peers[1].channel(theirs).unwrap();
    assert_eq!(
        (channel.label(), channel.init().protocol.as_str()),
        ("chat", "v1")
    );
    let messages = [
        Message::from("hello"),
        Message::from(""),
        Message::from(Bytes::new()),
        Message::from(vec![7; 1]),
        Message::from(vec![8; 1200]),
        Message::from(vec![9; 256 * 1024]),
    ];
    for message in &messages {
        pair.peers[0].send(pair.now, ours, message.clone()).unwrap();
        pair.peers[1].send(pair.now, theirs, message.clone()).unwrap();
    }
    pair.run(Duration::from_secs(3));
    assert_eq!(pair.received(1, theirs), messages);
    assert_eq!(pair.received(0, ours), messages);
    let stats = pair.peers[0].stats(pair.now);
    assert_eq!(stats.transport.tls_version.as_deref(), Some("FEFC"));
    assert_eq!(stats.data_channels[0].messages_received, 6);
    assert_eq!(pair.peers[0].buffered_amount(ours), 0);
}

/// RFC 8899: nothing but a few probes is larger than the path carries.
#[test]
fn datagrams_of_data_grow_to_what_the_path_carries() {
    for (mtu, large, refused) in [
        (65_536, 50..500, 0..1),
        (9_000, 100..1000, 3..4),
        (1_472, 0..1, 6..7),
    ] {
        let mut pair = Pair::new();
        pair.mtu = mtu;
        let ours = pair.peers[0]
            .create_data_channel(pair.now, "bulk", DataChannelInit::default())
            .unwrap();
        pair.negotiate();
        pair.run(Duration::from_secs(2));
        let theirs = pair.opened(1)[0];
        let mut received = 0;
        for _ in 0..6 {
            for _ in 0..4 {
                let message = Message::from(vec![7; 256 * 1024]);
                pair.peers[0].send(pair.now, ours, message).unwrap();
            }
            pair.run(Duration::from_secs(3));
            received += pair.received(1, theirs).len();
        }
        assert_eq!(received, 24);
        assert!(
            large.contains(&pair.large[0]) && refused.contains(&pair.large[1]),
            "{mtu}: {:?}",
            pair.large
        );
    }
}

/// RFC 8831, section 6.4: who opens a channel says what share of the bytes it gets, for both directions.
#[test]
fn channels_share_by_their_priorities_both_ways() {
    let mut pair = Pair::new();
    let ours = [128, 1024].map(|priority| {
        let init = DataChannelInit {
            priority,
            ..DataChannelInit::default()
        };
        pair.peers[0].create_data_channel(pair.now, "", init).unwrap()
    });
    pair.negotiate();
    pair.run(Duration::from_secs(2));
    let theirs = [0, 1].map(|at| pair.opened(1)[at]);
    for (side, channels) in [(0, ours), (1, theirs)] {
        let queued = 6 * 256 * 1024;
        for channel in channels {
            for _ in 0..6 {
                let message = Message::from(vec![7; 256 * 1024]);
                pair.peers[side].send(pair.now, channel, message).unwrap();
            }
        }
        let mut waiting = [queued; 2];
        while waiting[1] > queued / 4 {
            pair.run(Duration::from_millis(1));
            waiting = channels.map(|channel| pair.peers[side].buffered_amount(channel));
        }
        let sent = waiting.map(|waiting| queued - waiting);
        assert!(sent[1] > sent[0] * 6, "{side} {sent:?}");
    }
}

#[test]
fn a_message_larger_than_the_peer_takes_comes_back_with_the_limit() {
    let mut b = Config::default();
    b.max_message_size = 1000;
    let mut pair = Pair::with(Config::default(), b);
    let ours = pair.peers[0]
        .create_data_channel(pair.now, "a", DataChannelInit::default())
        .unwrap();
    let early = pair.peers[0].send(pair.now, ours, Message::from("early"));
    assert_eq!(
        early,
        Err(SendMessageError::NotOpen {
            message: Message::from("early")
        })
    );
    pair.negotiate();
    pair.run(Duration::from_secs(2));
    let message = Message::from(vec![0; 1001]);
    let refused = pair.peers[0].send(pair.now, ours, message.clone()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the message is 1001 bytes, the peer takes 1000 at most"
    );
    assert_eq!(refused.into_message(), message);
}

#[test]
fn twenty_channels_of_both_sides_never_share_a_stream() {
    let mut pair = Pair::new();
    for side in 0..2 {
        for n in 0..10 {
            let label = format!("{side}-{n}");
            pair.peers[side]
                .create_data_channel(pair.now, &label, DataChannelInit::default())
                .unwrap();
        }
    }
    pair.negotiate();
    pair.run(Duration::from_secs(2));
    let mut streams: Vec<_> = pair.peers[0]
        .channels()
        .map(|(_, channel)| channel.stream().unwrap())
        .collect();
    streams.sort_unstable();
    streams.dedup();
    assert_eq!(streams.len(), 20);
    assert!(pair.peers.iter().all(|peer| {
        peer.channels()
            .all(|(_, channel)| channel.state() == ChannelState::Open)
    }));
}

#[test]
fn closing_a_channel_flushes_it_and_closes_both_ends() {
    let mut pair = Pair::new();
    let ours = pair.peers[0]
        .create_data_channel(pair.now, "a", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    pair.run(Duration::from_secs(2));
    let theirs = pair.opened(1)[0];
    pair.peers[0]
        .send(pair.now, ours, Message::from(vec![1; 100_000]))
        .unwrap();
    pair.peers[0].close_channel(pair.now, ours);
    pair.run(Duration::from_secs(3));
    assert_eq!(pair.received(1, theirs).len(), 1);
    for (side, id) in [(0, ours), (1, theirs)] {
        assert_eq!(
            pair.peers[side].channel(id).unwrap().state(),
            ChannelState::Closed
        );
        let closed = pair.events[side]
            .iter()
            .filter(|event| matches!(event, Event::ChannelClosed(x) if *x == id));
        assert_eq!(closed.count(), 1);
        pair.peers[side].forget_channel(id);
        assert!(pair.peers[side].channel(id).is_none());
    }
    // The stream is free again.
    let again = pair.peers[0]
        .create_data_channel(pair.now, "b", DataChannelInit::default())
        .unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.peers[0].channel(again).unwrap().state(), ChannelState::Open);
    assert_eq!(pair.opened(1).len(), 2);
}

#[test]
fn negotiated_channels_need_no_opening() {
    let mut pair = Pair::new();
    let init = DataChannelInit {
        negotiated: true,
        id: Some(7),
        ..DataChannelInit::default()
    };
    let ids = [0, 1].map(|side: usize| {
        pair.peers[side]
            .create_data_channel(pair.now, "n", init.clone())
            .unwrap()
    });
    let twice = pair.peers[0].create_data_channel(pair.now, "n", init);
    assert_eq!(twice, Err(CreateChannelError::IdInUse { id: 7 }));
    pair.negotiate();
    pair.run(Duration::from_secs(2));
    pair.peers[1].send(pair.now, ids[1], Message::from("x")).unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.received(0, ids[0]), [Message::from("x")]);
    assert!(pair.opened(0).is_empty() && pair.opened(1).is_empty());
}

#[test]
fn a_peer_that_reads_nothing_is_not_sent_without_end() {
    let mut b = Config::default();
    b.receive_buffer = 100_000;
    let mut pair = Pair::with(Config::default(), b);
    let ours = pair.peers[0]
        .create_data_channel(pair.now, "a", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    pair.run(Duration::from_secs(2));
    let theirs = pair.opened(1)[0];
    let mut sent = 0;
    for _ in 0..300 {
        while pair.peers[0]
            .send(pair.now, ours, Message::from(vec![1; 60_000]))
            .is_ok()
        {
            sent += 1;
        }
        pair.run(Duration::from_millis(50));
    }
    let arrived = pair.peers[1].channel(theirs).unwrap().counters().bytes_received;
    assert!(arrived < 200_000, "{arrived} bytes wait unread");
    let before = sent;
    let mut read = 0;
    for _ in 0..3000 {
        read += pair.received(1, theirs).len();
        pair.run(Duration::from_millis(20));
        if read == before {
            break;
        }
    }
    assert_eq!(read, before, "everything arrives once it is read");
}

#[test]
fn closing_tells_the_peer_and_leaves_no_timer() {
    let mut pair = Pair::new();
    pair.peers[0]
        .create_data_channel(pair.now, "a", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    pair.run(Duration::from_secs(2));
    pair.peers[0].close(pair.now);
    pair.run(Duration::from_secs(1));
    for side in 0..2 {
        assert_eq!(pair.peers[side].connection_state(), ConnectionState::Closed);
        assert_eq!(pair.peers[side].signaling_state(), SignalingState::Closed);
        assert_eq!(pair.peers[side].poll_timeout(), None);
        assert!(
            pair.events[side]
                .iter()
                .any(|event| matches!(event, Event::ChannelClosed(_)))
        );
    }
    assert!(
        pair.events[1]
            .iter()
            .any(|event| matches!(event, Event::ClosedByPeer(_)))
    );
}

/// Firefox and libnice nominate after their checks, and drop DTLS until they have.
#[test]
fn a_peer_that_takes_no_dtls_before_it_has_nominated_costs_no_timer() {
    let mut pair = Pair::new();
    pair.peers[0]
        .create_data_channel(pair.now, "chat", DataChannelInit::default())
        .unwrap();
    pair.strict = true;
    pair.negotiate();
    pair.run(Duration::from_millis(300));
    assert!(pair.dropped > 0, "it nominated before any DTLS came");
    for peer in &pair.peers {
        assert_eq!(peer.connection_state(), ConnectionState::Connected);
    }
}

#[test]
fn a_peer_that_vanishes_is_reported_within_the_consent_time() {
    let mut pair = Pair::new();
    pair.peers[0]
        .create_data_channel(pair.now, "a", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    pair.run(Duration::from_secs(2));
    let gone = pair.now;
    while pair.peers[0].connection_state() != ConnectionState::Failed {
        pair.now = pair.peers[0]
            .poll_timeout()
            .expect("a timer waits for consent")
            .max(pair.now);
        assert!(pair.now < gone + Duration::from_secs(36), "no report");
        pair.peers[0].handle_timeout(pair.now);
        let mut out = Vec::new();
        while pair.peers[0].poll_transmit(pair.now, &mut out).is_some() {}
        while let Some(event) = pair.peers[0].poll_event() {
            pair.events[0].push(event);
        }
    }
    assert!(
        pair.events[0]
            .iter()
            .any(|event| matches!(event, Event::Failed(_)))
    );
}

/// THREATS row 1: the certificate is compared with the description before anything is trusted.
#[test]
fn a_wrong_fingerprint_fails_before_any_data_and_says_so() {
    for liar in 0..2 {
        let mut pair = Pair::new();
        for side in 0..2 {
            let label = side.to_string();
            pair.peers[side]
                .create_data_channel(pair.now, &label, DataChannelInit::default())
                .unwrap();
        }
        let forged = |description: SessionDescription| {
            let start = description.sdp.find("a=fingerprint:sha-256 ").unwrap() + 22;
            let mut sdp = description.sdp.clone();
            let digit = if &sdp[start..=start] == "0" { "1" } else { "0" };
            sdp.replace_range(start..=start, digit);
            SessionDescription { sdp, ..description }
        };
        let mut offer = pair.peers[0].set_local_description(pair.now, None).unwrap();
        if liar == 0 {
            offer = forged(offer);
        }
        pair.peers[1].set_remote_description(pair.now, offer).unwrap();
        let mut answer = pair.peers[1].set_local_description(pair.now, None).unwrap();
        if liar == 1 {
            answer = forged(answer);
        }
        pair.peers[0].set_remote_description(pair.now, answer).unwrap();
        pair.run(Duration::from_secs(5));
        let victim = 1 - liar;
        let failed = pair.events[victim].iter().find_map(|event| match event {
            Event::Failed(reason) => Some(reason.clone()),
            _ => None,
        });
        let reason = failed.expect("the victim says why");
        assert!(reason.contains("fingerprint"), "{reason}");
        assert_eq!(pair.peers[victim].connection_state(), ConnectionState::Failed);
        for events in &pair.events {
            assert!(
                !events
                    .iter()
                    .any(|event| matches!(event, Event::ChannelOpen(_) | Event::DataChannel(_)))
            );
        }
    }
}

/// An empty mid says nothing, as pion writes it; a mid that there is not, or an index too high, is refused with what was
/// given, and so is a candidate that names no section at all.
#[test]
fn a_candidate_belongs_to_a_section_that_there_is() {
    let mut pair = Pair::new();
    pair.peers[0]
        .create_data_channel(pair.now, "data", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    let candidate = "candidate:1 1 udp 2130706431 10.0.0.9 9000 typ host";
    let mut add = |candidate: &str, mid: Option<&str>, index: Option<u16>| {
        let init = CandidateInit {
            candidate: candidate.to_owned(),
            sdp_mid: mid.map(str::to_owned),
            sdp_m_line_index: index,
            username_fragment: None,
        };
        pair.peers[0].add_ice_candidate(pair.now, init)
    };
    for (mid, index) in [
        (Some(""), Some(0)),
        (Some("0"), None),
        (None, Some(0)),
        (Some("0"), Some(7)),
    ] {
        assert_eq!(add(candidate, mid, index), Ok(()), "{mid:?} {index:?}");
    }
    for (mid, index) in [
        (Some(""), Some(1)),
        (Some(""), None),
        (Some("1"), Some(0)),
        (None, None),
    ] {
        let mid_given = mid.map(str::to_owned);
        assert_eq!(
            add(candidate, mid, index),
            Err(AddCandidateError::NoSuchSection {
                mid: mid_given,
                index
            })
        );
    }
    assert_eq!(add("", None, None), Ok(()), "the end of all candidates");
}

#[test]
fn malformed_descriptions_name_the_line_and_change_nothing() {
    let mut pair = Pair::new();
    let error =
        pair.peers[0].set_remote_description(pair.now, SessionDescription::offer("v=0\r\nrubbish\r\n"));
    let text = error.unwrap_err().to_string();
    assert!(text.contains("line 2"), "{text}");
    assert_eq!(pair.peers[0].signaling_state(), SignalingState::Stable);
    pair.peers[1]
        .create_data_channel(pair.now, "a", DataChannelInit::default())
        .unwrap();
    let offer = pair.peers[1].set_local_description(pair.now, None).unwrap();
    let unsigned: String = offer
        .sdp
        .lines()
        .filter(|l| !l.starts_with("a=fingerprint"))
        .fold(String::new(), |all, line| all + line + "\r\n");
    assert!(
        pair.peers[0]
            .set_remote_description(pair.now, SessionDescription::offer(unsigned))
            .is_err()
    );
    let weak = offer.sdp.replace("a=fingerprint:sha-256", "a=fingerprint:md5");
    assert!(
        pair.peers[0]
            .set_remote_description(pair.now, SessionDescription::offer(weak))
            .is_err()
    );
    assert_eq!(pair.peers[0].signaling_state(), SignalingState::Stable);
    pair.peers[0].set_remote_description(pair.now, offer).unwrap();
    assert_eq!(pair.peers[0].signaling_state(), SignalingState::HaveRemoteOffer);
}

/// RFC 8841, section 6: "If the SDP "max-message-size" attribute is not present …, the default value is 64K"; "If the value of
/// the attribute is zero, the SCTP endpoint will handle messages of any size". Ours says what `Config` says.
#[test]
fn the_peers_largest_message_is_what_its_description_says() {
    for (line, size) in [
        ("", 65_536),
        ("a=max-message-size:0\r\n", usize::MAX),
        ("a=max-message-size:1000\r\n", 1000),
    ] {
        let mut b = Config::default();
        b.max_message_size = 0;
        let mut pair = Pair::with(Config::default(), b);
        let ours = pair.peers[0]
            .create_data_channel(pair.now, "a", DataChannelInit::default())
            .unwrap();
        assert_eq!(
            pair.peers[0].max_message_size(),
            usize::MAX,
            "nothing is known yet"
        );
        let offer = pair.peers[0].set_local_description(pair.now, None).unwrap();
        assert!(offer.sdp.contains("a=max-message-size:262144\r\n"));
        pair.peers[1].set_remote_description(pair.now, offer).unwrap();
        let mut answer = pair.peers[1].set_local_description(pair.now, None).unwrap();
        assert!(answer.sdp.contains("a=max-message-size:0\r\n"));
        answer.sdp = answer.sdp.replace("a=max-message-size:0\r\n", line);
        pair.peers[0].set_remote_description(pair.now, answer).unwrap();
        pair.run(Duration::from_secs(2));
        assert_eq!(pair.peers[0].max_message_size(), size);
        assert_eq!(pair.peers[1].max_message_size(), 262_144);
        let large = Message::from(vec![1; size.min(5 << 20) + usize::from(size < 5 << 20)]);
        match pair.peers[0].send(pair.now, ours, large) {
            Ok(()) => assert_eq!(size, usize::MAX),
            Err(SendMessageError::TooLarge { limit, .. }) => assert_eq!(limit, size),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Through all layers: a message of 16 MiB, piece by piece, into a receiver that keeps 4 MiB.
#[test]
fn a_message_larger_than_the_receive_buffer_is_read_in_pieces() {
    let mut b = Config::default();
    b.max_message_size = 0;
    let mut pair = Pair::with(Config::default(), b);
    let ours = pair.peers[0]
        .create_data_channel(pair.now, "a", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    pair.run(Duration::from_secs(2));
    let theirs = pair.opened(1)[0];
    let total = 16 << 20;
    let now = pair.now;
    pair.peers[0]
        .begin_message(now, ours, MessageKind::Binary, Some(total))
        .unwrap();
    let (mut sent, mut got) = (0, 0);
    while got < total {
        while sent < total {
            let len = 100_000.min(total - sent);
            let piece = Bytes::from(vec![(sent / 100_000) as u8; len]);
            let now = pair.now;
            match pair.peers[0].send_piece(now, ours, piece, sent + len == total) {
                Ok(()) => sent += len,
                Err(PieceError::Full { .. }) => break,
                Err(other) => panic!("{other}"),
            }
        }
        pair.run(Duration::from_millis(100));
        let now = pair.now;
        while let Some(Piece::Data { data, last, .. }) = pair.peers[1].receive_piece(now, theirs) {
            assert!(
                data.iter()
                    .enumerate()
                    .all(|(i, byte)| *byte == ((got + i) / 100_000) as u8)
            );
            got += data.len();
            assert_eq!(last, got == total);
        }
    }
    assert_eq!(pair.peers[0].buffered_amount(ours), 0);
}
