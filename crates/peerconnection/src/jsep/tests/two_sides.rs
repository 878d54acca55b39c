//! Two of our states with each other.

use dunlin_sdp::attribute::Setup;

use super::*;
use crate::config::AnswerSetup;

const DIRECTIONS: [Direction; 4] = [
    Direction::SendRecv,
    Direction::SendOnly,
    Direction::RecvOnly,
    Direction::Inactive,
];

#[test]
fn the_answer_is_the_mirror_of_the_offer_and_never_wider() {
    for offered in DIRECTIONS {
        for wanted in DIRECTIONS {
            let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
            let sender = alice.add(MediaKind::Video, offered);
            let told = negotiate_with(&mut alice, &mut bob, |state| {
                let receiver = state.transceivers()[0].id();
                state.transceiver_mut(receiver).unwrap().set_direction(wanted);
            });
            let expected = offered.reversed().intersection(wanted);
            let receiver = bob.state.transceivers()[0].id();
            assert_eq!(
                told.answer.media[0].direction(),
                expected,
                "{offered:?} {wanted:?}"
            );
            assert_eq!(bob.direction(receiver), Some(expected), "{offered:?} {wanted:?}");
            assert_eq!(
                alice.direction(sender),
                Some(expected.reversed()),
                "{offered:?} {wanted:?}"
            );

            let (ours, theirs) = (
                &told.offerer.media.as_ref().unwrap()[0],
                &told.answerer.media.as_ref().unwrap()[0],
            );
            assert_eq!(ours.send.is_some(), expected.receives());
            assert_eq!(ours.receive.is_some(), expected.sends());
            assert_eq!(theirs.send.is_some(), expected.sends());
            assert_eq!(theirs.receive.is_some(), expected.receives());
            assert_eq!(told.by_offer.tracks_added.len(), usize::from(offered.sends()));
            assert_eq!(told.offerer.tracks_added.len(), usize::from(expected.sends()));
            assert!(!negotiation_needed(&bob.state), "{offered:?} {wanted:?}");
        }
    }
}

#[test]
fn audio_video_and_data_share_one_bundle() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.add(MediaKind::Video, Direction::SendRecv);
    alice.state.set_data_wanted();
    assert!(negotiation_needed(&alice.state));
    let told = negotiate(&mut alice, &mut bob);
    assert!(!negotiation_needed(&alice.state));
    for sdp in [&told.offer, &told.answer] {
        let group = sdp.bundle_groups().next().unwrap();
        assert_eq!(group.mids, ["0", "1", "2"]);
        assert_eq!(
            sdp.media.iter().map(|media| media.port).collect::<Vec<_>>(),
            [9, 9, 9]
        );
        for media in &sdp.media {
            assert!(sdp.ice_credentials(media).is_some() && sdp.fingerprints(media).count() == 1);
            assert_eq!(media.is_rtp(), media.rtcp_mux());
            assert!(sdp.has_ice_option(media, "trickle"));
        }
    }
    let data = told.offerer.data.clone().unwrap();
    assert_eq!(
        (
            data.m_line,
            data.local_port,
            data.remote_port,
            data.max_message_size
        ),
        (2, 5000, 5000, 262_144)
    );
    assert_eq!(told.answerer.data, Some(data));
    assert_eq!(
        told.offerer.mids,
        [
            (Some("0".to_owned()), 0),
            (Some("1".to_owned()), 1),
            (Some("2".to_owned()), 2)
        ]
    );
    assert_eq!(told.by_offer.mids, told.offerer.mids);
    assert_eq!(alice.state.bundle_tag(), Some(("0".to_owned(), 0)));
}

#[test]
fn what_one_side_sends_is_what_the_other_receives() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    let id = alice.add(MediaKind::Video, Direction::SendRecv);
    alice
        .state
        .transceiver_mut(id)
        .unwrap()
        .set_streams(vec!["camera".to_owned()]);
    let told = negotiate(&mut alice, &mut bob);
    let send = told.offerer.media.unwrap()[0].send.clone().unwrap();
    let receive = told.answerer.media.unwrap()[0].receive.clone().unwrap();
    assert_eq!(receive.ssrcs, [send.ssrc]);
    assert_eq!(receive.rtx, [(send.ssrc, send.rtx_ssrc.unwrap())]);
    assert_eq!(receive.cname.as_deref(), Some("alice"));
    assert_eq!(send.codecs, receive.codecs);
    assert_eq!(send.extensions, receive.extensions);
    assert_eq!(send.mid, receive.mid);
    assert_eq!(told.by_offer.tracks_added[0].streams, ["camera"]);
    let vp8 = &send.codecs[0];
    assert_eq!(
        (vp8.name.as_str(), vp8.payload_type, vp8.rtx_payload_type),
        ("VP8", 96, Some(97))
    );
    let all = FeedbackFlags {
        nack: true,
        pli: true,
        fir: true,
        remb: true,
        transport_cc: true,
    };
    assert_eq!(vp8.feedback, all);
    let mid = "urn:ietf:params:rtp-hdrext:sdes:mid".to_owned();
    assert!(send.extensions.contains(&(4, mid)));
    let names: Vec<_> = send.codecs.iter().map(|codec| codec.name.as_str()).collect();
    assert_eq!(names, ["VP8", "VP9", "H264", "H264", "AV1"]);
}

#[test]
fn data_alone_and_audio_alone() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.state.set_data_wanted();
    let told = negotiate(&mut alice, &mut bob);
    assert_eq!(told.offer.media.len(), 1);
    assert!(told.answerer.data.is_some() && told.answerer.media.unwrap().is_empty());

    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    let told = negotiate(&mut alice, &mut bob);
    assert!(told.answerer.data.is_none());
    let opus = told.offer.media[0].codec(111).unwrap();
    assert_eq!(
        (opus.encoding, opus.clock_rate, opus.channels),
        ("opus", 48_000, Some(2))
    );
    assert_eq!(opus.parameters, Some("minptime=10;useinbandfec=1"));
    assert_eq!(told.offer.media[0].payload_types(), [111, 9, 0, 8, 110, 126]);
}

#[test]
fn an_empty_offer_is_answered_empty() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    let told = negotiate(&mut alice, &mut bob);
    assert!(told.answer.media.is_empty() && told.by_offer.transport.is_none());
    assert_eq!(told.offerer.dtls_role, None);
}

#[test]
fn video_is_added_later_and_earlier_sections_stay() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    let first = negotiate(&mut alice, &mut bob);
    alice.add(MediaKind::Video, Direction::SendRecv);
    assert!(negotiation_needed(&alice.state));
    let second = negotiate(&mut alice, &mut bob);
    assert_eq!(second.offer.media[0].mid(), first.offer.media[0].mid());
    assert_eq!(second.offer.media[0].attributes, first.offer.media[0].attributes);
    assert_eq!(second.offer.media[1].mid(), Some("1"));
    assert_eq!(bob.state.transceivers().len(), 2);
    assert_eq!(
        second.by_offer.tracks_added.len(),
        1,
        "the audio track was told before"
    );
    assert!(!second.by_offer.ice_restart);
    assert_eq!(second.offer.origin.version, first.offer.origin.version + 1);
    assert_eq!(second.offer.origin.session_id, first.offer.origin.session_id);
}

#[test]
fn the_other_side_offers_next_and_roles_stay() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    let audio = alice.add(MediaKind::Audio, Direction::SendRecv);
    let told = negotiate(&mut alice, &mut bob);
    assert_eq!(told.answerer.dtls_role, Some(DtlsRole::Active));
    assert_eq!(told.offerer.dtls_role, Some(DtlsRole::Passive));
    bob.state.set_data_wanted();
    let told = negotiate(&mut bob, &mut alice);
    // RFC 8842 section 5.3: the association goes on, so the answer keeps the role that Alice has.
    assert_eq!(told.answer.setup(&told.answer.media[0]), Some(Setup::Passive));
    assert_eq!(told.answerer.dtls_role, Some(DtlsRole::Passive));
    assert_eq!(told.offerer.dtls_role, Some(DtlsRole::Active));
    assert_eq!(told.answer.media.len(), 2);
    assert_eq!(alice.state.transceiver(audio).unwrap().mid(), Some("0"));
}

#[test]
fn an_answer_may_be_passive() {
    let settings = Settings {
        answer_setup: AnswerSetup::Passive,
        ..Settings::default()
    };
    let (mut alice, mut bob) = (Side::new("alice"), Side::with("bob", settings));
    alice.state.set_data_wanted();
    let told = negotiate(&mut alice, &mut bob);
    assert_eq!(told.answer.setup(&told.answer.media[0]), Some(Setup::Passive));
    assert_eq!(told.answerer.dtls_role, Some(DtlsRole::Passive));
    assert_eq!(told.offerer.dtls_role, Some(DtlsRole::Active));
}

#[test]
fn direction_is_renegotiated() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    let id = alice.add(MediaKind::Audio, Direction::SendOnly);
    negotiate(&mut alice, &mut bob);
    alice
        .state
        .transceiver_mut(id)
        .unwrap()
        .set_direction(Direction::Inactive);
    assert!(negotiation_needed(&alice.state));
    let told = negotiate(&mut alice, &mut bob);
    let receiver = bob.state.transceivers()[0].id();
    assert_eq!(told.by_offer.tracks_removed, [receiver]);
    assert_eq!(told.answer.media[0].port, 9, "inactive keeps the section alive");
    alice
        .state
        .transceiver_mut(id)
        .unwrap()
        .set_direction(Direction::SendRecv);
    let told = negotiate(&mut alice, &mut bob);
    assert_eq!(told.by_offer.tracks_added[0].transceiver, receiver);
    assert_eq!(
        alice.direction(id),
        Some(Direction::SendOnly),
        "Bob only receives"
    );
    bob.state
        .transceiver_mut(receiver)
        .unwrap()
        .set_direction(Direction::SendRecv);
    assert!(negotiation_needed(&bob.state));
    negotiate(&mut bob, &mut alice);
    assert_eq!(alice.direction(id), Some(Direction::SendRecv));
    assert!(!negotiation_needed(&bob.state) && !negotiation_needed(&alice.state));
}

#[test]
fn a_track_of_ours_takes_the_section_that_the_peer_offers() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.add(MediaKind::Video, Direction::SendOnly);
    let init = TransceiverInit {
        for_track: true,
        ..TransceiverInit::default()
    };
    let audio = bob.state.add_transceiver(MediaKind::Audio, init.clone());
    let video = bob.state.add_transceiver(MediaKind::Video, init);
    negotiate(&mut alice, &mut bob);
    assert_eq!(bob.direction(audio), Some(Direction::SendRecv));
    assert_eq!(
        bob.direction(video),
        None,
        "the offered section takes nothing from Bob"
    );
    assert!(negotiation_needed(&bob.state));
    let told = negotiate(&mut bob, &mut alice);
    assert_eq!(told.offer.media.len(), 3);
    assert_eq!(bob.direction(video), Some(Direction::SendOnly));
}

#[test]
fn streams_that_change_need_an_offer() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    let id = alice.add(MediaKind::Audio, Direction::SendRecv);
    negotiate(&mut alice, &mut bob);
    alice
        .state
        .transceiver_mut(id)
        .unwrap()
        .set_streams(vec!["a".to_owned(), "b".to_owned()]);
    assert!(negotiation_needed(&alice.state));
    negotiate(&mut alice, &mut bob);
    assert_eq!(bob.state.transceivers()[0].remote_streams(), ["a", "b"]);
    assert!(!negotiation_needed(&alice.state));
}

#[test]
fn new_credentials_are_an_ice_restart() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.state.set_data_wanted();
    let told = negotiate(&mut alice, &mut bob);
    assert!(!told.by_offer.ice_restart && !told.offerer.ice_restart);
    alice.local.ufrag = "another".to_owned();
    alice.local.password = "another-password-of-22-chars".to_owned();
    alice.state.set_restart_wanted();
    assert!(negotiation_needed(&alice.state));
    let offer = alice.offer();
    let told = bob.remote(SdpType::Offer, &offer);
    assert!(told.ice_restart && !told.dtls_restart);
    assert_eq!(told.transport.unwrap().ufrag, "another");
    bob.local.ufrag = "answered".to_owned();
    let (answer, _) = bob.answer();
    let told = alice.remote(SdpType::Answer, &answer);
    assert!(told.ice_restart);
    assert_eq!(told.dtls_role, Some(DtlsRole::Passive));
    assert!(!negotiation_needed(&alice.state));
}

#[test]
fn codec_preferences_order_offers_and_answers() {
    let codecs = Codecs::default();
    let only = |name: &str| -> Vec<CodecCapability> {
        codecs
            .video
            .iter()
            .filter(|codec| codec.name == name)
            .cloned()
            .collect()
    };
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Video, Direction::SendRecv);
    let told = negotiate_with(&mut alice, &mut bob, |state| {
        let id = state.transceivers()[0].id();
        state
            .transceiver_mut(id)
            .unwrap()
            .set_codecs([only("AV1"), only("VP8")].concat());
    });
    assert_eq!(told.answer.media[0].payload_types(), [45, 96, 46, 97]);
    let numbers =
        |codecs: &[NegotiatedCodec]| codecs.iter().map(|codec| codec.payload_type).collect::<Vec<_>>();
    let (ours, theirs) = (&told.offerer.media.unwrap()[0], &told.answerer.media.unwrap()[0]);
    assert_eq!(numbers(&ours.send.as_ref().unwrap().codecs), [45, 96]);
    assert_eq!(numbers(&theirs.receive.as_ref().unwrap().codecs), [45, 96]);
}

#[test]
fn a_provisional_answer_is_followed_by_another_and_by_the_final_one() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    let offer = alice.offer();
    bob.remote(SdpType::Offer, &offer);
    for _ in 0..2 {
        let answer = create_answer(&bob.state, &bob.local).unwrap();
        apply_local(&mut bob.state, SdpType::Pranswer, &answer).unwrap();
        let told = alice.remote(SdpType::Pranswer, &answer);
        assert_eq!(told.media.unwrap().len(), 1);
        assert_eq!(bob.state.signaling(), SignalingState::HaveLocalPranswer);
        assert_eq!(alice.state.signaling(), SignalingState::HaveRemotePranswer);
    }
    let (answer, _) = bob.answer();
    alice.remote(SdpType::Answer, &answer);
    assert_eq!(alice.state.signaling(), SignalingState::Stable);
    assert_eq!(alice.state.remote_description().unwrap().0, SdpType::Answer);
}

#[test]
fn candidates_go_into_the_tagged_section() {
    let mut alice = Side::new("alice");
    alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.state.set_data_wanted();
    let offer = alice.offer();
    alice.local.candidates = vec![
        "candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host".to_owned(),
        "candidate:2 1 udp 1686052607 203.0.113.1 6000 typ srflx raddr 192.0.2.1 rport 5000".to_owned(),
        "candidate:3 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active".to_owned(),
        "candidate:4 1 udp 1 3b8a1e8c-7b5f-4c43-9c0a-7c8a1e8c7b5f.local 5000 typ host".to_owned(),
    ];
    let gathering = with_candidates(offer.clone(), &alice.local);
    assert_eq!(gathering.media[0].candidates().count(), 4);
    assert!(!gathering.media[0].end_of_candidates());
    assert_eq!(gathering.media[0].port, 6000);
    assert_eq!(
        gathering.media[0].connections[0].to_string(),
        "IN IP4 203.0.113.1"
    );
    assert_eq!(gathering.media[1].candidates().count(), 0);
    alice.local.end_of_candidates = true;
    let complete = with_candidates(gathering, &alice.local);
    assert_eq!(complete.media[0].candidates().count(), 4);
    assert!(complete.media[0].end_of_candidates());

    let mut bob = Side::new("bob");
    let transport = bob
        .remote(SdpType::Offer, &through_text(&complete))
        .transport
        .unwrap();
    assert_eq!(transport.candidates, alice.local.candidates);
    assert!(transport.end_of_candidates && transport.trickle && !transport.ice_lite);
    assert_eq!(transport.fingerprints, [FINGERPRINT]);
}

#[test]
fn a_lite_agent_says_so_at_session_level() {
    let settings = Settings {
        ice_lite: true,
        ..Settings::default()
    };
    let (mut alice, mut bob) = (Side::with("alice", settings), Side::new("bob"));
    alice.state.set_data_wanted();
    let told = negotiate(&mut alice, &mut bob);
    assert!(told.offer.ice_lite() && !told.answer.ice_lite());
    assert!(told.by_offer.transport.unwrap().ice_lite);
}

/// RFC 8839 sections 4.3.1 and 4.3.2: a full implementation "SHOULD include an "ice-pacing" attribute", a lite one "MUST NOT".
#[test]
fn a_full_agent_proposes_its_pacing_and_a_lite_one_does_not() {
    let [fast, lite] = [(20, false), (10, true)].map(|(ice_pacing, ice_lite)| Settings {
        ice_pacing,
        ice_lite,
        ..Settings::default()
    });
    let (mut alice, mut bob) = (Side::with("alice", fast), Side::with("bob", lite));
    alice.state.set_data_wanted();
    let told = negotiate(&mut alice, &mut bob);
    assert_eq!(
        (told.offer.ice_pacing(), told.answer.ice_pacing()),
        (Some(20), None)
    );
    assert_eq!(told.by_offer.transport.unwrap().ice_pacing, Some(20));
}

#[test]
fn the_version_grows_only_when_the_description_changes() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.state.set_data_wanted();
    let first = negotiate(&mut alice, &mut bob).offer;
    let again = create_offer(&alice.state, &alice.local).unwrap();
    assert_eq!(again, first);
    alice.add(MediaKind::Audio, Direction::SendRecv);
    let changed = create_offer(&alice.state, &alice.local).unwrap();
    assert_eq!(changed.origin.version, first.origin.version + 1);
    assert_eq!(
        negotiate(&mut bob, &mut alice).offer.origin.version,
        2,
        "Bob's answer was version 1"
    );
}
