//! The RTP header extensions that can be negotiated (RFC 8285; RFC 9429 section 5.2.1).

use dunlin_rtp::ExtensionKind;
use dunlin_sdp::attribute::ExtMap;
use dunlin_sdp::{Direction, MediaDescription};

use super::transceiver::MediaKind;

/// A header extension that this side can offer and accept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderExtension {
    /// Its name.
    pub uri: String,
    /// The id to offer unless the session uses another for it already: 1 to 14.
    pub id: u8,
    /// Whether audio sections have it.
    pub audio: bool,
    /// Whether video sections have it.
    pub video: bool,
    /// Whether offers have it; answers accept it either way.
    pub offer: bool,
}

impl HeaderExtension {
    /// An extension that is offered and accepted.
    #[must_use]
    pub fn new(uri: &str, id: u8, audio: bool, video: bool) -> Self {
        Self {
            uri: uri.to_owned(),
            id,
            audio,
            video,
            offer: true,
        }
    }

    fn is_for(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
        }
    }
}

/// The header extensions of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderExtensions(pub Vec<HeaderExtension>);

impl HeaderExtensions {
    /// The extensions of a kind.
    pub fn of(&self, kind: MediaKind) -> impl Iterator<Item = &HeaderExtension> {
        self.0.iter().filter(move |extension| extension.is_for(kind))
    }
}

impl Default for HeaderExtensions {
    fn default() -> Self {
        let new = |kind: ExtensionKind, id, audio, video| HeaderExtension::new(kind.uri(), id, audio, video);
        // The ids of simulcast layers are accepted but not offered: nothing is received in layers.
        let accept = |kind: ExtensionKind, id| HeaderExtension {
            offer: false,
            ..new(kind, id, false, true)
        };
        Self(vec![
            new(ExtensionKind::AudioLevel, 1, true, false),
            new(ExtensionKind::AbsSendTime, 2, true, true),
            new(ExtensionKind::TransportSequence, 3, true, true),
            new(ExtensionKind::Mid, 4, true, true),
            new(ExtensionKind::PlayoutDelay, 5, false, true),
            accept(ExtensionKind::Rid, 10),
            accept(ExtensionKind::RepairedRid, 11),
            new(ExtensionKind::VideoOrientation, 13, false, true),
            new(ExtensionKind::TimestampOffset, 14, false, true),
        ])
    }
}

/// Whether the id can be carried: RFC 8285 section 4.2 reserves 0 and 15; 4096 and up stand for "choose one".
pub(crate) fn usable_id(id: u16) -> Option<u8> {
    u8::try_from(id).ok().filter(|id| !matches!(id, 0 | 15))
}

/// The extensions of an answer: those offered that we have too, under the offered ids.
pub(crate) fn answer(ours: &HeaderExtensions, kind: MediaKind, offered: &MediaDescription) -> Vec<ExtMap> {
    let mut accepted: Vec<ExtMap> = Vec::new();
    for line in offered.extensions() {
        let known = ours.of(kind).any(|extension| extension.uri == line.uri);
        let twice = accepted
            .iter()
            .any(|other| other.uri == line.uri || other.id == line.id);
        if !known || twice || usable_id(line.id).is_none() {
            continue;
        }
        // RFC 8285 section 6: the answer carries "the appropriate direction", the mirror of the offer's.
        let direction = line.direction.map(Direction::reversed);
        accepted.push(ExtMap {
            id: line.id,
            direction,
            uri: line.uri.clone(),
            attributes: None,
        });
    }
    accepted
}

/// The extensions that both sections have: `(id, uri)` with the ids of `receiver`, for what flows from `sender` to it.
pub(crate) fn common(sender: &MediaDescription, receiver: &MediaDescription) -> Vec<(u8, String)> {
    let mut common = Vec::new();
    for line in receiver.extensions() {
        let receives = line.direction.unwrap_or_default().receives();
        let mut sent = sender.extensions().filter(|other| other.uri == line.uri);
        let sends = sent.any(|other| other.direction.unwrap_or_default().sends());
        if let (true, true, Some(id)) = (receives, sends, usable_id(line.id)) {
            common.push((id, line.uri.clone()));
        }
    }
    common
}
