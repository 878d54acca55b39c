//! Every description that another stack wrote: offers are answered by the rules, answers are understood.

use std::fs;

use dunlin_sdp::attribute::{Setup, parameter};
use dunlin_sdp::{Attribute, MediaDescription};

use super::*;

fn corpus(part: &str) -> Vec<(String, SessionDescription)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdp/tests/data");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.contains(part) {
            let text = fs::read_to_string(&path).unwrap();
            found.push((name, SessionDescription::parse(&text).unwrap()));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

#[test]
fn every_captured_offer_is_answered_by_the_rules() {
    let offers = corpus("offer");
    assert!(offers.len() >= 20);
    for (name, offer) in offers {
        let mut bob = Side::new("bob");
        let told = bob.remote(SdpType::Offer, &offer);
        let transport = told.transport.unwrap();
        assert!(
            !transport.ufrag.is_empty() && !transport.fingerprints.is_empty(),
            "{name}"
        );
        let (answer, answered) = bob.answer();
        assert_eq!(answer.media.len(), offer.media.len(), "{name}");
        for (media, offered) in answer.media.iter().zip(&offer.media) {
            assert_ne!(
                media.port, 0,
                "{name}: all sections of browsers and libraries are acceptable"
            );
            check_section(&name, &answer, media, &offer, offered);
        }
        let groups: Vec<_> = answer.bundle_groups().map(|group| &group.mids).collect();
        assert_eq!(
            groups,
            offer.bundle_groups().map(|group| &group.mids).collect::<Vec<_>>(),
            "{name}"
        );
        let data = offer.media.iter().any(|media| media.sctp_port().is_some());
        assert_eq!(answered.data.is_some(), data, "{name}");
        assert_eq!(answered.dtls_role, Some(DtlsRole::Active), "{name}");
        let sending = offer
            .media
            .iter()
            .filter(|media| media.is_rtp() && media.direction().sends())
            .count();
        assert_eq!(told.tracks_added.len(), sending, "{name}");
        check_next_offer(&name, &bob, &offer);
    }
}

fn check_section(
    name: &str,
    answer: &SessionDescription,
    media: &MediaDescription,
    offer: &SessionDescription,
    offered: &MediaDescription,
) {
    assert_eq!(
        (media.mid(), &media.kind, &media.protocol),
        (offered.mid(), &offered.kind, &offered.protocol)
    );
    assert_eq!(answer.setup(media), Some(Setup::Active), "{name}");
    assert!(
        media.candidates().next().is_none() && media.simulcast().is_none(),
        "{name}"
    );
    let echoed = media.attributes.iter().filter(|line| {
        matches!(
            line,
            Attribute::Other { .. } | Attribute::SctpInit(_) | Attribute::Cryptex | Attribute::Rid(_)
        )
    });
    assert_eq!(echoed.count(), 0, "{name}: nothing unknown is echoed");
    if !media.is_rtp() {
        assert_eq!(
            (media.sctp_port(), media.max_message_size()),
            (Some(5000), Some(262_144)),
            "{name}"
        );
        return;
    }
    assert!(media.rtcp_mux(), "{name}");
    assert_eq!(media.rtcp_reduced_size(), offered.rtcp_reduced_size(), "{name}");
    let narrowest = offer
        .direction(offered)
        .reversed()
        .intersection(Direction::RecvOnly);
    assert_eq!(answer.direction(media), narrowest, "{name}");
    for codec in media.codecs() {
        let same = offered.codec(codec.payload_type).unwrap();
        assert!(codec.encoding.eq_ignore_ascii_case(same.encoding), "{name}");
        assert!(
            !["red", "ulpfec", "flexfec-03", "CN"].contains(&codec.encoding),
            "{name}"
        );
        if codec.encoding == "rtx" {
            let apt = |codec: &dunlin_sdp::Codec<'_>| {
                codec
                    .parameters
                    .and_then(|text| parameter(text, "apt"))
                    .and_then(|text| text.parse::<u8>().ok())
            };
            assert_eq!(apt(&codec), apt(&same), "{name}");
            assert!(
                media.payload_types().contains(&apt(&codec).unwrap()),
                "{name}: rtx without its codec"
            );
        }
        for feedback in &codec.feedback {
            assert!(same.feedback.contains(feedback), "{name}: {feedback:?}");
        }
    }
    for line in media.extensions() {
        assert!(
            offered
                .extensions()
                .any(|known| known.id == line.id && known.uri == line.uri),
            "{name}"
        );
    }
}

/// After a stranger's offer our own next offer keeps its sections and its numbers.
fn check_next_offer(name: &str, bob: &Side, offer: &SessionDescription) {
    let next = through_text(&create_offer(&bob.state, &bob.local).unwrap());
    assert_eq!(next.media.len(), offer.media.len(), "{name}");
    for (media, offered) in next.media.iter().zip(&offer.media) {
        assert_eq!(
            (media.mid(), &media.kind),
            (offered.mid(), &offered.kind),
            "{name}"
        );
        let numbers = media.payload_types();
        assert!(
            numbers
                .iter()
                .all(|number| numbers.iter().filter(|other| *other == number).count() == 1)
        );
        for codec in media.codecs().iter().filter(|codec| codec.encoding != "rtx") {
            if let Some(same) = offered.codec(codec.payload_type) {
                assert!(
                    codec.encoding.eq_ignore_ascii_case(same.encoding),
                    "{name}: {codec:?} {same:?}"
                );
            }
        }
    }
}

#[test]
fn chromium_offers_give_the_codecs_that_are_expected() {
    let (_, offer) = corpus("chromium-offer-gathered").remove(0);
    let mut bob = Side::new("bob");
    let told = bob.remote(SdpType::Offer, &offer);
    assert_eq!(told.transport.unwrap().candidates.len(), 2);
    let (answer, _) = bob.answer();
    assert_eq!(answer.media[0].payload_types(), [111, 9, 0, 8, 110, 126]);
    assert_eq!(
        answer.media[1].payload_types(),
        [96, 102, 108, 45, 98, 97, 103, 109, 46, 99]
    );
    let ids: Vec<_> = answer.media[1].extensions().map(|line| line.id).collect();
    assert_eq!(ids, [14, 2, 13, 3, 5, 4, 10, 11]);
    assert!(answer.attributes.contains(&Attribute::ExtMapAllowMixed));
}

#[test]
fn firefox_keeps_its_fingerprint_and_options_at_session_level() {
    let (_, offer) = corpus("firefox-simulcast").remove(0);
    let mut bob = Side::new("bob");
    let transport = bob.remote(SdpType::Offer, &offer).transport.unwrap();
    assert!(transport.trickle && transport.fingerprints[0].starts_with("sha-256 0E:D2"));
    let (answer, told) = bob.answer();
    assert_eq!(answer.media[0].payload_types(), [120, 121, 99, 124, 125, 100]);
    let receive = told.media.unwrap()[0].receive.clone().unwrap();
    assert_eq!(receive.ssrcs, [952_293_423, 3_948_001_033, 1_482_914_831]);
    assert_eq!(receive.rtx.len(), 3);
    assert_eq!(receive.rids, ["q", "h", "f"]);
}

#[test]
fn gstreamer_candidates_are_found_beside_the_tagged_section() {
    let (_, offer) = corpus("last-whep-offer").remove(0);
    let mut bob = Side::new("bob");
    let told = bob.remote(SdpType::Offer, &offer);
    let transport = told.transport.unwrap();
    assert_eq!((transport.m_line, transport.candidates.len()), (0, 9));
    let (answer, _) = bob.answer();
    assert_eq!(answer.media[0].codec(111).unwrap().encoding, "OPUS");
    assert_eq!(
        answer.media[0].codec(111).unwrap().channels,
        None,
        "as the offer wrote it"
    );
}

#[test]
fn several_fingerprints_are_all_told() {
    let (_, offer) = corpus("aiortc-offer").remove(0);
    let mut bob = Side::new("bob");
    let transport = bob.remote(SdpType::Offer, &offer).transport.unwrap();
    assert_eq!(transport.fingerprints.len(), 3);
    assert_eq!(transport.candidates.len(), 1);
    assert!(transport.end_of_candidates);
}

/// The captured answers belong to captured offers; both sides are taken as a third party would, from the offerer's seat.
#[test]
fn every_captured_answer_fits_its_offer() {
    let answers = corpus("answer");
    for (name, answer) in &answers {
        let mut alice = Side::new("alice");
        for media in &answer.media {
            match MediaKind::of(&media.kind) {
                Some(kind) => drop(alice.add(kind, Direction::SendRecv)),
                None => alice.state.set_data_wanted(),
            }
        }
        // Our offer, with the mids that the answer has.
        let mut offer = alice.offer();
        for (media, answered) in offer.media.iter_mut().zip(&answer.media) {
            for line in &mut media.attributes {
                if let Attribute::Mid(mid) = line {
                    *mid = answered.mid().unwrap().to_owned();
                }
            }
        }
        apply_local(&mut alice.state, SdpType::Offer, &offer).unwrap();
        let told = alice.remote(SdpType::Answer, answer);
        assert_eq!(told.dtls_role, Some(DtlsRole::Passive), "{name}");
        assert!(!told.transport.unwrap().fingerprints.is_empty(), "{name}");
        let accepted = answer
            .media
            .iter()
            .filter(|media| media.is_rtp() && media.port != 0)
            .count();
        assert_eq!(told.media.unwrap().len(), accepted, "{name}");
        for transceiver in alice
            .state
            .transceivers()
            .iter()
            .filter(|known| !known.is_stopped())
        {
            let section = &answer.media[transceiver.m_line_index().unwrap()];
            assert_eq!(
                transceiver.current_direction(),
                Some(section.direction().reversed()),
                "{name}"
            );
        }
    }
}
