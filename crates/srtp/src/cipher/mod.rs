//! The packet transforms: AES counter mode with HMAC-SHA1 (RFC 3711) and AES-GCM (RFC 7714).
//!
//! They know keys, indices and where tags stand; what is a legal index is decided above them. Each pair of keys
//! serves one direction; [`Sealer`] protects, [`Opener`] verifies and decrypts.

mod aes_cm;
mod gcm;

use dunlin_crypto::{BackendError, Unauthentic};
use dunlin_rtp::Ssrc;

use crate::Profile;
use crate::key_derivation::KeyDerivation;
use aes_cm::AesCm;
use gcm::{GcmOpener, GcmSealer};

/// RFC 3711, section 3.4: the first 8 bytes of a compound are never encrypted.
pub(crate) const RTCP_CLEAR_LEN: usize = 8;
/// RFC 3711, section 3.4: the E flag, in the word of the SRTCP index.
pub(crate) const ENCRYPTED_FLAG: u32 = 1 << 31;

/// The first bytes of a tag, to recognise a packet that is sent again.
pub(crate) type ShortTag = [u8; 8];

/// The keys of one direction that protect.
pub(crate) enum Sealer {
    AesCm(AesCm),
    Gcm(GcmSealer),
}

impl Sealer {
    pub(crate) fn new(profile: Profile, kdf: &mut KeyDerivation) -> Result<Self, BackendError> {
        Ok(match profile {
            Profile::Aes128CmSha1_80 | Profile::Aes128CmSha1_32 => {
                Self::AesCm(AesCm::new(profile.overhead_rtp(), kdf)?)
            }
            Profile::AeadAes128Gcm => Self::Gcm(GcmSealer::derive::<16>(kdf)?),
            Profile::AeadAes256Gcm => Self::Gcm(GcmSealer::derive::<32>(kdf)?),
        })
    }

    /// Encrypts what follows the header of the packet in `out[start..]` and appends the tag.
    pub(crate) fn seal_rtp(
        &mut self,
        out: &mut Vec<u8>,
        start: usize,
        header_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> ShortTag {
        match self {
            Self::AesCm(keys) => keys.seal_rtp(out, start, header_len, ssrc, index),
            Self::Gcm(keys) => keys.seal_rtp(out, start, header_len, ssrc, index),
        }
    }

    /// Encrypts the compound in `out[start..]`, at least [`RTCP_CLEAR_LEN`] bytes, and appends index and tag.
    pub(crate) fn seal_rtcp(&mut self, out: &mut Vec<u8>, start: usize, ssrc: Ssrc, index: u32) {
        match self {
            Self::AesCm(keys) => keys.seal_rtcp(out, start, ssrc, index),
            Self::Gcm(keys) => keys.seal_rtcp(out, start, ssrc, index),
        }
    }
}

/// The keys of one direction that verify and decrypt.
pub(crate) enum Opener {
    AesCm(AesCm),
    Gcm(GcmOpener),
}

impl Opener {
    pub(crate) fn new(profile: Profile, kdf: &mut KeyDerivation) -> Result<Self, BackendError> {
        Ok(match profile {
            Profile::Aes128CmSha1_80 | Profile::Aes128CmSha1_32 => {
                Self::AesCm(AesCm::new(profile.overhead_rtp(), kdf)?)
            }
            Profile::AeadAes128Gcm => Self::Gcm(GcmOpener::derive::<16>(kdf)?),
            Profile::AeadAes256Gcm => Self::Gcm(GcmOpener::derive::<32>(kdf)?),
        })
    }

    /// Whether [`Opener::open_rtp`] changes the packet even if it fails.
    pub(crate) fn spoils_what_it_rejects(&self) -> bool {
        matches!(self, Self::Gcm(_))
    }

    /// Verifies and decrypts `packet`, which ends in its tag and holds at least header and tag.
    pub(crate) fn open_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<(), Unauthentic> {
        match self {
            Self::AesCm(keys) => keys.open_rtp(packet, header_len, ssrc, index),
            Self::Gcm(keys) => keys.open_rtp(packet, header_len, ssrc, index),
        }
    }

    /// The word with E flag and index; `packet` holds at least clear part, tag and this word.
    pub(crate) fn rtcp_index_word(&self, packet: &[u8]) -> u32 {
        match self {
            Self::AesCm(_) => aes_cm::rtcp_index_word(packet),
            Self::Gcm(_) => gcm::rtcp_index_word(packet),
        }
    }

    /// Verifies `packet` and decrypts it if its E flag is set.
    pub(crate) fn open_rtcp(&mut self, packet: &mut [u8], ssrc: Ssrc, word: u32) -> Result<(), Unauthentic> {
        match self {
            Self::AesCm(keys) => keys.open_rtcp(packet, ssrc, word),
            Self::Gcm(keys) => keys.open_rtcp(packet, ssrc, word),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    /// Bytes of hex digits, with any white space between them.
    pub(crate) fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        digits
            .chunks(2)
            .map(|pair| (pair[0] << 4 | pair[1]) as u8)
            .collect()
    }
}
