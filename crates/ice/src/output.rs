//! Writes the agent's STUN messages (RFC 8445, sections 7.1 and 7.3). Nothing is written before `poll_transmit` asks:
//! what waits are small values.

use dunlin_net::{Path, Transmit, Transport};
use dunlin_stun::attribute::USERNAME;
use dunlin_stun::{Class, Method, TransactionId, Writer, code};

use crate::agent::Agent;
use crate::credentials::Generation;
use crate::role::Role;
use crate::stats::DropReason;
use crate::tcp::frame;
use crate::transactions::Purpose;

/// Attributes that were not understood, and [`NO_ATTRIBUTE`]: more than four at once are named by nobody's mistake.
pub(crate) type Unknown = [u16; 4];

/// No attribute that has to be understood: its type is optional (RFC 8489, section 14).
pub(crate) const NO_ATTRIBUTE: u16 = u16::MAX;

/// All was understood.
pub(crate) const ALL_KNOWN: Unknown = [NO_ATTRIBUTE; 4];

/// A message that waits to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// The request of a transaction.
    Request(TransactionId),
    /// A success response.
    Success {
        path: Path,
        id: TransactionId,
        generation: u32,
    },
    /// An error response.
    Error {
        path: Path,
        id: TransactionId,
        code: u16,
        /// Of the key that signs it, if the request was authentic.
        generation: u32,
        authentic: bool,
        unknown: Unknown,
    },
    /// A keepalive.
    Indication(Path),
}

impl Agent {
    pub(crate) fn enqueue(&mut self, outgoing: Outgoing) {
        if self.queue.len() >= self.config.max_queued {
            self.stats.drops.count(DropReason::QueueFull);
            return;
        }
        self.queue.push_back(outgoing);
    }

    pub(crate) fn generation(&self, number: u32) -> Option<&Generation> {
        let generations = std::iter::once(&self.current).chain(self.previous.as_deref());
        generations
            .into_iter()
            .find(|generation| generation.number == number)
    }

    /// Appends the message with the framing of its relay, if it leaves through one.
    pub(crate) fn write_framed(&mut self, outgoing: &Outgoing, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.relays.is_empty() && !self.gatherer.has_tcp() {
            return self.write(outgoing, out).map(Transmit::new);
        }
        let mut message = std::mem::take(&mut self.scratch);
        message.clear();
        let sent = self.write(outgoing, &mut message).and_then(|path| {
            let write = |out: &mut Vec<u8>| {
                out.extend_from_slice(&message);
                true
            };
            match self.gatherer.base(path.local, path.transport)?.relay {
                Some(relay) => self.relays.send(relay, out, path.remote, write),
                None => match path.transport {
                    Transport::Tcp => frame(out, write),
                    _ => write(out),
                }
                .then(|| Transmit::new(path)),
            }
        });
        self.scratch = message;
        sent
    }

    /// Appends the message, unless what it is about is gone by now.
    pub(crate) fn write(&mut self, outgoing: &Outgoing, out: &mut Vec<u8>) -> Option<Path> {
        match *outgoing {
            Outgoing::Request(id) => self.write_request(id, out),
            Outgoing::Success { path, id, generation } => {
                let key = &self.generation(generation)?.local.key;
                // RFC 8445, section 7.3: the response carries XOR-MAPPED-ADDRESS; RFC 8489, section 9.1.4 wants
                // the integrity of the request's key and no USERNAME.
                Writer::new(out, Class::Success, Method::BINDING, id)
                    .xor_mapped_address(path.remote)
                    .integrity(key)
                    .fingerprint();
                self.stats.responses_sent += 1;
                Some(path)
            }
            Outgoing::Error {
                path,
                id,
                code,
                generation,
                authentic,
                unknown,
            } => {
                let key = match authentic {
                    true => Some(&self.generation(generation)?.local.key),
                    false => None,
                };
                let mut writer = Writer::new(out, Class::Error, Method::BINDING, id);
                writer.error_code(code, reason(code));
                let count = unknown.iter().take_while(|kind| **kind != NO_ATTRIBUTE).count();
                if count > 0 {
                    writer.unknown_attributes(&unknown[..count]);
                }
                if let Some(key) = key {
                    writer.integrity(key);
                }
                writer.fingerprint();
                self.stats.errors_sent += 1;
                Some(path)
            }
            Outgoing::Indication(path) => {
                // RFC 8445, section 11: the keepalive is "a STUN Binding Indication" that "SHOULD contain the
                // FINGERPRINT attribute" and no integrity.
                let id = TransactionId::random(&mut self.rng);
                Writer::new(out, Class::Indication, Method::BINDING, id).fingerprint();
                Some(path)
            }
        }
    }

    fn write_request(&mut self, id: TransactionId, out: &mut Vec<u8>) -> Option<Path> {
        let transaction = self.transactions.get(id)?;
        let generation = self.generation(transaction.generation)?;
        let remote = generation.remote.as_ref()?;
        let (path, purpose) = (transaction.path, transaction.purpose);
        let mut writer = Writer::new(out, Class::Request, Method::BINDING, id);
        // RFC 8445, section 7.2.2: "The username for the credential is formed by concatenating the username fragment
        // provided by the peer with the username fragment of the ICE agent sending the request, separated by a
        // colon", and "The password is equal to the password provided by the peer."
        let (theirs, ours) = (remote.ufrag().as_bytes(), generation.local.ufrag().as_bytes());
        writer.attribute_parts(USERNAME, &[theirs, b":", ours]);
        writer.priority(transaction.priority);
        match transaction.role {
            Role::Controlling => writer.ice_controlling(transaction.tie_breaker),
            Role::Controlled => writer.ice_controlled(transaction.tie_breaker),
        };
        if purpose == (Purpose::Check { nominate: true }) {
            writer.use_candidate();
            if let Some((dialect, number)) = transaction.nomination {
                dialect.write(&mut writer, number);
            }
        }
        writer.integrity(&remote.key).fingerprint();
        match purpose {
            Purpose::Check { .. } => self.stats.checks_sent += 1,
            Purpose::Consent => self.stats.consent_checks_sent += 1,
        }
        if let Some(pair) = self.transactions.get(id).map(|t| t.pair)
            && let Some(pair) = self.list.get_mut(pair)
        {
            pair.requests_sent = pair.requests_sent.saturating_add(1);
        }
        Some(path)
    }
}

/// The reason phrase of RFC 8489, section 14.8.
fn reason(error: u16) -> &'static str {
    match error {
        code::BAD_REQUEST => "Bad Request",
        code::UNAUTHENTICATED => "Unauthenticated",
        code::UNKNOWN_ATTRIBUTE => "Unknown Attribute",
        code::ROLE_CONFLICT => "Role Conflict",
        _ => "",
    }
}
