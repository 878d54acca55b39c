//! RTCP compounds (RFC 3550, section 6.1): what is read is written so that it reads the same.
#![no_main]

use dunlin_rtp::rtcp::parse_compound;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for packet in parse_compound(data).flatten() {
        let mut out = Vec::new();
        packet.write(&mut out);
        let again = parse_compound(&out).next();
        assert!(again.is_some_and(|again| again.is_ok()), "what we write can be read: {packet:?}");
    }
});
