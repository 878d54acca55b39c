//! From a client's request to its answer: authentication, then the method (RFC 8656, section 5).

use std::net::SocketAddr;

use dunlin_net::Path;
use dunlin_stun::attribute::{
    CHANNEL_NUMBER, CONNECTION_ID, DATA, DONT_FRAGMENT, EVEN_PORT, LIFETIME, REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT, RESERVATION_TOKEN, XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS,
};
use dunlin_stun::long_term::{Identity, Refusal};
use dunlin_stun::{Class, IntegrityKey, Message, Method, TransactionId, Writer, code as stun_code};
use log::debug;

use super::{Key, Server};
use crate::attribute::{ConnectionId, MobilityTicket};
use crate::code;

/// The attributes beside those of STUN that must be understood and are; the last only where the DF bit can be set.
const KNOWN: [u16; 11] = [
    LIFETIME,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
    REQUESTED_ADDRESS_FAMILY,
    EVEN_PORT,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    CHANNEL_NUMBER,
    CONNECTION_ID,
    DATA,
    DONT_FRAGMENT,
];
/// Bytes of a header and an ERROR-CODE without a reason, and of a FINGERPRINT.
const ERROR_LEN: usize = 28;
const FINGERPRINT_LEN: usize = 8;
/// A Binding answer with a FINGERPRINT: three addresses more where discovery is offered.
const BINDING_LEN: usize = 20 + 24 + FINGERPRINT_LEN;
const DISCOVERY_LEN: usize = BINDING_LEN + 2 * 24;

/// What has to be known of a request to answer it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) path: Path,
    pub(super) method: Method,
    pub(super) id: TransactionId,
    pub(super) fingerprint: bool,
}

/// Whose request it is, and how the answer is signed.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) username: Box<[u8]>,
    key: IntegrityKey,
    sha256: bool,
}

impl Server {
    /// Which attributes are understood here.
    pub(super) fn known(&self) -> &'static [u16] {
        if self.config.dont_fragment {
            &KNOWN
        } else {
            &KNOWN[..KNOWN.len() - 1]
        }
    }

    /// Takes a request.
    pub(super) fn handle_request(&mut self, path: Path, request: &Message<'_>) {
        if request.method() == Method::BINDING {
            return self.answer_binding(path, request);
        }
        let methods = [
            Method::ALLOCATE,
            Method::REFRESH,
            Method::CREATE_PERMISSION,
            Method::CHANNEL_BIND,
            Method::CONNECT,
            Method::CONNECTION_BIND,
        ];
        if !methods.contains(&request.method()) {
            self.stats.dropped_malformed += 1;
            return;
        }
        let session = match self.authenticate(path, request) {
            Ok(session) => session,
            Err(refusal) => return self.challenge(path, request, refusal),
        };
        let origin = Origin {
            path,
            method: request.method(),
            id: request.transaction_id(),
            fingerprint: request.has_fingerprint(),
        };
        let mut unknown = [0; 64];
        let mut count = 0;
        for (place, kind) in unknown.iter_mut().zip(request.unknown_required(self.known())) {
            *place = kind;
            count += 1;
        }
        if count > 0 {
            self.stats.refused += 1;
            return self.reply(origin, &session, Some(stun_code::UNKNOWN_ATTRIBUTE), |writer| {
                writer.unknown_attributes(&unknown[..count]);
            });
        }
        match request.method() {
            Method::ALLOCATE => self.allocate(origin, request, session),
            Method::REFRESH => self.refresh(origin, request, &session),
            Method::CREATE_PERMISSION => self.create_permission(origin, request, &session),
            Method::CHANNEL_BIND => self.channel_bind(origin, request, &session),
            Method::CONNECT => self.connect(origin, request, session),
            _ => self.connection_bind(origin, request, &session),
        }
    }

    fn authenticate(&self, path: Path, request: &Message<'_>) -> Result<Session, Refusal> {
        // A time of 0 makes ephemeral credentials everlasting: the parent has no clock.
        let unix_time = match self.config.unix_time {
            0 => 0,
            start => start + self.age().as_secs(),
        };
        let check = |source: SocketAddr| {
            self.verifier
                .check(self.age(), source, request, |identity, algorithm| {
                    let fits = |key: &IntegrityKey| request.verify_integrity(key).is_ok();
                    let time = match identity {
                        Identity::Name(name) if self.owner(path, request) == Some(name) => 0,
                        _ => unix_time,
                    };
                    self.users.find(identity, algorithm, time, fits)
                })
        };
        let verified = match (check(path.remote), self.control_of(path, request)) {
            (Err(Refusal::StaleNonce), Some(control)) => check(control)?,
            (verified, _) => verified?,
        };
        Ok(Session {
            username: verified.key.username.into_owned().into(),
            key: verified.key.key.into_owned(),
            sha256: verified.sha256,
        })
    }

    /// Who made the allocation that a request is about. Credentials of a shared secret end for new allocations only: calls
    /// go on, as with other servers.
    fn owner(&self, path: Path, request: &Message<'_>) -> Option<&[u8]> {
        if self.config.shared_secrets.is_empty() {
            return None;
        }
        let here = || self.by_client.get(&path);
        let key = match request.method() {
            Method::ALLOCATE => None,
            Method::CONNECTION_BIND => {
                let id = ConnectionId::read(request)?;
                Some(self.connections.get(&id)?.allocation)
            }
            Method::REFRESH => here().or_else(|| {
                let ticket = MobilityTicket::read(request)?;
                Some(self.tickets.read(ticket.0).ok()?.0)
            }),
            _ => here(),
        };
        Some(&self.allocations.get(key?)?.username)
    }

    /// Answers 401, 438 or 400, if the source has credit for it.
    fn challenge(&mut self, path: Path, request: &Message<'_>, refusal: Refusal) {
        match refusal {
            Refusal::Unauthenticated => self.stats.challenges += 1,
            Refusal::StaleNonce => self.stats.stale_nonces += 1,
            Refusal::BadRequest => self.stats.refused += 1,
            Refusal::UnknownUser | Refusal::WrongPassword => self.stats.wrong_credentials += 1,
        }
        debug!("turn: {path}: {refusal}");
        let with_challenge = refusal != Refusal::BadRequest;
        let mut len = ERROR_LEN;
        len += if with_challenge {
            self.verifier.challenge_len()
        } else {
            0
        };
        len += if request.has_fingerprint() {
            FINGERPRINT_LEN
        } else {
            0
        };
        if !self.may_answer(path, request.as_bytes().len(), len) {
            return;
        }
        let age = self.age();
        let verifier = &self.verifier;
        self.outbox.push(path, |out| {
            // No reason in words, and no SOFTWARE: the answer is larger than the request as it is.
            let mut writer = Writer::error(out, request, refusal.code(), "");
            if with_challenge {
                verifier.challenge(age, path.remote, &mut writer);
            }
            if request.has_fingerprint() {
                writer.fingerprint();
            }
            debug_assert_eq!(writer.finish(), len);
        });
    }

    fn answer_binding(&mut self, path: Path, request: &Message<'_>) {
        let asked = request.as_bytes().len();
        let Some(server) = self.config.binding.clone() else {
            return;
        };
        let answer = if server.discovery.is_some() {
            DISCOVERY_LEN
        } else {
            BINDING_LEN
        };
        if !self.may_answer(path, asked, answer) {
            return;
        }
        self.stats.bindings += 1;
        // The answer may leave by another listener.
        self.scratch.clear();
        if let Some(transmit) = server.answer(path, request.as_bytes(), &mut self.scratch) {
            let answer = &self.scratch;
            self.outbox
                .push(transmit.path, |out| out.extend_from_slice(answer));
        }
    }

    /// Whether a source that has proved nothing may be answered, and the queue has room.
    fn may_answer(&mut self, path: Path, asked: usize, answer: usize) -> bool {
        if !self.limiter.allows(path.remote.ip(), asked, answer, self.now) {
            self.stats.dropped_limited += 1;
            return false;
        }
        self.has_room()
    }

    fn has_room(&mut self) -> bool {
        let room = self.outbox.len() < self.config.max_queued_bytes;
        self.stats.dropped_queue_full += u64::from(!room);
        room
    }

    /// The allocation of a request's 5-tuple, if it is the user's: RFC 8656, section 5: "if the 5-tuple does not
    /// identify an existing allocation, then the message MUST [...] be rejected with a 437"; "but; the request does not
    /// use the same username as used to create the allocation, then the request MUST be rejected with a 441".
    pub(super) fn own_allocation(&self, origin: Origin, session: &Session) -> Result<Key, u16> {
        let key = self.by_client.get(&origin.path);
        let allocation = key.and_then(|key| self.allocations.get(key));
        match (key, allocation) {
            (Some(key), Some(allocation)) if allocation.pending.is_none() => {
                if allocation.username == session.username {
                    Ok(key)
                } else {
                    Err(code::WRONG_CREDENTIALS)
                }
            }
            _ => Err(code::ALLOCATION_MISMATCH),
        }
    }

    /// Queues the signed answer to a request.
    pub(super) fn reply(
        &mut self,
        origin: Origin,
        session: &Session,
        error: Option<u16>,
        write: impl FnOnce(&mut Writer<'_>),
    ) {
        if !self.has_room() {
            return;
        }
        let methods = [Method::ALLOCATE, Method::REFRESH];
        let software = self.config.software.as_deref();
        let software = software.filter(|_| methods.contains(&origin.method));
        self.outbox.push(origin.path, |out| {
            let class = if error.is_some() {
                Class::Error
            } else {
                Class::Success
            };
            let mut writer = Writer::new(out, class, origin.method, origin.id);
            if let Some(code) = error {
                writer.error_code(code, reason(code));
            }
            write(&mut writer);
            if let Some(software) = software {
                writer.software(software);
            }
            if session.sha256 {
                writer.integrity_sha256(&session.key);
            } else {
                writer.integrity(&session.key);
            }
            if origin.fingerprint {
                writer.fingerprint();
            }
        });
    }

    /// Queues a signed error.
    pub(super) fn refuse(&mut self, origin: Origin, session: &Session, code: u16) {
        debug!("turn: {}: {:?} refused with {code}", origin.path, origin.method);
        self.stats.refused += 1;
        self.reply(origin, session, Some(code), |_| {});
    }

    /// Queues a success, or the error.
    pub(super) fn conclude(&mut self, origin: Origin, session: &Session, result: Result<(), u16>) {
        match result {
            Ok(()) => {
                self.stats.granted += 1;
                self.reply(origin, session, None, |_| {});
            }
            Err(code) => self.refuse(origin, session, code),
        }
    }
}

/// The reason phrases of RFC 8489, RFC 8656, RFC 6062 and RFC 8016.
fn reason(code: u16) -> &'static str {
    match code {
        stun_code::TRY_ALTERNATE => "Try Alternate",
        stun_code::BAD_REQUEST => "Bad Request",
        code::FORBIDDEN => "Forbidden",
        code::MOBILITY_FORBIDDEN => "Mobility Forbidden",
        stun_code::UNKNOWN_ATTRIBUTE => "Unknown Attribute",
        code::ALLOCATION_MISMATCH => "Allocation Mismatch",
        code::ADDRESS_FAMILY_NOT_SUPPORTED => "Address Family not Supported",
        code::WRONG_CREDENTIALS => "Wrong Credentials",
        code::UNSUPPORTED_TRANSPORT_PROTOCOL => "Unsupported Transport Protocol",
        code::PEER_ADDRESS_FAMILY_MISMATCH => "Peer Address Family Mismatch",
        code::CONNECTION_ALREADY_EXISTS => "Connection Already Exists",
        code::CONNECTION_TIMEOUT_OR_FAILURE => "Connection Timeout or Failure",
        code::ALLOCATION_QUOTA_REACHED => "Allocation Quota Reached",
        code::INSUFFICIENT_CAPACITY => "Insufficient Capacity",
        _ => "",
    }
}
