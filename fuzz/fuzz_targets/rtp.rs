//! RTP packets and header extensions (RFC 3550, 8285).
#![no_main]

use bytes::Bytes;
use dunlin_rtp::Packet;
use dunlin_rtp::extension;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(packet) = Packet::parse(Bytes::copy_from_slice(data)) else { return };
    assert!(packet.payload().len() <= data.len());
    for (id, value) in packet.extensions() {
        assert!(packet.extension(id).is_some());
        let _ = (extension::AudioLevel::parse(value), extension::AbsSendTime::parse(value));
        let _ = extension::parse_text(value);
    }
});
