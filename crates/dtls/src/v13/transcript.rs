//! The transcript of a handshake of DTLS 1.3: a running hash over all messages, as TLS writes them.
//!
//! > In DTLS 1.3, the message transcript is computed over the original TLS 1.3-style Handshake messages without the
//! > message_seq, fragment_offset, and fragment_length values. (RFC 9147, section 5.2)

use dunlin_crypto::hash::{Digest, HashAlgorithm, Hasher};

use crate::message::HandshakeType;

/// The hash of all messages so far.
#[derive(Debug, Clone)]
pub(crate) struct Transcript(Hasher);

impl Transcript {
    pub(crate) fn new(hash: HashAlgorithm) -> Self {
        Self(Hasher::new(hash))
    }

    /// A transcript that begins with a ClientHello.
    pub(crate) fn of_hello(hash: HashAlgorithm, body: &[u8]) -> Self {
        let mut this = Self::new(hash);
        this.add(HandshakeType::CLIENT_HELLO, body);
        this
    }

    /// > Transcript-Hash(ClientHello1, HelloRetryRequest, ... Mn) = Hash(message_hash || 00 00 Hash.length ||
    /// > Hash(ClientHello1) || HelloRetryRequest || ... || Mn) (RFC 8446, section 4.4.1)
    pub(crate) fn after_retry(hash: HashAlgorithm, first_hello: &[u8], retry: &[u8]) -> Self {
        let mut this = Self::new(hash);
        this.add(HandshakeType::MESSAGE_HASH, first_hello);
        this.add(HandshakeType::SERVER_HELLO, retry);
        this
    }

    pub(crate) fn add(&mut self, kind: HandshakeType, body: &[u8]) {
        let [_, high, middle, low] = (body.len() as u32).to_be_bytes();
        self.0.update(&[kind.0, high, middle, low]);
        self.0.update(body);
    }

    pub(crate) fn hash(&self) -> Digest {
        self.0.clone().finish()
    }
}
