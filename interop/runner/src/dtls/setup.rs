//! What a cell of the matrix asks of both ends.

use std::fmt;

/// The version that has to be agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V12,
    V13,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Version::V12 => "1.2",
            Version::V13 => "1.3",
        })
    }
}

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Client => "client",
            Role::Server => "server",
        })
    }
}

/// A key agreement group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    X25519Mlkem768,
    X25519,
    P256,
    P384,
    P521,
}

impl Group {
    /// As our program takes it, and prints it but for capitals.
    pub fn name(self) -> &'static str {
        match self {
            Group::X25519Mlkem768 => "x25519mlkem768",
            Group::X25519 => "x25519",
            Group::P256 => "p256",
            Group::P384 => "p384",
            Group::P521 => "p521",
        }
    }
}

/// The kind of key in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa,
}

impl Key {
    pub const ALL: [Key; 5] = [Key::P256, Key::P384, Key::P521, Key::Ed25519, Key::Rsa];

    pub fn name(self) -> &'static str {
        match self {
            Key::P256 => "p256",
            Key::P384 => "p384",
            Key::P521 => "p521",
            Key::Ed25519 => "ed25519",
            Key::Rsa => "rsa",
        }
    }
}

/// What becomes of the client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Demanded and shown.
    Shown,
    /// Asked for, but the client has none.
    Withheld,
    /// Not asked for.
    Unasked,
}

/// One handshake: what both ends are told, and so what has to come of it.
#[derive(Debug, Clone)]
pub struct Setup {
    pub version: Version,
    pub we: Role,
    /// We offer nothing but `version`; otherwise whatever we can.
    pub only_version: bool,
    /// All that we offer, best first; empty: the defaults. The first has to be agreed on.
    pub our_groups: &'static [Group],
    /// The same for the peer.
    pub their_groups: &'static [Group],
    /// Part of the name of the only cipher suite we offer.
    pub suite: Option<&'static str>,
    pub our_key: Key,
    pub their_key: Key,
    /// We read our certificate from a file instead of making one.
    pub our_file: bool,
    pub client: ClientCertificate,
    pub our_srtp: &'static [u16],
    pub their_srtp: &'static [u16],
    /// The server asks for a cookie.
    pub cookie: bool,
    /// Both ends keep to small datagrams, so that every message comes in pieces.
    pub small: bool,
    pub alpn: bool,
    /// We offer a connection ID, which no peer here takes.
    pub cid: bool,
    /// We change our keys.
    pub key_update: bool,
    /// The peer changes its keys.
    pub their_key_update: bool,
    /// The peer does not know the extended master secret.
    pub legacy: bool,
    /// We expect another certificate than the peer shows.
    pub forged: bool,
    pub peer_closes: bool,
}

impl Setup {
    pub fn new(version: Version, we: Role) -> Setup {
        Setup {
            version,
            we,
            only_version: false,
            our_groups: &[],
            their_groups: &[],
            suite: None,
            our_key: Key::P256,
            their_key: Key::P256,
            our_file: false,
            client: ClientCertificate::Shown,
            our_srtp: &[],
            their_srtp: &[],
            cookie: false,
            small: false,
            alpn: false,
            cid: false,
            key_update: false,
            their_key_update: false,
            legacy: false,
            forged: false,
            peer_closes: false,
        }
    }

    pub fn we_are_client(&self) -> bool {
        self.we == Role::Client
    }

    pub fn we_are_server(&self) -> bool {
        self.we == Role::Server
    }

    /// The peer has a certificate to show.
    pub fn they_show(&self) -> bool {
        self.we_are_client() || self.client == ClientCertificate::Shown
    }

    /// The group that must come of it, if it was laid down.
    pub fn group(&self) -> Option<Group> {
        self.our_groups.first().or(self.their_groups.first()).copied()
    }

    /// The SRTP profile that must come of it: our first that the peer has too.
    pub fn srtp(&self) -> Option<u16> {
        let common = |profile: &&u16| self.their_srtp.contains(profile);
        self.our_srtp.iter().find(common).copied()
    }
}
