//! The worked exchange of RFC 8656, section 20, message by message, and what must not be answered.

use std::time::Duration;

use dunlin_stun::{
    AddressFamily, Class, ErrorCode, IntegrityError, IntegrityKey, Message, Method, PasswordAlgorithm,
    TransactionId, Writer, attribute as kinds,
};
use dunlin_turn::attribute::{
    AdditionalAddressFamily, AddressErrorCode, ConnectionId, DontFragment, EvenPort, Icmp, Lifetime,
    MobilityTicket, RequestedAddressFamily, RequestedTransport, ReservationToken,
};
use dunlin_turn::{Authenticator, ChallengeError, ChannelData, ChannelNumber, Credentials, code};

const NONCE: &[u8] = b"obMatJos2gAAAadl7W7PeDU4hKE72jda";
const BOTH: [PasswordAlgorithm; 2] = [PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5];

fn id() -> TransactionId {
    TransactionId([
        0xA5, 0x62, 0x50, 0xD3, 0xF1, 0x7A, 0xBE, 0x67, 0x94, 0x22, 0xDE, 0x85,
    ])
}

fn george() -> Credentials {
    Credentials {
        username: "George".to_owned(),
        password: "secret".to_owned(),
    }
}

fn challenge(nonce: &[u8], algorithms: &[PasswordAlgorithm]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Class::Error, Method::ALLOCATE, id());
    writer
        .error_code(401, "Unauthorized")
        .realm(b"example.com")
        .nonce(nonce);
    if !algorithms.is_empty() {
        writer.password_algorithms(algorithms);
    }
    out
}

/// ```text
/// client                             server
///   |--- Allocate request -------------->|
///   |<-- 401, REALM, NONCE --------------|
///   |--- Allocate request, signed ------>|
///   |<-- Allocate success, signed -------|
/// ```
#[test]
fn an_allocation_as_in_section_20() {
    let challenge = challenge(NONCE, &BOTH);
    let auth = Authenticator::answer(&george(), &Message::parse(&challenge).unwrap()).unwrap();

    let mut request = Vec::new();
    let mut writer = Writer::new(&mut request, Class::Request, Method::ALLOCATE, id());
    Lifetime(Duration::from_secs(3600)).write(&mut writer);
    RequestedTransport::UDP.write(&mut writer);
    DontFragment.write(&mut writer);
    auth.authenticate(&mut writer);

    // The server's side of it.
    let request = Message::parse(&request).unwrap();
    assert_eq!(
        Lifetime::read(&request),
        Some(Lifetime(Duration::from_secs(3600)))
    );
    assert_eq!(RequestedTransport::read(&request), Some(RequestedTransport::UDP));
    assert_eq!(DontFragment::read(&request), Some(DontFragment));
    assert_eq!(
        (request.username(), request.userhash()),
        (Some(&b"George"[..]), None)
    );
    assert_eq!(
        (request.realm(), request.nonce()),
        (Some(&b"example.com"[..]), Some(NONCE))
    );
    assert_eq!(request.password_algorithm(), Some(PasswordAlgorithm::SHA256));
    assert_eq!(
        request
            .password_algorithms()
            .unwrap()
            .map(|(algorithm, _)| algorithm)
            .collect::<Vec<_>>(),
        BOTH
    );
    assert!(request.has_integrity_sha256() && !request.has_integrity());
    let key = IntegrityKey::long_term_sha256("George", "example.com", "secret");
    assert_eq!(request.verify_integrity(&key), Ok(()));

    let mut response = Vec::new();
    let mut writer = Writer::success(&mut response, &request);
    Lifetime(Duration::from_secs(1200)).write(&mut writer);
    writer
        .xor_relayed_address("192.0.2.15:50000".parse().unwrap())
        .xor_mapped_address("192.0.2.1:7000".parse().unwrap())
        .integrity_sha256(&key);
    let response = Message::parse(&response).unwrap();
    assert_eq!(auth.verify(&response), Ok(()));
    assert_eq!(
        response.xor_relayed_address(),
        Some("192.0.2.15:50000".parse().unwrap())
    );
    assert_eq!(
        Lifetime::read(&response),
        Some(Lifetime(Duration::from_secs(1200)))
    );

    // The same response with the weaker integrity only is not believed.
    let mut weaker = Vec::new();
    Writer::success(&mut weaker, &request).integrity(&key);
    assert_eq!(
        auth.verify(&Message::parse(&weaker).unwrap()),
        Err(IntegrityError::Missing)
    );
}

#[test]
fn a_server_of_rfc_5389_gets_md5_and_message_integrity() {
    let challenge = challenge(b"0123456789abcdef", &[]);
    let auth = Authenticator::answer(&george(), &Message::parse(&challenge).unwrap()).unwrap();
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Class::Request, Method::CHANNEL_BIND, id());
    ChannelNumber::MIN.write(&mut writer);
    writer.xor_peer_address("192.0.2.210:49191".parse().unwrap());
    auth.authenticate(&mut writer);
    let request = Message::parse(&out).unwrap();
    let key = IntegrityKey::long_term_md5("George", "example.com", "secret").unwrap();
    assert_eq!(request.verify_integrity(&key), Ok(()));
    assert!(request.has_integrity() && !request.has_integrity_sha256());
    assert_eq!(request.attribute(kinds::PASSWORD_ALGORITHM), None);
    assert_eq!(ChannelNumber::read(&request), Some(Ok(ChannelNumber::MIN)));
}

#[test]
fn an_anonymous_user_sends_a_hash() {
    let challenge = challenge(b"obMatJos2wAAAnonce", &BOTH);
    let auth = Authenticator::answer(&george(), &Message::parse(&challenge).unwrap()).unwrap();
    let mut out = Vec::new();
    auth.authenticate(&mut Writer::new(&mut out, Class::Request, Method::REFRESH, id()));
    let request = Message::parse(&out).unwrap();
    assert_eq!(
        (request.username(), request.userhash()),
        (None, Some(dunlin_stun::userhash("George", "example.com")))
    );
}

#[test]
fn challenges_that_must_not_be_answered() {
    let answer = |data: &[u8]| {
        Authenticator::answer(&george(), &Message::parse(data).unwrap())
            .map(|_| ())
            .unwrap_err()
    };
    // RFC 8489, section 9.2.5: the bit without the attribute.
    assert_eq!(answer(&challenge(NONCE, &[])), ChallengeError::BidDown);
    assert_eq!(
        answer(&challenge(NONCE, &[PasswordAlgorithm(77)])),
        ChallengeError::NoCommonAlgorithm
    );
    assert_eq!(answer(&challenge(&[b'x'; 764], &[])), ChallengeError::Incomplete);
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Error, Method::ALLOCATE, id()).error_code(401, "");
    assert_eq!(answer(&out), ChallengeError::Incomplete);
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Error, Method::ALLOCATE, id())
        .error_code(code::FORBIDDEN, "")
        .realm(b"r")
        .nonce(b"n");
    assert_eq!(answer(&out), ChallengeError::NotAChallenge);
}

#[test]
fn every_attribute_survives() {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Class::Request, Method::ALLOCATE, id());
    let address_error = AddressErrorCode {
        family: AddressFamily::Ipv6,
        error: ErrorCode {
            code: code::ADDRESS_FAMILY_NOT_SUPPORTED,
            reason: "no IPv6 here",
        },
    };
    let icmp = Icmp {
        kind: 3,
        code: 4,
        data: 1280,
    };
    EvenPort { reserve_next: true }.write(&mut writer);
    ReservationToken(*b"reserved").write(&mut writer);
    RequestedAddressFamily(Ok(AddressFamily::Ipv4)).write(&mut writer);
    AdditionalAddressFamily(Err(9)).write(&mut writer);
    address_error.write(&mut writer);
    icmp.write(&mut writer);
    ConnectionId(0xdead_beef).write(&mut writer);
    MobilityTicket(b"ticket").write(&mut writer);
    let message = Message::parse(&out).unwrap();
    assert_eq!(EvenPort::read(&message), Some(EvenPort { reserve_next: true }));
    assert_eq!(
        ReservationToken::read(&message),
        Some(ReservationToken(*b"reserved"))
    );
    assert_eq!(
        RequestedAddressFamily::read(&message),
        Some(RequestedAddressFamily(Ok(AddressFamily::Ipv4)))
    );
    assert_eq!(
        AdditionalAddressFamily::read(&message),
        Some(AdditionalAddressFamily(Err(9)))
    );
    assert_eq!(AddressErrorCode::read(&message), Some(address_error));
    assert_eq!(Icmp::read(&message), Some(icmp));
    assert_eq!(ConnectionId::read(&message), Some(ConnectionId(0xdead_beef)));
    assert_eq!(MobilityTicket::read(&message), Some(MobilityTicket(b"ticket")));
    assert_eq!(Lifetime::read(&message), None);
}

/// RFC 8656, figure 16.
#[test]
fn channel_data_as_in_section_20() {
    let mut out = Vec::new();
    let wrote = ChannelData::write_datagram(&mut out, ChannelNumber::MIN, |out| {
        out.extend_from_slice(b"data for peer B");
        true
    });
    assert!(wrote);
    assert_eq!(out[..4], [0x40, 0x00, 0, 15]);
    let read = ChannelData::parse(&out).unwrap();
    assert_eq!(
        read,
        ChannelData {
            channel: ChannelNumber::MIN,
            data: b"data for peer B"
        }
    );
}
