//! What a session, a receiver and a sender are told: bounds, codecs, header extensions.

use std::time::Duration;

use dunlin_rtp::{ExtensionMap, NtpTime, PayloadType, Ssrc};

/// The bounds and intervals of a session. An interval of more than an hour counts as an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The canonical name in SDES. Default empty: a random one is made from the seed (RFC 7022, section 4.2).
    pub cname: String,
    /// The NTP time of the `now` at which the session is made. Default a fixed date: peers only use differences.
    pub ntp_start: NtpTime,
    /// Bytes of a datagram of RTCP before protection. Default 1180, so that 1200 hold it with a tag.
    pub max_datagram: usize,
    /// Whether RTCP may go out without report and name (`a=rtcp-rsize`, RFC 5506). Default false.
    pub reduced_size: bool,
    /// The mean time between reports; each is randomised by half (RFC 3550, section 6.3.1). Default 1 s.
    pub report_interval: Duration,
    /// The time between transport-wide feedbacks. Default 50 ms.
    pub transport_feedback_interval: Duration,
    /// The least time between two requests for a key frame that are sent for one stream, and between two that
    /// are reported for one sender. Default 300 ms.
    pub keyframe_interval: Duration,
    /// How long a missing packet may be merely late before it is asked for. Default 5 ms.
    pub nack_delay: Duration,
    /// How often a missing packet is asked for. Default 10.
    pub nack_retries: u8,
    /// Missing packets of one stream that are asked for; a larger gap is given up. Default 512.
    pub max_missing: usize,
    /// Packets that a sender keeps for retransmission, at most 1024. Default 512.
    pub max_history: usize,
    /// SSRCs that are received at once. Default 256.
    pub max_streams: usize,
    /// Events that wait for `poll_event`. Default 4096.
    pub max_events: usize,
    /// Packets that wait for `poll_rtp`. Default 4096.
    pub max_queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cname: String::new(),
            ntp_start: NtpTime::UNIX_EPOCH.wrapping_add(Duration::from_secs(1_767_225_600)),
            max_datagram: 1180,
            reduced_size: false,
            report_interval: Duration::from_secs(1),
            transport_feedback_interval: Duration::from_millis(50),
            keyframe_interval: Duration::from_millis(300),
            nack_delay: Duration::from_millis(5),
            nack_retries: 10,
            max_missing: 512,
            max_history: 512,
            max_streams: 256,
            max_events: 4096,
            max_queue: 4096,
        }
    }
}

impl Config {
    /// The same with intervals that can be added to a time.
    pub(crate) fn sane(mut self) -> Self {
        const LONGEST: Duration = Duration::from_secs(3600);
        for interval in [
            &mut self.report_interval,
            &mut self.transport_feedback_interval,
            &mut self.keyframe_interval,
            &mut self.nack_delay,
        ] {
            *interval = (*interval).min(LONGEST);
        }
        self
    }
}

/// A receiver: one media section whose packets come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReceiverId(pub(crate) u32);

/// A sender: one outgoing stream, with its retransmissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SenderId(pub(crate) u32);

/// What a media section carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// The feedback that was negotiated for a codec (`a=rtcp-fb`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Feedback {
    /// `nack`: lost packets are asked for and sent again.
    pub nack: bool,
    /// `nack pli`: key frames are asked for.
    pub pli: bool,
    /// `ccm fir`: key frames are asked for.
    pub fir: bool,
    /// `transport-cc`: arrival times are fed back.
    pub transport_cc: bool,
    /// `goog-remb`.
    pub remb: bool,
}

/// One payload type of a media section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    /// The payload type.
    pub payload_type: PayloadType,
    /// The rate of its timestamps in Hz.
    pub clock_rate: u32,
    /// The payload type of its retransmissions (`a=fmtp:<rtx> apt=<payload_type>`, RFC 4588).
    pub rtx: Option<PayloadType>,
    /// Its feedback.
    pub feedback: Feedback,
}

/// What a receiver expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// The identification tag of the media section.
    pub mid: String,
    /// What it carries.
    pub kind: MediaKind,
    /// The payload types, without those of retransmissions.
    pub codecs: Vec<Codec>,
    /// The header extensions; a URI has the same id in all sections of a transport.
    pub extensions: ExtensionMap,
    /// The SSRCs that the description names (`a=ssrc`), without those of retransmissions.
    pub ssrcs: Vec<Ssrc>,
    /// The pairs of `a=ssrc-group:FID`: media, then retransmissions.
    pub rtx_ssrcs: Vec<(Ssrc, Ssrc)>,
}

impl ReceiverConfig {
    /// A receiver without codecs and extensions.
    #[must_use]
    pub fn new(mid: impl Into<String>, kind: MediaKind) -> Self {
        Self {
            mid: mid.into(),
            kind,
            codecs: Vec::new(),
            extensions: ExtensionMap::new(),
            ssrcs: Vec::new(),
            rtx_ssrcs: Vec::new(),
        }
    }

    /// The codec of a payload type.
    pub(crate) fn codec(&self, payload_type: PayloadType) -> Option<&Codec> {
        self.codecs
            .iter()
            .find(|codec| codec.payload_type == payload_type)
    }

    /// The codec whose retransmissions have this payload type.
    pub(crate) fn codec_of_rtx(&self, payload_type: PayloadType) -> Option<&Codec> {
        self.codecs.iter().find(|codec| codec.rtx == Some(payload_type))
    }

    pub(crate) fn accepts(&self, payload_type: PayloadType) -> bool {
        self.codec(payload_type)
            .or_else(|| self.codec_of_rtx(payload_type))
            .is_some()
    }
}

/// What a sender sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderConfig {
    /// The identification tag of the media section.
    pub mid: String,
    /// What it carries.
    pub kind: MediaKind,
    /// The SSRC of the media.
    pub ssrc: Ssrc,
    /// The SSRC of retransmissions; without one they take that of the media.
    pub rtx_ssrc: Option<Ssrc>,
    /// The id of the encoding, if the section has several (`a=rid`).
    pub rid: Option<String>,
    /// The payload types, without those of retransmissions.
    pub codecs: Vec<Codec>,
    /// The header extensions that the peer accepts.
    pub extensions: ExtensionMap,
}

impl SenderConfig {
    /// A sender without codecs and extensions.
    #[must_use]
    pub fn new(mid: impl Into<String>, kind: MediaKind, ssrc: Ssrc) -> Self {
        Self {
            mid: mid.into(),
            kind,
            ssrc,
            rtx_ssrc: None,
            rid: None,
            codecs: Vec::new(),
            extensions: ExtensionMap::new(),
        }
    }

    pub(crate) fn codec(&self, payload_type: PayloadType) -> Option<&Codec> {
        self.codecs
            .iter()
            .find(|codec| codec.payload_type == payload_type)
    }
}
