//! Writes a message at the end of a buffer (RFC 8489, section 5). The header's length is right after every call.

use crate::integrity::{IntegrityKey, Kind, SHA1_LEN, SHA256_LEN};
use crate::message::{Class, Message, Method, TransactionId, message_type, padded};
use crate::{HEADER_LEN, MAGIC_COOKIE, attribute, fingerprint};

/// The longest value of the length field that is a multiple of four.
const MAX_LENGTH: usize = 0xFFFC;

/// Appends one message to a buffer, attribute by attribute, in the order of the calls.
///
/// What the buffer held before stays. Integrity comes after all attributes that it protects, and the fingerprint
/// last. An attribute that would make the message longer than 65,535 bytes is a mistake of the caller: it is left
/// out (and debug builds panic).
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Writer<'a> {
    /// Starts a message at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>, class: Class, method: Method, id: TransactionId) -> Self {
        let start = out.len();
        out.extend_from_slice(&message_type(class, method).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        out.extend_from_slice(&id.0);
        Self { out, start }
    }

    /// Starts the success response to `request`.
    pub fn success(out: &'a mut Vec<u8>, request: &Message<'_>) -> Self {
        Self::new(out, Class::Success, request.method(), request.transaction_id())
    }

    /// Starts the error response to `request` and writes its ERROR-CODE.
    pub fn error(out: &'a mut Vec<u8>, request: &Message<'_>, code: u16, reason: &str) -> Self {
        let mut writer = Self::new(out, Class::Error, request.method(), request.transaction_id());
        writer.error_code(code, reason);
        writer
    }

    /// Appends an attribute whose value is `value`.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.attribute_parts(kind, &[value])
    }

    /// Appends an attribute whose value is the concatenation of `parts`.
    pub fn attribute_parts(&mut self, kind: u16, parts: &[&[u8]]) -> &mut Self {
        let value_len: usize = parts.iter().map(|part| part.len()).sum();
        if self.open(kind, value_len) {
            for part in parts {
                self.out.extend_from_slice(part);
            }
            // RFC 8489, section 14: "The padding bits MUST be set to zero on sending".
            self.out.resize(self.start + padded(self.len()), 0);
        }
        self
    }

    /// Appends an attribute whose value `write` appends, which is thus not copied twice. When `write` answers `false`,
    /// or the message would become too long, the attribute is left out and the answer is `false`.
    pub fn attribute_with(&mut self, kind: u16, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let before = self.len();
        if !self.open(kind, 0) {
            return false;
        }
        let wrote = write(self.out);
        let value_len = self.len().saturating_sub(before + 4);
        let length = before + 4 + padded(value_len) - HEADER_LEN;
        if !wrote || length > MAX_LENGTH {
            self.out.truncate(self.start + before);
            self.set_length(before - HEADER_LEN);
            return false;
        }
        self.set_length(length);
        let at = self.start + before + 2;
        self.out[at..at + 2].copy_from_slice(&(value_len as u16).to_be_bytes());
        self.out.resize(self.start + padded(self.len()), 0);
        true
    }

    /// Appends MESSAGE-INTEGRITY over all that was written so far.
    pub fn integrity(&mut self, key: &IntegrityKey) -> &mut Self {
        self.sign(attribute::MESSAGE_INTEGRITY, Kind::Sha1, SHA1_LEN, key)
    }

    /// Appends MESSAGE-INTEGRITY-SHA256 over all that was written so far. Where both are sent, RFC 8489, section
    /// 14.5 puts it after MESSAGE-INTEGRITY.
    pub fn integrity_sha256(&mut self, key: &IntegrityKey) -> &mut Self {
        self.sign(attribute::MESSAGE_INTEGRITY_SHA256, Kind::Sha256, SHA256_LEN, key)
    }

    /// Appends FINGERPRINT. It is the last attribute.
    pub fn fingerprint(&mut self) -> &mut Self {
        if self.open(attribute::FINGERPRINT, 4) {
            let end = self.out.len() - 4;
            let value = fingerprint::value(&self.out[self.start..end]);
            self.out.extend_from_slice(&value.to_be_bytes());
        }
        self
    }

    /// Ends the message and answers with its length in bytes.
    pub fn finish(&mut self) -> usize {
        self.len()
    }

    /// The id that this message carries.
    pub(crate) fn transaction_id(&self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.out[self.start + 8..self.start + HEADER_LEN]);
        TransactionId(id)
    }

    fn len(&self) -> usize {
        self.out.len() - self.start
    }

    fn sign(&mut self, kind: u16, mac: Kind, mac_len: usize, key: &IntegrityKey) -> &mut Self {
        let before = self.len();
        if self.open(kind, mac_len) {
            let digest = key.sign(
                mac,
                &self.out[self.start..self.start + before],
                before + 4 + mac_len,
            );
            self.out.extend_from_slice(&digest[..mac_len]);
        }
        self
    }

    /// Writes the attribute's header and the message's new length, if there is room for the value.
    fn open(&mut self, kind: u16, value_len: usize) -> bool {
        let length = self.len() - HEADER_LEN + 4 + padded(value_len);
        debug_assert!(
            length <= MAX_LENGTH,
            "attribute {kind:#06x} of {value_len} bytes makes the message too long"
        );
        if length > MAX_LENGTH {
            return false;
        }
        self.set_length(length);
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out.extend_from_slice(&(value_len as u16).to_be_bytes());
        true
    }

    fn set_length(&mut self, length: usize) {
        self.out[self.start + 2..self.start + 4].copy_from_slice(&(length as u16).to_be_bytes());
    }
}
