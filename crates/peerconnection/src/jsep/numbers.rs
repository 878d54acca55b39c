//! Payload types and extension ids of a session: a number keeps its meaning from offer to offer.
//!
//! RFC 9143 section 9.1: in a BUNDLE group "a given payload type … MUST [be] associated with the same codec
//! configuration"; RFC 8285 section 6 says the same of extension ids.

use dunlin_sdp::SessionDescription;

use super::codec::{CodecCapability, Identity, rtx_for};
use super::extension::{HeaderExtension, usable_id};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    identity: Identity,
    payload_type: u8,
    rtx: Option<u8>,
}

/// The numbers that have a meaning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Numbers {
    codecs: Vec<Entry>,
    extensions: Vec<(String, u8)>,
}

impl Numbers {
    /// Learns the numbers of an offer, whoever made it.
    pub(crate) fn learn(&mut self, offer: &SessionDescription) {
        for media in offer.media.iter().filter(|media| media.is_rtp()) {
            let codecs = media.codecs();
            for codec in &codecs {
                let Some(identity) = Identity::of(codec) else {
                    continue;
                };
                let rtx = rtx_for(&codecs, codec.payload_type);
                self.release(codec.payload_type, &identity);
                rtx.into_iter().for_each(|rtx| self.release(rtx, &identity));
                match self.codecs.iter_mut().find(|entry| entry.identity == identity) {
                    Some(entry) if entry.payload_type == codec.payload_type => entry.rtx = entry.rtx.or(rtx),
                    Some(entry) => (entry.payload_type, entry.rtx) = (codec.payload_type, rtx),
                    None => self.codecs.push(Entry {
                        identity,
                        payload_type: codec.payload_type,
                        rtx,
                    }),
                }
            }
            for line in media.extensions() {
                let Some(id) = usable_id(line.id) else { continue };
                self.extensions
                    .retain(|(uri, known)| *uri != line.uri && *known != id);
                self.extensions.push((line.uri.clone(), id));
            }
        }
    }

    /// A number that an offer gives to one codec is lost to all others.
    fn release(&mut self, number: u8, owner: &Identity) {
        self.codecs
            .retain(|entry| entry.identity == *owner || entry.payload_type != number);
        for entry in &mut self.codecs {
            if entry.identity != *owner && entry.rtx == Some(number) {
                entry.rtx = None;
            }
        }
    }

    /// The payload types to offer a codec with, its own and that of its retransmissions. `None` when it cannot be
    /// told from others or no number is left.
    pub(crate) fn codec(&mut self, capability: &CodecCapability) -> Option<(u8, Option<u8>)> {
        let identity = capability.identity()?;
        let index = match self.codecs.iter().position(|entry| entry.identity == identity) {
            Some(index) => index,
            None => {
                let payload_type = self.free(capability.payload_type)?;
                self.codecs.push(Entry {
                    identity,
                    payload_type,
                    rtx: None,
                });
                self.codecs.len() - 1
            }
        };
        let rtx = match (capability.rtx_payload_type, self.codecs[index].rtx) {
            (None, _) => None,
            (Some(_), Some(known)) => Some(known),
            (Some(wanted), None) => {
                let rtx = self.free(wanted);
                self.codecs[index].rtx = rtx;
                rtx
            }
        };
        Some((self.codecs[index].payload_type, rtx))
    }

    /// The id to offer an extension with.
    pub(crate) fn extension(&mut self, extension: &HeaderExtension) -> Option<u8> {
        if let Some((_, id)) = self.extensions.iter().find(|(uri, _)| *uri == extension.uri) {
            return Some(*id);
        }
        let used = |id: u8| self.extensions.iter().any(|(_, known)| *known == id);
        let id = std::iter::once(extension.id)
            .chain(1..=14)
            .find(|id| (1..=14).contains(id) && !used(*id))?;
        self.extensions.push((extension.uri.clone(), id));
        Some(id)
    }

    /// The wanted payload type, or another dynamic one (RFC 3551 section 6; RFC 5761 section 4 excludes 64 to 95).
    fn free(&self, wanted: u8) -> Option<u8> {
        let used = |number: u8| {
            self.codecs
                .iter()
                .any(|entry| entry.payload_type == number || entry.rtx == Some(number))
        };
        let allowed = |number: u8| number < 64 || (96..=127).contains(&number);
        std::iter::once(wanted)
            .chain(96..=127)
            .chain(35..=63)
            .find(|number| allowed(*number) && !used(*number))
    }
}
