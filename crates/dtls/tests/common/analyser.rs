//! What a packet analyser sees of DTLS 1.3 when it has the key log, and what a peer without manners can write. It
//! shares no code with the crate's record layer: TLS_AES_128_GCM_SHA256, RFC 9147, sections 4 and 5.9.

use std::collections::BTreeMap;

use dunlin_crypto::aead::{AeadAlgorithm, OpeningKey, SealingKey};
use dunlin_crypto::hash::HashAlgorithm;
use dunlin_crypto::hkdf;
use dunlin_crypto::mask::MaskKey;
use dunlin_dtls::{Event, Role};

pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;
pub(crate) const ACK: u8 = 26;

const AEAD: AeadAlgorithm = AeadAlgorithm::Aes128Gcm;

/// A record, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) kind: u8,
    pub(crate) content: Vec<u8>,
}

/// A piece of a handshake message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kind: u8,
    pub(crate) message_seq: u16,
    pub(crate) total: usize,
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

/// The secrets of a connection, by their label in the key log.
#[derive(Debug, Clone)]
pub(crate) struct Analyser(BTreeMap<String, Vec<u8>>);

struct Keys {
    key: [u8; 16],
    iv: [u8; 12],
    mask: [u8; 16],
}

fn expand(secret: &[u8], label: &str, out: &mut [u8]) {
    let label = format!("dtls13{label}");
    let len = (out.len() as u16).to_be_bytes();
    let info: [&[u8]; 4] = [&len, &[label.len() as u8], label.as_bytes(), &[0]];
    hkdf::expand(HashAlgorithm::Sha256, secret, &info, out);
}

impl Keys {
    fn nonce(&self, sequence: u64) -> [u8; 12] {
        let mut nonce = self.iv;
        let bytes = sequence.to_be_bytes();
        nonce[4..]
            .iter_mut()
            .zip(bytes)
            .for_each(|(byte, number)| *byte ^= number);
        nonce
    }

    fn mask(&self, sample: &[u8]) -> [u8; 16] {
        MaskKey::new(AEAD, &self.mask)
            .unwrap()
            .mask(sample.first_chunk().unwrap())
    }
}

impl Analyser {
    pub(crate) fn new(events: &[Event]) -> Self {
        let lines = events.iter().filter_map(|event| match event {
            Event::KeyLog(line) => Some(line.split(' ').collect::<Vec<_>>()),
            _ => None,
        });
        Self(
            lines
                .map(|words| (words[0].to_owned(), unhex(words[2])))
                .collect(),
        )
    }

    pub(crate) fn labels(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    fn keys(&self, from: Role, epoch: u64) -> Option<Keys> {
        let who = if from == Role::Client { "CLIENT" } else { "SERVER" };
        let label = if epoch == 2 {
            "HANDSHAKE_TRAFFIC_SECRET"
        } else {
            "TRAFFIC_SECRET_0"
        };
        let mut secret = self.0.get(&format!("{who}_{label}"))?.clone();
        for _ in 3..epoch {
            let mut next = [0; 32];
            expand(&secret, "traffic upd", &mut next);
            secret = next.to_vec();
        }
        let mut keys = Keys {
            key: [0; 16],
            iv: [0; 12],
            mask: [0; 16],
        };
        expand(&secret, "key", &mut keys.key);
        expand(&secret, "iv", &mut keys.iv);
        expand(&secret, "sn", &mut keys.mask);
        Some(keys)
    }

    /// All records of a datagram without connection IDs.
    pub(crate) fn open(&self, from: Role, datagram: &[u8]) -> Vec<Record> {
        self.try_open(from, datagram)
            .expect("records that the key log opens")
    }

    /// The same; `None` if the key log does not open one of them, or the suite is not the one that is known here.
    pub(crate) fn try_open(&self, from: Role, datagram: &[u8]) -> Option<Vec<Record>> {
        let mut rest = datagram;
        let mut records = Vec::new();
        while !rest.is_empty() {
            let plain = rest[0] >> 5 != 1;
            let at = if plain { 11 } else { 3 };
            let len = usize::from(u16::from_be_bytes([rest[at], rest[at + 1]]));
            let (record, behind) = rest.split_at(at + 2 + len);
            rest = behind;
            records.push(if plain {
                Record {
                    epoch: u64::from(u16::from_be_bytes([record[3], record[4]])),
                    sequence: u64::from(u16::from_be_bytes([record[9], record[10]])),
                    kind: record[0],
                    content: record[13..].to_vec(),
                }
            } else {
                let mut epochs = (2..40).filter(|epoch| epoch & 3 == u64::from(record[0] & 3));
                epochs.find_map(|epoch| self.open_in(from, epoch, record))?
            });
        }
        Some(records)
    }

    fn open_in(&self, from: Role, epoch: u64, record: &[u8]) -> Option<Record> {
        let keys = self.keys(from, epoch)?;
        let mask = keys.mask(&record[5..]);
        let mut header = record[..5].to_vec();
        header[1] ^= mask[0];
        header[2] ^= mask[1];
        let sequence = u64::from(u16::from_be_bytes([header[1], header[2]]));
        let (inner, tag) = record[5..].split_at(record.len() - 21);
        let mut inner = inner.to_vec();
        let mut key = OpeningKey::new(AEAD, &keys.key).unwrap();
        key.open_in_place(&keys.nonce(sequence), &header, &mut inner, tag)
            .ok()?;
        let end = inner.iter().rposition(|byte| *byte != 0)?;
        Some(Record {
            epoch,
            sequence,
            kind: inner[end],
            content: inner[..end].to_vec(),
        })
    }

    /// A record as `from` would write it, with a connection ID in front if there is one.
    pub(crate) fn seal(
        &self,
        from: Role,
        number: (u64, u64),
        cid: &[u8],
        kind: u8,
        content: &[u8],
    ) -> Vec<u8> {
        let (epoch, sequence) = number;
        let keys = self.keys(from, epoch).unwrap();
        let mut record = vec![0x2C | (epoch & 3) as u8 | if cid.is_empty() { 0 } else { 0x10 }];
        record.extend_from_slice(cid);
        record.extend_from_slice(&(sequence as u16).to_be_bytes());
        record.extend_from_slice(&(content.len() as u16 + 17).to_be_bytes());
        let mut inner = [content, &[kind]].concat();
        let mut key = SealingKey::new(AEAD, &keys.key).unwrap();
        let tag = key.seal_in_place(&keys.nonce(sequence), &record, &mut inner);
        let at = 1 + cid.len();
        let body = [&inner[..], &tag].concat();
        let mask = keys.mask(&body);
        record[at] ^= mask[0];
        record[at + 1] ^= mask[1];
        record.extend_from_slice(&body);
        record
    }

    /// All pieces of handshake messages among what `from` sent, with the numbers of their records.
    pub(crate) fn pieces<'a>(
        &self,
        from: Role,
        datagrams: impl Iterator<Item = &'a [u8]>,
    ) -> Vec<((u64, u64), Piece)> {
        let mut found = Vec::new();
        for record in datagrams.flat_map(|datagram| self.open(from, datagram)) {
            if record.kind == HANDSHAKE {
                let number = (record.epoch, record.sequence);
                found.extend(pieces(&record.content).into_iter().map(|piece| (number, piece)));
            }
        }
        found
    }
}

/// The pieces of messages in a record.
pub(crate) fn pieces(mut content: &[u8]) -> Vec<Piece> {
    let u24 = |bytes: &[u8]| usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
    let mut found = Vec::new();
    while content.len() >= 12 {
        let len = u24(&content[9..]);
        found.push(Piece {
            kind: content[0],
            message_seq: u16::from_be_bytes([content[4], content[5]]),
            total: u24(&content[1..]),
            offset: u24(&content[6..]),
            len,
        });
        content = &content[12 + len..];
    }
    found
}

/// A whole handshake message.
pub(crate) fn message(kind: u8, message_seq: u16, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32).to_be_bytes();
    let mut out = vec![kind, len[1], len[2], len[3]];
    out.extend_from_slice(&message_seq.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0, len[1], len[2], len[3]]);
    out.extend_from_slice(body);
    out
}

/// A record of epoch 0.
pub(crate) fn plain(kind: u8, sequence: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, sequence];
    out.extend_from_slice(&(content.len() as u16).to_be_bytes());
    out.extend_from_slice(content);
    out
}

/// The content of an ACK.
pub(crate) fn ack(numbers: &[(u64, u64)]) -> Vec<u8> {
    let mut out = (16 * numbers.len() as u16).to_be_bytes().to_vec();
    for (epoch, sequence) in numbers {
        out.extend_from_slice(&epoch.to_be_bytes());
        out.extend_from_slice(&sequence.to_be_bytes());
    }
    out
}

/// The numbers in an ACK.
pub(crate) fn acked(content: &[u8]) -> Vec<(u64, u64)> {
    let number = |bytes: &[u8]| u64::from_be_bytes(*bytes.first_chunk().unwrap());
    let each = content[2..].chunks(16);
    each.map(|chunk| (number(chunk), number(&chunk[8..]))).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(byte).collect()
}
