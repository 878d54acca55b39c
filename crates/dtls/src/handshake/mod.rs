//! A handshake at one of its states, whichever version it comes to. It begins here: `client` sends the ClientHello that
//! offers all versions, `server` waits for one; the first ServerHello decides, and `v12` or `v13` goes on.

pub(crate) mod client;
pub(crate) mod cookie;
pub(crate) mod server;

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Instant;

use bytes::Bytes;
use dunlin_crypto::agreement::Group;
use dunlin_crypto::signature::SignatureScheme;
use dunlin_crypto::signature::VerifyingKey;
use rand::rngs::StdRng;

use crate::acks::Acks;
use crate::certificate::PeerIdentity;
use crate::close::HandshakeError;
use crate::config::{Config, Role};
use crate::connection::Event;
use crate::flight::Flight;
use crate::fragment::HandshakeMessage;
use crate::message::HandshakeType;
use crate::record::Records;
use crate::stats::Stats;
use crate::suite::CipherSuite;
use crate::version::Version;
use crate::{v12, v13};

/// What a handshake works with beside its own state.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    pub(crate) rng: &'a mut StdRng,
    pub(crate) flight: &'a mut Flight,
    pub(crate) records: &'a mut Records,
    pub(crate) acks: &'a mut Acks,
    pub(crate) stats: &'a mut Stats,
    pub(crate) events: &'a mut VecDeque<Event>,
    /// Set when the caller has to say whether it accepts the peer before the handshake goes on.
    pub(crate) asks: &'a mut bool,
    /// Set when the client's address is proved.
    pub(crate) address_proved: &'a mut bool,
    /// The number of the record that completed the message.
    pub(crate) record_sequence: u64,
}

impl Context<'_> {
    /// Sends what was pushed as the flight after the peer's message `answers`.
    pub(crate) fn send_flight(&mut self, answers: Option<u16>, last: bool) {
        self.stats.flights += 1;
        // The peer's flight is acknowledged by this one.
        self.acks.clear();
        self.flight.start(self.now, answers, last);
    }

    /// Whose key the chain shows; the caller is asked about it if it wants to be.
    pub(crate) fn check_peer(&mut self, chain: &[&[u8]]) -> Result<VerifyingKey, HandshakeError> {
        let key = self.config.peer.check(chain)?;
        if self.config.peer == PeerIdentity::Ask {
            let chain = chain.iter().map(|der| Bytes::copy_from_slice(der)).collect();
            self.events.push_back(Event::PeerCertificate(chain));
            *self.asks = true;
        }
        Ok(key)
    }

    /// A line of the key log: what it is, the client's random value, the secret (the NSS key log format).
    pub(crate) fn log_key(&mut self, label: &str, client_random: &[u8; 32], secret: &[u8]) {
        if self.config.key_log {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let line = format!("{label} {} {}", hex(client_random), hex(secret));
            self.events.push_back(Event::KeyLog(line));
        }
    }
}

/// A handshake at one of its states.
#[derive(Debug)]
pub(crate) enum Handshake {
    /// The ClientHello is out.
    Offered(client::Offer),
    /// No ClientHello came that could be answered.
    Listening(server::Listening),
    Client12(v12::client::State),
    Server12(v12::server::State),
    Client13(v13::client::State),
    Server13(v13::server::State),
}

/// What a message led to.
#[derive(Debug)]
pub(crate) enum Step {
    Continue(Handshake),
    /// A ClientHello that cannot be answered: the state is the same as before.
    Refused(Handshake, HandshakeError),
    Done(Box<Established>),
}

impl Handshake {
    /// A client's first flight goes out at once.
    pub(crate) fn start(cx: &mut Context<'_>) -> Result<Self, HandshakeError> {
        match cx.config.role {
            Role::Client => client::start(cx).map(Self::Offered),
            Role::Server => Ok(Self::Listening(server::Listening::new(cx))),
        }
    }

    pub(crate) fn handle(
        self,
        message: &HandshakeMessage,
        cx: &mut Context<'_>,
    ) -> Result<Step, HandshakeError> {
        match self {
            Self::Offered(state) => state.handle(message, cx).map(Step::Continue),
            Self::Listening(state) => match state.handle(message, cx) {
                Ok(next) => Ok(Step::Continue(next)),
                // A ClientHello proves nothing about its sender: THREATS 3.
                Err(error) => Ok(Step::Refused(Self::Listening(state), error)),
            },
            Self::Client12(state) => state.handle(message, cx),
            Self::Server12(state) => state.handle(message, cx),
            Self::Client13(state) => state.handle(message, cx),
            Self::Server13(state) => state.handle(message, cx),
        }
    }

    /// The message that is due.
    pub(crate) fn waiting_for(&self) -> HandshakeType {
        match self {
            Self::Offered(_) => HandshakeType::SERVER_HELLO,
            Self::Listening(_) => HandshakeType::CLIENT_HELLO,
            Self::Client12(state) => state.waiting_for(),
            Self::Server12(state) => state.waiting_for(),
            Self::Client13(state) => state.waiting_for(),
            Self::Server13(state) => state.waiting_for(),
        }
    }

    /// The version, once it is clear.
    pub(crate) fn version(&self) -> Option<Version> {
        match self {
            Self::Offered(offer) => offer.is_retried().then_some(Version::Dtls13),
            Self::Listening(_) => None,
            Self::Client12(_) | Self::Server12(_) => Some(Version::Dtls12),
            Self::Client13(_) | Self::Server13(_) => Some(Version::Dtls13),
        }
    }

    /// The epochs that the message that is due may come in.
    pub(crate) fn epochs(&self) -> RangeInclusive<u64> {
        match self {
            Self::Offered(_) | Self::Listening(_) => 0..=0,
            Self::Client12(_) | Self::Server12(_) => {
                let epoch = u64::from(self.waiting_for() == HandshakeType::FINISHED);
                epoch..=epoch
            }
            Self::Client13(_) | Self::Server13(_) => 2..=2,
        }
    }
}

/// The result of a handshake.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) suite: CipherSuite,
    pub(crate) group: Group,
    pub(crate) srtp_profile: Option<u16>,
    pub(crate) alpn: Option<Vec<u8>>,
    /// What the peer signed with; `None`: it showed no certificate.
    pub(crate) peer_scheme: Option<SignatureScheme>,
    /// In DER, the peer's own first; empty if it has none and need not.
    pub(crate) peer_chain: Vec<Bytes>,
    /// The number of the peer's Finished.
    pub(crate) peer_finished: u16,
    pub(crate) secrets: Secrets,
}

/// What keys are derived from when the handshake is over.
#[derive(Debug)]
pub(crate) enum Secrets {
    V12(v12::Secrets),
    V13(Box<v13::live::Live>),
}

impl Established {
    pub(crate) fn version(&self) -> Version {
        self.suite.version()
    }
}

/// Copies a chain of certificates out of the message that it came in.
pub(crate) fn own_chain(chain: &[&[u8]]) -> Vec<Bytes> {
    chain.iter().map(|der| Bytes::copy_from_slice(der)).collect()
}
