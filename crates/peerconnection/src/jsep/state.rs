//! Everything that negotiation remembers, as one plain value.

use std::borrow::Cow;

use dunlin_sdp::{Origin, SessionDescription};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::bundle::Bundle;
use super::codec::Codecs;
use super::extension::HeaderExtensions;
use super::negotiated::{DtlsRole, RemoteTransport};
use super::numbers::Numbers;
use super::rollback::Saved;
use super::transceiver::{Association, Life, MediaKind, Transceiver, TransceiverId, TransceiverInit};
use crate::config::AnswerSetup;
use crate::description::SdpType;
use crate::state::SignalingState;

/// How many m-lines a session may have. A browser handles some hundreds.
pub(crate) const MAX_SECTIONS: usize = 1024;

/// What is fixed for the life of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The codecs offered and accepted. `None`: the default ones, of which no connection keeps a copy.
    pub codecs: Option<Box<Codecs>>,
    /// The header extensions offered and accepted. `None`: the default ones.
    pub header_extensions: Option<Box<HeaderExtensions>>,
    /// The DTLS role an answer takes when the offer leaves the choice. Default active.
    pub answer_setup: AnswerSetup,
    /// The canonical name of all senders (RFC 3550 section 6.5.1; RFC 7022: random per session). Default empty.
    pub cname: String,
    /// The largest data channel message taken, in bytes (RFC 8841 section 6). Default 256 KiB.
    pub max_message_size: u64,
    /// The SCTP port (RFC 8841 section 5). Default 5000.
    pub sctp_port: u16,
    /// Whether we are an ICE-lite agent. Default false.
    pub ice_lite: bool,
    /// The time between connectivity checks that is proposed, in milliseconds (RFC 8839 section 5.5). Default as
    /// [`dunlin_ice::Config::pacing`].
    pub ice_pacing: u64,
    /// The session id of `o=`, random and below 2^63 (RFC 9429 section 5.2.1). Default 1.
    pub session_id: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            codecs: None,
            header_extensions: None,
            answer_setup: AnswerSetup::Active,
            cname: String::new(),
            max_message_size: 256 * 1024,
            sctp_port: 5000,
            ice_lite: false,
            ice_pacing: dunlin_ice::Config::default().pacing.as_millis() as u64,
            session_id: 1,
        }
    }
}

impl Settings {
    /// The codecs, which are made anew if they are the default ones: descriptions are rare.
    #[must_use]
    pub fn codecs(&self) -> Cow<'_, Codecs> {
        kept_or_default(self.codecs.as_deref())
    }

    /// The header extensions, likewise.
    #[must_use]
    pub fn header_extensions(&self) -> Cow<'_, HeaderExtensions> {
        kept_or_default(self.header_extensions.as_deref())
    }
}

fn kept_or_default<T: Clone + Default>(kept: Option<&T>) -> Cow<'_, T> {
    kept.map_or_else(|| Cow::Owned(T::default()), Cow::Borrowed)
}

/// What a description says about our side of the transport.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalTransport {
    /// `ice-ufrag`.
    pub ufrag: String,
    /// `ice-pwd`.
    pub password: String,
    /// Certificate fingerprints: `sha-256 AA:BB:…`.
    pub fingerprints: Vec<String>,
    /// Candidates gathered so far, `candidate:…`; only [`super::with_candidates`] writes them.
    pub candidates: Vec<String>,
    /// No more candidates will come.
    pub end_of_candidates: bool,
}

/// Who an m-section belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Transceiver(TransceiverId),
    Data,
    /// Rejected: the next offer may use it for something else (RFC 9429 section 5.2.2).
    Nobody,
}

/// An m-section of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) mid: Option<String>,
    pub(crate) kind: dunlin_sdp::MediaKind,
    pub(crate) protocol: String,
    pub(crate) owner: Owner,
}

/// A description at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) kind: SdpType,
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// Text takes a quarter of the memory of its values.
    Text(Box<str>),
    /// What is longer, written anew, than a text may be.
    Values(Box<SessionDescription>),
}

impl Kept {
    pub(crate) fn new(kind: SdpType, sdp: &SessionDescription) -> Self {
        let text = sdp.to_string();
        let form = match SessionDescription::parse(&text) {
            Ok(read) if read == *sdp => Form::Text(text.into()),
            _ => Form::Values(Box::new(sdp.clone())),
        };
        Self { kind, form }
    }

    /// Its values again.
    pub(crate) fn sdp(&self) -> SessionDescription {
        match &self.form {
            // It could be read when it was kept.
            Form::Text(text) => {
                SessionDescription::parse(text).unwrap_or_else(|_| SessionDescription::new(Origin::default()))
            }
            Form::Values(values) => (**values).clone(),
        }
    }
}

/// The state of negotiation: transceivers, m-sections and the descriptions of both sides.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) settings: Settings,
    pub(crate) signaling: SignalingState,
    pub(crate) transceivers: Vec<Transceiver>,
    pub(crate) sections: Vec<Section>,
    pub(crate) numbers: Numbers,
    pub(crate) data_wanted: bool,
    /// An answer turned the data section down: offers may carry one, but none is made for its sake.
    pub(crate) data_refused: bool,
    pub(crate) restart_wanted: bool,
    pub(crate) current_local: Option<Kept>,
    pub(crate) pending_local: Option<Kept>,
    pub(crate) current_remote: Option<Kept>,
    pub(crate) pending_remote: Option<Kept>,
    /// The last local description of any kind, if it was taken back: the next one's version follows from it.
    pub(crate) taken_back: Option<Kept>,
    pub(crate) remote_transport: Option<Box<RemoteTransport>>,
    pub(crate) dtls_role: Option<DtlsRole>,
    /// What a rollback returns to; there outside of `stable`.
    pub(crate) saved: Option<Box<Saved>>,
    next_transceiver: u32,
    seed: [u8; 32],
}

impl State {
    /// A session without m-lines. SSRCs and track ids are drawn from the seed.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        Self {
            settings,
            signaling: SignalingState::Stable,
            transceivers: Vec::new(),
            sections: Vec::new(),
            numbers: Numbers::default(),
            data_wanted: false,
            data_refused: false,
            restart_wanted: false,
            current_local: None,
            pending_local: None,
            current_remote: None,
            pending_remote: None,
            taken_back: None,
            remote_transport: None,
            dtls_role: None,
            saved: None,
            next_transceiver: 0,
            seed,
        }
    }

    /// Where offer and answer stand.
    #[must_use]
    pub fn signaling(&self) -> SignalingState {
        self.signaling
    }

    /// What was set at the start.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All transceivers, in the order of their making.
    #[must_use]
    pub fn transceivers(&self) -> &[Transceiver] {
        &self.transceivers
    }

    /// A transceiver.
    #[must_use]
    pub fn transceiver(&self, id: TransceiverId) -> Option<&Transceiver> {
        self.transceivers.iter().find(|transceiver| transceiver.id == id)
    }

    /// A transceiver, to change.
    #[must_use]
    pub fn transceiver_mut(&mut self, id: TransceiverId) -> Option<&mut Transceiver> {
        self.transceivers
            .iter_mut()
            .find(|transceiver| transceiver.id == id)
    }

    /// Makes a transceiver; the next offer has a section for it.
    pub fn add_transceiver(&mut self, kind: MediaKind, init: TransceiverInit) -> TransceiverId {
        let id = TransceiverId(self.next_transceiver);
        self.next_transceiver += 1;
        // Drawn from the seed and the number: the same calls give the same descriptions, and a refused
        // description takes nothing away.
        let mut seed = self.seed;
        for (byte, number) in seed.iter_mut().zip(id.0.to_be_bytes()) {
            *byte ^= number;
        }
        let mut rng = StdRng::from_seed(seed);
        let mut ssrc = || loop {
            let ssrc = rng.random();
            if ssrc != 0
                && !self
                    .transceivers
                    .iter()
                    .any(|other| other.ssrc == ssrc || other.rtx_ssrc == ssrc)
            {
                return ssrc;
            }
        };
        let (ssrc, rtx_ssrc) = (ssrc(), ssrc());
        self.transceivers.push(Transceiver {
            id,
            kind,
            direction: init.direction,
            ssrc,
            rtx_ssrc,
            track: uuid(rng.random()),
            streams: init.streams,
            codecs: init.codecs,
            for_track: init.for_track,
            made_by_offer: false,
            association: Association::none(),
        });
        id
    }

    /// A data channel exists: offers carry a data section from now on.
    pub fn set_data_wanted(&mut self) {
        self.data_wanted = true;
    }

    /// The local ICE credentials are new: an offer with them is needed (webrtc-pc `restartIce`).
    pub fn set_restart_wanted(&mut self) {
        self.restart_wanted = true;
    }

    /// Mid and position of the section that candidates are signalled for: the tagged one of our description.
    #[must_use]
    pub fn bundle_tag(&self) -> Option<(String, usize)> {
        let (_, sdp) = self.local_description()?;
        let index = Bundle::of(&sdp).members.first().copied()?;
        Some((sdp.media[index].mid().unwrap_or_default().to_owned(), index))
    }

    /// Whether data channels were negotiated.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.sections.iter().any(|section| section.owner == Owner::Data)
    }

    /// Our description: the pending one, else the current one. Without candidates, see [`super::with_candidates`].
    #[must_use]
    pub fn local_description(&self) -> Option<(SdpType, SessionDescription)> {
        let description = self.pending_local.as_ref().or(self.current_local.as_ref());
        description.map(|kept| (kept.kind, kept.sdp()))
    }

    /// The peer's description: the pending one, else the current one.
    #[must_use]
    pub fn remote_description(&self) -> Option<(SdpType, SessionDescription)> {
        let description = self.pending_remote.as_ref().or(self.current_remote.as_ref());
        description.map(|kept| (kept.kind, kept.sdp()))
    }

    /// The transceivers that may be given a section, in order.
    pub(crate) fn unassociated(&self) -> impl Iterator<Item = &Transceiver> {
        self.transceivers.iter().filter(|transceiver| {
            transceiver.association.m_line.is_none() && transceiver.association.life == Life::Active
        })
    }

    /// Sets the version: RFC 9429 section 5.2.2 "the <sess-version> … MUST be incremented by one" when the description
    /// differs from the previous one.
    pub(crate) fn versioned(&self, mut sdp: SessionDescription) -> SessionDescription {
        let kept = [&self.taken_back, &self.pending_local, &self.current_local];
        if let Some(last) = kept.into_iter().flatten().next().map(Kept::sdp) {
            sdp.origin.version = last.origin.version;
            if sdp != last {
                sdp.origin.version += 1;
            }
        }
        sdp
    }
}

/// Sixteen bytes as RFC 9562 writes a random UUID: what browsers call their tracks.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 0x0f] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_rests_as_text_unless_it_would_be_read_otherwise() {
        let mut sdp = SessionDescription::new(Origin::new(7, 2));
        let kept = Kept::new(SdpType::Offer, &sdp);
        assert!(matches!(kept.form, Form::Text(_)));
        assert_eq!(kept.sdp(), sdp);
        sdp.session_name = "two\r\nlines".to_owned();
        let kept = Kept::new(SdpType::Offer, &sdp);
        assert!(matches!(kept.form, Form::Values(_)));
        assert_eq!(kept.sdp(), sdp);
    }

    #[test]
    fn the_default_codecs_are_there_without_being_kept() {
        let settings = Settings::default();
        assert_eq!(*settings.codecs(), Codecs::default());
        assert_eq!(*settings.header_extensions(), HeaderExtensions::default());
    }
}
