//! Session descriptions (RFC 8866): an error names a line of the text; what is read is written so that it
//! reads the same.
#![no_main]

use dunlin_sdp::SessionDescription;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match SessionDescription::parse(text) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(description) => {
            let written = description.to_string();
            let again = SessionDescription::parse(&written).expect("what we write can be read");
            assert_eq!(again.to_string(), written);
        }
    }
});
