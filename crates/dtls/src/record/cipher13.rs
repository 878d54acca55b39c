//! Protection of records of DTLS 1.3: the AEAD (RFC 9147, section 4; RFC 8446, section 5.2) and the encryption of
//! record numbers (RFC 9147, section 4.2.3).

use bytes::{Buf, BytesMut};
use dunlin_crypto::BackendError;
use dunlin_crypto::aead::{AeadAlgorithm, NONCE_LEN, OpeningKey, SealingKey, TAG_LEN};
use dunlin_crypto::mask::MaskKey;

use super::header::{ContentType, MAX_PLAINTEXT, MAX_SEQUENCE};
use super::replay::ReplayWindow;
use super::unified::{UnifiedHeader, reconstruct};
use super::{OpenError, inner_type};

/// What a traffic secret gives a direction of an epoch (RFC 8446, section 7.3; `sn`: RFC 9147, section 4.2.3).
pub(crate) struct TrafficKeys {
    pub(crate) algorithm: AeadAlgorithm,
    pub(crate) key: [u8; 32],
    pub(crate) iv: [u8; NONCE_LEN],
    pub(crate) mask: [u8; 32],
}

impl TrafficKeys {
    fn key(&self) -> &[u8] {
        &self.key[..self.algorithm.key_len()]
    }

    fn mask_key(&self) -> Result<MaskKey, BackendError> {
        MaskKey::new(self.algorithm, &self.mask[..self.algorithm.key_len()])
    }
}

/// > The 64-bit record sequence number [...] is padded to the left with zeros to iv_length. The padded sequence
/// > number is XORed with either the static client_write_iv or server_write_iv (RFC 8446, section 5.3)
fn nonce(iv: &[u8; NONCE_LEN], sequence: u64) -> [u8; NONCE_LEN] {
    let mut nonce = *iv;
    for (byte, number) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
        *byte ^= number;
    }
    nonce
}

/// Seals the records of one epoch, each under the next number.
#[derive(Debug)]
pub(crate) struct Sealer {
    key: SealingKey,
    iv: [u8; NONCE_LEN],
    mask: MaskKey,
    next: u64,
}

impl Sealer {
    pub(crate) fn new(keys: &TrafficKeys) -> Result<Self, BackendError> {
        Ok(Self {
            key: SealingKey::new(keys.algorithm, keys.key())?,
            iv: keys.iv,
            mask: keys.mask_key()?,
            next: 0,
        })
    }

    /// Bytes of a record beyond its content, with a connection ID of `cid_len` bytes.
    pub(crate) fn overhead(cid_len: usize) -> usize {
        UnifiedHeader::written_len(cid_len) + 1 + TAG_LEN
    }

    /// Appends the header. False: no numbers left.
    pub(crate) fn begin(&mut self, epoch: u64, cid: &[u8], out: &mut Vec<u8>) -> bool {
        if self.next > MAX_SEQUENCE {
            return false;
        }
        UnifiedHeader::write(epoch, cid, self.next, out);
        true
    }

    /// Encrypts in place what was written after `begin`, which began the record at `start`, and then the record's
    /// number. Answers with the number.
    pub(crate) fn finish(
        &mut self,
        content_type: ContentType,
        cid_len: usize,
        out: &mut Vec<u8>,
        start: usize,
    ) -> u64 {
        let body = start + UnifiedHeader::written_len(cid_len);
        debug_assert!(out.len() - body <= MAX_PLAINTEXT);
        out.push(content_type as u8);
        let len = (out.len() - body + TAG_LEN) as u16;
        out[body - 2..body].copy_from_slice(&len.to_be_bytes());
        // "The entire header value [...] (but prior to record number encryption) is used as the additional data"
        let (front, data) = out.split_at_mut(body);
        let tag = self
            .key
            .seal_in_place(&nonce(&self.iv, self.next), &front[start..], data);
        out.extend_from_slice(&tag);
        if let Some((front, sample)) = out.split_at_mut_checked(body)
            && let Some(sample) = sample.first_chunk()
        {
            let mask = self.mask.mask(sample);
            front[body - 4] ^= mask[0];
            front[body - 3] ^= mask[1];
        }
        self.next += 1;
        self.next - 1
    }

    #[cfg(test)]
    pub(crate) fn skip_to(&mut self, sequence: u64) {
        self.next = sequence;
    }
}

/// Opens the records of one epoch.
#[derive(Debug)]
pub(crate) struct Opener {
    key: OpeningKey,
    iv: [u8; NONCE_LEN],
    mask: MaskKey,
    window: ReplayWindow,
    failures: u64,
}

impl Opener {
    pub(crate) fn new(keys: &TrafficKeys) -> Result<Self, BackendError> {
        Ok(Self {
            key: OpeningKey::new(keys.algorithm, keys.key())?,
            iv: keys.iv,
            mask: keys.mask_key()?,
            window: ReplayWindow::default(),
            failures: 0,
        })
    }

    /// Records that did not authenticate.
    pub(crate) fn failures(&self) -> u64 {
        self.failures
    }

    /// Decrypts the record, header included, in place and leaves its content in `record`; answers with its type
    /// and number.
    pub(crate) fn open(
        &mut self,
        header: &UnifiedHeader,
        record: &mut BytesMut,
    ) -> Result<(ContentType, u64), OpenError> {
        let (front, body) = record.split_at_mut(header.header_len);
        // "receivers MUST reject shorter records as if they had failed deprotection" (RFC 9147, section 4.2.3)
        let (Some(inner_len), Some(sample)) = (body.len().checked_sub(TAG_LEN), body.first_chunk()) else {
            return Err(OpenError::Unauthentic);
        };
        if inner_len > MAX_PLAINTEXT + 1 {
            return Err(OpenError::Unauthentic);
        }
        let mask = self.mask.mask(sample);
        let mut partial = 0;
        let at = header.sequence_at();
        for (byte, mask) in front[at..at + header.sequence_len].iter_mut().zip(mask) {
            *byte ^= mask;
            partial = partial << 8 | u64::from(*byte);
        }
        let sequence = reconstruct(partial, 8 * header.sequence_len as u32, self.window.next());
        let (data, tag) = body.split_at_mut(inner_len);
        let opened = self
            .key
            .open_in_place(&nonce(&self.iv, sequence), front, data, tag);
        if opened.is_err() {
            self.failures += 1;
            return Err(OpenError::Unauthentic);
        }
        // "This check SHOULD happen after deprotecting the record" (RFC 9147, section 4.5.1)
        if !self.window.is_new(sequence) {
            return Err(OpenError::Replayed);
        }
        self.window.mark(sequence);
        let (content_type, len) = inner_type(data)
            .filter(|(_, len)| *len <= MAX_PLAINTEXT)
            .ok_or(OpenError::NoContent)?;
        record.truncate(header.header_len + len);
        record.advance(header.header_len);
        Ok((content_type, sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [AeadAlgorithm; 3] = [
        AeadAlgorithm::Aes128Gcm,
        AeadAlgorithm::Aes256Gcm,
        AeadAlgorithm::ChaCha20Poly1305,
    ];

    fn pair(algorithm: AeadAlgorithm) -> (Sealer, Opener) {
        let keys = TrafficKeys {
            algorithm,
            key: [7; 32],
            iv: [9; 12],
            mask: [5; 32],
        };
        (Sealer::new(&keys).unwrap(), Opener::new(&keys).unwrap())
    }

    fn seal(sealer: &mut Sealer, cid: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut out = vec![0xEE; 3];
        assert!(sealer.begin(3, cid, &mut out));
        out.extend_from_slice(plain);
        sealer.finish(ContentType::ApplicationData, cid.len(), &mut out, 3);
        assert_eq!(out.len() - 3, plain.len() + Sealer::overhead(cid.len()));
        out.split_off(3)
    }

    fn open(opener: &mut Opener, cid_len: usize, record: &[u8]) -> Result<(u64, Vec<u8>), OpenError> {
        let header = UnifiedHeader::parse(record, cid_len).map_err(|_| OpenError::Unauthentic)?;
        let mut record = BytesMut::from(record);
        opener.open(&header, &mut record).map(|(content_type, sequence)| {
            assert_eq!(content_type, ContentType::ApplicationData);
            (sequence, record.to_vec())
        })
    }

    #[test]
    fn records_open_once_in_any_order_and_not_when_changed() {
        for algorithm in ALL {
            for cid in [&[][..], &[1, 2, 3]] {
                let (mut sealer, mut opener) = pair(algorithm);
                let (first, second) = (seal(&mut sealer, cid, b"first"), seal(&mut sealer, cid, b""));
                assert_eq!(open(&mut opener, cid.len(), &second), Ok((1, vec![])));
                assert_eq!(open(&mut opener, cid.len(), &second), Err(OpenError::Replayed));
                for at in 1..first.len() {
                    let mut changed = first.clone();
                    changed[at] ^= 1;
                    assert!(
                        open(&mut opener, cid.len(), &changed).is_err(),
                        "{algorithm:?} {at}"
                    );
                }
                assert_eq!(open(&mut opener, cid.len(), &first), Ok((0, b"first".to_vec())));
            }
        }
    }

    #[test]
    fn numbers_are_encrypted_and_survive_the_wrap_of_their_16_bits() {
        let (mut sealer, mut opener) = pair(AeadAlgorithm::Aes128Gcm);
        let mut seen = std::collections::BTreeSet::new();
        for sequence in 0..70_000u64 {
            let record = seal(&mut sealer, &[], &sequence.to_be_bytes());
            seen.insert([record[1], record[2]]);
            if sequence % 100 == 0 {
                assert_eq!(
                    open(&mut opener, 0, &record),
                    Ok((sequence, sequence.to_be_bytes().to_vec()))
                );
            }
        }
        assert!(seen.len() > 30_000, "the numbers look random: {}", seen.len());
    }

    #[test]
    fn records_shorter_than_a_tag_or_with_nothing_but_zeros_do_not_open() {
        let (mut sealer, mut opener) = pair(AeadAlgorithm::Aes128Gcm);
        for len in 0..20u8 {
            let mut record = vec![0x2F, 0, 0, 0, len];
            record.resize(5 + usize::from(len), 0);
            assert_eq!(
                open(&mut opener, 0, &record),
                Err(OpenError::Unauthentic),
                "{len}"
            );
        }
        let mut out = Vec::new();
        assert!(sealer.begin(3, &[], &mut out));
        let body = out.len();
        out.extend_from_slice(&[0; 8]);
        let len = (8 + TAG_LEN) as u16;
        out[body - 2..].copy_from_slice(&[0; 10]);
        out[body - 2..body].copy_from_slice(&len.to_be_bytes());
        let (front, data) = out.split_at_mut(body);
        let tag = sealer.key.seal_in_place(&nonce(&sealer.iv, 0), front, data);
        out.extend_from_slice(&tag);
        let mask = sealer.mask.mask(out[body..].first_chunk().unwrap());
        out[1] ^= mask[0];
        out[2] ^= mask[1];
        assert_eq!(open(&mut opener, 0, &out), Err(OpenError::NoContent));
    }

    #[test]
    fn the_last_number_is_used_once() {
        let (mut sealer, _) = pair(AeadAlgorithm::ChaCha20Poly1305);
        sealer.skip_to(MAX_SEQUENCE);
        seal(&mut sealer, &[], b"last");
        assert!(!sealer.begin(3, &[], &mut Vec::new()));
    }
}
