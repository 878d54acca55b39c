//! Data channel establishment (RFC 8832): what is read is written so that it reads the same.
#![no_main]

use dunlin_peerconnection::dcep::DcepMessage;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = DcepMessage::parse(data) else { return };
    let written = message.to_bytes();
    assert_eq!(DcepMessage::parse(&written).as_ref(), Ok(&message));
});
