//! Back to `stable` (RFC 9429 section 4.1.10.2): what an offer did to sections and transceivers is undone.

use super::apply::set_receiving;
use super::negotiated::{Applied, DtlsRole, RemoteTransport};
use super::numbers::Numbers;
use super::state::{Section, State};
use super::transceiver::{Association, Life, TransceiverId};
use crate::state::SignalingState;

/// What an offer may change, as it was in `stable`.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    sections: Vec<Section>,
    numbers: Numbers,
    pub(crate) remote_transport: Option<Box<RemoteTransport>>,
    dtls_role: Option<DtlsRole>,
    restart_wanted: bool,
    transceivers: Vec<(TransceiverId, Association)>,
}

impl Saved {
    pub(crate) fn of(state: &State) -> Self {
        let transceivers = state.transceivers.iter();
        Self {
            sections: state.sections.clone(),
            numbers: state.numbers.clone(),
            remote_transport: state.remote_transport.clone(),
            dtls_role: state.dtls_role,
            restart_wanted: state.restart_wanted,
            transceivers: transceivers
                .map(|known| (known.id, known.association.clone()))
                .collect(),
        }
    }
}

/// Returns to `stable`; does nothing when it is there.
pub(crate) fn to_stable(state: &mut State, applied: &mut Applied) {
    let Some(saved) = state.saved.take() else { return };
    state.sections = saved.sections;
    state.numbers = saved.numbers;
    state.remote_transport = saved.remote_transport;
    state.dtls_role = saved.dtls_role;
    state.restart_wanted |= saved.restart_wanted;
    state.taken_back = state.pending_local.take().or(state.taken_back.take());
    state.pending_remote = None;
    state.signaling = SignalingState::Stable;
    let ids: Vec<TransceiverId> = state
        .transceivers
        .iter()
        .map(|transceiver| transceiver.id)
        .collect();
    for id in ids {
        let before = saved.transceivers.iter().find(|(known, _)| *known == id);
        let was_receiving = before.is_some_and(|(_, association)| association.receiving);
        let streams = before
            .map(|(_, association)| association.remote_streams.clone())
            .unwrap_or_default();
        set_receiving(state, id, was_receiving.then_some(streams), applied);
        let made_by_offer =
            before.is_none() && state.transceiver(id).is_some_and(|known| known.made_by_offer);
        if made_by_offer {
            // RFC 9429 section 4.1.10.2: "If an RtpTransceiver was created by applying a remote offer … and [had no]
            // addTrack …, it MUST be … removed".
            state.transceivers.retain(|transceiver| transceiver.id != id);
            applied.transceivers_removed.push(id);
            continue;
        }
        let Some(transceiver) = state.transceiver_mut(id) else {
            continue;
        };
        let mut association = before.map_or_else(Association::none, |(_, association)| association.clone());
        // What the application stopped in the meantime stays stopped.
        if transceiver.association.life == Life::Stopping {
            association.life = if association.mid.is_some() {
                Life::Stopping
            } else {
                Life::Stopped
            };
        }
        transceiver.association = association;
    }
}
