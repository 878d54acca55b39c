//! The header extensions that dunlin knows by name, with their URIs.

/// A header extension, as its URI names it in SDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ExtensionKind {
    /// The identification tag of the media section (RFC 9143, section 15).
    Mid,
    /// The RTP stream id of an encoding (RFC 8852).
    Rid,
    /// The RTP stream id that a retransmission repairs (RFC 8852).
    RepairedRid,
    /// Client-to-mixer audio level (RFC 6464).
    AudioLevel,
    /// Mixer-to-client audio levels (RFC 6465).
    CsrcAudioLevel,
    /// Absolute send time.
    AbsSendTime,
    /// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportSequence,
    /// Transmission time offset (RFC 5450).
    TimestampOffset,
    /// Coordination of video orientation (3GPP TS 26.114).
    VideoOrientation,
    /// Limits of the playout delay.
    PlayoutDelay,
    /// When the media was captured.
    AbsCaptureTime,
    /// Whether the video is of a camera or a screen.
    VideoContentType,
    /// Times at which a frame passed the stages of its sender.
    VideoTiming,
    /// Colour space of the video.
    ColorSpace,
    /// The AV1 dependency descriptor.
    DependencyDescriptor,
    /// Which layers a video sender now has, with their target rates.
    VideoLayersAllocation,
}

impl ExtensionKind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::AudioLevel,
        Self::CsrcAudioLevel,
        Self::AbsSendTime,
        Self::TransportSequence,
        Self::TimestampOffset,
        Self::VideoOrientation,
        Self::PlayoutDelay,
        Self::AbsCaptureTime,
        Self::VideoContentType,
        Self::VideoTiming,
        Self::ColorSpace,
        Self::DependencyDescriptor,
        Self::VideoLayersAllocation,
    ];

    /// The URI of `a=extmap`.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::CsrcAudioLevel => "urn:ietf:params:rtp-hdrext:csrc-audio-level",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::TransportSequence => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            Self::TimestampOffset => "urn:ietf:params:rtp-hdrext:toffset",
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::VideoContentType => "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
            Self::VideoTiming => "http://www.webrtc.org/experiments/rtp-hdrext/video-timing",
            Self::ColorSpace => "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::VideoLayersAllocation => {
                "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"
            }
        }
    }

    /// The kind of a URI, if it is a known one.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.uri() == uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_uri_leads_back_to_its_kind() {
        for (index, kind) in ExtensionKind::ALL.into_iter().enumerate() {
            assert_eq!(ExtensionKind::from_uri(kind.uri()), Some(kind));
            assert_eq!(kind as usize, index);
        }
        assert_eq!(
            ExtensionKind::from_uri("urn:ietf:params:rtp-hdrext:sdes:Mid"),
            None
        );
    }
}
