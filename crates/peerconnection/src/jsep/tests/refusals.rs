//! What is refused, and that a refusal changes nothing.

use dunlin_sdp::Attribute;
use dunlin_sdp::attribute::Setup;
use proptest::prelude::*;

use super::*;

/// Everything that can be seen of a state.
fn seen(state: &State) -> String {
    format!("{state:?}")
}

fn refused(state: &mut State, kind: SdpType, sdp: &SessionDescription) -> JsepError {
    let before = seen(state);
    let error = apply_remote(state, kind, sdp).unwrap_err();
    assert_eq!(seen(state), before, "{error}");
    error
}

/// Alice waits for an answer; what Bob answered.
fn waiting() -> (Side, SessionDescription) {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.add(MediaKind::Video, Direction::SendRecv);
    alice.state.set_data_wanted();
    bob.remote(SdpType::Offer, &alice.offer());
    let answer = bob.answer().0;
    (alice, answer)
}

#[test]
fn each_type_has_its_states() {
    let (mut alice, answer) = waiting();
    let offer = alice.state.local_description().unwrap().1.clone();
    let mut fresh = Side::new("fresh");
    for kind in [SdpType::Answer, SdpType::Pranswer, SdpType::Rollback] {
        let expected = JsepError::WrongState {
            side: "remote",
            kind,
            state: SignalingState::Stable,
        };
        assert_eq!(refused(&mut fresh.state, kind, &answer), expected);
        assert!(apply_local(&mut fresh.state, kind, &answer).is_err());
    }
    assert!(create_answer(&fresh.state, &fresh.local).is_err());
    assert!(apply_local(&mut alice.state, SdpType::Answer, &answer).is_err());
    fresh.remote(SdpType::Offer, &offer);
    assert!(create_offer(&fresh.state, &fresh.local).is_err());
    let error = apply_local(&mut fresh.state, SdpType::Offer, &offer).unwrap_err();
    assert_eq!(error.to_string(), "local offer in state have-remote-offer");
    let pranswer = create_answer(&fresh.state, &fresh.local).unwrap();
    apply_local(&mut fresh.state, SdpType::Pranswer, &pranswer).unwrap();
    assert!(apply_local(&mut fresh.state, SdpType::Rollback, &pranswer).is_err());
}

#[test]
fn an_answer_has_the_sections_of_the_offer() {
    let (mut alice, answer) = waiting();
    let mut change = |change: &dyn Fn(&mut SessionDescription)| {
        let mut answer = answer.clone();
        change(&mut answer);
        refused(&mut alice.state, SdpType::Answer, &answer)
    };
    assert_eq!(
        change(&|sdp| drop(sdp.media.pop())),
        JsepError::MLineCount { offer: 3, answer: 2 }
    );
    assert_eq!(
        change(&|sdp| sdp.media.push(sdp.media[2].clone())),
        JsepError::DuplicateMid("2".to_owned())
    );
    assert!(matches!(
        change(&|sdp| sdp.media.swap(0, 1)),
        JsepError::MediaChanged { index: 0, .. }
    ));
    let mid = |sdp: &mut SessionDescription, mid: &str| {
        let lines = &mut sdp.media[1].attributes;
        lines.retain(|line| !matches!(line, Attribute::Mid(_)));
        lines.push(Attribute::Mid(mid.to_owned()));
    };
    let changed = JsepError::MidChanged {
        index: 1,
        expected: "1".to_owned(),
        found: "x".to_owned(),
    };
    assert_eq!(change(&|sdp| mid(sdp, "x")), changed);
    alice.remote(SdpType::Answer, &answer);
}

#[test]
fn an_answer_needs_what_the_transport_needs() {
    let (mut alice, answer) = waiting();
    let mut without = |unwanted: &dyn Fn(&Attribute) -> bool| {
        let mut answer = answer.clone();
        answer
            .media
            .iter_mut()
            .for_each(|media| media.attributes.retain(|line| !unwanted(line)));
        refused(&mut alice.state, SdpType::Answer, &answer)
    };
    assert_eq!(
        without(&|line| matches!(line, Attribute::IceUfrag(_))),
        JsepError::NoIceCredentials { index: 0 }
    );
    assert_eq!(
        without(&|line| matches!(line, Attribute::IcePwd(_))),
        JsepError::NoIceCredentials { index: 0 }
    );
    assert_eq!(
        without(&|line| matches!(line, Attribute::Fingerprint(_))),
        JsepError::NoFingerprint { index: 0 }
    );
    for setup in [Setup::ActPass, Setup::HoldConn] {
        let mut answer = answer.clone();
        for line in &mut answer.media[0].attributes {
            if let Attribute::Setup(value) = line {
                *value = setup;
            }
        }
        let expected = JsepError::Setup {
            index: 0,
            value: setup.as_str(),
            kind: SdpType::Answer,
        };
        assert_eq!(refused(&mut alice.state, SdpType::Answer, &answer), expected);
    }
}

#[test]
fn rtcp_on_a_port_of_its_own_is_refused_in_an_answer() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    bob.remote(SdpType::Offer, &alice.offer());
    let mut answer = bob.answer().0;
    answer.media[0]
        .attributes
        .retain(|line| *line != Attribute::RtcpMux);
    assert_eq!(
        refused(&mut alice.state, SdpType::Answer, &answer),
        JsepError::NoRtcpMux { index: 0 }
    );
}

#[test]
fn sections_do_not_disappear_or_change_in_a_new_offer() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.add(MediaKind::Audio, Direction::SendRecv);
    alice.add(MediaKind::Video, Direction::SendRecv);
    let offer = negotiate(&mut alice, &mut bob).offer;
    let mut fewer = offer.clone();
    fewer.media.pop();
    let error = refused(&mut bob.state, SdpType::Offer, &fewer);
    assert_eq!(error, JsepError::MLinesRemoved { before: 2, now: 1 });
    let mut swapped = offer.clone();
    swapped.media.swap(0, 1);
    assert!(matches!(
        refused(&mut bob.state, SdpType::Offer, &swapped),
        JsepError::MediaChanged { .. }
    ));
    let mut many = offer;
    many.media = vec![many.media[0].clone(); 2000];
    assert!(matches!(
        refused(&mut bob.state, SdpType::Offer, &many),
        JsepError::TooManySections { .. }
    ));
}

/// THREATS 1: a fingerprint that changes on a re-offer without an ICE restart.
#[test]
fn another_certificate_needs_an_ice_restart() {
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.state.set_data_wanted();
    negotiate(&mut alice, &mut bob);
    alice.local.fingerprints = vec![FINGERPRINT.replace("39:29", "00:00")];
    let offer = alice.offer();
    let error = refused(&mut bob.state, SdpType::Offer, &offer);
    assert_eq!(error, JsepError::FingerprintChanged { index: 0 });
    alice.local.ufrag = "restarted".to_owned();
    let told = bob.remote(SdpType::Offer, &alice.offer());
    assert!(told.ice_restart && told.dtls_restart);

    // The same digest in other letters is the same certificate.
    let (mut alice, mut bob) = (Side::new("alice"), Side::new("bob"));
    alice.state.set_data_wanted();
    negotiate(&mut alice, &mut bob);
    alice.local.fingerprints = vec![FINGERPRINT.to_lowercase()];
    assert!(!bob.remote(SdpType::Offer, &alice.offer()).dtls_restart);
}

#[test]
fn both_sides_cannot_be_client() {
    let (mut alice, answer) = waiting();
    let mut offer = alice.offer();
    for media in &mut offer.media {
        for line in &mut media.attributes {
            if let Attribute::Setup(value) = line {
                *value = Setup::Active;
            }
        }
    }
    apply_local(&mut alice.state, SdpType::Offer, &offer).unwrap();
    let error = refused(&mut alice.state, SdpType::Answer, &answer);
    assert_eq!(
        error,
        JsepError::Setup {
            index: 0,
            value: "active",
            kind: SdpType::Answer
        }
    );
    // An offer that has the choice made is answered with the other role.
    let mut bob = Side::new("bob");
    bob.remote(SdpType::Offer, &offer);
    let answer = bob.answer().0;
    assert_eq!(answer.setup(&answer.media[0]), Some(Setup::Passive));
    assert_eq!(
        alice.remote(SdpType::Answer, &answer).dtls_role,
        Some(DtlsRole::Active)
    );
}

/// As much of everything as the parser lets through: the work stays in proportion.
#[test]
fn the_largest_descriptions_are_handled() {
    let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\n\
        a=ice-pwd:0123456789012345678901\r\n";
    let head = format!("{head}a=fingerprint:{FINGERPRINT}\r\na=setup:actpass\r\n");
    let mut texts = vec![format!(
        "{head}{}",
        format!("a=group:BUNDLE{}\r\n", " 1".repeat(8000)).repeat(60)
    )];
    texts[0].push_str("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\na=rtcp-mux\r\n");
    let section = format!(
        "m=video 9 UDP/TLS/RTP/SAVPF{}\r\na=rtcp-mux\r\n",
        " 96".repeat(5000)
    );
    texts.push(format!(
        "{head}{section}{}",
        "a=rtpmap:96 VP8/90000\r\n".repeat(4000)
    ));
    let mids: String = (0..1024).map(|mid| format!(" {mid}")).collect();
    let mut many = format!("{head}a=group:BUNDLE{mids}\r\n");
    for mid in 0..1024 {
        many.push_str(&format!(
            "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\na=rtcp-mux\r\n"
        ));
    }
    texts.push(many);
    for text in texts {
        let offer = SessionDescription::parse(&text).unwrap();
        let mut bob = Side::new("bob");
        bob.remote(SdpType::Offer, &offer);
        let (answer, _) = bob.answer();
        assert!(answer.media.iter().all(|media| media.port == 9));
        assert_eq!(bob.offer().media.len(), offer.media.len());
    }
}

const SEEDS: [&str; 4] = [
    include_str!("../../../../sdp/tests/data/chromium-simulcast-offer.sdp"),
    include_str!("../../../../sdp/tests/data/firefox-offer.sdp"),
    include_str!("../../../../sdp/tests/data/last-whep-offer.sdp"),
    include_str!("../../../../sdp/tests/data/aiortc-offer.sdp"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Lines dropped, doubled, moved: whatever parses is answered or refused; a refusal changes nothing; an answer can
    /// be read and has as many sections as the offer.
    #[test]
    fn damaged_offers_are_answered_or_refused(
        seed in 0..SEEDS.len(),
        edits in prop::collection::vec((0..3u8, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..12),
    ) {
        let mut lines: Vec<&str> = SEEDS[seed].lines().collect();
        for (kind, first, second) in edits {
            let (first, second) = (first.index(lines.len()), second.index(lines.len()));
            match kind {
                0 => drop(lines.remove(first)),
                1 => lines.insert(second, lines[first]),
                _ => lines.swap(first, second),
            }
        }
        let Ok(offer) = SessionDescription::parse(&lines.join("\r\n")) else { return Ok(()) };
        let mut bob = Side::new("bob");
        let before = seen(&bob.state);
        if apply_remote(&mut bob.state, SdpType::Offer, &offer).is_err() {
            prop_assert_eq!(seen(&bob.state), before);
            return Ok(());
        }
        let Ok(answer) = create_answer(&bob.state, &bob.local) else { return Ok(()) };
        let answer = through_text(&answer);
        prop_assert_eq!(answer.media.len(), offer.media.len());
        apply_local(&mut bob.state, SdpType::Answer, &answer).unwrap();
        let next = through_text(&create_offer(&bob.state, &bob.local).unwrap());
        prop_assert!(next.media.len() >= offer.media.len());
        apply_local(&mut bob.state, SdpType::Offer, &next).unwrap();
    }
}
