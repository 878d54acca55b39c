//! What Chromium, Firefox, libwebrtc, aiortc, werift, libdatachannel and GStreamer write comes back byte for byte.

use std::fs;

use dunlin_sdp::{Attribute, MediaKind, SessionDescription};

/// What other stacks wrote.
fn corpus() -> Vec<(String, String)> {
    let files = folder(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"));
    assert!(files.len() >= 34, "the corpus is not complete");
    files
}

/// The examples of RFC 8829 section 7.
fn examples() -> Vec<(String, String)> {
    let files = folder(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rfc8829"));
    assert_eq!(files.len(), 10);
    files
}

fn folder(folder: &str) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sdp"))
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// CRLF everywhere and no empty line at the end: some captures were saved with LF or a final newline.
fn canonical(text: &str) -> String {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\r\n"))
        .collect()
}

#[test]
fn every_captured_description_is_written_as_it_was_read() {
    for (name, text) in corpus().into_iter().chain(examples()) {
        let parsed = SessionDescription::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(parsed.to_string(), canonical(&text), "{name}");
        assert_eq!(
            parsed,
            canonical(&text).parse().unwrap(),
            "{name}: LF and CRLF read alike"
        );
    }
}

#[test]
fn only_attributes_outside_webrtc_stay_untyped() {
    for (name, text) in corpus() {
        let parsed = SessionDescription::parse(&text).unwrap();
        let attributes = parsed
            .media
            .iter()
            .flat_map(|media| &media.attributes)
            .chain(&parsed.attributes);
        for attribute in attributes {
            if let Attribute::Other { name: attribute, .. } = attribute {
                let known = ["msid-semantic", "rtcp-xr", "framerate"];
                assert!(known.contains(&attribute.as_str()), "{name}: {attribute}");
            }
        }
    }
}

#[test]
fn every_section_of_the_corpus_has_a_mid_credentials_a_fingerprint_and_codecs() {
    for (name, text) in corpus() {
        let parsed = SessionDescription::parse(&text).unwrap();
        assert_eq!(parsed.bundle_groups().count(), 1, "{name}");
        for media in &parsed.media {
            assert!(media.mid().is_some(), "{name}");
            assert!(parsed.ice_credentials(media).is_some(), "{name}");
            assert!(
                parsed.fingerprints(media).any(|line| line.hash == "sha-256"),
                "{name}"
            );
            assert!(parsed.setup(media).is_some(), "{name}");
            match media.kind {
                MediaKind::Application => assert_eq!(media.sctp_port(), Some(5000), "{name}"),
                _ => assert_eq!(media.codecs().len(), media.payload_types().len(), "{name}"),
            }
        }
    }
}
