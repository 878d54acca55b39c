//! Stories of two sessions: what is lost comes again, what is asked for is answered, what is counted is right.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use dunlin_media::{Config, Event, OutgoingPacket, SendError, SenderConfig, Session};
use dunlin_rtp::extension::parse_text;
use dunlin_rtp::rtcp::{Bye, FirEntry, FullIntraRequest, PictureLossIndication};
use dunlin_rtp::rtcp::{Packet as Rtcp, SdesKind};
use dunlin_rtp::{Header, Packet, Ssrc, Timestamp};

/// ```text
/// alice  --- 0 1 [2 lost] 3 -->  bob
/// alice  <-- NACK 2 -----------  bob      5 ms later
/// alice  --- 2 again --------->  bob
/// ```
#[test]
fn a_lost_packet_comes_again_with_and_without_a_retransmission_stream() {
    for rtx in [false, true] {
        let mut pair = Pair::new(rtx);
        (0..4).for_each(|number| pair.send(number));
        let packets = pair.rtp();
        for (i, packet) in packets.iter().enumerate() {
            if i != 2 {
                pair.deliver(packet);
            }
        }
        assert_eq!(pair.received(), [0, 1, 3]);
        pair.run_until(pair.now + 4 * MS);
        assert!(pair.rtp().is_empty(), "it may just be late");
        pair.run_until(pair.now + MS);
        let again = pair.rtp();
        assert_eq!(again.len(), 1);
        let header = Header::parse(&again[0]).unwrap();
        if rtx {
            assert_eq!((header.ssrc, header.payload_type), (RTX, pt(97)));
            assert_eq!(header.timestamp, Header::parse(&packets[2]).unwrap().timestamp);
        } else {
            assert_eq!(
                again[0], packets[2],
                "byte for byte: it is protected under the same index"
            );
        }
        pair.deliver(&again[0]);
        let received = pair.packets();
        assert_eq!(received.len(), 1);
        assert_eq!(number(&received[0].0), 2);
        assert_eq!(
            received[0].0.header.sequence,
            Header::parse(&packets[2]).unwrap().sequence
        );
        pair.deliver(&again[0]);
        pair.deliver(&packets[2]);
        assert_eq!(pair.received(), [], "once is enough");

        let stats = pair.bob.receiver_stats(pair.receiver).next().unwrap();
        assert_eq!(stats.nack_count, 1);
        assert_eq!(stats.retransmitted_packets_received, if rtx { 2 } else { 0 });
        let stats = pair.alice.sender_stats(pair.sender).unwrap();
        assert_eq!((stats.nack_count, stats.retransmitted_packets_sent), (1, 1));
    }
}

#[test]
fn a_packet_that_never_comes_is_asked_for_a_bounded_number_of_times() {
    let mut pair = Pair::new(true);
    (0..3).for_each(|number| pair.send(number));
    let packets = pair.rtp();
    pair.deliver(&packets[0]);
    pair.deliver(&packets[2]);
    pair.run_until(pair.now + Duration::from_secs(10));
    let nacks = pair.compounds.iter().flat_map(|compound| rtcp(compound));
    let asked = nacks.filter(|packet| matches!(packet, Rtcp::Nack(_))).count();
    assert_eq!(asked, 10);
    let sent = pair.rtp().len();
    assert!(
        (5..=10).contains(&sent),
        "{sent}: not again while one may be on its way"
    );
}

#[test]
fn padding_only_retransmissions_are_dropped_and_their_stream_is_reported() {
    let mut pair = Pair::new(true);
    pair.send(0);
    let packet = pair.rtp().remove(0);
    pair.deliver(&packet);
    let mut probe = vec![0xa0, 97, 0, 1, 0, 0, 0, 0, 0, 0, 0x10, 1];
    probe.extend([0; 199]);
    probe.push(200);
    pair.deliver(&probe);
    assert_eq!(pair.received(), [0]);
    assert_eq!(pair.bob.drops().empty, 1);
    pair.run_until(pair.now + Duration::from_secs(1));
    let blocks: Vec<Ssrc> = pair
        .compounds
        .iter()
        .flat_map(|compound| rtcp(compound))
        .filter_map(|packet| match packet {
            Rtcp::ReceiverReport(report) => Some(report.reports),
            _ => None,
        })
        .flatten()
        .map(|block| block.ssrc)
        .collect();
    assert_eq!(blocks, [MEDIA, RTX]);
}

#[test]
fn every_packet_says_where_it_belongs_and_when_it_left() {
    let mut pair = Pair::new(true);
    (0..3).for_each(|number| pair.send(number));
    for (i, packet) in pair.rtp().iter().enumerate() {
        let packet = parse(packet);
        assert_eq!(packet.extension(4).and_then(parse_text), Some("v"));
        assert_eq!(packet.extension(3), Some(&[0, i as u8][..]));
        assert_eq!(packet.extension(2).map(<[u8]>::len), Some(3));
        assert!(
            packet.header.sequence.0 < 32_768 + 3,
            "RFC 3711: the first number lies in the lower half"
        );
    }
}

#[test]
fn reports_tell_loss_jitter_and_the_round_trip() {
    let mut pair = Pair::new(false);
    pair.delay = 20 * MS;
    for number in 0..200 {
        pair.send(number);
        for packet in pair.rtp() {
            if number % 10 != 9 {
                pair.deliver(&packet);
            }
        }
        pair.run_until(pair.now + 33 * MS);
        pair.rtp();
    }
    let stats = pair.alice.sender_stats(pair.sender).unwrap();
    let remote = stats.remote.unwrap();
    assert!(
        (20..=30).contains(&remote.fraction_lost),
        "a tenth of 256: {remote:?}"
    );
    assert!((15..=20).contains(&remote.packets_lost), "{remote:?}");
    let error = remote.round_trip.unwrap().abs_diff(40 * MS);
    assert!(
        error < Duration::from_micros(50),
        "twice the delay, in 1/65536 s: {remote:?}"
    );
    assert!(remote.jitter < 2 * MS, "{remote:?}");
    assert!(remote.round_trips >= 4);
    assert!(pair.alice.round_trip().is_some());
    let stats = pair.bob.receiver_stats(pair.receiver).next().unwrap();
    assert_eq!(stats.packets_received, 180);
    assert_eq!(stats.bytes_received, 720);
    let remote = stats.remote.unwrap();
    assert!(remote.packets_sent > 150 && remote.reports >= 4, "{remote:?}");
}

/// RFC 3550, section 6.1: a compound begins with SR or RR and holds a canonical name.
#[test]
fn compounds_are_complete_unless_reduced_size_was_negotiated() {
    for reduced_size in [false, true] {
        let mut pair = Pair::new(true);
        pair.alice.set_reduced_size(reduced_size);
        pair.bob.set_reduced_size(reduced_size);
        for number in 0..100 {
            pair.send(number);
            for packet in pair.rtp() {
                if number % 9 != 8 {
                    pair.deliver(&packet);
                }
            }
            pair.bob.request_keyframe(pair.now, pair.receiver);
            pair.run_until(pair.now + 33 * MS);
        }
        let mut feedback_alone = 0;
        for compound in &pair.compounds {
            assert!(compound.len() <= 1180);
            let packets = rtcp(compound);
            let is_report = matches!(packets[0], Rtcp::SenderReport(_) | Rtcp::ReceiverReport(_));
            if is_report {
                let Rtcp::SourceDescription(names) = &packets[1] else {
                    panic!("{packets:?}")
                };
                assert_eq!(names.chunks[0].items[0].kind, SdesKind::CNAME);
                assert_eq!(names.chunks[0].items[0].value.len(), 16);
            } else {
                feedback_alone += 1;
            }
        }
        assert_eq!(feedback_alone > 0, reduced_size);
        let reports = pair
            .compounds
            .iter()
            .filter(|compound| compound[1] == 200)
            .count();
        assert!((3..=7).contains(&reports), "{reports} sender reports in 3.3 s");
    }
}

#[test]
fn requests_for_key_frames_are_limited_in_both_directions() {
    let mut pair = Pair::new(false);
    pair.send(0);
    let packet = pair.rtp().remove(0);
    pair.deliver(&packet);
    for _ in 0..100 {
        pair.bob.request_keyframe(pair.now, pair.receiver);
        pair.run_until(pair.now + 10 * MS);
    }
    assert_eq!(
        pair.bob.receiver_stats(pair.receiver).next().unwrap().pli_count,
        4
    );
    assert_eq!(pair.asked(), 4);
    let mut flood = Vec::new();
    for _ in 0..50 {
        PictureLossIndication {
            sender: Ssrc(1),
            media: MEDIA,
        }
        .write(&mut flood);
    }
    pair.run_until(pair.now + Duration::from_secs(1));
    assert_eq!(pair.asked(), 1, "the last request had to wait");
    pair.run_until(pair.now + Duration::from_secs(1));
    pair.alice.handle_rtcp(pair.now, &flood);
    assert_eq!(pair.asked(), 1);
    assert_eq!(pair.alice.sender_stats(pair.sender).unwrap().pli_count, 55);
}

#[test]
fn a_full_intra_request_counts_once_per_number() {
    let mut pair = Pair::new(false);
    let fir = |sequence, ssrc| {
        let mut out = Vec::new();
        FullIntraRequest {
            sender: Ssrc(1),
            entries: vec![FirEntry { ssrc, sequence }],
        }
        .write(&mut out);
        out
    };
    for (sequence, expected) in [(5, true), (5, false), (6, true)] {
        pair.now += Duration::from_secs(1);
        pair.alice.handle_rtcp(pair.now, &fir(sequence, MEDIA));
        assert_eq!(pair.alice.poll_event().is_some(), expected, "{sequence}");
    }
    pair.alice.handle_rtcp(pair.now, &fir(1, Ssrc(99)));
    assert_eq!(pair.alice.drops().unknown_feedback, 1);
}

#[test]
fn receivers_without_pli_are_asked_with_numbered_full_intra_requests() {
    let mut pair = Pair::new(false);
    let mut config = receiver_config(false);
    config.codecs[0].feedback.pli = false;
    pair.bob.update_receiver(pair.receiver, config);
    pair.send(0);
    let packet = pair.rtp().remove(0);
    pair.deliver(&packet);
    for _ in 0..3 {
        pair.bob.request_keyframe(pair.now, pair.receiver);
        pair.run_until(pair.now + Duration::from_secs(1));
        assert_eq!(pair.asked(), 1);
    }
    assert_eq!(pair.alice.sender_stats(pair.sender).unwrap().fir_count, 3);
}

#[test]
fn arrival_times_are_fed_back() {
    let mut pair = Pair::new(true);
    // Without retransmissions, which are packets of the transport too.
    let mut config = receiver_config(true);
    config.codecs[0].feedback.nack = false;
    pair.bob.update_receiver(pair.receiver, config);
    let mut told = 0;
    for number in 0..60 {
        pair.send(number);
        for packet in pair.rtp() {
            if number != 30 {
                pair.deliver(&packet);
            }
        }
        pair.run_until(pair.now + 10 * MS);
        while let Some(event) = pair.alice.poll_event() {
            if let Event::TransportFeedback(feedback) = event {
                assert_eq!(usize::from(feedback.base_sequence.0), told);
                let mut ticks = feedback.reference_time * 256;
                for (number, status) in (told..).zip(&feedback.statuses) {
                    assert_eq!(status.is_some(), number != 30);
                    if let Some(delta) = status {
                        ticks += i32::from(*delta);
                        assert_eq!(ticks, 40 * number as i32, "they came 10 ms apart");
                    }
                }
                told += feedback.statuses.len();
            }
        }
    }
    assert!(told > 50, "{told}: no longer than 50 ms behind");
}

#[test]
fn a_stream_ends_with_a_goodbye_and_comes_back_with_a_packet() {
    let mut pair = Pair::new(false);
    pair.send(0);
    pair.send(1);
    let packets = pair.rtp();
    pair.deliver(&packets[0]);
    pair.packets();
    pair.alice.remove_sender(pair.sender);
    pair.exchange_rtcp();
    let last = rtcp(pair.compounds.last().unwrap());
    assert_eq!(
        last.last(),
        Some(&Rtcp::Bye(Bye {
            sources: vec![MEDIA],
            reason: None
        }))
    );
    assert_eq!(
        pair.bob.poll_event(),
        Some(Event::Bye {
            receiver: pair.receiver,
            ssrc: MEDIA
        })
    );
    pair.deliver(&packets[1]);
    assert_eq!(pair.received(), [1], "a straggler");
}

/// The keys of the transport may protect each number of an SSRC once, whoever the sender is.
#[test]
fn a_sender_that_comes_back_with_its_ssrc_goes_on_with_its_numbers() {
    let mut pair = Pair::new(true);
    let mut numbers = Vec::new();
    for round in 0..3 {
        pair.send(round);
        pair.send(round);
        numbers.extend(
            pair.rtp()
                .iter()
                .map(|packet| Header::parse(packet).unwrap().sequence.0),
        );
        if round == 0 {
            pair.alice.remove_sender(pair.sender);
            pair.sender = pair.alice.add_sender(sender_config(true));
        } else {
            let other = SenderConfig {
                ssrc: Ssrc(0x3000),
                ..sender_config(true)
            };
            pair.alice.update_sender(pair.sender, other);
            pair.alice.update_sender(pair.sender, sender_config(true));
        }
    }
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{numbers:?}"
    );
}

#[test]
fn a_closed_session_says_goodbye_and_is_still() {
    let mut pair = Pair::new(true);
    pair.send(0);
    pair.rtp();
    pair.send(1);
    pair.alice.close(pair.now);
    assert!(pair.alice.poll_timeout().is_some());
    let compounds = drain(|out| pair.alice.poll_rtcp(pair.now, out));
    assert!(matches!(rtcp(&compounds[0]).last(), Some(Rtcp::Bye(_))));
    assert_eq!(compounds.len(), 1);
    assert_eq!(pair.alice.poll_timeout(), None);
    assert!(pair.rtp().is_empty());
    pair.alice.handle_timeout(pair.now + Duration::from_secs(100));
    assert_eq!(pair.alice.poll_timeout(), None);
    let packet = OutgoingPacket::new(pt(96), Timestamp(0), Bytes::new());
    assert_eq!(
        pair.alice.send(pair.now, pair.sender, packet),
        Err(SendError::Closed)
    );
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let mut config = Config::default();
    config.max_queue = 2;
    let mut pair = Pair::with(false, config);
    let packet = |payload_type| OutgoingPacket::new(pt(payload_type), Timestamp(0), Bytes::new());
    let refused = pair.alice.send(pair.now, pair.sender, packet(5));
    assert_eq!(refused, Err(SendError::UnknownPayloadType(pt(5))));
    pair.send(0);
    pair.send(1);
    assert_eq!(
        pair.alice.send(pair.now, pair.sender, packet(96)),
        Err(SendError::QueueFull(2))
    );
    pair.alice.remove_sender(pair.sender);
    assert_eq!(
        pair.alice.send(pair.now, pair.sender, packet(96)),
        Err(SendError::UnknownSender)
    );
}

#[test]
fn encodings_with_a_rid_are_told_apart_and_repaired_by_it() {
    let mut pair = Pair::new(true);
    let mut low = pair.alice.add_sender(SenderConfig {
        ssrc: Ssrc(0x2000),
        rtx_ssrc: Some(Ssrc(0x2001)),
        rid: Some("lo".into()),
        ..sender_config(true)
    });
    let high = SenderConfig {
        rid: Some("hi".into()),
        ..sender_config(true)
    };
    pair.alice.update_sender(pair.sender, high);
    for number in 0..6 {
        pair.send(number);
        std::mem::swap(&mut pair.sender, &mut low);
    }
    let packets = pair.rtp();
    for (i, packet) in packets.iter().enumerate() {
        if i != 3 {
            pair.deliver(packet);
        }
    }
    let mut rids = Vec::new();
    let mut received = Vec::new();
    while let Some(event) = pair.bob.poll_event() {
        match event {
            Event::ReceiverStarted { rid, ssrc, .. } => rids.push((rid.unwrap(), ssrc)),
            Event::Packet { packet, .. } => received.push(number(&packet)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rids, [("hi".to_owned(), MEDIA), ("lo".to_owned(), Ssrc(0x2000))]);
    assert_eq!(received, [0, 1, 2, 4, 5]);
    pair.run_until(pair.now + 5 * MS);
    let again = pair.rtp();
    assert_eq!(Header::parse(&again[0]).unwrap().ssrc, Ssrc(0x2001));
    pair.deliver(&again[0]);
    assert_eq!(pair.received(), [3], "its RepairedRtpStreamId says whose it is");
}

#[test]
fn streams_are_bounded_and_idle_ones_make_room() {
    let mut config = Config::default();
    config.max_streams = 3;
    let mut pair = Pair::with(false, config);
    let packet = |ssrc: u8| vec![0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, ssrc, 1, 2, 3, 4];
    for ssrc in 0..5 {
        pair.deliver(&packet(ssrc));
    }
    assert_eq!(pair.received().len(), 3);
    assert_eq!(pair.bob.drops().streams_full, 2);
    pair.now += Duration::from_secs(11);
    pair.deliver(&packet(9));
    assert_eq!(pair.received().len(), 1);
}

#[test]
fn events_are_bounded() {
    let mut config = Config::default();
    config.max_events = 10;
    let mut pair = Pair::with(false, config);
    (0..30).for_each(|number| pair.send(number));
    for packet in pair.rtp() {
        pair.deliver(&packet);
    }
    assert_eq!(pair.received().len(), 9);
    assert_eq!(pair.bob.drops().events_full, 21);
}

#[test]
fn many_sources_make_several_reports() {
    let mut pair = Pair::new(false);
    for ssrc in 0..100u8 {
        pair.deliver(&[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, ssrc, 1, 2, 3, 4]);
    }
    pair.run_until(pair.now + 800 * MS);
    let mut reported = Vec::new();
    for packet in pair.compounds.iter().flat_map(|compound| rtcp(compound)) {
        if let Rtcp::ReceiverReport(report) = packet {
            reported.extend(report.reports.iter().map(|block| block.ssrc.0));
        }
    }
    assert_eq!(reported, (0..100).collect::<Vec<_>>());
}

#[test]
fn remb_is_written_and_reported() {
    let mut pair = Pair::new(false);
    pair.send(0);
    let packet = pair.rtp().remove(0);
    pair.deliver(&packet);
    pair.bob.send_remb(1_500_000);
    pair.exchange_rtcp();
    let Some(Event::Remb(remb)) = pair.alice.poll_event() else {
        panic!("a REMB")
    };
    assert_eq!((remb.bitrate, remb.sources), (1_500_000, vec![MEDIA]));
}

#[test]
fn the_name_is_random_and_the_same_seed_says_the_same() {
    let now = start();
    let name = |seed| {
        Session::new(Config::default(), [seed; 32], now)
            .cname()
            .to_owned()
    };
    assert_eq!(name(1), name(1));
    assert_ne!(name(1), name(2));
    let run = || {
        let mut pair = Pair::new(true);
        let mut all = Vec::new();
        for number in 0..50 {
            pair.send(number);
            for packet in pair.rtp() {
                if number % 7 != 0 {
                    pair.deliver(&packet);
                }
                all.push(packet);
            }
            pair.run_until(pair.now + 30 * MS);
        }
        all.extend(std::mem::take(&mut pair.compounds));
        all
    };
    assert_eq!(run(), run());
}

#[test]
fn a_forwarded_packet_keeps_its_elements_and_gets_our_own_for_the_hop() {
    let mut pair = Pair::new(false);
    let received = parse(&[
        0x90, 0xe0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 5, 0xbe, 0xde, 0, 2, 0x40, b'x', 0x70, 3, 0x31, 9, 9, 0, 1, 2,
        3, 4,
    ]);
    let sequence = dunlin_media::SourceSequence {
        ssrc: Ssrc(5),
        sequence: dunlin_rtp::ExtendedSequence(1),
    };
    // The ids of what is received come from the receivers of the same session.
    pair.alice.add_receiver(receiver_config(false));
    pair.alice
        .send(
            pair.now,
            pair.sender,
            OutgoingPacket::forward(&received, sequence),
        )
        .unwrap();
    let sent: Packet = parse(&pair.rtp()[0]);
    assert_eq!(sent.extension(7), Some(&[3][..]), "the orientation is passed on");
    assert_eq!(sent.extension(4), Some(&b"v"[..]), "the MID is our own");
    assert_eq!(
        sent.extension(3),
        Some(&[0, 0][..]),
        "so is the transport's number"
    );
    assert!(sent.header.marker);
    assert_eq!(sent.payload(), received.payload());
}

/// Whatever a program sets, time goes on, and what can still be carried is.
#[test]
fn no_interval_and_no_bound_is_too_long_too_short_or_too_small() {
    for (time, bound) in [
        (Duration::MAX, 0),
        (Duration::MAX, usize::MAX),
        (Duration::ZERO, 0),
        (Duration::ZERO, usize::MAX),
    ] {
        let mut config = Config::default();
        config.report_interval = time;
        config.transport_feedback_interval = time;
        config.keyframe_interval = time;
        config.nack_delay = time;
        config.max_missing = bound;
        config.max_history = bound;
        config.max_datagram = bound;
        let mut pair = Pair::with(true, config);
        pair.alice.set_round_trip(time);
        pair.bob.set_round_trip(time);
        for number in 0..4 {
            pair.send(number);
        }
        let packets = pair.rtp();
        for packet in [&packets[0], &packets[3]] {
            pair.deliver(packet);
        }
        for _ in 0..3 {
            pair.bob.request_keyframe(pair.now, pair.receiver);
            pair.run_until(pair.now + 200 * MS);
        }
        assert_eq!(pair.received(), [0, 3], "{time:?} {bound}");
    }
}
