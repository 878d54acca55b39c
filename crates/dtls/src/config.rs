//! What a connection is told before it starts.

use std::time::Duration;

use dunlin_crypto::agreement::Group;
use dunlin_crypto::certificate::Certificate;
use dunlin_crypto::signature::SignatureScheme;

use crate::certificate::{DEFAULT_SCHEMES, PeerIdentity};
use crate::extension::supported_groups;
use crate::suite::CipherSuite;
use crate::version::Version;

/// Who speaks first. In WebRTC `a=setup:active` is the client (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends the ClientHello.
    Client,
    /// Waits for it.
    Server,
}

/// What a server wants of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientAuth {
    /// A certificate, as WebRTC has it (RFC 8827, section 6.5).
    Required,
    /// A certificate, if the client has one; what it shows has to fit [`Config::peer`].
    Optional,
    /// Nothing: no certificate is asked for.
    Off,
}

/// A secret that cookies are made with. Several connections, or processes, of one server share it.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieSecret(pub [u8; 32]);

impl std::fmt::Debug for CookieSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CookieSecret")
    }
}

/// What a server knows of the address that its client's datagrams come from (RFC 9147, section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAddress {
    /// Something below has proved that the client receives there: under ICE that is so.
    Proved,
    /// Nothing. Until the client has shown that it receives, no more than three times the bytes that came from it are
    /// sent, as RFC 9147, section 5.1, wants it.
    Unproved,
    /// Nothing, and before anything else the client has to bring back a cookie: a HelloVerifyRequest in DTLS 1.2 (RFC
    /// 6347, section 4.2.1), a HelloRetryRequest in 1.3. It costs a round trip.
    ///
    /// The cookie holds all that the server needs to know, so a server on the open internet need not keep a
    /// connection before [`Connection::is_address_proved`](crate::Connection::is_address_proved): another connection
    /// with the same secret and address takes the second ClientHello as well.
    Cookie {
        /// What cookies are made with; the same for all connections of a server. Change it now and then.
        secret: CookieSecret,
        /// The client's address and port, in any form that is the same for both of its ClientHellos.
        address: Vec<u8>,
    },
}

/// Why a configuration cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A server has to show a certificate.
    #[error("a DTLS server needs a certificate, and `Config::certificate` is None")]
    NoCertificate,
    /// The versions allow none, or no suite or group belongs to one of them.
    #[error("no version from {min} to {max} has a cipher suite and a group in the configuration")]
    NoVersion {
        /// [`Config::min_version`].
        min: Version,
        /// [`Config::max_version`].
        max: Version,
    },
    /// Nothing that the peer could sign with.
    #[error("`Config::signature_schemes` is empty")]
    NoSignatureScheme,
    /// A connection ID of more than 255 bytes.
    #[error("a connection ID has at most 255 bytes, not {0}")]
    ConnectionId(usize),
    /// The name of an application protocol that is empty or longer than 255 bytes.
    #[error("the name of an application protocol has 1 to 255 bytes, not {0}")]
    ApplicationProtocol(usize),
    /// A record size limit that the protocol does not have.
    #[error("a record size limit is 64 to 16385, not {0}")]
    RecordSizeLimit(u16),
}

/// What a connection is told before it starts. Made by [`Config::new`]; every other field has a default.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Who speaks first.
    pub role: Role,
    /// Our certificate and its key. `None`: a client that shows none. A server needs one.
    pub certificate: Option<Certificate>,
    /// Who the peer has to be.
    pub peer: PeerIdentity,
    /// As a server: whether the client has to show a certificate. Default: [`ClientAuth::Required`].
    pub client_auth: ClientAuth,
    /// The lowest version that is accepted. Default: DTLS 1.2.
    pub min_version: Version,
    /// The highest version that is offered or accepted. Default: DTLS 1.3. A version without a suite in
    /// [`Config::cipher_suites`] is not used either.
    pub max_version: Version,
    /// Cipher suites, best first, of both versions; the server's order decides. The RSA suites of DTLS 1.2 are for
    /// servers whose certificate is RSA. Default: [`CipherSuite::ALL`].
    pub cipher_suites: Vec<CipherSuite>,
    /// Key agreement groups, best first; the server's order decides, but one that the client has sent a share of is
    /// taken before one that costs a round trip. A client's list also says which curves the server's certificate may
    /// be on in DTLS 1.2 (RFC 8422, section 5.1), so keep P-256 in it, where almost all are. DTLS 1.2 passes over
    /// X25519MLKEM768.
    ///
    /// A client of DTLS 1.3 sends a share of the first group and, if that is X25519MLKEM768, of the next one that is
    /// not post-quantum, too. Default: X25519MLKEM768, X25519, P-256, P-384, P-521.
    pub groups: Vec<Group>,
    /// Signature schemes, best first, that the peer may sign with and that we sign with. Default: all that there are.
    pub signature_schemes: Vec<SignatureScheme>,
    /// SRTP protection profiles (RFC 5764, section 4.1.2), best first; the server's order decides. Empty, the
    /// default: `use_srtp` is neither offered nor answered.
    pub srtp_profiles: Vec<u16>,
    /// As a client: the name of the server that is meant (RFC 6066, section 3), where several share an address. It only
    /// asks for a certificate; whether that is the right one is for [`PeerIdentity`] to say. An address is not sent.
    /// Default: none.
    pub server_name: Option<String>,
    /// Application protocols (RFC 7301), best first; the server's order decides. A server with a list refuses a client
    /// whose list has nothing in common with it; a client without a list is welcome. Default: none.
    pub alpn: Vec<Vec<u8>>,
    /// The connection ID that the peer is to put into its records (RFC 9146; RFC 9147, section 9), at most 255 bytes;
    /// empty: none, but we put the peer's into ours. `None`, the default: not offered and not answered.
    pub connection_id: Option<Vec<u8>>,
    /// The most content, in bytes, that the peer may put into a protected record (RFC 8449): 64 to 16,385. `None`, the
    /// default: the protocol's own limit of 16,384, which is not mentioned.
    pub record_size_limit: Option<u16>,
    /// Whether a peer of DTLS 1.2 without the extended master secret (RFC 7627) is refused. Default: true.
    pub require_extended_master_secret: bool,
    /// As a server: what is known of the client's address. Default: [`ClientAddress::Proved`], which is right under
    /// ICE and wrong on the open internet.
    pub client_address: ClientAddress,
    /// Whether [`Event::KeyLog`](crate::Event::KeyLog) hands out the connection's secrets, for debugging with a
    /// packet analyser. Default: false.
    pub key_log: bool,
    /// Records that are sealed with one key of DTLS 1.3 before a KeyUpdate. Default: 2^23 (RFC 8446, section 5.5,
    /// allows 2^24.5 full-size records with AES-GCM).
    pub key_update_after: u64,
    /// Forged records after which the connection ends. At half of it DTLS 1.3 changes the keys. Default: 2^36 (RFC
    /// 9147, section 4.5.3).
    pub max_forgeries: u64,
    /// Time before the first retransmission of a flight; each further one waits twice as long. Default: 400 ms
    /// ("It is RECOMMENDED that for DTLS-SRTP, a default timeout of 400 ms be used", RFC 9147, section 5.8.2). When
    /// a flight was answered, or [`Connection::set_round_trip`](crate::Connection::set_round_trip) told, one and a
    /// half of the round trip takes its place.
    pub initial_timeout: Duration,
    /// The longest time between two retransmissions. Default: 60 s (RFC 6347, section 4.2.4.1).
    pub max_timeout: Duration,
    /// Time for the whole handshake, from [`Connection::new`](crate::Connection::new) on. Default: 30 s.
    pub handshake_timeout: Duration,
    /// How long a bad sign without proof is doubted: an alert before there are keys, or a ClientHello that
    /// cannot be answered. Both can come from anybody. If the handshake gets no further in this time, the sign
    /// is believed and the connection closes for that reason. Default: 2 s.
    pub doubt: Duration,
    /// Largest datagram of the handshake, in bytes. Default: 1200. When such datagrams seem to vanish, the handshake
    /// goes on with 548 and then 256 bytes (RFC 9147, section 4.4).
    pub max_datagram: usize,
    /// Largest handshake message from the peer, in bytes. Default: 16 KiB, room for a chain of certificates.
    pub max_message: usize,
    /// Most bytes of unfinished handshake messages from the peer; and most bytes of records that wait for their
    /// keys. Default: 32 KiB.
    pub max_reassembly: usize,
    /// Most records that wait for their keys because the network reordered them. Default: 16.
    pub max_early_records: usize,
    /// Most events that wait for `poll_event`; application data beyond it is dropped. Default: 1024.
    pub max_events: usize,
}

impl Config {
    /// A configuration with every other field at its default.
    #[must_use]
    pub fn new(role: Role, certificate: impl Into<Option<Certificate>>, peer: PeerIdentity) -> Self {
        Self {
            role,
            certificate: certificate.into(),
            peer,
            client_auth: ClientAuth::Required,
            min_version: Version::Dtls12,
            max_version: Version::Dtls13,
            cipher_suites: CipherSuite::ALL.to_vec(),
            groups: vec![
                Group::X25519MlKem768,
                Group::X25519,
                Group::P256,
                Group::P384,
                Group::P521,
            ],
            signature_schemes: DEFAULT_SCHEMES.to_vec(),
            srtp_profiles: Vec::new(),
            server_name: None,
            alpn: Vec::new(),
            connection_id: None,
            record_size_limit: None,
            require_extended_master_secret: true,
            client_address: ClientAddress::Proved,
            key_log: false,
            key_update_after: 1 << 23,
            max_forgeries: 1 << 36,
            initial_timeout: Duration::from_millis(400),
            max_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(30),
            doubt: Duration::from_secs(2),
            max_datagram: 1200,
            max_message: 16 * 1024,
            max_reassembly: 32 * 1024,
            max_early_records: 16,
            max_events: 1024,
        }
    }

    /// Whether a connection can begin with this.
    ///
    /// # Errors
    /// What is wrong first; [`Connection::new`](crate::Connection::new) closes at once for the same reason.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.role == Role::Server && self.certificate.is_none() {
            return Err(ConfigError::NoCertificate);
        }
        if ![Version::Dtls12, Version::Dtls13]
            .into_iter()
            .any(|version| self.allows(version))
        {
            let (min, max) = (self.min_version, self.max_version);
            return Err(ConfigError::NoVersion { min, max });
        }
        if self.signature_schemes.is_empty() {
            return Err(ConfigError::NoSignatureScheme);
        }
        if let Some(cid) = self.connection_id.as_ref().filter(|cid| cid.len() > 255) {
            return Err(ConfigError::ConnectionId(cid.len()));
        }
        if let Some(name) = self.alpn.iter().find(|name| !(1..=255).contains(&name.len())) {
            return Err(ConfigError::ApplicationProtocol(name.len()));
        }
        match self.record_size_limit {
            Some(limit) if !(64..=16_385).contains(&limit) => Err(ConfigError::RecordSizeLimit(limit)),
            _ => Ok(()),
        }
    }

    /// Whether a version may be negotiated.
    pub(crate) fn allows(&self, version: Version) -> bool {
        (self.min_version..=self.max_version).contains(&version)
            && self.cipher_suites.iter().any(|suite| suite.version() == version)
            && self
                .groups
                .iter()
                .any(|group| version == Version::Dtls13 || !supported_groups::is_1_3_only(*group))
    }

    /// The suites of the versions that may be negotiated, best first.
    pub(crate) fn suites(&self) -> impl Iterator<Item = CipherSuite> {
        let suites = self.cipher_suites.iter().copied();
        suites.filter(|suite| self.allows(suite.version()))
    }

    /// The first of our application protocols that is among the peer's.
    pub(crate) fn common_protocol(&self, offered: &[Vec<u8>]) -> Option<Vec<u8>> {
        self.alpn.iter().find(|ours| offered.contains(ours)).cloned()
    }

    /// The first of our SRTP profiles that is among the peer's.
    pub(crate) fn common_profile(&self, offered: &[u16]) -> Option<u16> {
        self.srtp_profiles
            .iter()
            .copied()
            .find(|ours| offered.contains(ours))
    }
}
