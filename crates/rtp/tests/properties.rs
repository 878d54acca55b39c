//! What is written reads back as it was, and no bytes make a parser panic.

use bytes::Bytes;
use dunlin_rtp::rtcp::{self, Nack, ReceiverReport, ReportBlock, TransportFeedback};
use dunlin_rtp::{
    Csrcs, Header, HeaderFields, Packet, PayloadType, SequenceNumber, SequenceUnwrapper, Ssrc, Timestamp,
    header_len, write_header,
};
use proptest::prelude::*;

fn fields() -> impl Strategy<Value = HeaderFields> {
    let csrcs = prop::collection::vec(any::<u32>().prop_map(Ssrc), 0..=15);
    (
        any::<bool>(),
        0..128u8,
        any::<u16>(),
        any::<u32>(),
        any::<u32>(),
        csrcs,
    )
        .prop_map(
            |(marker, payload_type, sequence, timestamp, ssrc, csrcs)| HeaderFields {
                marker,
                padding: false,
                payload_type: PayloadType::new(payload_type).unwrap(),
                sequence: SequenceNumber(sequence),
                timestamp: Timestamp(timestamp),
                ssrc: Ssrc(ssrc),
                csrcs: Csrcs::new(&csrcs).unwrap(),
            },
        )
}

proptest! {
    #[test]
    fn rtp_round_trip(
        fields in fields(),
        extensions in prop::collection::vec((1..=255u8, prop::collection::vec(any::<u8>(), 0..30)), 0..5),
        payload in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let elements: Vec<(u8, &[u8])> = extensions.iter().map(|(id, data)| (*id, &data[..])).collect();
        let mut out = Vec::new();
        write_header(&mut out, &fields, &elements).unwrap();
        prop_assert_eq!(out.len(), header_len(fields.csrcs.as_slice().len(), &elements));
        out.extend_from_slice(&payload);
        let packet = Packet::parse(Bytes::from(out)).unwrap();
        prop_assert_eq!(packet.payload(), &payload[..]);
        prop_assert_eq!(packet.header.csrcs, fields.csrcs);
        prop_assert_eq!(packet.header.sequence, fields.sequence);
        prop_assert_eq!(packet.extensions().collect::<Vec<_>>(), elements);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = 0x80 | (*first & 0x3f);
        }
        if let Ok(packet) = Packet::parse(Bytes::from(bytes.clone())) {
            prop_assert_eq!(packet.payload().len(), packet.payload_len());
            let _ = packet.extensions().count();
        }
        let _ = Header::parse_encrypted(&bytes);
        for packet in rtcp::parse_compound(&bytes).flatten() {
            let mut out = Vec::new();
            packet.write(&mut out);
            let again = rtcp::parse_compound(&out).next();
            prop_assert_eq!(again, Some(Ok(packet)));
        }
    }

    #[test]
    fn rtcp_bodies_never_panic(
        count in 0..32u8,
        packet_type in 200..=207u8,
        body in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut packet = vec![0x80 | count, packet_type, 0, (body.len() / 4) as u8];
        packet.extend_from_slice(&body[..body.len() / 4 * 4]);
        let _ = rtcp::parse_compound(&packet).count();
    }

    #[test]
    fn report_blocks_round_trip(words in prop::collection::vec(any::<[u32; 5]>(), 0..31), lost in -8_388_608..8_388_607) {
        let reports = words
            .iter()
            .map(|[a, b, c, d, e]| ReportBlock {
                ssrc: Ssrc(*a),
                fraction_lost: *b as u8,
                cumulative_lost: lost,
                highest_sequence: *c,
                jitter: *d,
                last_sr: *e,
                delay_since_last_sr: *a,
            })
            .collect();
        let report = ReceiverReport { ssrc: Ssrc(1), reports };
        let mut out = Vec::new();
        report.write(&mut out);
        prop_assert_eq!(rtcp::parse_compound(&out).next(), Some(Ok(rtcp::Packet::ReceiverReport(report))));
    }

    #[test]
    fn feedback_round_trip(
        statuses in prop::collection::vec(prop::option::of((any::<bool>(), any::<i16>()).prop_map(|(small, delta)| if small { delta & 0xff } else { delta })), 0..300),
        base in any::<u16>(),
        reference_time in -8_388_608..8_388_607i32,
    ) {
        let feedback = TransportFeedback {
            sender: Ssrc(1),
            media: Ssrc(2),
            base_sequence: SequenceNumber(base),
            reference_time,
            feedback_count: 3,
            statuses,
        };
        let mut out = Vec::new();
        feedback.write(&mut out);
        prop_assert_eq!(rtcp::parse_compound(&out).next(), Some(Ok(rtcp::Packet::TransportFeedback(feedback))));
    }

    #[test]
    fn nack_names_what_was_pushed(start in any::<u16>(), gaps in prop::collection::vec(1..40u16, 1..60)) {
        let mut sequence = start;
        let mut nack = Nack::new(Ssrc(1), Ssrc(2));
        let mut expected = Vec::new();
        for gap in gaps {
            sequence = sequence.wrapping_add(gap);
            nack.push(SequenceNumber(sequence));
            expected.push(SequenceNumber(sequence));
        }
        prop_assert_eq!(nack.sequences().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn unwrapping_is_the_inverse_of_truncation(start in 0..65_536i64, steps in prop::collection::vec(-1000..2000i64, 1..300)) {
        let mut unwrapper = SequenceUnwrapper::new();
        unwrapper.unwrap(SequenceNumber(start as u16));
        let mut truth = start;
        let mut highest = start;
        for step in steps {
            truth += step;
            if (truth - highest).abs() >= 0x7fff {
                break;
            }
            highest = highest.max(truth);
            prop_assert_eq!(unwrapper.unwrap(SequenceNumber(truth as u16)).0, truth);
        }
    }
}
