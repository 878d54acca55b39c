//! AES-GCM (RFC 7714, sections 8 and 9).
//!
//! ```text
//! SRTP   header (AAD) | encrypted payload | tag
//! SRTCP  8 bytes (AAD) | encrypted rest | tag | E and index (AAD)
//! ```

use dunlin_crypto::aead::{AeadAlgorithm, OpeningKey, SealingKey, TAG_LEN};
use dunlin_crypto::{BackendError, Unauthentic};
use dunlin_rtp::Ssrc;

use super::{ENCRYPTED_FLAG, RTCP_CLEAR_LEN, ShortTag};
use crate::key_derivation::{KeyDerivation, Label};

const INDEX_LEN: usize = 4;
type Salt = [u8; 12];

/// The session keys of the direction that is sent.
pub(crate) struct GcmSealer {
    rtp: SealingKey,
    rtp_salt: Salt,
    rtcp: SealingKey,
    rtcp_salt: Salt,
}

/// The session keys of the direction that is received.
pub(crate) struct GcmOpener {
    rtp: OpeningKey,
    rtp_salt: Salt,
    rtcp: OpeningKey,
    rtcp_salt: Salt,
}

fn algorithm(key_len: usize) -> AeadAlgorithm {
    if key_len == 32 {
        AeadAlgorithm::Aes256Gcm
    } else {
        AeadAlgorithm::Aes128Gcm
    }
}

/// RFC 7714, section 8.1: two zero bytes, SSRC, ROC, SEQ, all XORed with the salt.
fn rtp_nonce(salt: &Salt, ssrc: Ssrc, index: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.0.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    xored(nonce, salt)
}

/// RFC 7714, section 9.1: two zero bytes, SSRC, two zero bytes, the 31-bit index, all XORed with the salt.
fn rtcp_nonce(salt: &Salt, ssrc: Ssrc, index: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.0.to_be_bytes());
    nonce[8..].copy_from_slice(&(index & !ENCRYPTED_FLAG).to_be_bytes());
    xored(nonce, salt)
}

fn xored(mut nonce: [u8; 12], salt: &Salt) -> [u8; 12] {
    nonce.iter_mut().zip(salt).for_each(|(to, with)| *to ^= with);
    nonce
}

/// RFC 7714, section 9.2: the AAD of an encrypted packet is its first 8 bytes and the ESRTCP word.
fn rtcp_aad(packet: &[u8], word: u32) -> [u8; 12] {
    let mut aad = [0; 12];
    aad[..8].copy_from_slice(&packet[..RTCP_CLEAR_LEN]);
    aad[8..].copy_from_slice(&word.to_be_bytes());
    aad
}

/// The word with E flag and index, the last of the packet.
pub(super) fn rtcp_index_word(packet: &[u8]) -> u32 {
    packet.last_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}

impl GcmSealer {
    pub(super) fn derive<const KEY: usize>(kdf: &mut KeyDerivation) -> Result<Self, BackendError> {
        Ok(Self {
            rtp: SealingKey::new(algorithm(KEY), &kdf.derive::<KEY>(Label::RtpCipher))?,
            rtp_salt: kdf.derive(Label::RtpSalt),
            rtcp: SealingKey::new(algorithm(KEY), &kdf.derive::<KEY>(Label::RtcpCipher))?,
            rtcp_salt: kdf.derive(Label::RtcpSalt),
        })
    }

    pub(super) fn seal_rtp(
        &mut self,
        out: &mut Vec<u8>,
        start: usize,
        header_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> ShortTag {
        let nonce = rtp_nonce(&self.rtp_salt, ssrc, index);
        let (header, payload) = out[start..].split_at_mut(header_len);
        let tag = self.rtp.seal_in_place(&nonce, header, payload);
        out.extend_from_slice(&tag);
        tag.first_chunk().copied().unwrap_or_default()
    }

    pub(super) fn seal_rtcp(&mut self, out: &mut Vec<u8>, start: usize, ssrc: Ssrc, index: u32) {
        let word = index | ENCRYPTED_FLAG;
        let nonce = rtcp_nonce(&self.rtcp_salt, ssrc, index);
        let aad = rtcp_aad(&out[start..], word);
        let tag = self
            .rtcp
            .seal_in_place(&nonce, &aad, &mut out[start + RTCP_CLEAR_LEN..]);
        out.extend_from_slice(&tag);
        out.extend_from_slice(&word.to_be_bytes());
    }
}

impl GcmOpener {
    pub(super) fn derive<const KEY: usize>(kdf: &mut KeyDerivation) -> Result<Self, BackendError> {
        Ok(Self {
            rtp: OpeningKey::new(algorithm(KEY), &kdf.derive::<KEY>(Label::RtpCipher))?,
            rtp_salt: kdf.derive(Label::RtpSalt),
            rtcp: OpeningKey::new(algorithm(KEY), &kdf.derive::<KEY>(Label::RtcpCipher))?,
            rtcp_salt: kdf.derive(Label::RtcpSalt),
        })
    }

    pub(super) fn open_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<(), Unauthentic> {
        let nonce = rtp_nonce(&self.rtp_salt, ssrc, index);
        let (body, tag) = packet.split_at_mut(packet.len() - TAG_LEN);
        let (header, payload) = body.split_at_mut(header_len);
        self.rtp.open_in_place(&nonce, header, payload, tag)
    }

    pub(super) fn open_rtcp(&mut self, packet: &mut [u8], ssrc: Ssrc, word: u32) -> Result<(), Unauthentic> {
        let nonce = rtcp_nonce(&self.rtcp_salt, ssrc, word);
        let tag_at = packet.len() - INDEX_LEN - TAG_LEN;
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&packet[tag_at..tag_at + TAG_LEN]);
        if word & ENCRYPTED_FLAG != 0 {
            let aad = rtcp_aad(packet, word);
            return self
                .rtcp
                .open_in_place(&nonce, &aad, &mut packet[RTCP_CLEAR_LEN..tag_at], &tag);
        }
        // RFC 7714, section 9.3: without encryption the AAD is the whole packet and the ESRTCP word: moved
        // together over the tag, which the caller cuts off.
        packet[tag_at..tag_at + INDEX_LEN].copy_from_slice(&word.to_be_bytes());
        self.rtcp
            .open_in_place(&nonce, &packet[..tag_at + INDEX_LEN], &mut [], &tag)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hex;
    use super::*;

    const SALT: &str = "517569642070726f2071756f";
    const SSRC: Ssrc = Ssrc(0x5501_a0b2);
    const INDEX: u64 = 0xf17b;
    const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
                       69736120 696e2070 61727465 73207472 6573";
    const RTCP_SSRC: Ssrc = Ssrc(0x4d61_7273);
    const RTCP_INDEX: u32 = 0x5d4;
    const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
                        deadbeef deadbeef deadbeef deadbeef deadbeef";

    fn keys(key_len: usize) -> (GcmSealer, GcmOpener) {
        let key: Vec<u8> = (0..key_len as u8).collect();
        let salt: Salt = hex(SALT).try_into().unwrap();
        let seal = || SealingKey::new(algorithm(key_len), &key).unwrap();
        let open = || OpeningKey::new(algorithm(key_len), &key).unwrap();
        (
            GcmSealer {
                rtp: seal(),
                rtp_salt: salt,
                rtcp: seal(),
                rtcp_salt: salt,
            },
            GcmOpener {
                rtp: open(),
                rtp_salt: salt,
                rtcp: open(),
                rtcp_salt: salt,
            },
        )
    }

    /// RFC 7714, sections 16.1.1, 16.1.2, 16.2.1 and 16.2.2.
    #[test]
    fn rtp_encryption_vectors() {
        for (key_len, protected) in [
            (
                16,
                "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
                 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
            ),
            (
                32,
                "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238
                 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
            ),
        ] {
            let (mut sealer, mut opener) = keys(key_len);
            let mut out = vec![0xee];
            out.extend(hex(RTP));
            sealer.seal_rtp(&mut out, 1, 12, SSRC, INDEX);
            assert_eq!(out[1..], hex(protected));
            opener.open_rtp(&mut out[1..], 12, SSRC, INDEX).unwrap();
            assert_eq!(out[1..out.len() - 16], hex(RTP));
        }
    }

    /// RFC 7714, sections 16.1.3, 16.1.4, 16.2.3 and 16.2.4: everything is AAD.
    #[test]
    fn rtp_tagging_vectors() {
        for (key_len, tag) in [
            (16, "22493f82d2bce397e9d79e3b19aa4216"),
            (32, "a866d5910f887463067ceefec45215d4"),
        ] {
            let (mut sealer, mut opener) = keys(key_len);
            let mut out = hex(RTP);
            let all = out.len();
            sealer.seal_rtp(&mut out, 0, all, SSRC, INDEX);
            assert_eq!(out[all..], hex(tag));
            opener.open_rtp(&mut out, all, SSRC, INDEX).unwrap();
            assert!(opener.open_rtp(&mut out, all, SSRC, INDEX + 1).is_err());
        }
    }

    /// RFC 7714, sections 17.1 and 17.2.
    #[test]
    fn rtcp_encryption_vectors() {
        for (key_len, protected) in [
            (
                16,
                "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
                 c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872
                 45d9eade 800005d4",
            ),
            (
                32,
                "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50
                 a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c
                 b26ac3be 800005d4",
            ),
        ] {
            let (mut sealer, mut opener) = keys(key_len);
            let mut out = hex(RTCP);
            sealer.seal_rtcp(&mut out, 0, RTCP_SSRC, RTCP_INDEX);
            assert_eq!(out, hex(protected));
            let word = rtcp_index_word(&out);
            assert_eq!(word, RTCP_INDEX | ENCRYPTED_FLAG);
            opener.open_rtcp(&mut out, RTCP_SSRC, word).unwrap();
            assert_eq!(out[..out.len() - 20], hex(RTCP));
        }
    }

    /// RFC 7714, sections 17.3 and 17.4: the E flag is clear, the packet is only tagged.
    #[test]
    fn rtcp_tagging_vectors() {
        for (key_len, tag) in [
            (16, "841dd9683dd78ec92ae58790125f62b3"),
            (32, "91db4afbfeee5a978fab4393ed2615fe"),
        ] {
            let (_, mut opener) = keys(key_len);
            let mut packet = hex(RTCP);
            packet.extend(hex(tag));
            packet.extend(RTCP_INDEX.to_be_bytes());
            let mut forged = packet.clone();
            opener.open_rtcp(&mut packet, RTCP_SSRC, RTCP_INDEX).unwrap();
            assert_eq!(packet[..packet.len() - 20], hex(RTCP));
            forged[20] ^= 1;
            assert!(opener.open_rtcp(&mut forged, RTCP_SSRC, RTCP_INDEX).is_err());
        }
    }
}
