//! What a description means for the layers below: the answer of `apply_local` and `apply_remote`.

use dunlin_ice::Renomination;
use dunlin_sdp::attribute::{Msid, RidDirection};
use dunlin_sdp::{Codec, Direction, MediaDescription, SessionDescription};

use super::bundle::Bundle;
use super::codec::{FeedbackFlags, Identity, NegotiatedCodec, rtx_for};
use super::extension;
use super::state::{Owner, State};
use super::transceiver::{Transceiver, TransceiverId};
use crate::description::SdpType;

/// Who opens the DTLS handshake, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    /// We are the client.
    Active,
    /// The peer is the client.
    Passive,
}

/// The peer's side of the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteTransport {
    /// The m-line that described it: the tagged section.
    pub m_line: usize,
    /// `ice-ufrag`.
    pub ufrag: String,
    /// `ice-pwd`.
    pub password: String,
    /// The peer is an ICE-lite agent.
    pub ice_lite: bool,
    /// The peer may trickle candidates.
    pub trickle: bool,
    /// The time between checks that the peer proposes, in milliseconds.
    pub ice_pacing: Option<u64>,
    /// How the peer takes another nomination, if it does.
    pub renomination: Option<Renomination>,
    /// Certificate fingerprints, `sha-256 AA:BB:…`.
    pub fingerprints: Vec<String>,
    /// `tls-id`.
    pub tls_id: Option<String>,
    /// The candidates in the description, `candidate:…`.
    pub candidates: Vec<String>,
    /// No more candidates will come.
    pub end_of_candidates: bool,
}

/// The negotiated data section.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataSection {
    /// Its mid.
    pub mid: Option<String>,
    /// Its position.
    pub m_line: usize,
    /// Our SCTP port.
    pub local_port: u16,
    /// The peer's SCTP port.
    pub remote_port: u16,
    /// The largest message the peer takes, in bytes; 0 is "any size" (RFC 8841 section 6).
    pub max_message_size: u64,
}

/// How to send on a transceiver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendParameters {
    /// The mid, to send in the MID header extension.
    pub mid: Option<String>,
    /// The SSRC.
    pub ssrc: u32,
    /// The SSRC of retransmissions, when a codec has them.
    pub rtx_ssrc: Option<u32>,
    /// The canonical name.
    pub cname: String,
    /// What the peer takes, in its order of preference.
    pub codecs: Vec<NegotiatedCodec>,
    /// The header extensions to write: id and URI.
    pub extensions: Vec<(u8, String)>,
    /// Reduced-size RTCP may be sent (RFC 5506).
    pub reduced_size: bool,
    /// The peer's bound on the bit rate (`b=TIAS` or `b=AS`), in bit/s.
    pub max_bitrate: Option<u64>,
}

/// What a transceiver receives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiveParameters {
    /// The mid, as the MID header extension has it.
    pub mid: Option<String>,
    /// What we said we take.
    pub codecs: Vec<NegotiatedCodec>,
    /// The header extensions that may come: id and URI.
    pub extensions: Vec<(u8, String)>,
    /// The SSRCs of media that the peer announced; others may come.
    pub ssrcs: Vec<u32>,
    /// Pairs of an SSRC and the one that repairs it (FID groups).
    pub rtx: Vec<(u32, u32)>,
    /// The rids that the peer offered to send with.
    pub rids: Vec<String>,
    /// The peer's canonical name, if announced.
    pub cname: Option<String>,
    /// Reduced-size RTCP may come.
    pub reduced_size: bool,
}

/// A negotiated section and its transceiver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaSection {
    /// The transceiver.
    pub transceiver: TransceiverId,
    /// Its position.
    pub m_line: usize,
    /// There when we may send.
    pub send: Option<SendParameters>,
    /// There when we may receive.
    pub receive: Option<ReceiveParameters>,
}

/// The peer will send.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackAdded {
    /// The transceiver whose receiver gets it.
    pub transceiver: TransceiverId,
    /// The ids of the media streams it belongs to.
    pub streams: Vec<String>,
}

/// What a description changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Applied {
    /// The peer's side of the transport; there after each remote description with a usable section.
    pub transport: Option<RemoteTransport>,
    /// The remote description restarts ICE: the credentials are not those of before (RFC 8839 section 4.4.3.1). When it
    /// is an offer, the answer needs new local credentials.
    pub ice_restart: bool,
    /// The remote description asks for a new DTLS association: another fingerprint or tls-id (RFC 8842 section 4).
    pub dtls_restart: bool,
    /// Who opens the DTLS handshake; there from the answer on.
    pub dtls_role: Option<DtlsRole>,
    /// Data channels were negotiated; there after an answer.
    pub data: Option<DataSection>,
    /// The answer turned the data section down.
    pub data_rejected: bool,
    /// All sections with a transceiver, after an answer; `None` while only one side has spoken.
    pub media: Option<Vec<MediaSection>>,
    /// Transceivers whose peer now sends.
    pub tracks_added: Vec<TrackAdded>,
    /// Transceivers whose peer no longer sends.
    pub tracks_removed: Vec<TransceiverId>,
    /// Transceivers that a remote offer made and a rollback took away.
    pub transceivers_removed: Vec<TransceiverId>,
    /// Mid and position of the sections that share the transport; the first is the tagged one. Candidates are
    /// signalled for it.
    pub mids: Vec<(Option<String>, usize)>,
}

/// The transport of a remote description, from its tagged section with the session's lines behind it.
pub(crate) fn remote_transport(sdp: &SessionDescription, bundle: &Bundle) -> Option<RemoteTransport> {
    let index = bundle.transport_section(sdp)?;
    let media = &sdp.media[index];
    let (ufrag, password) = sdp.ice_credentials(media)?;
    let candidates_of = |media: &MediaDescription| -> Vec<String> {
        media
            .candidates()
            .map(|candidate| format!("candidate:{candidate}"))
            .collect()
    };
    let mut from = media;
    if media.candidates().next().is_none() {
        // GStreamer puts candidates into a section that is not the tagged one.
        let same = |other: &&MediaDescription| sdp.ice_credentials(other) == Some((ufrag, password));
        let mut others = bundle.members.iter().map(|index| &sdp.media[*index]).filter(same);
        from = others
            .find(|other| other.candidates().next().is_some())
            .unwrap_or(media);
    }
    Some(RemoteTransport {
        m_line: index,
        ufrag: ufrag.to_owned(),
        password: password.to_owned(),
        ice_lite: sdp.ice_lite(),
        trickle: sdp.has_ice_option(media, "trickle"),
        ice_pacing: sdp.ice_pacing(),
        renomination: {
            let dialects = Renomination::OPTIONS.split(' ');
            Renomination::of_options(dialects.filter(|option| sdp.has_ice_option(media, option)))
        },
        fingerprints: sdp.fingerprints(media).map(ToString::to_string).collect(),
        tls_id: sdp.tls_id(media).map(str::to_owned),
        candidates: candidates_of(from),
        end_of_candidates: from.end_of_candidates(),
    })
}

/// The ids of the media streams of a remote section: `a=msid`, or the `a=ssrc` lines of old peers.
pub(crate) fn streams(media: &MediaDescription) -> Vec<String> {
    let mut streams: Vec<String> = media.msids().map(|msid: &Msid| msid.stream.clone()).collect();
    if streams.is_empty() {
        let ssrcs = media.ssrcs();
        let legacy = ssrcs
            .iter()
            .filter_map(|ssrc| media.ssrc_attribute(*ssrc, "msid"));
        streams.extend(legacy.filter_map(|msid| Some(msid.split(' ').next()?.to_owned())));
    }
    let mut seen: Vec<String> = Vec::new();
    for stream in streams {
        if stream != "-" && !seen.contains(&stream) {
            seen.push(stream);
        }
    }
    seen
}

/// Fills in what is known once both sides have spoken.
pub(crate) fn complete(state: &State, applied: &mut Applied) {
    let (Some((local_kind, local)), Some((_, remote))) =
        (state.local_description(), state.remote_description())
    else {
        return;
    };
    let answer_is_local = local_kind != SdpType::Offer;
    let answer = if answer_is_local { &local } else { &remote };
    let bundle = Bundle::of(answer);
    let mut media = Vec::new();
    for (index, section) in state.sections.iter().enumerate() {
        let (Some(ours), Some(theirs)) = (local.media.get(index), remote.media.get(index)) else {
            continue;
        };
        if !bundle.contains(index) {
            continue;
        }
        match section.owner {
            Owner::Transceiver(id) => {
                let Some(transceiver) = state.transceiver(id) else {
                    continue;
                };
                media.push(media_section(
                    state,
                    transceiver,
                    index,
                    ours,
                    theirs,
                    answer_is_local,
                ));
            }
            Owner::Data => {
                applied.data = Some(DataSection {
                    mid: section.mid.clone(),
                    m_line: index,
                    local_port: ours.sctp_port().unwrap_or(5000),
                    remote_port: theirs.sctp_port().unwrap_or(5000),
                    // RFC 8841 section 6.1: "If … not present, the default value is 64K".
                    max_message_size: theirs.max_message_size().unwrap_or(65_536),
                });
            }
            Owner::Nobody => {}
        }
    }
    applied.media = Some(media);
    applied.mids = bundle
        .members
        .iter()
        .map(|index| (answer.media[*index].mid().map(str::to_owned), *index))
        .collect();
}

fn media_section(
    state: &State,
    transceiver: &Transceiver,
    m_line: usize,
    local: &MediaDescription,
    remote: &MediaDescription,
    answer_is_local: bool,
) -> MediaSection {
    let direction = transceiver
        .association
        .current_direction
        .unwrap_or(Direction::Inactive);
    let mid = transceiver.association.mid.clone();
    let reduced_size = local.rtcp_reduced_size() && remote.rtcp_reduced_size();
    let pairs = pairs(local, remote, answer_is_local);
    let send = direction.sends().then(|| {
        let codecs: Vec<_> = pairs.iter().map(|pair| pair.in_use(false)).collect();
        SendParameters {
            mid: mid.clone(),
            ssrc: transceiver.ssrc,
            rtx_ssrc: codecs
                .iter()
                .any(|codec| codec.rtx_payload_type.is_some())
                .then_some(transceiver.rtx_ssrc),
            cname: state.settings.cname.clone(),
            codecs,
            extensions: extension::common(local, remote),
            reduced_size,
            max_bitrate: max_bitrate(remote),
        }
    });
    let receive = direction.receives().then(|| {
        let rtx: Vec<(u32, u32)> = remote
            .ssrc_groups("FID")
            .filter_map(|group| match group {
                [media, repair] => Some((*media, *repair)),
                _ => None,
            })
            .collect();
        let repairs = |ssrc: &u32| rtx.iter().any(|(_, repair)| repair == ssrc);
        let all = remote.ssrcs();
        let rids = remote.rids().filter(|rid| rid.direction == RidDirection::Send);
        ReceiveParameters {
            mid,
            codecs: pairs.iter().map(|pair| pair.in_use(true)).collect(),
            extensions: extension::common(remote, local),
            cname: all
                .iter()
                .find_map(|ssrc| remote.ssrc_attribute(*ssrc, "cname"))
                .map(str::to_owned),
            ssrcs: all.into_iter().filter(|ssrc| !repairs(ssrc)).collect(),
            rtx,
            rids: rids.map(|rid| rid.id.clone()).collect(),
            reduced_size,
        }
    });
    MediaSection {
        transceiver: transceiver.id,
        m_line,
        send,
        receive,
    }
}

/// A codec as both sides wrote it.
struct Pair<'a> {
    local: Codec<'a>,
    remote: Codec<'a>,
    /// The retransmission payload types of both sides, when both have one.
    rtx: Option<(u8, u8)>,
}

impl Pair<'_> {
    /// For receiving, our numbers and parameters count; for sending, the peer's (RFC 3264 section 5.1).
    fn in_use(&self, receive: bool) -> NegotiatedCodec {
        let codec = if receive { &self.local } else { &self.remote };
        NegotiatedCodec {
            payload_type: codec.payload_type,
            name: codec.encoding.to_owned(),
            clock_rate: codec.clock_rate,
            channels: codec.channels,
            fmtp: codec.parameters.unwrap_or_default().to_owned(),
            rtx_payload_type: self
                .rtx
                .map(|(local, remote)| if receive { local } else { remote }),
            feedback: FeedbackFlags::both(&self.local, &self.remote),
        }
    }
}

/// The codecs of both sections, in the order of the answer.
fn pairs<'a>(
    local: &'a MediaDescription,
    remote: &'a MediaDescription,
    answer_is_local: bool,
) -> Vec<Pair<'a>> {
    let (ours, theirs) = (local.codecs(), remote.codecs());
    let (answer, offer) = if answer_is_local {
        (&ours, &theirs)
    } else {
        (&theirs, &ours)
    };
    let mut pairs = Vec::new();
    for answered in answer {
        let Some(identity) = Identity::of(answered) else {
            continue;
        };
        let same = |offered: &&Codec<'_>| Identity::of(offered).as_ref() == Some(&identity);
        let mut candidates = offer.iter().filter(same);
        let equal = candidates
            .clone()
            .find(|offered| offered.payload_type == answered.payload_type);
        let Some(offered) = equal.or_else(|| candidates.next()) else {
            continue;
        };
        let (local, remote) = if answer_is_local {
            (answered, offered)
        } else {
            (offered, answered)
        };
        let rtx = rtx_for(&ours, local.payload_type).zip(rtx_for(&theirs, remote.payload_type));
        pairs.push(Pair {
            local: local.clone(),
            remote: remote.clone(),
            rtx,
        });
    }
    pairs
}

/// RFC 8866 section 5.8 (`AS`, kbit/s) and RFC 3890 (`TIAS`, bit/s, which is the more precise one).
fn max_bitrate(media: &MediaDescription) -> Option<u64> {
    let find = |kind: &str| {
        media
            .bandwidth
            .iter()
            .find(|line| line.kind == kind)
            .map(|line| line.value)
    };
    find("TIAS").or_else(|| find("AS").map(|kilobits| kilobits.saturating_mul(1000)))
}
