//! The rows of the matrix: what each is called, what it proves and what it changes.

use super::setup::{ClientCertificate, Group, Key, Setup, Version};

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    /// The versions that have such a thing.
    pub versions: &'static [Version],
    pub apply: fn(&mut Setup),
}

const BOTH: &[Version] = &[Version::V12, Version::V13];
const OLD: &[Version] = &[Version::V12];
const NEW: &[Version] = &[Version::V13];

const fn case(
    name: &'static str,
    versions: &'static [Version],
    apply: fn(&mut Setup),
    what: &'static str,
) -> Case {
    Case {
        name,
        what,
        versions,
        apply,
    }
}

/// Every row.
pub const CASES: &[Case] = &[
    case(
        "plain",
        BOTH,
        |_| {},
        "both ends as they are, certificates both ways, the exporter compared",
    ),
    case(
        "only-this-version",
        BOTH,
        |s| s.only_version = true,
        "we offer no other version",
    ),
    case(
        "our-group-hybrid",
        NEW,
        |s| s.our_groups = &[Group::X25519Mlkem768],
        "we know no group but X25519MLKEM768",
    ),
    case(
        "our-group-x25519",
        BOTH,
        |s| s.our_groups = &[Group::X25519, Group::P256],
        "we prefer X25519 (P-256 stays, for the certificates)",
    ),
    case("our-group-p256", BOTH, |s| ours(s, &[Group::P256], Key::P256), ""),
    case("our-group-p384", BOTH, |s| ours(s, &[Group::P384], Key::P384), ""),
    case("our-group-p521", BOTH, |s| ours(s, &[Group::P521], Key::P521), ""),
    case(
        "their-group-p256",
        BOTH,
        |s| theirs(s, &[Group::P256], Key::P256),
        "the peer knows no other group; in 1.3 the server asks for it with a HelloRetryRequest",
    ),
    case(
        "their-group-p384",
        BOTH,
        |s| theirs(s, &[Group::P384], Key::P384),
        "",
    ),
    case(
        "their-group-p521",
        BOTH,
        |s| theirs(s, &[Group::P521], Key::P521),
        "",
    ),
    case(
        "suite-ecdsa-aes128",
        OLD,
        |s| suite(s, "ECDHE_ECDSA_WITH_AES_128_GCM", Key::P256),
        "",
    ),
    case(
        "suite-ecdsa-aes256",
        OLD,
        |s| suite(s, "ECDHE_ECDSA_WITH_AES_256_GCM", Key::P256),
        "",
    ),
    case(
        "suite-ecdsa-chacha20",
        OLD,
        |s| suite(s, "ECDHE_ECDSA_WITH_CHACHA20", Key::P256),
        "",
    ),
    case(
        "suite-rsa-aes128",
        OLD,
        |s| suite(s, "ECDHE_RSA_WITH_AES_128_GCM", Key::Rsa),
        "",
    ),
    case(
        "suite-rsa-aes256",
        OLD,
        |s| suite(s, "ECDHE_RSA_WITH_AES_256_GCM", Key::Rsa),
        "",
    ),
    case(
        "suite-rsa-chacha20",
        OLD,
        |s| suite(s, "ECDHE_RSA_WITH_CHACHA20", Key::Rsa),
        "",
    ),
    case(
        "suite-aes128",
        NEW,
        |s| suite(s, "TLS_AES_128_GCM", Key::P256),
        "",
    ),
    case(
        "suite-aes256",
        NEW,
        |s| suite(s, "TLS_AES_256_GCM", Key::P256),
        "",
    ),
    case("suite-chacha20", NEW, |s| suite(s, "TLS_CHACHA20", Key::P256), ""),
    case("our-key-p384", BOTH, |s| s.our_key = Key::P384, "our certificate"),
    case("our-key-p521", BOTH, |s| s.our_key = Key::P521, ""),
    case("our-key-ed25519", BOTH, |s| s.our_key = Key::Ed25519, ""),
    case("our-key-rsa", BOTH, |s| s.our_key = Key::Rsa, ""),
    case(
        "our-key-from-file",
        BOTH,
        |s| s.our_file = true,
        "a certificate and key made by OpenSSL",
    ),
    case(
        "their-key-p384",
        BOTH,
        |s| s.their_key = Key::P384,
        "the peer's certificate",
    ),
    case("their-key-p521", BOTH, |s| s.their_key = Key::P521, ""),
    case("their-key-ed25519", BOTH, |s| s.their_key = Key::Ed25519, ""),
    case("their-key-rsa", BOTH, |s| s.their_key = Key::Rsa, ""),
    case(
        "client-without-cert",
        BOTH,
        |s| s.client = ClientCertificate::Withheld,
        "the server asks for a certificate and does without",
    ),
    case(
        "client-not-asked",
        BOTH,
        |s| s.client = ClientCertificate::Unasked,
        "the server asks for no certificate",
    ),
    case(
        "srtp-aes128-cm",
        BOTH,
        |s| srtp(s, &[1]),
        "use_srtp, profile SRTP_AES128_CM_HMAC_SHA1_80",
    ),
    case(
        "srtp-aes128-gcm",
        BOTH,
        |s| srtp(s, &[7]),
        "profile SRTP_AEAD_AES_128_GCM",
    ),
    case(
        "srtp-aes256-gcm",
        BOTH,
        |s| srtp(s, &[8]),
        "profile SRTP_AEAD_AES_256_GCM",
    ),
    case(
        "srtp-refused",
        BOTH,
        |s| s.our_srtp = &[8, 7, 1],
        "we offer use_srtp, the peer knows nothing of it",
    ),
    case(
        "cookie",
        BOTH,
        |s| s.cookie = true,
        "the server first asks for a cookie: HelloVerifyRequest, HelloRetryRequest",
    ),
    case(
        "fragments",
        BOTH,
        |s| s.small = true,
        "datagrams of some 300 bytes: every large message in pieces",
    ),
    case("alpn", BOTH, |s| s.alpn = true, "both offer the protocol webrtc"),
    case(
        "connection-id",
        BOTH,
        |s| s.cid = true,
        "we offer a connection ID, the peer does not take it",
    ),
    case(
        "key-update",
        NEW,
        |s| s.key_update = true,
        "we change our keys before the data",
    ),
    case(
        "their-key-update",
        NEW,
        |s| s.their_key_update = true,
        "the peer changes its keys after every second record",
    ),
    case(
        "legacy",
        OLD,
        |s| s.legacy = true,
        "the peer does not know the extended master secret, and we go on without",
    ),
    case(
        "wrong-fingerprint",
        BOTH,
        |s| s.forged = true,
        "another certificate than we expect ends the handshake",
    ),
    case(
        "peer-closes",
        BOTH,
        |s| s.peer_closes = true,
        "the peer says goodbye and we notice",
    ),
];

/// In 1.2 a list of groups also says which curves certificates may have (RFC 8422, section 5.1.1).
fn ours(setup: &mut Setup, groups: &'static [Group], key: Key) {
    setup.our_groups = groups;
    (setup.our_key, setup.their_key) = (key, key);
}

fn theirs(setup: &mut Setup, groups: &'static [Group], key: Key) {
    setup.their_groups = groups;
    (setup.our_key, setup.their_key) = (key, key);
}

fn suite(setup: &mut Setup, part: &'static str, key: Key) {
    setup.only_version = true;
    setup.suite = Some(part);
    (setup.our_key, setup.their_key) = (key, key);
}

fn srtp(setup: &mut Setup, profiles: &'static [u16]) {
    setup.our_srtp = profiles;
    setup.their_srtp = profiles;
}
