//! Whether a new offer would change the session (webrtc-pc section 4.7.3, "check if negotiation is needed").

use dunlin_sdp::SessionDescription;
use dunlin_sdp::attribute::Msid;

use super::state::State;
use super::transceiver::{Life, Transceiver};
use crate::description::SdpType;
use crate::state::SignalingState;

/// Whether a new offer would change the session. Outside of `stable` it is `false`: ask again when signalling is stable.
#[must_use]
pub fn negotiation_needed(state: &State) -> bool {
    if state.signaling != SignalingState::Stable {
        return false;
    }
    if state.restart_wanted {
        return true;
    }
    // A peer that refused data once would be asked again and again.
    if state.data_wanted && !state.data_refused && !state.has_data() {
        return true;
    }
    if state.transceivers.is_empty() {
        return false;
    }
    let (local, remote) = (state.current_local.as_ref(), state.current_remote.as_ref());
    let current = local
        .zip(remote)
        .map(|(local, remote)| (local.kind, local.sdp(), remote.sdp()));
    let mut transceivers = state.transceivers.iter();
    transceivers.any(|transceiver| needs(current.as_ref(), transceiver))
}

fn needs(
    current: Option<&(SdpType, SessionDescription, SessionDescription)>,
    transceiver: &Transceiver,
) -> bool {
    let index = match (transceiver.association.life, transceiver.association.m_line) {
        (Life::Stopped, _) => return false,
        (Life::Stopping, index) => return index.is_some(),
        (Life::Active, None) => return true,
        (Life::Active, Some(index)) => index,
    };
    let Some((kind, local, remote)) = current else {
        return true;
    };
    let (Some(ours), Some(theirs)) = (local.media.get(index), remote.media.get(index)) else {
        return true;
    };
    let wanted = transceiver.direction;
    if wanted.sends() && ours.direction().sends() && streams_changed(ours.msids(), transceiver) {
        return true;
    }
    let (ours, theirs) = (local.direction(ours), remote.direction(theirs));
    match kind {
        // "If … currentLocalDescription is of type 'offer', and the direction … in neither the offer nor answer matches".
        SdpType::Offer => ours != wanted && theirs.reversed() != wanted,
        // "… of type 'answer', and the direction … in the answer does not match [[Direction]] intersected with the
        // offered direction".
        _ => ours != wanted.intersection(theirs.reversed()),
    }
}

fn streams_changed<'a>(written: impl Iterator<Item = &'a Msid>, transceiver: &Transceiver) -> bool {
    let mut written: Vec<&str> = written
        .map(|msid| msid.stream.as_str())
        .filter(|id| *id != "-")
        .collect();
    let mut wanted: Vec<&str> = transceiver.streams.iter().map(String::as_str).collect();
    written.sort_unstable();
    wanted.sort_unstable();
    written != wanted
}
