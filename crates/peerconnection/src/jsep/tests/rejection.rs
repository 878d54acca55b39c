//! Sections that are turned down, stopped and used again.

use dunlin_sdp::Attribute;

use super::*;

fn without(
    sdp: &SessionDescription,
    index: usize,
    wanted: impl Fn(&Attribute) -> bool,
) -> SessionDescription {
    let mut sdp = sdp.clone();
    sdp.media[index].attributes.retain(|line| !wanted(line));
    sdp
}

#[test]
fn a_section_without_common_codec_is_rejected_alone() {
    let settings = Settings {
        codecs: Some(Box::new(Codecs {
            video: Vec::new(),
            ..Codecs::default()
        })),
        ..Settings::default()
    };
    let (mut alice, mut bob) = (Side::new("alice"), Side::with("bob", settings));
    let video = alice.add(MediaKind::Video, Direction::SendRecv);
    alice.add(MediaKind::Audio, Direction::SendRecv);
    let told = negotiate(&mut alice, &mut bob);
    assert_eq!((told.answer.media[0].port, told.answer.media[1].port), (0, 9));
    assert_eq!(told.answer.media[0].mid(), Some("0"));
    assert_eq!(told.answer.bundle_groups().next().unwrap().mids, ["1"]);
    assert!(alice.state.transceiver(video).unwrap().is_stopped());
    assert_eq!(told.by_offer.tracks_added.len(), 1);
    assert_eq!(told.offerer.media.unwrap().len(), 1);
    assert_eq!(
        alice.state.bundle_tag(),
        Some(("0".to_owned(), 0)),
        "Alice's own description is the offer"
    );
    assert_eq!(bob.state.bundle_tag(), Some(("1".to_owned(), 1)));
}

#[test]
fn tones_alone_are_no_common_codec() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    let mut offer = alice.offer();
    offer.media[0].formats = dunlin_sdp::Formats::Rtp(vec![126, 110]);
    bob.remote(SdpType::Offer, &offer);
    assert_eq!(bob.answer().0.media[0].port, 0);
}

#[test]
fn a_stopped_transceiver_leaves_a_section_for_the_next_one() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    let audio = alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.state.set_data_wanted();
    negotiate(&mut alice, &mut bob);
    let receiver = bob.state.transceivers()[0].id();
    alice.state.transceiver_mut(audio).unwrap().stop();
    assert!(negotiation_needed(&alice.state));
    let told = negotiate(&mut alice, &mut bob);
    assert_eq!((told.offer.media[0].port, told.answer.media[0].port), (0, 0));
    assert_eq!(told.offer.bundle_groups().next().unwrap().mids, ["1"]);
    assert_eq!(told.by_offer.tracks_removed, [receiver]);
    assert!(bob.state.transceiver(receiver).unwrap().is_stopped());
    assert!(told.offerer.data.is_some() && !told.offerer.data_rejected);
    assert!(!negotiation_needed(&alice.state));

    // Nothing new: the section stays, rejected.
    let told = negotiate(&mut alice, &mut bob);
    assert_eq!((told.offer.media.len(), told.offer.media[0].port), (2, 0));

    // RFC 9429 section 5.2.2: a new transceiver takes the place, under a new mid.
    let video = alice.add(MediaKind::Video, Direction::SendOnly);
    let told = negotiate(&mut alice, &mut bob);
    assert_eq!(told.offer.media.len(), 2);
    assert_eq!(told.offer.media[0].kind.as_str(), "video");
    assert_eq!(told.offer.media[0].mid(), Some("2"));
    assert_eq!(alice.direction(video), Some(Direction::SendOnly));
    assert_eq!(told.by_offer.tracks_added.len(), 1);
}

#[test]
fn a_transceiver_stopped_before_the_first_offer_is_not_offered() {
    let mut alice = Side::new("alice");
    let id = alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.state.transceiver_mut(id).unwrap().stop();
    assert!(!negotiation_needed(&alice.state));
    assert!(alice.offer().media.is_empty());
}

#[test]
fn the_answerer_stops_its_transceiver() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    let audio = alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.state.set_data_wanted();
    let told = negotiate_with(&mut alice, &mut bob, |state| {
        let id = state.transceivers()[0].id();
        state.transceiver_mut(id).unwrap().stop();
    });
    assert_eq!(told.answer.media[0].port, 0);
    assert!(alice.state.transceiver(audio).unwrap().is_stopped());
    assert!(told.answerer.data.is_some());
}

#[test]
fn without_rtcp_mux_a_section_is_rejected() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.state.set_data_wanted();
    let offer = without(&alice.offer(), 0, |line| *line == Attribute::RtcpMux);
    bob.remote(SdpType::Offer, &offer);
    let answer = bob.answer().0;
    assert_eq!((answer.media[0].port, answer.media[1].port), (0, 9));
}

#[test]
fn unknown_protocols_and_media_are_rejected() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    let text = alice.offer().to_string()
        + "m=audio 9 RTP/XYZ 0\r\na=mid:x\r\na=rtcp-mux\r\n\
           m=text 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:t\r\n\
           m=application 9 DTLS/SCTP 5000\r\na=mid:old\r\na=sctpmap:5000 webrtc-datachannel 1024\r\n\
           m=image 9 udptl t38\r\n";
    let text = text.replace("BUNDLE 0", "BUNDLE 0 x t old");
    let told = bob.remote(SdpType::Offer, &SessionDescription::parse(&text).unwrap());
    assert_eq!(told.mids, [(Some("0".to_owned()), 0)]);
    let (answer, _) = bob.answer();
    let ports: Vec<u16> = answer.media.iter().map(|media| media.port).collect();
    assert_eq!(ports, [9, 0, 0, 0, 0]);
    assert_eq!(answer.media[3].protocol, "DTLS/SCTP");
    assert_eq!(answer.bundle_groups().next().unwrap().mids, ["0"]);
    through_text(&answer);
}

#[test]
fn sections_outside_the_bundle_are_rejected() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.add(MediaKind::Video, Direction::SendRecv);
    let offer = alice.offer().to_string().replace("BUNDLE 0 1", "BUNDLE 1");
    bob.remote(SdpType::Offer, &SessionDescription::parse(&offer).unwrap());
    let answer = bob.answer().0;
    assert_eq!((answer.media[0].port, answer.media[1].port), (0, 9));

    // Without any group, one section is what one transport can carry.
    let mut bob = Side::new("bob");
    let offer = offer.replace("a=group:BUNDLE 1\r\n", "");
    bob.remote(SdpType::Offer, &SessionDescription::parse(&offer).unwrap());
    let answer = bob.answer().0;
    assert_eq!((answer.media[0].port, answer.media[1].port), (9, 0));
    assert_eq!(answer.bundle_groups().count(), 0);
}

#[test]
fn a_bundle_only_section_with_port_zero_is_not_rejected() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.add(MediaKind::Video, Direction::SendRecv);
    let mut offer = alice.offer();
    offer.media[1].port = 0;
    offer.media[1].attributes.push(Attribute::BundleOnly);
    bob.remote(SdpType::Offer, &offer);
    let answer = bob.answer().0;
    assert_eq!((answer.media[0].port, answer.media[1].port), (9, 9));
    assert!(!answer.media[1].attributes.contains(&Attribute::BundleOnly));
}

#[test]
fn one_data_section_is_enough() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.state.set_data_wanted();
    let text = alice.offer().to_string();
    let section = &text[text.find("m=").unwrap()..];
    let text = format!("{text}{}", section.replace("a=mid:0", "a=mid:1")).replace("BUNDLE 0", "BUNDLE 0 1");
    bob.remote(SdpType::Offer, &SessionDescription::parse(&text).unwrap());
    let answer = bob.answer().0;
    assert_eq!((answer.media[0].port, answer.media[1].port), (9, 0));
}

#[test]
fn a_rejected_data_section_is_told() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.state.set_data_wanted();
    alice.add(MediaKind::Audio, Direction::SendRecv);
    let offer = alice.offer();
    bob.remote(SdpType::Offer, &offer);
    let mut answer = bob.answer().0;
    answer.media[1].port = 0;
    let told = alice.remote(SdpType::Answer, &answer);
    assert!(told.data_rejected && told.data.is_none());
    assert!(
        !negotiation_needed(&alice.state),
        "the peer is not asked again and again"
    );
    assert_eq!(
        alice.offer().media[0].port,
        9,
        "but the next offer has a data section again"
    );
}
