//! Candidate lines (RFC 8839, section 5.1): what is read is written so that it reads the same.
#![no_main]

use dunlin_ice::Candidate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(candidate) = text.parse::<Candidate>() else { return };
    let written = candidate.to_string();
    let again = written.parse::<Candidate>().expect("what we write can be read");
    assert_eq!(again.to_string(), written);
});
