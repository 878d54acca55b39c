//! Taking a description into the state (RFC 9429 sections 5.5 to 5.11).

use std::collections::BTreeSet;

use dunlin_sdp::attribute::Setup;
use dunlin_sdp::{Direction, MediaDescription, SessionDescription};

use super::bundle::Bundle;
use super::error::JsepError;
use super::negotiated::{self, Applied, DtlsRole, RemoteTransport, TrackAdded};
use super::state::{Kept, MAX_SECTIONS, Owner, State};
use super::{rollback, transceiver::TransceiverId};
use crate::description::SdpType;
use crate::state::SignalingState;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Local,
    Remote,
}

/// Takes a description of ours. On an error the state is as it was.
pub fn apply_local(state: &mut State, kind: SdpType, sdp: &SessionDescription) -> Result<Applied, JsepError> {
    apply(state, Side::Local, kind, sdp)
}

/// Takes a description of the peer. On an error the state is as it was.
///
/// A remote offer that meets a local one (glare) takes the local one back first (webrtc-pc section 4.4.1.6); an
/// application that wants its own offer to win does not apply the remote one.
pub fn apply_remote(
    state: &mut State,
    kind: SdpType,
    sdp: &SessionDescription,
) -> Result<Applied, JsepError> {
    apply(state, Side::Remote, kind, sdp)
}

fn apply(
    state: &mut State,
    side: Side,
    kind: SdpType,
    sdp: &SessionDescription,
) -> Result<Applied, JsepError> {
    let mut next = state.clone();
    let mut applied = Applied::default();
    let signaling = transition(state.signaling, side, kind)?;
    if kind == SdpType::Rollback {
        rollback::to_stable(&mut next, &mut applied);
        *state = next;
        return Ok(applied);
    }
    if sdp.media.len() > MAX_SECTIONS {
        return Err(JsepError::TooManySections {
            count: sdp.media.len(),
            limit: MAX_SECTIONS,
        });
    }
    let bundle = Bundle::of(sdp);
    match kind {
        SdpType::Offer => {
            rollback::to_stable(&mut next, &mut applied);
            next.saved = Some(Box::new(rollback::Saved::of(&next)));
            check_offer(&next, sdp)?;
            match side {
                Side::Local => next.associate_local_offer(sdp)?,
                Side::Remote => next.associate_remote_offer(sdp, &bundle),
            }
            next.numbers.learn(sdp);
        }
        _ => check_answer(&next, side, kind, sdp, &bundle)?,
    }
    if side == Side::Remote {
        take_transport(&mut next, kind, sdp, &bundle, &mut applied)?;
    }
    if kind != SdpType::Offer {
        take_answer(&mut next, side, kind, sdp, &bundle, &mut applied)?;
    }
    if side == Side::Remote {
        take_tracks(&mut next, kind, sdp, &bundle, &mut applied);
    }
    store(&mut next, side, kind, sdp);
    next.signaling = signaling;
    if kind == SdpType::Offer {
        let mid = |index: &usize| (sdp.media[*index].mid().map(str::to_owned), *index);
        applied.mids = bundle.members.iter().map(mid).collect();
    } else {
        negotiated::complete(&next, &mut applied);
        applied.dtls_role = next.dtls_role;
    }
    *state = next;
    Ok(applied)
}

/// The state machine of RFC 9429 section 3.2 (figure 2), with the implicit rollback of webrtc-pc section 4.4.1.6.
fn transition(state: SignalingState, side: Side, kind: SdpType) -> Result<SignalingState, JsepError> {
    use SignalingState as State;
    let next = match (kind, side, state) {
        (SdpType::Offer, Side::Local, State::Stable | State::HaveLocalOffer) => State::HaveLocalOffer,
        (SdpType::Offer, Side::Remote, State::Stable | State::HaveRemoteOffer | State::HaveLocalOffer) => {
            State::HaveRemoteOffer
        }
        (SdpType::Answer, Side::Local, State::HaveRemoteOffer | State::HaveLocalPranswer)
        | (SdpType::Answer, Side::Remote, State::HaveLocalOffer | State::HaveRemotePranswer)
        | (SdpType::Rollback, _, State::HaveLocalOffer | State::HaveRemoteOffer) => State::Stable,
        (SdpType::Pranswer, Side::Local, State::HaveRemoteOffer | State::HaveLocalPranswer) => {
            State::HaveLocalPranswer
        }
        (SdpType::Pranswer, Side::Remote, State::HaveLocalOffer | State::HaveRemotePranswer) => {
            State::HaveRemotePranswer
        }
        _ => {
            return Err(JsepError::WrongState {
                side: side.name(),
                kind,
                state,
            });
        }
    };
    Ok(next)
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

fn check_mids(sdp: &SessionDescription) -> Result<(), JsepError> {
    let mut known = BTreeSet::new();
    for mid in sdp.media.iter().filter_map(MediaDescription::mid) {
        if !known.insert(mid) {
            return Err(JsepError::DuplicateMid(mid.to_owned()));
        }
    }
    Ok(())
}

/// RFC 3264 section 8: "the 'm=' lines … MUST NOT [disappear]"; RFC 9429 section 5.2.2: a section changes its kind and its mid
/// only after it was rejected.
fn check_offer(state: &State, offer: &SessionDescription) -> Result<(), JsepError> {
    check_mids(offer)?;
    if offer.media.len() < state.sections.len() {
        return Err(JsepError::MLinesRemoved {
            before: state.sections.len(),
            now: offer.media.len(),
        });
    }
    for (index, (section, media)) in state.sections.iter().zip(&offer.media).enumerate() {
        if section.owner == Owner::Nobody {
            continue;
        }
        if section.kind != media.kind {
            let (expected, found) = (section.kind.as_str().to_owned(), media.kind.as_str().to_owned());
            return Err(JsepError::MediaChanged {
                index,
                expected,
                found,
            });
        }
        if let (Some(expected), Some(found)) = (section.mid.as_deref(), media.mid())
            && expected != found
        {
            let (expected, found) = (expected.to_owned(), found.to_owned());
            return Err(JsepError::MidChanged {
                index,
                expected,
                found,
            });
        }
    }
    Ok(())
}

/// RFC 3264 section 6: the answer has the m-lines of the offer, in their order.
fn check_answer(
    state: &State,
    side: Side,
    kind: SdpType,
    answer: &SessionDescription,
    bundle: &Bundle,
) -> Result<(), JsepError> {
    check_mids(answer)?;
    let Some(offer) = state.pending_offer(side) else {
        return Err(JsepError::WrongState {
            side: side.name(),
            kind,
            state: state.signaling,
        });
    };
    if offer.media.len() != answer.media.len() {
        return Err(JsepError::MLineCount {
            offer: offer.media.len(),
            answer: answer.media.len(),
        });
    }
    for (index, (offered, answered)) in offer.media.iter().zip(&answer.media).enumerate() {
        if offered.kind != answered.kind {
            let (expected, found) = (
                offered.kind.as_str().to_owned(),
                answered.kind.as_str().to_owned(),
            );
            return Err(JsepError::MediaChanged {
                index,
                expected,
                found,
            });
        }
        if let (Some(expected), Some(found)) = (offered.mid(), answered.mid())
            && expected != found
        {
            let (expected, found) = (expected.to_owned(), found.to_owned());
            return Err(JsepError::MidChanged {
                index,
                expected,
                found,
            });
        }
        if offered.is_rejected() && !answered.is_rejected() {
            return Err(JsepError::NotRejected { index });
        }
        if side == Side::Remote && !answered.is_rejected() && answered.is_rtp() {
            let bundled = bundle.members.len() > 1 && bundle.contains(index);
            if !bundled && !answered.rtcp_mux() {
                return Err(JsepError::NoRtcpMux { index });
            }
        }
    }
    Ok(())
}

impl State {
    /// The offer that a description of this side answers.
    fn pending_offer(&self, answerer: Side) -> Option<SessionDescription> {
        let offer = match answerer {
            Side::Local => &self.pending_remote,
            Side::Remote => &self.pending_local,
        };
        offer.as_ref().map(Kept::sdp)
    }
}

/// The peer's ICE and DTLS parameters.
fn take_transport(
    state: &mut State,
    kind: SdpType,
    sdp: &SessionDescription,
    bundle: &Bundle,
    applied: &mut Applied,
) -> Result<(), JsepError> {
    let Some(index) = bundle.transport_section(sdp) else {
        return Ok(());
    };
    let transport = negotiated::remote_transport(sdp, bundle).ok_or(JsepError::NoIceCredentials { index })?;
    if transport.fingerprints.is_empty() {
        return Err(JsepError::NoFingerprint { index });
    }
    match (kind, sdp.setup(&sdp.media[index])) {
        (_, Some(Setup::HoldConn)) => {
            return Err(JsepError::Setup {
                index,
                value: "holdconn",
                kind,
            });
        }
        // RFC 4145 section 4.1: "actpass" is not among the values of an answer.
        (SdpType::Answer | SdpType::Pranswer, Some(Setup::ActPass)) => {
            return Err(JsepError::Setup {
                index,
                value: "actpass",
                kind,
            });
        }
        _ => {}
    }
    // What counts as "before" is what held when signalling was last stable.
    let before = match &state.saved {
        Some(saved) => saved.remote_transport.as_deref(),
        None => None,
    };
    if let Some(before) = before {
        // RFC 8839 section 4.4.3.1.1: a restart is seen from a change of "ice-ufrag" or "ice-pwd".
        applied.ice_restart = before.ufrag != transport.ufrag || before.password != transport.password;
        let same = |one: &[String], other: &[String]| {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|line| other.iter().any(|known| known.eq_ignore_ascii_case(line)))
        };
        applied.dtls_restart = !same(&before.fingerprints, &transport.fingerprints)
            || (before.tls_id.is_some() && before.tls_id != transport.tls_id);
        // RFC 8842 section 4: a new association over ICE "MUST" come with new ICE credentials.
        if applied.dtls_restart && !applied.ice_restart {
            return Err(JsepError::FingerprintChanged { index });
        }
    }
    // Candidates are no part of what the next description is compared with.
    state.remote_transport = Some(Box::new(RemoteTransport {
        candidates: Vec::new(),
        ..transport.clone()
    }));
    applied.transport = Some(transport);
    Ok(())
}

/// Directions, rejected sections and the DTLS role of an answer.
fn take_answer(
    state: &mut State,
    side: Side,
    kind: SdpType,
    answer: &SessionDescription,
    bundle: &Bundle,
    applied: &mut Applied,
) -> Result<(), JsepError> {
    let Some(offer) = state.pending_offer(side) else {
        return Ok(());
    };
    if let Some(index) = bundle.transport_section(answer) {
        let offered = Bundle::of(&offer).transport_section(&offer).unwrap_or(index);
        let offered = offer.setup(&offer.media[offered]);
        let answered = answer.setup(&answer.media[index]).unwrap_or(Setup::Active);
        if let (Some(Setup::Active), Setup::Active) | (Some(Setup::Passive), Setup::Passive) =
            (offered, answered)
        {
            return Err(JsepError::Setup {
                index,
                value: answered.as_str(),
                kind,
            });
        }
        state.dtls_role = Some(match (side, answered) {
            (Side::Local, Setup::Active) | (Side::Remote, Setup::Passive) => DtlsRole::Active,
            _ => DtlsRole::Passive,
        });
    }
    for index in 0..answer.media.len() {
        let (offered, answered) = (&offer.media[index], &answer.media[index]);
        if answered.is_rejected() && kind == SdpType::Answer {
            if state.sections[index].owner == Owner::Data {
                applied.data_rejected = true;
                state.data_refused = true;
            }
            if let Some(id) = state.release_section(index) {
                set_receiving(state, id, None, applied);
            }
            continue;
        }
        let Owner::Transceiver(id) = state.sections[index].owner else {
            continue;
        };
        // RFC 3264 section 6.1: an answer is never wider than the mirror of the offer.
        let direction = match side {
            _ if !bundle.contains(index) => Direction::Inactive,
            Side::Local => answer
                .direction(answered)
                .intersection(offer.direction(offered).reversed()),
            Side::Remote => answer
                .direction(answered)
                .reversed()
                .intersection(offer.direction(offered)),
        };
        if let Some(transceiver) = state.transceiver_mut(id) {
            transceiver.association.current_direction = Some(direction);
        }
    }
    Ok(())
}

/// Tracks that the peer starts or ends (webrtc-pc section 4.4.1.5: "process remote tracks").
fn take_tracks(
    state: &mut State,
    kind: SdpType,
    sdp: &SessionDescription,
    bundle: &Bundle,
    applied: &mut Applied,
) {
    for (index, media) in sdp.media.iter().enumerate() {
        let Owner::Transceiver(id) = state.sections[index].owner else {
            continue;
        };
        let mut receives = bundle.contains(index) && sdp.direction(media).sends();
        if kind != SdpType::Offer {
            let current = state
                .transceiver(id)
                .and_then(super::Transceiver::current_direction);
            receives &= current.is_some_and(Direction::receives);
        }
        set_receiving(state, id, receives.then(|| negotiated::streams(media)), applied);
    }
}

/// `Some(streams)`: the peer sends.
pub(crate) fn set_receiving(
    state: &mut State,
    id: TransceiverId,
    streams: Option<Vec<String>>,
    applied: &mut Applied,
) {
    let Some(transceiver) = state.transceiver_mut(id) else {
        return;
    };
    let association = &mut transceiver.association;
    let was = std::mem::replace(&mut association.receiving, streams.is_some());
    association.remote_streams = streams.clone().unwrap_or_default();
    match (was, streams) {
        (false, Some(streams)) => applied.tracks_added.push(TrackAdded {
            transceiver: id,
            streams,
        }),
        (true, None) => applied.tracks_removed.push(id),
        _ => {}
    }
}

/// RFC 9429 sections 5.9 and 5.10: offers and provisional answers are pending; an answer makes both sides current.
fn store(state: &mut State, side: Side, kind: SdpType, sdp: &SessionDescription) {
    let description = Some(Kept::new(kind, sdp));
    if side == Side::Local {
        state.restart_wanted = false;
        state.taken_back = None;
    }
    match side {
        Side::Local => state.pending_local = description,
        Side::Remote => state.pending_remote = description,
    }
    if kind == SdpType::Answer {
        state.current_local = state.pending_local.take();
        state.current_remote = state.pending_remote.take();
        state.saved = None;
    }
}
