//! Making an answer (RFC 9429 section 5.3; RFC 3264 section 6).

use dunlin_sdp::attribute::Setup;
use dunlin_sdp::{Codec, MediaDescription, SessionDescription};

use super::bundle::Bundle;
use super::codec::{CodecCapability, Identity, rtx_for};
use super::error::JsepError;
use super::extension;
use super::negotiated::DtlsRole;
use super::state::{LocalTransport, Owner, State};
use super::transceiver::{Life, Transceiver};
use super::write::{self, RtpSection, WrittenCodec};
use crate::config::AnswerSetup;
use crate::description::SdpType;
use crate::state::SignalingState;

/// Answers the pending remote offer. Changes nothing; the answer counts once it is given to [`super::apply_local`].
pub fn create_answer(state: &State, local: &LocalTransport) -> Result<SessionDescription, JsepError> {
    let states = [SignalingState::HaveRemoteOffer, SignalingState::HaveLocalPranswer];
    let (Some(offer), true) = (&state.pending_remote, states.contains(&state.signaling)) else {
        let (side, kind) = ("local", SdpType::Answer);
        return Err(JsepError::WrongState {
            side,
            kind,
            state: state.signaling,
        });
    };
    let offer = offer.sdp();
    let bundle = Bundle::of(&offer);
    let transport = match bundle.transport_section(&offer) {
        Some(index) => write::transport(local, setup(state, &offer, index)?),
        None => Vec::new(),
    };
    let sections: Vec<_> = (0..offer.media.len())
        .map(|index| section(state, &offer, &bundle, index, &transport))
        .collect();

    // RFC 9143 section 7.3: the answer's group has those mids of the offer's group that are accepted; without a group in
    // the offer there is none in the answer.
    let accepted = bundle.members.iter().filter(|index| sections[**index].port != 0);
    let mids = accepted.filter_map(|index| offer.media[*index].mid().map(str::to_owned));
    let group = if offer.bundle_groups().next().is_some() {
        mids.collect()
    } else {
        Vec::new()
    };

    let allow_mixed = offer
        .media
        .iter()
        .any(|media| media.is_rtp() && offer.extmap_allow_mixed(media));
    let mut answer = write::session(state, group, allow_mixed);
    answer.media = sections;
    Ok(state.versioned(answer))
}

/// RFC 8842 section 5.3: an answer takes the role that the offer leaves, and keeps the one that an association has.
fn setup(state: &State, offer: &SessionDescription, index: usize) -> Result<Setup, JsepError> {
    match offer.setup(&offer.media[index]) {
        Some(Setup::ActPass) => Ok(match (state.dtls_role, state.settings.answer_setup) {
            (Some(DtlsRole::Active), _) | (None, AnswerSetup::Active) => Setup::Active,
            (Some(DtlsRole::Passive), _) | (None, AnswerSetup::Passive) => Setup::Passive,
        }),
        Some(Setup::Passive) => Ok(Setup::Active),
        // RFC 4145 section 4: "The default value of the setup attribute in an offer … is 'active'".
        Some(Setup::Active) | None => Ok(Setup::Passive),
        Some(Setup::HoldConn) => Err(JsepError::Setup {
            index,
            value: "holdconn",
            kind: SdpType::Offer,
        }),
    }
}

fn section(
    state: &State,
    offer: &SessionDescription,
    bundle: &Bundle,
    index: usize,
    transport: &[dunlin_sdp::Attribute],
) -> MediaDescription {
    let offered = &offer.media[index];
    let owner = state
        .sections
        .get(index)
        .map_or(Owner::Nobody, |section| section.owner);
    let accepted = match owner {
        _ if !bundle.contains(index) => None,
        Owner::Nobody => None,
        Owner::Data => Some(write::data(state, offered.mid(), &offered.protocol, transport)),
        Owner::Transceiver(id) => state
            .transceiver(id)
            .filter(|transceiver| transceiver.association.life == Life::Active)
            .and_then(|transceiver| rtp_section(state, offer, offered, transceiver))
            .map(|section| write::rtp(state, section, transport)),
    };
    accepted.unwrap_or_else(|| {
        write::rejected(
            &offered.kind,
            &offered.protocol,
            Some(&offered.formats),
            offered.mid(),
        )
    })
}

fn rtp_section<'a>(
    state: &'a State,
    offer: &SessionDescription,
    offered: &'a MediaDescription,
    transceiver: &'a Transceiver,
) -> Option<RtpSection<'a>> {
    let codecs = codecs(transceiver, state.settings.codecs().of(transceiver.kind), offered);
    // No line for rid or simulcast: RFC 8853 section 5.3.2 "an answerer that … does not want simulcast … removes
    // the 'a=simulcast'", and the offerer falls back to one stream.
    (!codecs.is_empty()).then(|| RtpSection {
        transceiver,
        mid: offered.mid(),
        protocol: &offered.protocol,
        // RFC 9429 section 5.3.1: the direction is wanted by us and the mirror of what is offered, never wider.
        direction: offer
            .direction(offered)
            .reversed()
            .intersection(transceiver.direction),
        codecs,
        extensions: extension::answer(&state.settings.header_extensions(), transceiver.kind, offered),
        reduced_size: offered.rtcp_reduced_size(),
        mux_only: false,
    })
}

/// Whether we have a codec for an offered section.
pub(crate) fn has_common_codec(ours: &[CodecCapability], offered: &MediaDescription) -> bool {
    let offered = offered.codecs();
    ours.iter()
        .filter(|ours| ours.is_media())
        .any(|ours| find(ours, &offered).is_some())
}

/// The codecs of both sides under the numbers of the offer; in our order if the transceiver has one, else in that of the
/// offer. Empty when none of them carries media.
fn codecs(
    transceiver: &Transceiver,
    all: &[CodecCapability],
    offered: &MediaDescription,
) -> Vec<WrittenCodec> {
    let offered = offered.codecs();
    let ours = transceiver.codecs_or(all);
    let mut pairs: Vec<(usize, &CodecCapability)> = ours
        .iter()
        .filter_map(|capability| Some((find(capability, &offered)?, capability)))
        .collect();
    if !pairs.iter().any(|(_, capability)| capability.is_media()) {
        return Vec::new();
    }
    if transceiver.codecs.is_empty() {
        pairs.sort_by_key(|(position, _)| *position);
    }
    let mut written: Vec<WrittenCodec> = Vec::new();
    for (position, capability) in pairs {
        let codec = &offered[position];
        if written
            .iter()
            .any(|other| other.payload_type == codec.payload_type)
        {
            continue;
        }
        // RFC 4588 section 8.6: retransmission only together with what it repairs.
        let rtx = capability
            .rtx_payload_type
            .and_then(|_| rtx_for(&offered, codec.payload_type));
        let feedback = capability
            .feedback
            .iter()
            .filter(|feedback| codec.feedback.contains(feedback));
        written.push(WrittenCodec {
            payload_type: codec.payload_type,
            rtx,
            name: codec.encoding.to_owned(),
            clock_rate: codec.clock_rate,
            channels: codec.channels,
            fmtp: capability.answer_fmtp(codec),
            feedback: feedback.cloned().collect(),
        });
    }
    written
}

/// The position of the offered codec that is the same as ours.
fn find(capability: &CodecCapability, offered: &[Codec<'_>]) -> Option<usize> {
    let identity = capability.identity()?;
    offered
        .iter()
        .position(|codec| Identity::of(codec).as_ref() == Some(&identity))
}
