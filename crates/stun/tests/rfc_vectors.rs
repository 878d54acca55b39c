//! The official vectors: RFC 5769, sections 2.1 to 2.4, and RFC 8489, sections 9.2.2 and B.1 (with its erratum).

use dunlin_stun::{
    Class, IntegrityError, IntegrityKey, Message, Method, PasswordAlgorithm, TransactionId, Writer,
    attribute, nonce_features, userhash,
};

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const SHORT_ID: &str = "b7e7a701bc34d686fa87dfae";
const LONG_ID: &str = "78ad3433c6ad72c029da412e";
const MATRIX: &str = "マトリックス";

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
        .collect()
}

fn id(text: &str) -> TransactionId {
    TransactionId(hex(text).try_into().unwrap())
}

#[test]
fn rfc_5769_2_1_sample_request() {
    let data = hex("00010058 2112a442 b7e7a701bc34d686fa87dfae
        80220010 5354554e207465737420636c69656e74
        00240004 6e0001ff
        80290008 932ff9b151263b36
        00060009 6576746a3a68367659202020
        00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2
        80280004 e57a3bcf");
    let message = Message::parse(&data).unwrap();
    assert_eq!(
        (message.class(), message.method()),
        (Class::Request, Method::BINDING)
    );
    assert_eq!(message.transaction_id(), id(SHORT_ID));
    assert_eq!(message.software(), Some("STUN test client"));
    assert_eq!(message.priority(), Some(0x6e00_01ff));
    assert_eq!(message.ice_controlled(), Some(0x932f_f9b1_5126_3b36));
    assert_eq!(
        (message.ice_controlling(), message.use_candidate()),
        (None, false)
    );
    assert_eq!(message.username(), Some(&b"evtj:h6vY"[..]));
    assert_eq!(
        message.verify_integrity(&IntegrityKey::short_term(PASSWORD)),
        Ok(())
    );
    assert_eq!(
        message.verify_integrity(&IntegrityKey::short_term("wrong")),
        Err(IntegrityError::Mismatch)
    );
    assert_eq!(message.verify_fingerprint(), Some(true));
}

#[test]
fn rfc_5769_2_2_ipv4_response() {
    let data = hex("0101003c 2112a442 b7e7a701bc34d686fa87dfae
        8022000b 7465737420766563746f7220
        00200008 0001a147e112a643
        00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7
        80280004 c07d4c96");
    let message = Message::parse(&data).unwrap();
    assert_eq!(
        (message.class(), message.method()),
        (Class::Success, Method::BINDING)
    );
    assert_eq!(message.software(), Some("test vector"));
    assert_eq!(
        message.xor_mapped_address(),
        Some("192.0.2.1:32853".parse().unwrap())
    );
    assert_eq!(
        message.verify_integrity(&IntegrityKey::short_term(PASSWORD)),
        Ok(())
    );
    assert_eq!(message.verify_fingerprint(), Some(true));
}

#[test]
fn rfc_5769_2_3_ipv6_response() {
    let data = hex("01010048 2112a442 b7e7a701bc34d686fa87dfae
        8022000b 7465737420766563746f7220
        00200014 0002a147 0113a9faa5d3f179bc25f4b5bed2b9d9
        00080014 a382954e4be67bf11784c97c8292c275bfe3ed41
        80280004 c8fb0b4c");
    let message = Message::parse(&data).unwrap();
    let address = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
    assert_eq!(message.xor_mapped_address(), Some(address));
    assert_eq!(
        message.verify_integrity(&IntegrityKey::short_term(PASSWORD)),
        Ok(())
    );
    assert_eq!(message.verify_fingerprint(), Some(true));
}

/// The vectors pad with spaces, and "The padding bits MUST be set to zero on sending": what we write differs there
/// and, through the MAC and the CRC, in the last attributes. The addresses come out bit for bit.
#[test]
fn what_the_writer_writes_has_the_vectors_addresses() {
    for (text, expected) in [
        ("192.0.2.1:32853", "00200008 0001a147e112a643"),
        (
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
            "00200014 0002a147 0113a9faa5d3f179bc25f4b5bed2b9d9",
        ),
    ] {
        let mut out = Vec::new();
        Writer::new(&mut out, Class::Success, Method::BINDING, id(SHORT_ID))
            .xor_mapped_address(text.parse().unwrap());
        assert_eq!(out[20..], hex(expected)[..]);
    }
}

#[test]
fn rfc_5769_2_4_long_term_request_read_and_written() {
    let data = hex("00010060 2112a442 78ad3433c6ad72c029da412e
        00060012 e3839ee38388e383aae38383e382afe382b90000
        0015001c 662f2f3439396b39353464 364f4c33346f4c39465354767936347341
        0014000b 6578616d706c652e6f726700
        00080014 f67024656dd64a3e02b8e0712e85c9a28ca89666");
    let key = IntegrityKey::long_term_md5(MATRIX, "example.org", "TheMatrIX").unwrap();
    let message = Message::parse(&data).unwrap();
    assert_eq!(message.username(), Some(MATRIX.as_bytes()));
    assert_eq!(message.realm(), Some(&b"example.org"[..]));
    assert_eq!(message.nonce(), Some(&b"f//499k954d6OL34oL9FSTvy64sA"[..]));
    assert_eq!(message.verify_integrity(&key), Ok(()));
    assert_eq!(message.verify_fingerprint(), None);

    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::BINDING, id(LONG_ID))
        .username(MATRIX.as_bytes())
        .nonce(b"f//499k954d6OL34oL9FSTvy64sA")
        .realm(b"example.org")
        .integrity(&key);
    assert_eq!(out, data);
}

/// RFC 8489, appendix B.1 as printed has a MAC that no key makes. Its verified erratum adds PASSWORD-ALGORITHM and
/// gives the length and the MAC used here.
#[test]
fn rfc_8489_b_1_with_its_erratum_read_and_written() {
    let data = hex("00010090 2112a442 78ad3433c6ad72c029da412e
        001e0020 4a3cf38fef6992bda952c678 0417da0f 24819415569e60b205c46e41407f1704
        00150029 6f624d61744a6f7332414141 43662f2f3439396b39353464 364f4c33346f4c39465354767936347341 000000
        0014000b 6578616d706c652e6f726700
        001d0004 00020000
        001c0020 b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65");
    let nonce = b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA";
    let key = IntegrityKey::long_term_sha256(MATRIX, "example.org", "TheMatrIX");
    let message = Message::parse(&data).unwrap();
    assert_eq!(message.userhash(), Some(userhash(MATRIX, "example.org")));
    assert_eq!(message.nonce(), Some(&nonce[..]));
    assert!(nonce_features(nonce).is_some());
    assert_eq!(message.password_algorithm(), Some(PasswordAlgorithm::SHA256));
    assert!(message.has_integrity_sha256() && !message.has_integrity());
    assert_eq!(message.verify_integrity(&key), Ok(()));

    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::BINDING, id(LONG_ID))
        .userhash(&userhash(MATRIX, "example.org"))
        .nonce(nonce)
        .realm(b"example.org")
        .password_algorithm(PasswordAlgorithm::SHA256)
        .integrity_sha256(&key);
    assert_eq!(out, data);
}

/// RFC 8489, section 9.2.2: the key of user, realm, pass is 0x8493fbc53ba582fb4c044c456bdc40eb.
#[test]
fn rfc_8489_9_2_2_long_term_key() {
    let from_bytes = IntegrityKey::from_bytes(&hex("8493fbc53ba582fb4c044c456bdc40eb"));
    let from_password = IntegrityKey::long_term_md5("user", "realm", "pass").unwrap();
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::ALLOCATE, id(LONG_ID)).integrity(&from_password);
    assert_eq!(
        Message::parse(&out).unwrap().verify_integrity(&from_bytes),
        Ok(())
    );
}

/// THREATS 16: "agents MUST ignore all attributes that follow MESSAGE-INTEGRITY".
#[test]
fn attributes_behind_the_integrity_are_not_seen() {
    let key = IntegrityKey::short_term(PASSWORD);
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::BINDING, id(SHORT_ID))
        .priority(1)
        .integrity(&key)
        .priority(2)
        .use_candidate()
        .attribute(0x7fff, b"new")
        .integrity_sha256(&key)
        .xor_mapped_address("192.0.2.1:1".parse().unwrap())
        .fingerprint();
    let message = Message::parse(&out).unwrap();
    let kinds: Vec<u16> = message.attributes().map(|attribute| attribute.kind).collect();
    let expected = [
        attribute::PRIORITY,
        attribute::MESSAGE_INTEGRITY,
        attribute::MESSAGE_INTEGRITY_SHA256,
        attribute::FINGERPRINT,
    ];
    assert_eq!(kinds, expected);
    assert_eq!((message.priority(), message.use_candidate()), (Some(1), false));
    assert_eq!(message.xor_mapped_address(), None);
    assert_eq!(message.unknown_required(&[attribute::PRIORITY]).count(), 0);
    assert_eq!(message.verify_integrity(&key), Ok(()));
    assert_eq!(message.verify_fingerprint(), Some(true));
}

#[test]
fn a_truncated_sha256_integrity_and_a_fingerprint_that_is_not_last_do_not_count() {
    let key = IntegrityKey::short_term(PASSWORD);
    let mut whole = Vec::new();
    Writer::new(&mut whole, Class::Request, Method::BINDING, id(SHORT_ID)).integrity_sha256(&key);
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::BINDING, id(SHORT_ID))
        .attribute(attribute::MESSAGE_INTEGRITY_SHA256, &whole[24..40])
        .fingerprint()
        .priority(1);
    let message = Message::parse(&out).unwrap();
    assert_eq!(message.verify_integrity(&key), Err(IntegrityError::Length(16)));
    assert_eq!(message.verify_fingerprint(), None);
    let empty = whole[..20]
        .iter()
        .enumerate()
        .map(|(i, b)| if i == 3 { 0 } else { *b })
        .collect::<Vec<_>>();
    assert_eq!(
        Message::parse(&empty).unwrap().verify_integrity(&key),
        Err(IntegrityError::Missing)
    );
}
