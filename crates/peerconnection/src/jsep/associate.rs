//! Which transceiver an m-section belongs to (RFC 9429 sections 5.9 and 5.10).

use dunlin_sdp::{Direction, MediaDescription, SessionDescription};

use super::answer::has_common_codec;
use super::bundle::{Bundle, is_supported};
use super::error::JsepError;
use super::state::{Owner, Section, State};
use super::transceiver::{Life, MediaKind, Transceiver, TransceiverId, TransceiverInit};

impl State {
    /// Gives each section of a local offer its transceiver: the first without a section, of its kind, as
    /// [`super::create_offer`] planned it.
    pub(crate) fn associate_local_offer(&mut self, offer: &SessionDescription) -> Result<(), JsepError> {
        for (index, media) in offer.media.iter().enumerate() {
            let known = self
                .sections
                .get(index)
                .map_or(Owner::Nobody, |section| section.owner);
            let owner = match (known, MediaKind::of(&media.kind)) {
                (Owner::Nobody, _) if media.is_rejected() => Owner::Nobody,
                (Owner::Nobody, Some(kind)) => {
                    let free = self.unassociated().find(|transceiver| transceiver.kind == kind);
                    match free.map(|transceiver| transceiver.id) {
                        Some(id) => Owner::Transceiver(id),
                        None => {
                            return Err(JsepError::NoTransceiver {
                                index,
                                kind: kind.as_str().to_owned(),
                            });
                        }
                    }
                }
                (Owner::Nobody, None) if is_supported(media) && !self.has_data() => Owner::Data,
                (Owner::Nobody, None) => {
                    return Err(JsepError::Protocol {
                        index,
                        protocol: media.protocol.clone(),
                    });
                }
                (owner, _) => owner,
            };
            self.set_section(index, media, owner);
        }
        Ok(())
    }

    /// Gives each section of a remote offer its transceiver, an old one or a new one that only receives.
    pub(crate) fn associate_remote_offer(&mut self, offer: &SessionDescription, bundle: &Bundle) {
        for (index, media) in offer.media.iter().enumerate() {
            let known = self
                .sections
                .get(index)
                .map_or(Owner::Nobody, |section| section.owner);
            let usable = bundle.contains(index) && is_supported(media);
            let owner = match (known, MediaKind::of(&media.kind)) {
                (Owner::Nobody, _) if !usable => Owner::Nobody,
                (Owner::Nobody, None) if self.has_data() => Owner::Nobody,
                (Owner::Nobody, None) => Owner::Data,
                (Owner::Nobody, Some(kind)) if self.can_answer(kind, offer, bundle, index) => {
                    Owner::Transceiver(self.for_remote_section(kind, offer.direction(media)))
                }
                (Owner::Nobody, Some(_)) => Owner::Nobody,
                (owner, _) => owner,
            };
            self.set_section(index, media, owner);
        }
    }

    fn can_answer(&self, kind: MediaKind, offer: &SessionDescription, bundle: &Bundle, index: usize) -> bool {
        bundle.has_rtcp_mux(offer, index)
            && has_common_codec(self.settings.codecs().of(kind), &offer.media[index])
    }

    /// RFC 9429 section 5.10: "If the m= section is sendrecv or recvonly, and there are RtpTransceivers of the same type
    /// that were added … by addTrack and are not associated with any m= section and are not stopped, find the first";
    /// "If no RtpTransceiver was found …, create one with a recvonly direction".
    fn for_remote_section(&mut self, kind: MediaKind, offered: Direction) -> TransceiverId {
        let tracks = |known: &&Transceiver| known.kind == kind && known.for_track && offered.receives();
        if let Some(id) = self.unassociated().find(tracks).map(|transceiver| transceiver.id) {
            return id;
        }
        let init = TransceiverInit {
            direction: Direction::RecvOnly,
            ..TransceiverInit::default()
        };
        let id = self.add_transceiver(kind, init);
        if let Some(transceiver) = self.transceiver_mut(id) {
            transceiver.made_by_offer = true;
        }
        id
    }

    fn set_section(&mut self, index: usize, media: &MediaDescription, owner: Owner) {
        let mid = media.mid().map(str::to_owned);
        if let Owner::Transceiver(id) = owner
            && let Some(transceiver) = self.transceiver_mut(id)
        {
            transceiver.association.m_line = Some(index);
            if mid.is_some() || transceiver.association.mid.is_none() {
                // RFC 9429 section 5.10: a section without mid gets one that only we know.
                transceiver.association.mid = mid.clone().or_else(|| Some(format!("m{index}")));
            }
        }
        let section = Section {
            mid,
            kind: media.kind.clone(),
            protocol: media.protocol.clone(),
            owner,
        };
        match self.sections.get_mut(index) {
            Some(known) => *known = section,
            None => self.sections.push(section),
        }
    }

    /// The section was rejected: whoever had it is stopped, and the next offer may use it for something else.
    pub(crate) fn release_section(&mut self, index: usize) -> Option<TransceiverId> {
        let owner = std::mem::replace(&mut self.sections[index].owner, Owner::Nobody);
        let Owner::Transceiver(id) = owner else {
            return None;
        };
        let association = &mut self.transceiver_mut(id)?.association;
        association.life = Life::Stopped;
        association.mid = None;
        association.m_line = None;
        association.current_direction = None;
        Some(id)
    }
}
