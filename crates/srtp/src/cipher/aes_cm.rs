//! AES-128 in counter mode with HMAC-SHA1 (RFC 3711, sections 4.1.1 and 4.2.1).
//!
//! ```text
//! SRTP   header | encrypted payload | tag                        tag over all before it and the ROC
//! SRTCP  8 bytes | encrypted rest | E and index | tag            tag over all before it
//! ```

use dunlin_crypto::cipher::AesCtr;
use dunlin_crypto::hash::HashAlgorithm;
use dunlin_crypto::hmac::HmacKey;
use dunlin_crypto::{BackendError, Unauthentic};
use dunlin_rtp::Ssrc;

use super::{ENCRYPTED_FLAG, RTCP_CLEAR_LEN, ShortTag};
use crate::key_derivation::{KeyDerivation, Label};

/// RFC 5764, section 4.1.2: 80 bits in both profiles.
const RTCP_TAG_LEN: usize = 10;
const INDEX_LEN: usize = 4;

/// The session keys of one direction.
pub(crate) struct AesCm {
    rtp: Keys,
    rtcp: Keys,
    rtp_tag_len: usize,
}

struct Keys {
    cipher: AesCtr,
    hmac: HmacKey,
    salt: [u8; 14],
}

impl Keys {
    fn new(cipher: [u8; 16], authentication: [u8; 20], salt: [u8; 14]) -> Result<Self, BackendError> {
        let hmac = HmacKey::new(HashAlgorithm::Sha1, &authentication);
        Ok(Self {
            cipher: AesCtr::new(&cipher)?,
            hmac,
            salt,
        })
    }

    /// RFC 3711, section 4.1.1: "IV = (k_s * 2^16) XOR (SSRC * 2^64) XOR (i * 2^16)".
    fn crypt(&mut self, ssrc: Ssrc, index: u64, data: &mut [u8]) {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &ssrc.0.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        self.cipher.apply(&iv, data);
    }
}

fn xor(to: &mut [u8], with: &[u8]) {
    to.iter_mut().zip(with).for_each(|(to, with)| *to ^= with);
}

/// RFC 3711, section 4.2: M = authenticated portion || ROC.
fn rollover_counter(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// The word with E flag and index, in front of the tag.
pub(super) fn rtcp_index_word(packet: &[u8]) -> u32 {
    let end = packet.len().saturating_sub(RTCP_TAG_LEN);
    packet[..end]
        .last_chunk()
        .map_or(0, |word| u32::from_be_bytes(*word))
}

impl AesCm {
    pub(super) fn new(rtp_tag_len: usize, kdf: &mut KeyDerivation) -> Result<Self, BackendError> {
        let rtp = Keys::new(
            kdf.derive(Label::RtpCipher),
            kdf.derive(Label::RtpAuthentication),
            kdf.derive(Label::RtpSalt),
        )?;
        let rtcp = Keys::new(
            kdf.derive(Label::RtcpCipher),
            kdf.derive(Label::RtcpAuthentication),
            kdf.derive(Label::RtcpSalt),
        )?;
        Ok(Self {
            rtp,
            rtcp,
            rtp_tag_len,
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
        self.rtp.crypt(ssrc, index, &mut out[start + header_len..]);
        let tag = self.rtp.hmac.sign(&[&out[start..], &rollover_counter(index)]);
        out.extend_from_slice(&tag[..self.rtp_tag_len]);
        tag.first_chunk().copied().unwrap_or_default()
    }

    pub(super) fn open_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<(), Unauthentic> {
        let (body, tag) = packet.split_at_mut(packet.len() - self.rtp_tag_len);
        self.rtp.hmac.verify(&[body, &rollover_counter(index)], tag)?;
        self.rtp.crypt(ssrc, index, &mut body[header_len..]);
        Ok(())
    }

    pub(super) fn seal_rtcp(&mut self, out: &mut Vec<u8>, start: usize, ssrc: Ssrc, index: u32) {
        self.rtcp
            .crypt(ssrc, u64::from(index), &mut out[start + RTCP_CLEAR_LEN..]);
        out.extend_from_slice(&(index | ENCRYPTED_FLAG).to_be_bytes());
        let tag = self.rtcp.hmac.sign(&[&out[start..]]);
        out.extend_from_slice(&tag[..RTCP_TAG_LEN]);
    }

    pub(super) fn open_rtcp(&mut self, packet: &mut [u8], ssrc: Ssrc, word: u32) -> Result<(), Unauthentic> {
        let (authenticated, tag) = packet.split_at_mut(packet.len() - RTCP_TAG_LEN);
        self.rtcp.hmac.verify(&[authenticated], tag)?;
        if word & ENCRYPTED_FLAG != 0 {
            let end = authenticated.len() - INDEX_LEN;
            let body = &mut authenticated[RTCP_CLEAR_LEN..end];
            self.rtcp.crypt(ssrc, u64::from(word & !ENCRYPTED_FLAG), body);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hex;
    use super::*;

    /// RFC 3711, appendix B.2: 65,282 blocks of keystream; the first and the last three are printed.
    #[test]
    fn aes_cm_vectors() {
        let key = hex("2B7E151628AED2A6ABF7158809CF4F3C").try_into().unwrap();
        let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
        let mut keys = Keys::new(key, [0; 20], salt).unwrap();
        let mut stream = vec![0; 1_044_512];
        keys.crypt(Ssrc(0), 0, &mut stream);
        assert_eq!(
            stream[..48],
            hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB
                 41E95B3BB0A2E8DD477901E4FCA894C0")
        );
        assert_eq!(
            stream[1_044_512 - 48..],
            hex("EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE
                 6A2CC3787889374FBEB4C81B17BA6C44")
        );
    }

    #[test]
    fn the_iv_takes_ssrc_and_index_at_their_places() {
        let mut keys = Keys::new([0; 16], [0; 20], [0; 14]).unwrap();
        let mut with_fields = [0; 16];
        keys.crypt(Ssrc(0x0102_0304), 0x0506_0708_090a, &mut with_fields);
        let mut plain = AesCtr::new(&[0; 16]).unwrap();
        let mut expected = [0; 16];
        let iv = [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0];
        plain.apply(&iv, &mut expected);
        assert_eq!(with_fields, expected);
    }
}
