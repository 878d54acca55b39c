//! Protection of records of DTLS 1.2 with an AEAD (RFC 6347, section 4.1.2.1; RFC 5288, section 3; RFC 7905,
//! section 2), with or without a connection ID (RFC 9146, section 5.3).

use bytes::{Buf, BytesMut};
use dunlin_crypto::BackendError;
use dunlin_crypto::aead::{AeadAlgorithm, NONCE_LEN, OpeningKey, SealingKey, TAG_LEN};

use super::header::{ContentType, DTLS_1_2, HEADER_LEN, MAX_PLAINTEXT, MAX_SEQUENCE, RecordHeader};
use super::replay::ReplayWindow;
use super::{OpenError, inner_type};

/// The only protected epoch that there is without renegotiation.
const EPOCH: u16 = 1;
/// Bytes of the nonce that GCM carries in each record.
const EXPLICIT_NONCE_LEN: usize = 8;

/// Where the 12 bytes of nonce come from.
#[derive(Debug, Clone, Copy)]
enum Nonce {
    /// > struct { opaque salt[4]; opaque nonce_explicit[8]; } GCMNonce; (RFC 5288, section 3)
    Explicit([u8; 4]),
    /// The number of the record, padded on the left and XORed with the IV (RFC 7905, section 2).
    Implicit([u8; NONCE_LEN]),
}

/// Bytes of IV that a cipher takes from the key block.
pub(crate) const fn iv_len(algorithm: AeadAlgorithm) -> usize {
    match algorithm {
        AeadAlgorithm::ChaCha20Poly1305 => NONCE_LEN,
        _ => 4,
    }
}

impl Nonce {
    fn new(algorithm: AeadAlgorithm, iv: &[u8]) -> Result<Self, BackendError> {
        debug_assert_eq!(iv.len(), iv_len(algorithm));
        let mut whole = [0; NONCE_LEN];
        let len = iv.len().min(NONCE_LEN);
        whole[..len].copy_from_slice(&iv[..len]);
        Ok(match algorithm {
            AeadAlgorithm::ChaCha20Poly1305 => Nonce::Implicit(whole),
            _ => Nonce::Explicit([whole[0], whole[1], whole[2], whole[3]]),
        })
    }

    const fn explicit_len(&self) -> usize {
        match self {
            Nonce::Explicit(_) => EXPLICIT_NONCE_LEN,
            Nonce::Implicit(_) => 0,
        }
    }

    /// `number` is the explicit part for GCM, and epoch and sequence number for ChaCha20-Poly1305.
    fn with(&self, number: [u8; 8]) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        nonce[4..].copy_from_slice(&number);
        match self {
            Nonce::Explicit(salt) => nonce[..4].copy_from_slice(salt),
            Nonce::Implicit(iv) => nonce.iter_mut().zip(iv).for_each(|(byte, iv)| *byte ^= iv),
        }
        nonce
    }
}

/// > additional_data = seq_num + TLSCompressed.type + TLSCompressed.version + TLSCompressed.length;
/// > (RFC 5246, section 6.2.3.3; seq_num is epoch and sequence_number: RFC 6347, section 4.1.2.1)
fn additional_data(number: [u8; 8], content_type: ContentType, plaintext_len: usize) -> [u8; 13] {
    let mut aad = [0; 13];
    aad[..8].copy_from_slice(&number);
    aad[8] = content_type as u8;
    aad[9..11].copy_from_slice(&DTLS_1_2.to_be_bytes());
    aad[11..].copy_from_slice(&(plaintext_len as u16).to_be_bytes());
    aad
}

/// > additional_data = seq_num_placeholder + tls12_cid + cid_length + tls12_cid + DTLSCiphertext.version + epoch +
/// > sequence_number + cid + length_of_DTLSInnerPlaintext; (RFC 9146, section 5.3)
fn additional_data_with_cid(number: [u8; 8], cid: &[u8], inner_len: usize) -> ([u8; 278], usize) {
    let mut aad = [0; 278];
    let kind = ContentType::Tls12Cid as u8;
    aad[..8].fill(0xFF);
    aad[8..11].copy_from_slice(&[kind, cid.len() as u8, kind]);
    aad[11..13].copy_from_slice(&DTLS_1_2.to_be_bytes());
    aad[13..21].copy_from_slice(&number);
    let end = 21 + cid.len();
    aad[21..end].copy_from_slice(cid);
    aad[end..end + 2].copy_from_slice(&(inner_len as u16).to_be_bytes());
    (aad, end + 2)
}

/// Seals records of epoch 1, each under the next number.
#[derive(Debug)]
pub(crate) struct Sealer {
    key: SealingKey,
    nonce: Nonce,
    next: u64,
}

impl Sealer {
    pub(crate) fn new(algorithm: AeadAlgorithm, key: &[u8], iv: &[u8]) -> Result<Self, BackendError> {
        Ok(Self {
            key: SealingKey::new(algorithm, key)?,
            nonce: Nonce::new(algorithm, iv)?,
            next: 0,
        })
    }

    /// Bytes of a record beyond its content, with a connection ID of `cid_len` bytes.
    pub(crate) fn overhead(&self, cid_len: usize) -> usize {
        let inner_type = usize::from(cid_len > 0);
        HEADER_LEN + cid_len + self.nonce.explicit_len() + inner_type + TAG_LEN
    }

    /// Appends the header and the explicit nonce, if any: room for them, to be precise. False: no numbers left.
    pub(crate) fn begin(&mut self, content_type: ContentType, cid: &[u8], out: &mut Vec<u8>) -> bool {
        if self.next > MAX_SEQUENCE {
            return false;
        }
        let header = self.header(content_type, cid);
        let bytes = header.bytes();
        out.extend_from_slice(&bytes[..HEADER_LEN - 2]);
        out.extend_from_slice(cid);
        out.extend_from_slice(&[0; 2]);
        // THREATS 2: the explicit nonce is the number of the record, so it cannot repeat under one key.
        out.extend_from_slice(&header.epoch_and_sequence()[..self.nonce.explicit_len()]);
        true
    }

    fn header(&self, content_type: ContentType, cid: &[u8]) -> RecordHeader {
        RecordHeader {
            content_type: if cid.is_empty() {
                content_type
            } else {
                ContentType::Tls12Cid
            },
            epoch: EPOCH,
            sequence: self.next,
            cid_len: cid.len(),
            len: 0,
        }
    }

    /// Encrypts in place what was written after `begin`, which began the record at `start`; appends the tag.
    /// Answers with the number of the record.
    pub(crate) fn finish(
        &mut self,
        content_type: ContentType,
        cid: &[u8],
        out: &mut Vec<u8>,
        start: usize,
    ) -> u64 {
        let header_len = HEADER_LEN + cid.len();
        let body = start + header_len + self.nonce.explicit_len();
        debug_assert!(out.len() - body <= MAX_PLAINTEXT);
        if !cid.is_empty() {
            out.push(content_type as u8);
        }
        let inner_len = out.len() - body;
        let number = self.header(content_type, cid).epoch_and_sequence();
        let nonce = self.nonce.with(number);
        let tag = if cid.is_empty() {
            let aad = additional_data(number, content_type, inner_len);
            self.key.seal_in_place(&nonce, &aad, &mut out[body..])
        } else {
            let (aad, len) = additional_data_with_cid(number, cid, inner_len);
            self.key.seal_in_place(&nonce, &aad[..len], &mut out[body..])
        };
        out.extend_from_slice(&tag);
        let len = (self.nonce.explicit_len() + inner_len + TAG_LEN) as u16;
        out[start + header_len - 2..start + header_len].copy_from_slice(&len.to_be_bytes());
        self.next += 1;
        self.next - 1
    }

    #[cfg(test)]
    pub(crate) fn skip_to(&mut self, sequence: u64) {
        self.next = sequence;
    }
}

/// Opens records of epoch 1.
#[derive(Debug)]
pub(crate) struct Opener {
    key: OpeningKey,
    nonce: Nonce,
    window: ReplayWindow,
    failures: u64,
}

impl Opener {
    pub(crate) fn new(algorithm: AeadAlgorithm, key: &[u8], iv: &[u8]) -> Result<Self, BackendError> {
        Ok(Self {
            key: OpeningKey::new(algorithm, key)?,
            nonce: Nonce::new(algorithm, iv)?,
            window: ReplayWindow::default(),
            failures: 0,
        })
    }

    /// Records that did not authenticate.
    pub(crate) fn failures(&self) -> u64 {
        self.failures
    }

    /// Decrypts the record, header included, in place and leaves its content in `record`; answers with its type.
    pub(crate) fn open(
        &mut self,
        header: &RecordHeader,
        record: &mut BytesMut,
    ) -> Result<ContentType, OpenError> {
        if !self.window.is_new(header.sequence) {
            return Err(OpenError::Replayed);
        }
        let header_len = header.header_len();
        let body = header_len + self.nonce.explicit_len();
        let Some(inner_len) = record.len().checked_sub(body + TAG_LEN) else {
            return Err(OpenError::Unauthentic);
        };
        if inner_len > MAX_PLAINTEXT + 1 {
            return Err(OpenError::Unauthentic);
        }
        let number = header.epoch_and_sequence();
        let nonce = match self.nonce {
            Nonce::Implicit(_) => self.nonce.with(number),
            Nonce::Explicit(_) => {
                let mut explicit = [0; EXPLICIT_NONCE_LEN];
                explicit.copy_from_slice(&record[header_len..body]);
                self.nonce.with(explicit)
            }
        };
        let (front, data) = record.split_at_mut(body);
        let (data, tag) = data.split_at_mut(inner_len);
        let opened = if header.cid_len == 0 {
            let aad = additional_data(number, header.content_type, inner_len);
            self.key.open_in_place(&nonce, &aad, data, tag)
        } else {
            let cid = &front[HEADER_LEN - 2..header_len - 2];
            let (aad, len) = additional_data_with_cid(number, cid, inner_len);
            self.key.open_in_place(&nonce, &aad[..len], data, tag)
        };
        if opened.is_err() {
            self.failures += 1;
            return Err(OpenError::Unauthentic);
        }
        self.window.mark(header.sequence);
        let (content_type, content_len) = if header.cid_len == 0 {
            (header.content_type, inner_len)
        } else {
            inner_type(data).ok_or(OpenError::NoContent)?
        };
        if content_len > MAX_PLAINTEXT {
            return Err(OpenError::NoContent);
        }
        record.truncate(body + content_len);
        record.advance(body);
        Ok(content_type)
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
        let (key, iv) = (vec![7; algorithm.key_len()], vec![9; iv_len(algorithm)]);
        (
            Sealer::new(algorithm, &key, &iv).unwrap(),
            Opener::new(algorithm, &key, &iv).unwrap(),
        )
    }

    fn seal(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(sealer.begin(ContentType::ApplicationData, &[], &mut out));
        out.extend_from_slice(plain);
        sealer.finish(ContentType::ApplicationData, &[], &mut out, 0);
        assert_eq!(out.len(), plain.len() + sealer.overhead(0));
        out
    }

    fn open(opener: &mut Opener, record: &[u8]) -> Result<Vec<u8>, OpenError> {
        let header = RecordHeader::parse(record, 0).unwrap();
        let mut record = BytesMut::from(record);
        opener.open(&header, &mut record).map(|_| record.to_vec())
    }

    #[test]
    fn records_open_once_in_any_order_and_not_when_changed() {
        for algorithm in ALL {
            let (mut sealer, mut opener) = pair(algorithm);
            let (first, second) = (seal(&mut sealer, b"first"), seal(&mut sealer, b""));
            assert_eq!(open(&mut opener, &second), Ok(vec![]));
            assert_eq!(open(&mut opener, &second), Err(OpenError::Replayed));
            for at in (0..first.len()).filter(|at| ![1, 2, 11, 12].contains(at)) {
                let mut changed = first.clone();
                changed[at] ^= 1;
                // A changed content type may have no header; a changed number may look old.
                if RecordHeader::parse(&changed, 0).is_ok() {
                    assert!(open(&mut opener, &changed).is_err(), "{algorithm:?} {at}");
                }
            }
            assert_eq!(
                open(&mut opener, &first),
                Ok(b"first".to_vec()),
                "forgeries do not move the window"
            );
        }
    }

    #[test]
    fn records_shorter_than_a_tag_do_not_open() {
        for algorithm in ALL {
            let (_, mut opener) = pair(algorithm);
            for len in 0..40u16 {
                let mut record = vec![23, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 1];
                record.extend_from_slice(&len.to_be_bytes());
                record.resize(HEADER_LEN + usize::from(len), 0);
                assert_eq!(open(&mut opener, &record), Err(OpenError::Unauthentic));
            }
        }
    }

    /// pion CVE-2026-26014 used a random explicit nonce.
    #[test]
    fn threat_2_the_explicit_nonce_is_epoch_and_sequence_over_a_million_records() {
        let (mut sealer, _) = pair(AeadAlgorithm::Aes128Gcm);
        let mut out = Vec::new();
        for sequence in 0..1u64 << 20 {
            out.clear();
            assert!(sealer.begin(ContentType::ApplicationData, &[], &mut out));
            sealer.finish(ContentType::ApplicationData, &[], &mut out, 0);
            let expected = (1u64 << 48 | sequence).to_be_bytes();
            assert_eq!(out[3..11], expected);
            assert_eq!(out[13..21], expected);
        }
    }

    #[test]
    fn the_last_number_is_used_once() {
        let (mut sealer, mut opener) = pair(AeadAlgorithm::ChaCha20Poly1305);
        sealer.skip_to(MAX_SEQUENCE);
        let record = seal(&mut sealer, b"last");
        assert_eq!(open(&mut opener, &record), Ok(b"last".to_vec()));
        let mut out = Vec::new();
        assert!(!sealer.begin(ContentType::ApplicationData, &[], &mut out));
        assert!(out.is_empty());
    }

    /// RFC 9146, section 5.3: type and padding are inside, and the connection ID is authenticated.
    #[test]
    fn records_with_a_connection_id_carry_their_type_inside() {
        for algorithm in ALL {
            let (mut sealer, mut opener) = pair(algorithm);
            let (cid, mut out) = ([7, 8, 9], Vec::new());
            assert!(sealer.begin(ContentType::Alert, &cid, &mut out));
            out.extend_from_slice(b"hello");
            sealer.finish(ContentType::Alert, &cid, &mut out, 0);
            assert_eq!(out.len(), 5 + sealer.overhead(3));
            assert_eq!((out[0], &out[11..14]), (25, &cid[..]));
            assert!(RecordHeader::parse(&out, 0).is_err());
            let header = RecordHeader::parse(&out, 3).unwrap();
            for at in [3, 12, 20, out.len() - 1] {
                let mut changed = BytesMut::from(&out[..]);
                changed[at] ^= 1;
                let header = RecordHeader::parse(&changed, 3).unwrap();
                assert!(opener.open(&header, &mut changed).is_err(), "{at}");
            }
            let mut record = BytesMut::from(&out[..]);
            assert_eq!(opener.open(&header, &mut record), Ok(ContentType::Alert));
            assert_eq!(&record[..], b"hello");
            assert_eq!(opener.failures(), 4);
        }
    }
}
