//! What a connection is told before it starts.

use std::time::Duration;

use dunlin_crypto::agreement::Group;
use dunlin_crypto::certificate::Certificate;

use crate::certificate::PeerIdentity;
use crate::suite::CipherSuite;

/// Who speaks first. In WebRTC `a=setup:active` is the client (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends the ClientHello.
    Client,
    /// Waits for it.
    Server,
}

/// What a connection is told before it starts. Made by [`Config::new`]; every other field has a default.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Who speaks first.
    pub role: Role,
    /// Our certificate and its key. A server asks for the client's certificate too (RFC 8827, section 6.5).
    pub certificate: Certificate,
    /// Who the peer has to be.
    pub peer: PeerIdentity,
    /// Cipher suites, best first; the server's order decides. A server's certificate of ours is never RSA, so
    /// the RSA suites matter to clients only. Default: [`CipherSuite::ALL`].
    pub cipher_suites: Vec<CipherSuite>,
    /// Key agreement groups, best first; the server's order decides. A client's list also says which curves the
    /// server's certificate may be on (RFC 8422, section 5.1), so keep P-256 in it, where almost all are.
    /// Default: X25519, P-256, P-384.
    pub groups: Vec<Group>,
    /// SRTP protection profiles (RFC 5764, section 4.1.2), best first; the server's order decides. Empty, the
    /// default: `use_srtp` is neither offered nor answered.
    pub srtp_profiles: Vec<u16>,
    /// Whether a peer without the extended master secret (RFC 7627) is refused. Default: true.
    pub require_extended_master_secret: bool,
    /// As a server: whether the client first has to show that it receives what is sent to it, by a cookie (RFC
    /// 6347, section 4.2.1). Costs a round trip. Default: false, because under ICE the path is already proved.
    pub cookie: bool,
    /// Time before the first retransmission of a flight; each further one waits twice as long. Default: 400 ms
    /// ("It is RECOMMENDED that for DTLS-SRTP, a default timeout of 400 ms be used", RFC 9147, section 5.8.2).
    pub initial_timeout: Duration,
    /// The longest time between two retransmissions. Default: 60 s (RFC 6347, section 4.2.4.1).
    pub max_timeout: Duration,
    /// Time for the whole handshake, from [`Connection::new`](crate::Connection::new) on. Default: 30 s.
    pub handshake_timeout: Duration,
    /// How long a bad sign without proof is doubted: an alert before there are keys, or a ClientHello that
    /// cannot be answered. Both can come from anybody. If the handshake gets no further in this time, the sign
    /// is believed and the connection closes for that reason. Default: 2 s.
    pub doubt: Duration,
    /// Largest datagram of the handshake, in bytes. Default: 1200.
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
    pub fn new(role: Role, certificate: Certificate, peer: PeerIdentity) -> Self {
        Self {
            role,
            certificate,
            peer,
            cipher_suites: CipherSuite::ALL.to_vec(),
            groups: vec![Group::X25519, Group::P256, Group::P384],
            srtp_profiles: Vec::new(),
            require_extended_master_secret: true,
            cookie: false,
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
}
