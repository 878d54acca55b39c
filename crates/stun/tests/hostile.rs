//! Round trips, and input of people who do not mean well (THREATS 16): nothing here may panic or be believed.

use dunlin_stun::{
    Class, ErrorCode, IntegrityKey, Message, Method, ParseError, PasswordAlgorithm, TransactionId, Writer,
    attribute, is_stun,
};
use proptest::prelude::*;
use std::net::SocketAddr;

const CLASSES: [Class; 4] = [Class::Request, Class::Indication, Class::Success, Class::Error];

fn call_every_getter(data: &[u8], key: &IntegrityKey) {
    assert_eq!(
        is_stun(data),
        Message::parse(data).is_ok() || matches!(Message::parse(data), Err(ParseError::Attribute { .. }))
    );
    let Ok(message) = Message::parse(data) else { return };
    let _ = (
        message.class(),
        message.method(),
        message.transaction_id(),
        format!("{message:?}"),
    );
    let _ = (
        message.xor_mapped_address(),
        message.mapped_address(),
        message.alternate_server(),
    );
    let _ = (
        message.xor_peer_address(),
        message.xor_relayed_address(),
        message.data(),
    );
    let _ = (
        message.username(),
        message.userhash(),
        message.realm(),
        message.nonce(),
        message.software(),
    );
    let _ = (
        message.priority(),
        message.use_candidate(),
        message.ice_controlled(),
        message.ice_controlling(),
    );
    let _ = (
        message.error_code(),
        message.unknown_attributes().count(),
        message.password_algorithm(),
    );
    let _ = (
        message.password_algorithms().map(Iterator::count),
        message.alternate_domain(),
    );
    let _ = (
        message.unknown_required(&[1, 2, 3]).count(),
        message.xor_addresses(0x0012).count(),
    );
    let _ = (message.verify_integrity(key), message.verify_fingerprint());
}

proptest! {
    #[test]
    fn every_type_survives(class in 0..4usize, method in 0u16..0x1000, id: [u8; 12]) {
        let (mut out, class) = (Vec::new(), CLASSES[class]);
        Writer::new(&mut out, class, Method::new(method), TransactionId(id));
        let message = Message::parse(&out).unwrap();
        prop_assert_eq!((message.class(), message.method().value(), message.transaction_id()), (class, method, TransactionId(id)));
        prop_assert!(out[0] & 0xC0 == 0);
    }

    #[test]
    fn every_attribute_survives(
        kinds in prop::collection::vec((0u16.., prop::collection::vec(any::<u8>(), 0..40)), 0..12),
        before in prop::collection::vec(any::<u8>(), 0..9),
    ) {
        let last_words = [attribute::MESSAGE_INTEGRITY, attribute::MESSAGE_INTEGRITY_SHA256];
        prop_assume!(kinds.iter().all(|(kind, _)| !last_words.contains(kind)));
        let key = IntegrityKey::short_term("password");
        let mut out = before.clone();
        let mut writer = Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([3; 12]));
        for (kind, value) in &kinds {
            writer.attribute(*kind, value);
        }
        let len = writer.integrity(&key).integrity_sha256(&key).fingerprint().finish();
        prop_assert_eq!(&out[..before.len()], &before[..]);
        prop_assert_eq!(out.len(), before.len() + len);
        let message = Message::parse(&out[before.len()..]).unwrap();
        let read: Vec<_> = message.attributes().map(|found| (found.kind, found.value.to_vec())).take(kinds.len()).collect();
        prop_assert_eq!(read, kinds);
        prop_assert_eq!(message.verify_integrity(&key), Ok(()));
        prop_assert_eq!(message.verify_fingerprint(), Some(true));
    }

    #[test]
    fn every_address_survives(address: SocketAddr, id: [u8; 12]) {
        // Flow label and scope are not on the wire.
        let address = SocketAddr::new(address.ip(), address.port());
        let mut out = Vec::new();
        Writer::new(&mut out, Class::Success, Method::BINDING, TransactionId(id))
            .xor_mapped_address(address).mapped_address(address).xor_peer_address(address);
        let message = Message::parse(&out).unwrap();
        prop_assert_eq!(message.xor_mapped_address(), Some(address));
        prop_assert_eq!(message.mapped_address(), Some(address));
        prop_assert_eq!(message.xor_peer_address(), Some(address));
    }

    #[test]
    fn error_codes_survive(code in 300u16..700, reason in "[a-zé]{0,127}", kinds in prop::collection::vec(any::<u16>(), 0..64)) {
        let mut out = Vec::new();
        Writer::new(&mut out, Class::Error, Method::BINDING, TransactionId([0; 12])).error_code(code, &reason).unknown_attributes(&kinds);
        let message = Message::parse(&out).unwrap();
        prop_assert_eq!(message.error_code(), Some(ErrorCode { code, reason: &reason }));
        prop_assert_eq!(message.unknown_attributes().collect::<Vec<_>>(), kinds);
    }

    #[test]
    fn random_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
        call_every_getter(&data, &IntegrityKey::short_term("password"));
    }

    /// Random attributes behind a good header get further than random bytes do.
    #[test]
    fn random_bodies_never_panic(kind: u16, mut body in prop::collection::vec(any::<u8>(), 0..300)) {
        body.truncate(body.len() & !3);
        let mut data = kind.to_be_bytes().to_vec();
        data[0] &= 0x3f;
        data.extend_from_slice(&(body.len() as u16).to_be_bytes());
        data.extend_from_slice(&0x2112_A442_u32.to_be_bytes());
        data.extend_from_slice(&[7; 12]);
        data.extend_from_slice(&body);
        call_every_getter(&data, &IntegrityKey::short_term("password"));
    }
}

fn full_message(key: &IntegrityKey) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([9; 12]))
        .username(b"remote:local")
        .software("dunlin")
        .priority(5)
        .ice_controlling(6)
        .use_candidate()
        .error_code(438, "Stale Nonce")
        .unknown_attributes(&[1, 2, 3])
        .realm(b"realm")
        .nonce(b"nonce")
        .password_algorithms(&[PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5])
        .xor_mapped_address("192.0.2.7:7".parse().unwrap())
        .xor_relayed_address("[2001:db8::7]:7".parse().unwrap())
        .data(b"payload")
        .integrity(key)
        .fingerprint();
    out
}

#[test]
fn no_prefix_and_no_extension_of_a_message_is_a_message() {
    let key = IntegrityKey::short_term("password");
    let whole = full_message(&key);
    call_every_getter(&whole, &key);
    for len in 0..whole.len() {
        call_every_getter(&whole[..len], &key);
        assert!(Message::parse(&whole[..len]).is_err(), "{len} bytes");
        // With a length field that fits, the cut may fall between attributes; what is left is never authentic.
        let mut cut = whole[..len].to_vec();
        if len >= 20 {
            cut[2..4].copy_from_slice(&((len - 20) as u16).to_be_bytes());
            call_every_getter(&cut, &key);
            if len < whole.len() - 8 {
                assert!(
                    !Message::parse(&cut).is_ok_and(|m| m.verify_integrity(&key).is_ok()),
                    "{len} bytes"
                );
            }
        }
    }
    let mut longer = whole;
    longer.extend_from_slice(&[0; 4]);
    assert!(Message::parse(&longer).is_err());
}

#[test]
fn no_flipped_bit_survives_the_integrity_check() {
    let key = IntegrityKey::short_term("password");
    let whole = full_message(&key);
    let protected = whole.len() - 8;
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        call_every_getter(&flipped, &key);
        let Ok(message) = Message::parse(&flipped) else {
            continue;
        };
        assert_ne!(message.verify_fingerprint(), Some(true), "bit {bit}");
        if bit / 8 < protected {
            assert!(message.verify_integrity(&key).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn an_attribute_that_lies_about_its_length_is_named() {
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([0; 12])).username(b"user");
    for len in [5_u16, 8, 400, 0xffff] {
        out[22..24].copy_from_slice(&len.to_be_bytes());
        assert_eq!(
            Message::parse(&out).unwrap_err(),
            ParseError::Attribute {
                kind: attribute::USERNAME
            }
        );
    }
}

#[test]
fn the_first_of_two_attributes_wins() {
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([0; 12]))
        .username(b"one")
        .username(b"two");
    assert_eq!(Message::parse(&out).unwrap().username(), Some(&b"one"[..]));
}

#[test]
fn unknown_attributes_are_listed_only_when_they_must_be_understood() {
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([0; 12]))
        .attribute(0x7f00, &[])
        .attribute(0xff00, &[])
        .username(b"known")
        .attribute(0x7f01, &[1]);
    let message = Message::parse(&out).unwrap();
    assert_eq!(
        message
            .unknown_required(&[attribute::USERNAME])
            .collect::<Vec<_>>(),
        [0x7f00, 0x7f01]
    );
}
