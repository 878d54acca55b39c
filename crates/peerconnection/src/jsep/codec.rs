//! The codecs that can be negotiated, and when two descriptions mean the same one.

use dunlin_sdp::Codec;
use dunlin_sdp::attribute::{Feedback, parameter};

use super::h264::{Profile, ProfileLevel};
use super::transceiver::MediaKind;

/// A codec that this side can offer and accept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodecCapability {
    /// Audio or video.
    pub kind: MediaKind,
    /// The encoding name, such as `VP8`; compared without regard to case.
    pub name: String,
    /// The RTP clock in Hz.
    pub clock_rate: u32,
    /// The channels to write into `rtpmap`, for audio with more than one.
    pub channels: Option<u8>,
    /// The payload type to offer unless the session uses another number already.
    pub payload_type: u8,
    /// The payload type to offer for its retransmissions (RFC 4588), if any.
    pub rtx_payload_type: Option<u8>,
    /// The value of `a=fmtp`, empty for none.
    pub fmtp: String,
    /// The RTCP feedback to offer.
    pub feedback: Vec<Feedback>,
}

impl CodecCapability {
    /// An audio codec with `transport-cc` feedback.
    #[must_use]
    pub fn audio(name: &str, payload_type: u8, clock_rate: u32, channels: Option<u8>, fmtp: &str) -> Self {
        Self {
            kind: MediaKind::Audio,
            name: name.to_owned(),
            clock_rate,
            channels,
            payload_type,
            rtx_payload_type: None,
            fmtp: fmtp.to_owned(),
            feedback: Vec::new(),
        }
    }

    /// A video codec with a clock of 90 kHz, retransmission under the next payload type, and the feedback that
    /// browsers offer.
    #[must_use]
    pub fn video(name: &str, payload_type: u8, fmtp: &str) -> Self {
        Self {
            kind: MediaKind::Video,
            name: name.to_owned(),
            clock_rate: 90_000,
            channels: None,
            payload_type,
            rtx_payload_type: Some(payload_type + 1),
            fmtp: fmtp.to_owned(),
            feedback: vec![
                Feedback::GoogRemb,
                Feedback::TransportCc,
                Feedback::CcmFir,
                Feedback::Nack,
                Feedback::NackPli,
            ],
        }
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        Identity::new(&self.name, self.clock_rate, self.channels, &self.fmtp)
    }

    /// Whether it carries media, rather than tones or silence beside a codec that does.
    pub(crate) fn is_media(&self) -> bool {
        !["telephone-event", "CN"]
            .iter()
            .any(|name| self.name.eq_ignore_ascii_case(name))
    }

    /// The `fmtp` to answer with.
    pub(crate) fn answer_fmtp(&self, offered: &Codec<'_>) -> String {
        let offered = offered.parameters.unwrap_or_default();
        let asymmetry = parameter(offered, "level-asymmetry-allowed") == Some("1");
        if !self.name.eq_ignore_ascii_case("H264") || asymmetry {
            return self.fmtp.clone();
        }
        // RFC 6184 section 8.2.2: without level-asymmetry-allowed=1 on both sides, the level is symmetric, and
        // the answer may only lower it.
        let ours = ProfileLevel::parse(parameter(&self.fmtp, "profile-level-id"));
        let theirs = ProfileLevel::parse(parameter(offered, "profile-level-id"));
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => {
                let mode = packetization_mode(offered);
                format!(
                    "packetization-mode={mode};profile-level-id={}",
                    theirs.at_most(ours)
                )
            }
            _ => self.fmtp.clone(),
        }
    }
}

/// The codecs of a connection, in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codecs {
    /// The audio codecs.
    pub audio: Vec<CodecCapability>,
    /// The video codecs.
    pub video: Vec<CodecCapability>,
}

impl Codecs {
    /// The codecs of a kind.
    #[must_use]
    pub fn of(&self, kind: MediaKind) -> &[CodecCapability] {
        match kind {
            MediaKind::Audio => &self.audio,
            MediaKind::Video => &self.video,
        }
    }
}

impl Default for Codecs {
    /// Opus, G.722, PCMU, PCMA, telephone events; VP8, VP9 profile 0, H.264 (constrained) baseline, AV1. The numbers
    /// are those of Chromium, which spares translators work.
    fn default() -> Self {
        let mut opus = CodecCapability::audio("opus", 111, 48_000, Some(2), "minptime=10;useinbandfec=1");
        opus.feedback.push(Feedback::TransportCc);
        let h264 = |id| format!("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={id}");
        Self {
            audio: vec![
                opus,
                CodecCapability::audio("G722", 9, 8000, None, ""),
                CodecCapability::audio("PCMU", 0, 8000, None, ""),
                CodecCapability::audio("PCMA", 8, 8000, None, ""),
                CodecCapability::audio("telephone-event", 110, 48_000, None, ""),
                CodecCapability::audio("telephone-event", 126, 8000, None, ""),
            ],
            video: vec![
                CodecCapability::video("VP8", 96, ""),
                CodecCapability::video("VP9", 98, "profile-id=0"),
                CodecCapability::video("H264", 108, &h264("42e01f")),
                CodecCapability::video("H264", 102, &h264("42001f")),
                CodecCapability::video("AV1", 45, "level-idx=5;profile=0;tier=0"),
            ],
        }
    }
}

/// Which RTCP feedback both sides agreed on for a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedbackFlags {
    /// `nack`.
    pub nack: bool,
    /// `nack pli`.
    pub pli: bool,
    /// `ccm fir`.
    pub fir: bool,
    /// `goog-remb`.
    pub remb: bool,
    /// `transport-cc`.
    pub transport_cc: bool,
}

impl FeedbackFlags {
    /// What both sides wrote.
    pub(crate) fn both(local: &Codec<'_>, remote: &Codec<'_>) -> Self {
        let has = |wanted: Feedback| local.feedback.contains(&&wanted) && remote.feedback.contains(&&wanted);
        Self {
            nack: has(Feedback::Nack),
            pli: has(Feedback::NackPli),
            fir: has(Feedback::CcmFir),
            remb: has(Feedback::GoogRemb),
            transport_cc: has(Feedback::TransportCc),
        }
    }
}

/// A codec in use for one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NegotiatedCodec {
    /// The number in RTP headers of this direction.
    pub payload_type: u8,
    /// The encoding name.
    pub name: String,
    /// The RTP clock in Hz.
    pub clock_rate: u32,
    /// Channels of audio, if written.
    pub channels: Option<u8>,
    /// The `fmtp` of whoever receives: the peer's when we send, ours when we receive. Empty for none.
    pub fmtp: String,
    /// The payload type of retransmissions, when both sides have it.
    pub rtx_payload_type: Option<u8>,
    /// The feedback both sides agreed on.
    pub feedback: FeedbackFlags,
}

/// What must be equal for two descriptions to mean the same codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    name: String,
    clock_rate: u32,
    channels: u8,
    variant: Variant,
}

/// The part of `fmtp` that makes codecs of one name different.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Variant {
    None,
    H264(Profile, u8),
    Profile(u8),
}

impl Identity {
    /// `None` for what cannot be matched: redundancy and retransmission formats, unknown profiles.
    pub(crate) fn new(name: &str, clock_rate: u32, channels: Option<u8>, fmtp: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let number =
            |key, default| parameter(fmtp, key).map_or(Some(default), |text| text.parse::<u8>().ok());
        let variant = match name.as_str() {
            "rtx" | "red" | "ulpfec" | "flexfec" | "flexfec-03" => return None,
            "h264" => {
                let profile = ProfileLevel::parse(parameter(fmtp, "profile-level-id"))?.profile()?;
                Variant::H264(profile, packetization_mode(fmtp))
            }
            // RFC 9628 section 7: profile-id, 0 if absent. AV1 RTP section 7.2.3: profile, 0 if absent.
            "vp9" => Variant::Profile(number("profile-id", 0)?),
            "av1" => Variant::Profile(number("profile", 0)?),
            _ => Variant::None,
        };
        // RFC 7587 section 7: opus is always written with two channels; GStreamer leaves them out.
        let channels = if name == "opus" { 2 } else { channels.unwrap_or(1) };
        Some(Self {
            name,
            clock_rate,
            channels,
            variant,
        })
    }

    /// The identity of a codec of a description.
    pub(crate) fn of(codec: &Codec<'_>) -> Option<Self> {
        // RFC 5761 section 4: payload types 64 to 95 cannot be told from RTCP.
        if (64..=95).contains(&codec.payload_type) {
            return None;
        }
        Self::new(
            codec.encoding,
            codec.clock_rate,
            codec.channels,
            codec.parameters.unwrap_or_default(),
        )
    }
}

/// RFC 6184 section 8.1: "When … packetization-mode is not present, the value … MUST be [0]".
fn packetization_mode(fmtp: &str) -> u8 {
    parameter(fmtp, "packetization-mode")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// The retransmission payload type for a payload type among the codecs of a section (RFC 4588 section 8.1).
pub(crate) fn rtx_for(codecs: &[Codec<'_>], payload_type: u8) -> Option<u8> {
    codecs
        .iter()
        .filter(|codec| codec.encoding.eq_ignore_ascii_case("rtx"))
        .find(|codec| {
            let apt = codec.parameters.and_then(|text| parameter(text, "apt"));
            apt.and_then(|text| text.parse().ok()) == Some(payload_type)
        })
        .map(|codec| codec.payload_type)
        .filter(|payload_type| !(64..=95).contains(payload_type))
}
