//! THREATS 21: no text makes the parser panic, run long, or give a description that it cannot read back.

use dunlin_sdp::{Limits, Reason, SessionDescription};
use proptest::prelude::*;

const SEEDS: [&str; 6] = [
    include_str!("data/chromium-offer-gathered.sdp"),
    include_str!("data/firefox-simulcast-offer.sdp"),
    include_str!("data/aiortc-offer.sdp"),
    include_str!("data/last-whep-offer.sdp"),
    include_str!("data/ndc-offer.sdp"),
    include_str!("data/chromium156-snap.offer.sdp"),
];

/// Whatever is accepted is a fixed point: written and read again it is the same.
fn check(text: &str) {
    if let Ok(parsed) = SessionDescription::parse(text) {
        let written = parsed.to_string();
        let again = SessionDescription::parse(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert_eq!(again, parsed, "{written}");
        for media in &parsed.media {
            let _ = (
                media.codecs(),
                media.ssrcs(),
                parsed.ice_credentials(media),
                parsed.direction(media),
            );
            assert!(
                media
                    .payload_types()
                    .iter()
                    .all(|payload_type| *payload_type < 128)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn bytes_changed_in_a_real_offer(
        seed in 0..SEEDS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn lines_dropped_doubled_swapped_and_cut(
        seed in 0..SEEDS.len(),
        edits in prop::collection::vec((0..4u8, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..8),
    ) {
        let mut lines: Vec<&str> = SEEDS[seed].lines().collect();
        for (kind, first, second) in edits {
            let (first, second) = (first.index(lines.len()), second.index(lines.len()));
            match kind {
                0 if lines.len() > 1 => drop(lines.remove(first)),
                1 => lines.insert(second, lines[first]),
                2 => lines.swap(first, second),
                _ => lines[first] = &lines[first][..second.min(lines[first].len())],
            }
        }
        check(&lines.join("\r\n"));
    }

    #[test]
    fn attributes_with_any_value(
        name in prop::sample::select(vec![
            "rtpmap", "fmtp", "rtcp-fb", "extmap", "rtcp", "ssrc", "ssrc-group", "msid", "rid", "simulcast", "group",
            "mid", "ice-ufrag", "ice-pwd", "ice-options", "candidate", "fingerprint", "setup", "tls-id", "sctp-port",
            "max-message-size", "ptime", "sendrecv", "x-other",
        ]),
        value in "[ -~]{0,40}",
    ) {
        check(&format!("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\nm=audio 9 UDP/TLS/RTP/SAVPF 0\na={name}:{value}\n"));
    }

    #[test]
    fn any_text(text in ".{0,300}") {
        check(&text);
        check(&format!("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n{text}"));
    }
}

#[test]
fn limits_are_errors_that_say_where() {
    let head = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n";
    let limits = Limits::default();
    let many = format!("{head}{}", "a=x\n".repeat(limits.attributes + 1));
    let error = SessionDescription::parse(&many).unwrap_err();
    assert_eq!(
        (error.line, error.reason),
        (limits.attributes + 5, Reason::TooMany(limits.attributes))
    );

    let sections = format!("{head}{}", "m=audio 9 X 0\n".repeat(limits.media + 1));
    assert_eq!(
        SessionDescription::parse(&sections).unwrap_err().reason,
        Reason::TooMany(limits.media)
    );

    let long = format!("{head}a=x:{}\n", "y".repeat(limits.line_length));
    let error = SessionDescription::parse(&long).unwrap_err();
    assert_eq!((error.line, error.attribute.as_str()), (5, "x"));
    assert_eq!(error.reason, Reason::TooLong(limits.line_length));

    let error = SessionDescription::parse(&"\n".repeat(limits.length + 1)).unwrap_err();
    assert_eq!((error.line, error.reason), (0, Reason::TooLong(limits.length)));
}
