//! The peer's checks (RFC 8445, section 7.3): who sent them, what they are answered, and what is learned from them.

use dunlin_net::Path;
use dunlin_stun::attribute::{PRIORITY, USE_CANDIDATE, USERNAME};
use dunlin_stun::{Message, code};
use log::{debug, info};

use crate::agent::Agent;
use crate::candidate::{Address, Candidate, Kind, same_address};
use crate::consent::Consent;
use crate::event::Event;
use crate::output::Outgoing;
use crate::pair::{Outcome, PairId, PairState};
use crate::role::{Conflict, Role, detect_conflict};
use crate::stats::Drop;

/// The comprehension-required attributes that a check may carry.
const KNOWN: [u16; 3] = [USERNAME, PRIORITY, USE_CANDIDATE];

/// The least size of a request that is answered without being authentic: no answer is longer, so that nobody can
/// make us amplify.
const MIN_REFUSABLE: usize = 64;

/// A check that came before the peer's credentials were known. It was answered; what follows from it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EarlyCheck {
    path: Path,
    /// The sender's username fragment.
    ufrag: String,
    priority: u32,
    use_candidate: bool,
}

impl Agent {
    pub(crate) fn handle_request(&mut self, path: Path, request: &Message<'_>) {
        // RFC 8445, section 7.1: the agent "MUST use the FINGERPRINT mechanism"; RFC 8489, section 7: a message whose
        // fingerprint is missing or wrong then is silently discarded.
        if request.verify_fingerprint() != Some(true) {
            return self.drop(Drop::Fingerprint, path);
        }
        // RFC 8489, section 9.1.3: without integrity and USERNAME the error is 400, with a wrong username or
        // integrity 401.
        let Some((ours, theirs)) = request.username().and_then(split_username) else {
            return self.refuse(path, request, code::BAD_REQUEST, Drop::Unauthenticated);
        };
        if !request.has_integrity() && !request.has_integrity_sha256() {
            return self.refuse(path, request, code::BAD_REQUEST, Drop::Unauthenticated);
        }
        // RFC 8445, section 7.3: "the left-hand part of the colon" is our username fragment. Those of past
        // generations are known as long as their pair is in use, no longer (THREATS 18).
        let Some(generation) = self.generation_of(ours, theirs) else {
            return self.refuse(path, request, code::UNAUTHENTICATED, Drop::UnknownUfrag);
        };
        let key = self
            .generation(generation)
            .map(|generation| &generation.local.key);
        if key.is_none_or(|key| request.verify_integrity(key).is_err()) {
            return self.refuse(path, request, code::UNAUTHENTICATED, Drop::WrongPassword);
        }
        self.stats.requests_received += 1;
        self.handle_authentic_request(path, request, generation, theirs);
    }

    /// From here on the sender has proved to know our password.
    fn handle_authentic_request(&mut self, path: Path, request: &Message<'_>, generation: u32, theirs: &str) {
        let id = request.transaction_id();
        let error = |code, unknown| Outgoing::Error {
            path,
            id,
            code,
            generation: Some(generation),
            unknown,
        };
        if let Some(kind) = request.unknown_required(&KNOWN).next() {
            self.enqueue(error(code::UNKNOWN_ATTRIBUTE, Some(kind)));
            return self.drop(Drop::UnknownAttribute, path);
        }
        // RFC 8445, section 7.1.1: "The PRIORITY attribute MUST be included in a Binding request"; a consent check
        // on a known pair does without.
        let Some(priority) = request
            .priority()
            .or_else(|| self.known_priority(path, generation))
        else {
            self.enqueue(error(code::BAD_REQUEST, None));
            return self.drop(Drop::NoPriority, path);
        };
        let remote = self
            .generation(generation)
            .and_then(|generation| generation.remote.as_ref());
        let from_peer = remote.is_some_and(|side| side.ufrag() == theirs);
        if generation == self.current.number && (from_peer || remote.is_none()) && self.has_conflict(request)
        {
            self.enqueue(error(code::ROLE_CONFLICT, None));
            return;
        }
        self.enqueue(Outgoing::Success { path, id, generation });
        if from_peer {
            self.on_check(path, generation, priority, request.use_candidate());
        } else {
            self.keep_early(EarlyCheck {
                path,
                ufrag: theirs.to_owned(),
                priority,
                use_candidate: request.use_candidate(),
            });
        }
    }

    /// Whether the request must be refused because both sides have the same role. Switches the role where that is
    /// the repair.
    fn has_conflict(&mut self, request: &Message<'_>) -> bool {
        let controlling = request.ice_controlling().map(|value| (Role::Controlling, value));
        let claimed = controlling.or_else(|| request.ice_controlled().map(|value| (Role::Controlled, value)));
        match detect_conflict(self.role, self.tie_breaker, claimed) {
            Conflict::None => false,
            // RFC 8445, section 6.1.1: a lite agent has no choice, nor has the peer of one.
            _ if self.config.lite || self.remote_lite => false,
            Conflict::Refuse => {
                self.stats.role_conflicts += 1;
                true
            }
            Conflict::Switch => {
                self.stats.role_conflicts += 1;
                self.switch_role();
                false
            }
        }
    }

    /// RFC 8445, section 7.3.1.1: the agent switches and "MUST recompute pair priorities".
    pub(crate) fn switch_role(&mut self) {
        self.take_role(self.role.opposite());
        info!("ice: both sides had the same role; now {}", self.role);
        self.push_event(Event::RoleChanged(self.role));
    }

    /// Takes a role without a word about it.
    pub(crate) fn take_role(&mut self, role: Role) {
        self.role = role;
        self.list.set_role(role);
        self.timers.nominate_at = None;
    }

    /// What an authentic check of the peer means (RFC 8445, sections 7.3.1.3 to 7.3.1.5).
    fn on_check(&mut self, path: Path, generation: u32, priority: u32, use_candidate: bool) {
        let now = self.now;
        let settled = generation != self.current.number || self.nominated.is_some();
        let nominates = use_candidate && self.role == Role::Controlled;
        let known = self.list.find(path, generation).map(|pair| pair.id);
        let id = match known {
            Some(id) => id,
            // After the choice only a new choice of the peer makes pairs again.
            None if settled && !nominates => return,
            None => match self.pair_for_check(path, priority) {
                Some(id) => id,
                None => return,
            },
        };
        let Some(pair) = self.list.get_mut(id).filter(|pair| !pair.is_dead()) else {
            return;
        };
        pair.requests_received = pair.requests_received.saturating_add(1);
        pair.last_heard = now;
        if nominates {
            pair.use_candidate_at = Some(now);
        }
        if self.config.lite {
            self.grant_to_lite(id);
        }
        let Some(pair) = self.list.get(id) else { return };
        if pair.is_valid() {
            if nominates {
                self.accept_nomination(id);
            }
        } else if !settled || nominates {
            self.trigger_check(id);
        }
    }

    /// RFC 8445, section 7.3.1.4: "If the state of that pair is Succeeded, nothing further is done. If In-Progress,
    /// the agent cancels the In-Progress transaction. [...] the agent MUST create a new connectivity check", and if
    /// "Waiting, Frozen, or Failed, the agent MUST add the candidate pair to the triggered-check queue".
    fn trigger_check(&mut self, id: PairId) {
        let Some(pair) = self.list.get_mut(id) else { return };
        if pair.state == PairState::InProgress {
            self.transactions.cancel_checks(id);
        }
        pair.state = PairState::Waiting;
        self.list.trigger(id);
    }

    /// A lite agent sends no checks: the peer's are its proof, and renew what stands for consent.
    fn grant_to_lite(&mut self, id: PairId) {
        let (now, config) = (self.now, &self.config);
        let Some(pair) = self.list.get_mut(id) else { return };
        match &mut pair.consent {
            Some(consent) => consent.renew(now, config),
            None => pair.consent = Some(Consent::granted(now, config, &mut self.rng)),
        }
        pair.state = PairState::Succeeded;
        pair.outcome = Outcome::Valid;
    }

    /// The pair that a check came on, with a peer-reflexive remote candidate if its address is new.
    ///
    /// RFC 8445, section 7.3.1.3: "The priority of the candidate is the value of the PRIORITY attribute in the
    /// Binding request", and its foundation "an arbitrary value, different from the foundations of all other".
    fn pair_for_check(&mut self, path: Path, priority: u32) -> Option<PairId> {
        let base = self.gatherer.base(path.local, path.transport)?.clone();
        if !self.config.remote_filter.allows(path.remote) {
            self.drop(Drop::CandidateDenied, path);
            return None;
        }
        let at_source = |candidate: &&Candidate| {
            candidate
                .address
                .socket()
                .is_some_and(|address| same_address(address, path.remote))
        };
        let remote = match self.remote.iter().find(at_source) {
            Some(signalled) => signalled.clone(),
            None => {
                let learned = |pair: &&crate::pair::Pair| pair.remote.kind == Kind::PeerReflexive;
                if self.list.iter().filter(learned).count() >= self.config.max_peer_reflexive {
                    self.drop(Drop::TooManyPeerReflexive, path);
                    return None;
                }
                self.peer_reflexive_seen = self.peer_reflexive_seen.wrapping_add(1);
                debug!("ice: peer-reflexive remote candidate {}", path.remote);
                let foundation = format!("prflx{}", self.peer_reflexive_seen);
                Candidate::udp(Kind::PeerReflexive, path.remote, priority, foundation)
            }
        };
        self.add_pair(&base, &remote)
    }

    fn known_priority(&self, path: Path, generation: u32) -> Option<u32> {
        self.list.find(path, generation).map(|pair| pair.remote.priority)
    }

    /// RFC 8445, section 7.3: an agent "MUST be prepared to receive" checks before it has the peer's description.
    fn keep_early(&mut self, check: EarlyCheck) {
        if let Some(known) = self
            .early
            .iter_mut()
            .find(|known| known.path == check.path && known.ufrag == check.ufrag)
        {
            known.use_candidate |= check.use_candidate;
            return;
        }
        if self.early.len() >= self.config.max_early_checks {
            return self.drop(Drop::TooManyEarlyChecks, check.path);
        }
        debug!(
            "ice: a check on {} came before the peer's description",
            check.path
        );
        self.early.push_back(check);
    }

    /// The peer's description is here: what its early checks mean can be told now.
    pub(crate) fn replay_early(&mut self) {
        let Some(remote) = &self.current.remote else {
            return;
        };
        let ufrag = remote.ufrag().to_owned();
        for check in std::mem::take(&mut self.early) {
            if check.ufrag == ufrag {
                self.on_check(
                    check.path,
                    self.current.number,
                    check.priority,
                    check.use_candidate,
                );
            }
        }
    }

    /// The generation with our username fragment `ours`, best the one whose peer is `theirs`.
    fn generation_of(&self, ours: &str, theirs: &str) -> Option<u32> {
        let all = || {
            std::iter::once(&self.current)
                .chain(&self.previous)
                .filter(|g| g.local.ufrag() == ours)
        };
        let exact = all().find(|g| g.remote.as_ref().is_some_and(|remote| remote.ufrag() == theirs));
        exact.or_else(|| all().next()).map(|generation| generation.number)
    }

    fn refuse(&mut self, path: Path, request: &Message<'_>, code: u16, reason: Drop) {
        self.drop(reason, path);
        if request.as_bytes().len() >= MIN_REFUSABLE {
            let id = request.transaction_id();
            self.enqueue(Outgoing::Error {
                path,
                id,
                code,
                generation: None,
                unknown: None,
            });
        }
    }

    /// A signalled candidate takes the place of the peer-reflexive one that was learned at its address (RFC 8838,
    /// section 11.4).
    pub(crate) fn replace_peer_reflexive(&mut self, candidate: &Candidate) {
        let role = self.role;
        let Address::Socket(address) = candidate.address else {
            return;
        };
        for pair in self
            .list
            .iter_mut()
            .filter(|pair| same_address(pair.path.remote, address))
        {
            if pair.generation == self.current.number && pair.remote.kind == Kind::PeerReflexive {
                pair.remote = candidate.clone();
                pair.set_role(role);
            }
        }
    }
}

/// `ours:theirs`.
fn split_username(username: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(username).ok()?.split_once(':')
}
