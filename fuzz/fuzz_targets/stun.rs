//! STUN messages (RFC 8489): every attribute, the checks, and what is written from what was read.
#![no_main]

use dunlin_stun::{IntegrityKey, Message, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = Message::parse(data) else { return };
    let _ = (message.username(), message.realm(), message.nonce(), message.error_code());
    let _ = (message.xor_mapped_address(), message.mapped_address(), message.xor_peer_address());
    let _ = (message.priority(), message.ice_controlling(), message.ice_controlled(), message.use_candidate());
    let _ = message.unknown_required(&[]).count();
    let _ = message.verify_integrity(&IntegrityKey::short_term("password"));
    let _ = message.verify_fingerprint();
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, message.class(), message.method(), message.transaction_id());
    for attribute in message.attributes() {
        writer.attribute(attribute.kind, attribute.value);
    }
    writer.finish();
    let again = Message::parse(&out).expect("what we write can be read");
    assert_eq!(again.transaction_id(), message.transaction_id());
    assert_eq!(again.attributes().count(), message.attributes().count());
});
