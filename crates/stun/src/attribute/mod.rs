//! Attribute types (IANA "STUN Parameters"), and one file per family with the getters of [`Message`] and the
//! setters of [`Writer`].
//!
//! Types below 0x8000 are comprehension-required, the others comprehension-optional (RFC 8489, section 14).
//!
//! [`Message`]: crate::Message
//! [`Writer`]: crate::Writer

pub(crate) mod address;
pub(crate) mod change_request;
pub(crate) mod credential;
pub(crate) mod error_code;
pub(crate) mod ice;
pub(crate) mod relay;
pub(crate) mod text;

/// MAPPED-ADDRESS (RFC 8489, section 14.1).
pub const MAPPED_ADDRESS: u16 = 0x0001;
/// CHANGE-REQUEST (RFC 5780).
pub const CHANGE_REQUEST: u16 = 0x0003;
/// USERNAME (RFC 8489, section 14.3).
pub const USERNAME: u16 = 0x0006;
/// MESSAGE-INTEGRITY (RFC 8489, section 14.5).
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
/// ERROR-CODE (RFC 8489, section 14.8).
pub const ERROR_CODE: u16 = 0x0009;
/// UNKNOWN-ATTRIBUTES (RFC 8489, section 14.13).
pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
/// CHANNEL-NUMBER (RFC 8656).
pub const CHANNEL_NUMBER: u16 = 0x000C;
/// LIFETIME (RFC 8656).
pub const LIFETIME: u16 = 0x000D;
/// XOR-PEER-ADDRESS (RFC 8656).
pub const XOR_PEER_ADDRESS: u16 = 0x0012;
/// DATA (RFC 8656).
pub const DATA: u16 = 0x0013;
/// REALM (RFC 8489, section 14.9).
pub const REALM: u16 = 0x0014;
/// NONCE (RFC 8489, section 14.10).
pub const NONCE: u16 = 0x0015;
/// XOR-RELAYED-ADDRESS (RFC 8656).
pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
/// REQUESTED-ADDRESS-FAMILY (RFC 8656).
pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
/// EVEN-PORT (RFC 8656).
pub const EVEN_PORT: u16 = 0x0018;
/// REQUESTED-TRANSPORT (RFC 8656).
pub const REQUESTED_TRANSPORT: u16 = 0x0019;
/// DONT-FRAGMENT (RFC 8656).
pub const DONT_FRAGMENT: u16 = 0x001A;
/// ACCESS-TOKEN (RFC 7635).
pub const ACCESS_TOKEN: u16 = 0x001B;
/// MESSAGE-INTEGRITY-SHA256 (RFC 8489, section 14.6).
pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
/// PASSWORD-ALGORITHM (RFC 8489, section 14.12).
pub const PASSWORD_ALGORITHM: u16 = 0x001D;
/// USERHASH (RFC 8489, section 14.4).
pub const USERHASH: u16 = 0x001E;
/// XOR-MAPPED-ADDRESS (RFC 8489, section 14.2).
pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// RESERVATION-TOKEN (RFC 8656).
pub const RESERVATION_TOKEN: u16 = 0x0022;
/// PRIORITY (RFC 8445, section 16.1).
pub const PRIORITY: u16 = 0x0024;
/// USE-CANDIDATE (RFC 8445, section 16.1).
pub const USE_CANDIDATE: u16 = 0x0025;
/// NOMINATION (draft-thatcher-tsvwg-renomination), once the ICE option `renomination2` is agreed on.
pub const NOMINATION: u16 = 0x0030;
/// PADDING (RFC 5780).
pub const PADDING: u16 = 0x0026;
/// RESPONSE-PORT (RFC 5780).
pub const RESPONSE_PORT: u16 = 0x0027;
/// CONNECTION-ID (RFC 6062).
pub const CONNECTION_ID: u16 = 0x002A;
/// ADDITIONAL-ADDRESS-FAMILY (RFC 8656).
pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
/// ADDRESS-ERROR-CODE (RFC 8656).
pub const ADDRESS_ERROR_CODE: u16 = 0x8001;
/// PASSWORD-ALGORITHMS (RFC 8489, section 14.11).
pub const PASSWORD_ALGORITHMS: u16 = 0x8002;
/// ALTERNATE-DOMAIN (RFC 8489, section 14.16).
pub const ALTERNATE_DOMAIN: u16 = 0x8003;
/// ICMP (RFC 8656).
pub const ICMP: u16 = 0x8004;
/// SOFTWARE (RFC 8489, section 14.14).
pub const SOFTWARE: u16 = 0x8022;
/// ALTERNATE-SERVER (RFC 8489, section 14.15).
pub const ALTERNATE_SERVER: u16 = 0x8023;
/// TRANSACTION_TRANSMIT_COUNTER (RFC 7982).
pub const TRANSACTION_TRANSMIT_COUNTER: u16 = 0x8025;
/// CACHE-TIMEOUT (RFC 5780).
pub const CACHE_TIMEOUT: u16 = 0x8027;
/// FINGERPRINT (RFC 8489, section 14.7).
pub const FINGERPRINT: u16 = 0x8028;
/// ICE-CONTROLLED (RFC 8445, section 16.1).
pub const ICE_CONTROLLED: u16 = 0x8029;
/// ICE-CONTROLLING (RFC 8445, section 16.1).
pub const ICE_CONTROLLING: u16 = 0x802A;
/// RESPONSE-ORIGIN (RFC 5780).
pub const RESPONSE_ORIGIN: u16 = 0x802B;
/// OTHER-ADDRESS (RFC 5780).
pub const OTHER_ADDRESS: u16 = 0x802C;
/// ECN-CHECK (RFC 6679).
pub const ECN_CHECK: u16 = 0x802D;
/// THIRD-PARTY-AUTHORIZATION (RFC 7635).
pub const THIRD_PARTY_AUTHORIZATION: u16 = 0x802E;
/// MOBILITY-TICKET (RFC 8016).
pub const MOBILITY_TICKET: u16 = 0x8030;
/// NOMINATION as libwebrtc and Pion send it once the ICE option `renomination` is agreed on. The number is registered to
/// somebody else, so that it means this only then.
pub const GOOG_NOMINATION: u16 = 0xC001;
/// GOOG-NETWORK-INFO (registered by Google).
pub const GOOG_NETWORK_INFO: u16 = 0xC057;
/// GOOG-LAST-ICE-CHECK-RECEIVED (registered by Google).
pub const GOOG_LAST_ICE_CHECK_RECEIVED: u16 = 0xC058;
/// GOOG-MISC-INFO (registered by Google).
pub const GOOG_MISC_INFO: u16 = 0xC059;
/// GOOG-DELTA (registered by Google).
pub const GOOG_DELTA: u16 = 0xC05C;
/// GOOG-DELTA-ACK (registered by Google).
pub const GOOG_DELTA_ACK: u16 = 0xC05D;
/// GOOG-DELTA-SYNC-REQ (registered by Google).
pub const GOOG_DELTA_SYNC_REQ: u16 = 0xC05E;
/// GOOG-MESSAGE-INTEGRITY-32 (registered by Google).
pub const GOOG_MESSAGE_INTEGRITY_32: u16 = 0xC060;
/// META-DTLS-IN-STUN (draft-hancke-webrtc-sped).
pub const META_DTLS_IN_STUN: u16 = 0xC070;
/// META-DTLS-IN-STUN-ACKNOWLEDGEMENT (draft-hancke-webrtc-sped).
pub const META_DTLS_IN_STUN_ACKNOWLEDGEMENT: u16 = 0xC071;

/// Whether RFC 8489, section 18.3, defines this type and wants it understood.
pub(crate) const fn is_base(kind: u16) -> bool {
    matches!(
        kind,
        MAPPED_ADDRESS
            | USERNAME
            | MESSAGE_INTEGRITY
            | ERROR_CODE
            | UNKNOWN_ATTRIBUTES
            | REALM
            | NONCE
            | MESSAGE_INTEGRITY_SHA256
            | PASSWORD_ALGORITHM
            | USERHASH
            | XOR_MAPPED_ADDRESS
    )
}
