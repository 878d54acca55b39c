//! The lines that offers and answers have in common (RFC 9429 sections 5.2.1 and 5.3.1).

use dunlin_ice::Renomination;
use dunlin_sdp::attribute::{
    ExtMap, Feedback, Fingerprint, Fmtp, Group, Msid, RtcpFeedback, RtpMap, Setup, Ssrc, SsrcGroup,
};
use dunlin_sdp::{Attribute, Direction, Formats, MediaDescription, MediaKind, Origin, SessionDescription};

use super::state::{LocalTransport, State};
use super::transceiver::Transceiver;

/// A codec as it goes into a section.
#[derive(Debug, Clone)]
pub(crate) struct WrittenCodec {
    pub(crate) payload_type: u8,
    pub(crate) rtx: Option<u8>,
    pub(crate) name: String,
    pub(crate) clock_rate: u32,
    pub(crate) channels: Option<u8>,
    pub(crate) fmtp: String,
    pub(crate) feedback: Vec<Feedback>,
}

/// An RTP section.
pub(crate) struct RtpSection<'a> {
    pub(crate) transceiver: &'a Transceiver,
    pub(crate) mid: Option<&'a str>,
    pub(crate) protocol: &'a str,
    pub(crate) direction: Direction,
    pub(crate) codecs: Vec<WrittenCodec>,
    pub(crate) extensions: Vec<ExtMap>,
    pub(crate) reduced_size: bool,
    /// RFC 8858: in offers that do not work without RTCP multiplexing.
    pub(crate) mux_only: bool,
}

/// The session's lines.
pub(crate) fn session(state: &State, bundle: Vec<String>, allow_mixed: bool) -> SessionDescription {
    let mut session = SessionDescription::new(Origin::new(state.settings.session_id, 1));
    if !bundle.is_empty() {
        session.attributes.push(Attribute::Group(Group {
            semantics: "BUNDLE".to_owned(),
            mids: bundle,
        }));
    }
    if allow_mixed {
        session.attributes.push(Attribute::ExtMapAllowMixed);
    }
    // RFC 8839 section 5.3: ice-lite stands at session level only.
    if state.settings.ice_lite {
        session.attributes.push(Attribute::IceLite);
    } else {
        // RFC 8839 sections 4.3.1 and 4.3.2: a full implementation "SHOULD include an "ice-pacing" attribute", a lite
        // one "MUST NOT".
        let pacing = Attribute::IcePacing(state.settings.ice_pacing);
        session.attributes.push(pacing);
    }
    session
}

/// The transport's lines. RFC 9143 section 7.3 has them in the tagged section of an answer only; browsers write them into
/// each section, and peers such as aiortc refuse a section without.
pub(crate) fn transport(local: &LocalTransport, setup: Setup) -> Vec<Attribute> {
    let mut lines = vec![
        Attribute::IceUfrag(local.ufrag.clone()),
        Attribute::IcePwd(local.password.clone()),
        // RFC 9429 section 5.2.1: "ice-options" with "trickle"; RFC 8445 section 10 "ice2".
        Attribute::IceOptions(format!("trickle ice2 {}", Renomination::OPTIONS)),
    ];
    for fingerprint in &local.fingerprints {
        let (hash, value) = fingerprint.split_once(' ').unwrap_or(("sha-256", fingerprint));
        lines.push(Attribute::Fingerprint(Fingerprint {
            hash: hash.to_owned(),
            value: value.to_owned(),
        }));
    }
    lines.push(Attribute::Setup(setup));
    lines
}

/// An RTP section.
pub(crate) fn rtp(state: &State, section: RtpSection<'_>, transport: &[Attribute]) -> MediaDescription {
    let numbers = section.codecs.iter().map(|codec| codec.payload_type);
    let numbers = numbers
        .chain(section.codecs.iter().filter_map(|codec| codec.rtx))
        .collect();
    let kind = section.transceiver.kind.sdp();
    let mut media = MediaDescription::new(kind, section.protocol, Formats::Rtp(numbers));
    let lines = &mut media.attributes;
    lines.extend_from_slice(transport);
    lines.extend(section.mid.map(|mid| Attribute::Mid(mid.to_owned())));
    lines.extend(section.extensions.into_iter().map(Attribute::ExtMap));
    lines.push(Attribute::Direction(section.direction));
    if section.direction.sends() {
        msids(section.transceiver, lines);
    }
    lines.push(Attribute::RtcpMux);
    if section.mux_only {
        lines.push(Attribute::RtcpMuxOnly);
    }
    if section.reduced_size {
        lines.push(Attribute::RtcpRsize);
    }
    section.codecs.iter().for_each(|codec| codec_lines(codec, lines));
    if section.direction.sends() {
        let rtx = section.codecs.iter().any(|codec| codec.rtx.is_some());
        sources(section.transceiver, &state.settings.cname, rtx, lines);
    }
    media
}

/// RFC 9429 section 5.2.1: one msid line per media stream, or one with "-" for none.
fn msids(transceiver: &Transceiver, lines: &mut Vec<Attribute>) {
    let none = ["-".to_owned()];
    let streams = if transceiver.streams.is_empty() {
        &none[..]
    } else {
        &transceiver.streams
    };
    for stream in streams {
        let track = Some(transceiver.track.clone());
        lines.push(Attribute::Msid(Msid {
            stream: stream.clone(),
            track,
        }));
    }
}

fn codec_lines(codec: &WrittenCodec, lines: &mut Vec<Attribute>) {
    let payload_type = codec.payload_type;
    lines.push(Attribute::RtpMap(RtpMap {
        payload_type,
        encoding: codec.name.clone(),
        clock_rate: codec.clock_rate,
        channels: codec.channels,
    }));
    for feedback in &codec.feedback {
        let (payload_type, feedback) = (Some(payload_type), feedback.clone());
        lines.push(Attribute::RtcpFeedback(RtcpFeedback {
            payload_type,
            feedback,
        }));
    }
    if !codec.fmtp.is_empty() {
        lines.push(Attribute::Fmtp(Fmtp {
            payload_type,
            parameters: codec.fmtp.clone(),
        }));
    }
    if let Some(rtx) = codec.rtx {
        lines.push(Attribute::RtpMap(RtpMap {
            payload_type: rtx,
            encoding: "rtx".to_owned(),
            clock_rate: codec.clock_rate,
            channels: None,
        }));
        let parameters = format!("apt={payload_type}");
        lines.push(Attribute::Fmtp(Fmtp {
            payload_type: rtx,
            parameters,
        }));
    }
}

/// RFC 5576 section 6.1 and RFC 4588 section 8.8: who sends, and which SSRC repairs which.
fn sources(transceiver: &Transceiver, cname: &str, rtx: bool, lines: &mut Vec<Attribute>) {
    let mut ssrcs = vec![transceiver.ssrc];
    if rtx {
        ssrcs.push(transceiver.rtx_ssrc);
        lines.push(Attribute::SsrcGroup(SsrcGroup {
            semantics: "FID".to_owned(),
            ssrcs: ssrcs.clone(),
        }));
    }
    for ssrc in ssrcs {
        let value = Some(cname.to_owned());
        lines.push(Attribute::Ssrc(Ssrc {
            ssrc,
            attribute: "cname".to_owned(),
            value,
        }));
    }
}

/// The data section (RFC 8841).
pub(crate) fn data(
    state: &State,
    mid: Option<&str>,
    protocol: &str,
    transport: &[Attribute],
) -> MediaDescription {
    let formats = Formats::Other(vec!["webrtc-datachannel".to_owned()]);
    let mut media = MediaDescription::new(MediaKind::Application, protocol, formats);
    media.attributes.extend_from_slice(transport);
    media
        .attributes
        .extend(mid.map(|mid| Attribute::Mid(mid.to_owned())));
    media
        .attributes
        .push(Attribute::SctpPort(state.settings.sctp_port));
    media
        .attributes
        .push(Attribute::MaxMessageSize(state.settings.max_message_size));
    media
}

/// A rejected section: port zero, "any RTP parameters … ignored" (RFC 9429 section 5.3.1).
pub(crate) fn rejected(
    kind: &MediaKind,
    protocol: &str,
    formats: Option<&Formats>,
    mid: Option<&str>,
) -> MediaDescription {
    // RFC 8866 section 9 wants at least one format.
    let formats = match (formats, kind) {
        (Some(Formats::Rtp(numbers)), _) => Formats::Rtp(numbers.iter().copied().take(1).collect()),
        (Some(Formats::Other(names)), _) => Formats::Other(names.iter().take(1).cloned().collect()),
        (None, MediaKind::Audio | MediaKind::Video) => Formats::Rtp(vec![0]),
        (None, _) => Formats::Other(vec!["webrtc-datachannel".to_owned()]),
    };
    let rtp = matches!(formats, Formats::Rtp(_));
    let mut media = MediaDescription::new(kind.clone(), protocol, formats);
    media.port = 0;
    media
        .attributes
        .extend(mid.map(|mid| Attribute::Mid(mid.to_owned())));
    if rtp {
        media.attributes.push(Attribute::Direction(Direction::Inactive));
    }
    media
}
