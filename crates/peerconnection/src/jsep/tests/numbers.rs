//! Payload types and extension ids keep their meaning.

use super::*;

fn offer_with(lines: &str) -> SessionDescription {
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE v\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 100 101 102 103\r\na=mid:v\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:0123456789012345678901\r\na=fingerprint:{FINGERPRINT}\r\na=setup:actpass\r\na=rtcp-mux\r\n{lines}"
    );
    SessionDescription::parse(&text).unwrap()
}

fn answered(lines: &str) -> SessionDescription {
    let mut bob = Side::new("bob");
    bob.remote(SdpType::Offer, &offer_with(lines));
    bob.answer().0
}

#[test]
fn the_answer_uses_the_numbers_of_the_offer_and_so_does_our_next_offer() {
    let mut bob = Side::new("bob");
    let offer = offer_with(
        "a=rtpmap:100 H264/90000\r\na=fmtp:100 packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1\r\n\
         a=rtpmap:101 rtx/90000\r\na=fmtp:101 apt=100\r\na=rtpmap:102 VP8/90000\r\na=rtcp-fb:* nack pli\r\n\
         a=extmap:7 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:4 urn:3gpp:video-orientation\r\n",
    );
    bob.remote(SdpType::Offer, &offer);
    let (answer, told) = bob.answer();
    assert_eq!(answer.media[0].payload_types(), [100, 102, 101]);
    let ids: Vec<_> = answer.media[0].extensions().map(|line| line.id).collect();
    assert_eq!(ids, [7, 4]);
    let receive = told.media.unwrap()[0].receive.clone().unwrap();
    assert_eq!(receive.codecs[0].rtx_payload_type, Some(101));
    assert_eq!(receive.codecs[1].rtx_payload_type, None);
    assert!(receive.codecs[1].feedback.pli && !receive.codecs[1].feedback.nack);

    let next = create_offer(&bob.state, &bob.local).unwrap();
    let vp8 = next.media[0]
        .codecs()
        .into_iter()
        .find(|codec| codec.encoding == "VP8")
        .unwrap();
    assert_eq!(vp8.payload_type, 102);
    let mid = next.media[0]
        .extensions()
        .find(|line| line.uri.ends_with("sdes:mid"))
        .unwrap();
    assert_eq!(mid.id, 7);
    let mut numbers = next.media[0].payload_types().to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(
        numbers.len(),
        next.media[0].payload_types().len(),
        "no number twice"
    );
    let mut ids: Vec<_> = next.media[0].extensions().map(|line| line.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), next.media[0].extensions().count());
}

#[test]
fn a_number_that_the_peer_uses_for_something_else_is_given_up() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.add(MediaKind::Video, Direction::SendRecv);
    // aiortc gives 96 to opus.
    let mut text = alice.offer().to_string();
    for (from, to) in [(" 111 9 0", " 96 9 0"), (":111", ":96")] {
        text = text.replace(from, to);
    }
    let (audio, video) = text.split_at(text.find("m=video").unwrap());
    let video = video
        .replace(":96", ":50")
        .replace("apt=96", "apt=50")
        .replace("SAVPF 96", "SAVPF 50");
    bob.remote(
        SdpType::Offer,
        &SessionDescription::parse(&format!("{audio}{video}")).unwrap(),
    );
    bob.answer();
    let next = create_offer(&bob.state, &bob.local).unwrap();
    assert_eq!(next.media[0].codec(96).unwrap().encoding, "opus");
    assert_eq!(next.media[1].codec(50).unwrap().encoding, "VP8");
}

#[test]
fn h264_is_matched_by_profile_and_mode() {
    let media = answered(
        "a=rtpmap:100 H264/90000\r\na=fmtp:100 packetization-mode=0;profile-level-id=42e01f\r\n\
         a=rtpmap:101 H264/90000\r\na=fmtp:101 packetization-mode=1;profile-level-id=640c1f\r\n\
         a=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1;profile-level-id=4de00a\r\n\
         a=rtpmap:103 H264/90000\r\na=fmtp:103 profile-level-id=broken\r\n",
    );
    assert_eq!(media.media[0].payload_types(), [102]);
    // Without level asymmetry the level is the lower one, and the profile keeps the offer's spelling.
    let fmtp = media.media[0].codec(102).unwrap().parameters.unwrap();
    assert_eq!(fmtp, "packetization-mode=1;profile-level-id=4de00a");
}

#[test]
fn vp9_and_av1_are_matched_by_profile() {
    let media = answered(
        "a=rtpmap:100 VP9/90000\r\na=fmtp:100 profile-id=2\r\na=rtpmap:101 VP9/90000\r\n\
         a=rtpmap:102 AV1/90000\r\na=fmtp:102 profile=1\r\na=rtpmap:103 AV1/90000\r\n",
    );
    assert_eq!(media.media[0].payload_types(), [101, 103]);
}

#[test]
fn redundancy_and_orphaned_retransmission_are_left_out() {
    let media = answered(
        "a=rtpmap:100 VP8/90000\r\na=rtpmap:101 red/90000\r\na=rtpmap:102 rtx/90000\r\na=fmtp:102 apt=101\r\n\
         a=rtpmap:103 flexfec-03/90000\r\n",
    );
    assert_eq!(media.media[0].payload_types(), [100]);
}

#[test]
fn payload_types_that_look_like_rtcp_are_left_out() {
    let mut offer = offer_with("a=rtpmap:100 VP9/90000\r\na=rtpmap:72 VP8/90000\r\n");
    offer.media[0].formats = dunlin_sdp::Formats::Rtp(vec![72, 100]);
    let mut bob = Side::new("bob");
    bob.remote(SdpType::Offer, &offer);
    assert_eq!(bob.answer().0.media[0].payload_types(), [100]);
}

#[test]
fn extensions_are_mirrored_and_unknown_ones_left_out() {
    let answer = answered(
        "a=rtpmap:100 VP8/90000\r\na=extmap:6/recvonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r\n\
         a=extmap:9/sendonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\na=extmap:1 urn:example:unknown\r\n\
         a=extmap:15 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:4096 urn:3gpp:video-orientation\r\n\
         a=extmap:6 urn:ietf:params:rtp-hdrext:toffset\r\n",
    );
    let lines: Vec<_> = answer.media[0].extensions().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "6/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            "9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        ]
    );
}

#[test]
fn simulcast_is_answered_with_one_stream() {
    let answer = answered(
        "a=rtpmap:100 VP8/90000\r\na=sendonly\r\na=rid:a send\r\na=rid:b send\r\na=simulcast:send a;b\r\n",
    );
    assert!(answer.media[0].simulcast().is_none() && answer.media[0].rids().next().is_none());
    assert_eq!(answer.media[0].direction(), Direction::RecvOnly);
    assert_eq!(answer.media[0].port, 9);
}

#[test]
fn numbers_differ_per_direction_when_the_answer_says_so() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Video, Direction::SendRecv);
    let offer = alice.offer();
    bob.remote(SdpType::Offer, &offer);
    let id = bob.state.transceivers()[0].id();
    bob.state
        .transceiver_mut(id)
        .unwrap()
        .set_direction(Direction::SendRecv);
    let text = bob.answer().0.to_string();
    let text = text
        .replace("SAVPF 96", "SAVPF 100")
        .replace("map:96", "map:100")
        .replace("fb:96", "fb:100");
    let text = text.replace("apt=96", "apt=100");
    let told = alice.remote(SdpType::Answer, &SessionDescription::parse(&text).unwrap());
    let section = &told.media.unwrap()[0];
    let (send, receive) = (section.send.as_ref().unwrap(), section.receive.as_ref().unwrap());
    assert_eq!(
        (send.codecs[0].payload_type, send.codecs[0].rtx_payload_type),
        (100, Some(97))
    );
    assert_eq!(
        (receive.codecs[0].payload_type, receive.codecs[0].rtx_payload_type),
        (96, Some(97))
    );
}

#[test]
fn the_bound_of_the_peer_on_the_bit_rate_is_told() {
    for (line, expected) in [("AS:500", 500_000), ("TIAS:64000", 64_000)] {
        let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
        alice.add(MediaKind::Video, Direction::SendRecv);
        bob.remote(SdpType::Offer, &alice.offer());
        let text = bob
            .answer()
            .0
            .to_string()
            .replace("0.0.0.0\r\n", &format!("0.0.0.0\r\nb={line}\r\n"));
        let told = alice.remote(SdpType::Answer, &SessionDescription::parse(&text).unwrap());
        assert_eq!(
            told.media.unwrap()[0].send.as_ref().unwrap().max_bitrate,
            Some(expected)
        );
    }
}
