//! The full handshake of DTLS 1.2 (RFC 5246, section 7.3; flights: RFC 6347, section 4.2.4):
//!
//! ```text
//! client                                              server
//!   ClientHello                     -------->
//!                                   <--------         [HelloVerifyRequest]
//!   [ClientHello with cookie]       -------->
//!                                                     ServerHello
//!                                                     Certificate
//!                                                     ServerKeyExchange
//!                                                     CertificateRequest
//!                                   <--------         ServerHelloDone
//!   Certificate
//!   ClientKeyExchange
//!   CertificateVerify
//!   ChangeCipherSpec, Finished      -------->
//!                                   <--------         ChangeCipherSpec, Finished
//! ```
//!
//! `client` and `server` tell it as states in this order: each takes the message that it waits for and becomes
//! the next. ChangeCipherSpec is not among them: the epoch in each record says the same, and cannot be lost.

pub(crate) mod client;
pub(crate) mod keys;
pub(crate) mod server;

use std::time::Instant;

use dunlin_crypto::agreement::Group;
use rand::rngs::StdRng;

use crate::close::HandshakeError;
use crate::config::{Config, Role};
use crate::flight::Flight;
use crate::fragment::HandshakeMessage;
use crate::message::{HandshakeType, finished};
use crate::record::Records;
use crate::stats::Stats;
use crate::suite::CipherSuite;
use keys::MasterSecret;

/// What a handshake works with beside its own state.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    pub(crate) rng: &'a mut StdRng,
    pub(crate) flight: &'a mut Flight,
    pub(crate) records: &'a mut Records,
    pub(crate) stats: &'a mut Stats,
    /// The number of the record that completed the message.
    pub(crate) record_sequence: u64,
}

impl Context<'_> {
    /// Sends what was pushed as the flight after the peer's message `answers`.
    fn send_flight(&mut self, answers: Option<u16>, last: bool) {
        self.stats.flights += 1;
        self.flight.start(self.now, answers, last);
    }
}

/// A handshake at one of its states.
#[derive(Debug)]
pub(crate) enum Handshake {
    Client(client::State),
    Server(server::State),
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
    pub(crate) fn start(cx: &mut Context<'_>) -> Self {
        match cx.config.role {
            Role::Client => Self::Client(client::start(cx)),
            Role::Server => Self::Server(server::start(cx)),
        }
    }

    pub(crate) fn handle(
        self,
        message: &HandshakeMessage,
        cx: &mut Context<'_>,
    ) -> Result<Step, HandshakeError> {
        match self {
            Self::Client(state) => state.handle(message, cx),
            Self::Server(state) => state.handle(message, cx),
        }
    }

    /// The message that is due.
    pub(crate) fn waiting_for(&self) -> HandshakeType {
        match self {
            Self::Client(state) => state.waiting_for(),
            Self::Server(state) => state.waiting_for(),
        }
    }

    /// The epoch that the message that is due comes in.
    pub(crate) fn epoch(&self) -> u16 {
        u16::from(self.waiting_for() == HandshakeType::FINISHED)
    }
}

/// What both hellos agreed on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Negotiated {
    pub(crate) client_random: [u8; 32],
    pub(crate) server_random: [u8; 32],
    pub(crate) suite: CipherSuite,
    pub(crate) extended_master_secret: bool,
    pub(crate) srtp_profile: Option<u16>,
}

/// The result of a handshake.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) negotiated: Negotiated,
    pub(crate) group: Group,
    pub(crate) master_secret: MasterSecret,
    /// In DER; empty if the peer has none and need not.
    pub(crate) peer_certificate: Vec<u8>,
    /// The number of the peer's Finished.
    pub(crate) peer_finished: u16,
}

/// The last state of either side: everything is agreed on, and the peer's Finished has to prove it.
#[derive(Debug)]
pub(crate) struct ExpectFinished {
    negotiated: Negotiated,
    group: Group,
    master_secret: MasterSecret,
    peer_certificate: Vec<u8>,
    transcript: Vec<u8>,
}

impl ExpectFinished {
    fn verify(&self, sender: Role, message: &HandshakeMessage) -> Result<(), HandshakeError> {
        let body = message.expect(HandshakeType::FINISHED)?;
        let theirs = finished::parse(body).map_err(HandshakeError::malformed("Finished"))?;
        let ours = self
            .master_secret
            .verify_data(self.negotiated.suite, sender, &self.transcript);
        if dunlin_crypto::hmac::constant_time_eq(&theirs, &ours) {
            Ok(())
        } else {
            Err(HandshakeError::BadFinished)
        }
    }

    fn established(self, message: &HandshakeMessage) -> Step {
        Step::Done(Box::new(Established {
            negotiated: self.negotiated,
            group: self.group,
            master_secret: self.master_secret,
            peer_certificate: self.peer_certificate,
            peer_finished: message.message_seq,
        }))
    }
}
