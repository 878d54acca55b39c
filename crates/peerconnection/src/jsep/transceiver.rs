//! What negotiation knows about a transceiver (RFC 9429 section 3.4.2; webrtc-pc section 5.4).

use dunlin_sdp::Direction;

use super::codec::CodecCapability;

/// Names a transceiver for the life of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransceiverId(pub(crate) u32);

/// What a transceiver carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaKind {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

impl MediaKind {
    /// The word in the m-line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    pub(crate) fn of(kind: &dunlin_sdp::MediaKind) -> Option<Self> {
        match kind {
            dunlin_sdp::MediaKind::Audio => Some(Self::Audio),
            dunlin_sdp::MediaKind::Video => Some(Self::Video),
            _ => None,
        }
    }

    pub(crate) fn sdp(self) -> dunlin_sdp::MediaKind {
        match self {
            Self::Audio => dunlin_sdp::MediaKind::Audio,
            Self::Video => dunlin_sdp::MediaKind::Video,
        }
    }
}

/// How to make a transceiver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransceiverInit {
    /// What is wanted. Default `sendrecv`.
    pub direction: Direction,
    /// The ids of the media streams that the sent track belongs to. Default none.
    pub streams: Vec<String>,
    /// The codecs to use, in order of preference. Default empty: all of the connection's, in the order of its
    /// configuration when we offer and in the order of the offer when we answer.
    pub codecs: Vec<CodecCapability>,
    /// Made for a track rather than for its own sake: an m-section that the peer offers may take it over
    /// (webrtc-pc `addTrack`, RFC 9429 section 5.10). Default false (`addTransceiver`).
    pub for_track: bool,
}

/// Whether a transceiver still lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Active,
    /// The application stopped it; the next offer says so.
    Stopping,
    Stopped,
}

/// What a description did to a transceiver, and what a rollback undoes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Association {
    pub(crate) mid: Option<String>,
    pub(crate) m_line: Option<usize>,
    pub(crate) life: Life,
    pub(crate) current_direction: Option<Direction>,
    /// The peer said that it sends: the W3C's `[[FiredDirection]]`.
    pub(crate) receiving: bool,
    pub(crate) remote_streams: Vec<String>,
}

impl Association {
    pub(crate) fn none() -> Self {
        Self {
            mid: None,
            m_line: None,
            life: Life::Active,
            current_direction: None,
            receiving: false,
            remote_streams: Vec::new(),
        }
    }
}

/// A sender and a receiver that share an m-section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transceiver {
    pub(crate) id: TransceiverId,
    pub(crate) kind: MediaKind,
    pub(crate) direction: Direction,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    pub(crate) track: String,
    pub(crate) streams: Vec<String>,
    pub(crate) codecs: Vec<CodecCapability>,
    pub(crate) for_track: bool,
    /// A remote offer made it, and no track of ours was given to it since: a rollback removes it.
    pub(crate) made_by_offer: bool,
    pub(crate) association: Association,
}

impl Transceiver {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> TransceiverId {
        self.id
    }

    /// Audio or video.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    /// The direction that is wanted.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The direction that was negotiated last.
    #[must_use]
    pub fn current_direction(&self) -> Option<Direction> {
        self.association.current_direction
    }

    /// The m-section's identification, once there is one.
    #[must_use]
    pub fn mid(&self) -> Option<&str> {
        self.association.mid.as_deref()
    }

    /// The m-section's position, once there is one.
    #[must_use]
    pub fn m_line_index(&self) -> Option<usize> {
        self.association.m_line
    }

    /// The SSRC it sends with.
    #[must_use]
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The SSRC it retransmits with, when RTX was negotiated.
    #[must_use]
    pub fn rtx_ssrc(&self) -> u32 {
        self.rtx_ssrc
    }

    /// The id of the track it sends.
    #[must_use]
    pub fn track(&self) -> &str {
        &self.track
    }

    /// The ids of the media streams that the sent track belongs to.
    #[must_use]
    pub fn streams(&self) -> &[String] {
        &self.streams
    }

    /// The ids of the media streams that the peer put the received track into.
    #[must_use]
    pub fn remote_streams(&self) -> &[String] {
        &self.association.remote_streams
    }

    /// Whether it was stopped, by whichever side.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.association.life != Life::Active
    }

    /// Sets the wanted direction; it counts from the next offer or answer on.
    pub fn set_direction(&mut self, direction: Direction) {
        self.direction = direction;
    }

    /// Sets the media streams of the sent track.
    pub fn set_streams(&mut self, streams: Vec<String>) {
        self.streams = streams;
    }

    /// Sets the codecs to use, in order of preference; empty for all of the connection's.
    pub fn set_codecs(&mut self, codecs: Vec<CodecCapability>) {
        self.codecs = codecs;
    }

    /// Gives it a track to send (webrtc-pc `addTrack` on an existing transceiver): it survives a rollback.
    pub fn attach_track(&mut self, streams: Vec<String>) {
        self.streams = streams;
        self.for_track = true;
        self.made_by_offer = false;
        self.direction = Direction::new(true, self.direction.receives());
    }

    /// Ends it. The peer learns of it from the next offer.
    pub fn stop(&mut self) {
        if self.association.life == Life::Active {
            self.association.life = match self.association.mid {
                Some(_) => Life::Stopping,
                None => Life::Stopped,
            };
        }
    }

    /// The codecs that it may use, in order, with `all` standing in for no preference.
    pub(crate) fn codecs_or<'a>(&'a self, all: &'a [CodecCapability]) -> &'a [CodecCapability] {
        if self.codecs.is_empty() { all } else { &self.codecs }
    }
}
