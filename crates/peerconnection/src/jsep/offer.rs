//! Making an offer (RFC 9429 section 5.2).

use std::collections::VecDeque;

use dunlin_sdp::attribute::{ExtMap, Setup};
use dunlin_sdp::{MediaDescription, SessionDescription};

use super::error::JsepError;
use super::numbers::Numbers;
use super::state::{LocalTransport, Owner, State};
use super::transceiver::{Life, Transceiver};
use super::write::{self, RtpSection, WrittenCodec};
use crate::description::SdpType;
use crate::state::SignalingState;

/// What an m-line of the offer is for.
enum Plan<'a> {
    Media(&'a Transceiver, String),
    Data(String),
    /// A section of the session that nothing uses.
    Rejected(usize),
}

/// Makes an offer for all that the transceivers and the data channels want. Changes nothing; the offer counts once it
/// is given to [`super::apply_local`].
pub fn create_offer(state: &State, local: &LocalTransport) -> Result<SessionDescription, JsepError> {
    if !matches!(
        state.signaling,
        SignalingState::Stable | SignalingState::HaveLocalOffer
    ) {
        let (side, kind) = ("local", SdpType::Offer);
        return Err(JsepError::WrongState {
            side,
            kind,
            state: state.signaling,
        });
    }
    let plans = plan(state);
    let mids = plans.iter().filter_map(|plan| match plan {
        Plan::Media(_, mid) | Plan::Data(mid) => Some(mid.clone()),
        Plan::Rejected(_) => None,
    });
    let mut offer = write::session(state, mids.collect(), true);
    // RFC 8842 section 5.2: "the offerer … SHOULD insert … 'actpass'"; RFC 9429 makes it a must, also later on.
    let transport = write::transport(local, Setup::ActPass);
    let mut numbers = state.numbers.clone();
    for plan in &plans {
        offer.media.push(match plan {
            Plan::Media(transceiver, mid) => {
                write::rtp(state, section(state, transceiver, mid, &mut numbers), &transport)
            }
            Plan::Data(mid) => write::data(state, Some(mid), "UDP/DTLS/SCTP", &transport),
            Plan::Rejected(index) => rejected(state, *index),
        });
    }
    Ok(state.versioned(offer))
}

/// RFC 9429 section 5.2.2: sections stay where they are; rejected ones are used again for new transceivers; what is left is
/// appended.
fn plan(state: &State) -> Vec<Plan<'_>> {
    let mut new: VecDeque<&Transceiver> = state.unassociated().collect();
    let mut new_data = state.data_wanted && !state.has_data();
    let mut used: Vec<String> = state
        .sections
        .iter()
        .filter_map(|section| section.mid.clone())
        .collect();
    let mut fresh = || {
        let mut number = used.len();
        while used.contains(&number.to_string()) {
            number += 1;
        }
        used.push(number.to_string());
        number.to_string()
    };
    let mut plans = Vec::new();
    for (index, section) in state.sections.iter().enumerate() {
        let mid = |fresh: &mut dyn FnMut() -> String| section.mid.clone().unwrap_or_else(fresh);
        plans.push(match section.owner {
            Owner::Transceiver(id) => match state.transceiver(id) {
                Some(transceiver) if transceiver.association.life == Life::Active => {
                    Plan::Media(transceiver, mid(&mut fresh))
                }
                _ => Plan::Rejected(index),
            },
            Owner::Data => Plan::Data(mid(&mut fresh)),
            // "The new m= section … MUST use a new mid".
            Owner::Nobody => match new.pop_front() {
                Some(transceiver) => Plan::Media(transceiver, fresh()),
                None if std::mem::take(&mut new_data) => Plan::Data(fresh()),
                None => Plan::Rejected(index),
            },
        });
    }
    plans.extend(
        new.into_iter()
            .map(|transceiver| Plan::Media(transceiver, fresh())),
    );
    if new_data {
        plans.push(Plan::Data(fresh()));
    }
    plans
}

fn section<'a>(
    state: &'a State,
    transceiver: &'a Transceiver,
    mid: &'a str,
    numbers: &mut Numbers,
) -> RtpSection<'a> {
    let kind = transceiver.kind;
    let mut codecs = Vec::new();
    let all = state.settings.codecs();
    for capability in transceiver.codecs_or(all.of(kind)) {
        let Some((payload_type, rtx)) = numbers.codec(capability) else {
            continue;
        };
        codecs.push(WrittenCodec {
            payload_type,
            rtx,
            name: capability.name.clone(),
            clock_rate: capability.clock_rate,
            channels: capability.channels,
            fmtp: capability.fmtp.clone(),
            feedback: capability.feedback.clone(),
        });
    }
    let mut extensions = Vec::new();
    for extension in state
        .settings
        .header_extensions()
        .of(kind)
        .filter(|extension| extension.offer)
    {
        let Some(id) = numbers.extension(extension) else {
            continue;
        };
        let (id, uri) = (u16::from(id), extension.uri.clone());
        extensions.push(ExtMap {
            id,
            direction: None,
            uri,
            attributes: None,
        });
    }
    RtpSection {
        transceiver,
        mid: Some(mid),
        protocol: "UDP/TLS/RTP/SAVPF",
        direction: transceiver.direction,
        codecs,
        extensions,
        reduced_size: true,
        mux_only: true,
    }
}

fn rejected(state: &State, index: usize) -> MediaDescription {
    let section = &state.sections[index];
    write::rejected(&section.kind, &section.protocol, None, section.mid.as_deref())
}
