//! The key schedule of DTLS 1.3 (RFC 8446, section 7; labels: RFC 9147, section 5.9):
//!
//! ```text
//! 0 -> Extract = early secret -> "derived"
//!   (EC)DHE -> Extract = handshake secret -> "c hs traffic", "s hs traffic", "derived"
//!     0 -> Extract = master secret -> "c ap traffic", "s ap traffic", "exp master"
//! ```

use dunlin_crypto::BackendError;
use dunlin_crypto::hash::{Digest, HashAlgorithm, digest};
use dunlin_crypto::hkdf;
use dunlin_crypto::hmac::HmacKey;

use crate::record::cipher13::{Opener, Sealer, TrafficKeys};
use crate::suite::CipherSuite;

/// > For DTLS 1.3, that label SHALL be "dtls13". Note that there is no trailing space (RFC 9147, section 5.9)
const LABEL_PREFIX: &[u8] = b"dtls13";

/// HKDF-Expand-Label (RFC 8446, section 7.1): fills `out`.
fn expand_label(hash: HashAlgorithm, secret: &[u8], label: &[u8], context: &[u8], out: &mut [u8]) {
    expand_prefixed(LABEL_PREFIX, hash, secret, label, context, out);
}

fn expand_prefixed(
    prefix: &[u8],
    hash: HashAlgorithm,
    secret: &[u8],
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) {
    let [high, low] = (out.len() as u16).to_be_bytes();
    let label_len = (prefix.len() + label.len()) as u8;
    let info: [&[u8]; 5] = [
        &[high, low, label_len],
        prefix,
        label,
        &[context.len() as u8],
        context,
    ];
    hkdf::expand(hash, secret, &info, out);
}

/// A secret of as many bytes as the suite's hash.
#[derive(Clone)]
pub(crate) struct Secret {
    hash: HashAlgorithm,
    bytes: [u8; 48],
}

impl Secret {
    fn derive(hash: HashAlgorithm, from: &[u8], label: &[u8], transcript_hash: &[u8]) -> Self {
        let mut bytes = [0; 48];
        expand_label(
            hash,
            from,
            label,
            transcript_hash,
            &mut bytes[..hash.digest_len()],
        );
        Self { hash, bytes }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.hash.digest_len()]
    }

    fn keys(&self, suite: CipherSuite) -> TrafficKeys {
        let algorithm = suite.aead();
        let len = algorithm.key_len();
        let mut keys = TrafficKeys {
            algorithm,
            key: [0; 32],
            iv: [0; 12],
            mask: [0; 32],
        };
        let secret = self.as_bytes();
        expand_label(self.hash, secret, b"key", &[], &mut keys.key[..len]);
        expand_label(self.hash, secret, b"iv", &[], &mut keys.iv);
        expand_label(self.hash, secret, b"sn", &[], &mut keys.mask[..len]);
        keys
    }

    /// What seals the records of an epoch whose traffic secret this is.
    pub(crate) fn sealer(&self, suite: CipherSuite) -> Result<Sealer, BackendError> {
        Sealer::new(&self.keys(suite))
    }

    /// What opens the records of an epoch whose traffic secret this is.
    pub(crate) fn opener(&self, suite: CipherSuite) -> Result<Opener, BackendError> {
        Opener::new(&self.keys(suite))
    }

    /// The content of a Finished by the owner of this traffic secret (RFC 8446, section 4.4.4).
    pub(crate) fn verify_data(&self, transcript_hash: &[u8]) -> Digest {
        let mut key = [0; 48];
        let key = &mut key[..self.hash.digest_len()];
        expand_label(self.hash, self.as_bytes(), b"finished", &[], key);
        HmacKey::new(self.hash, key).sign(&[transcript_hash])
    }

    /// The traffic secret after this one (RFC 8446, section 7.2).
    pub(crate) fn next(&self) -> Self {
        Self::derive(self.hash, self.as_bytes(), b"traffic upd", &[])
    }

    /// The exporter whose master secret this is (RFC 8446, section 7.5).
    pub(crate) fn export(&self, label: &[u8], context: &[u8], out: &mut [u8]) {
        let secret = Self::derive(self.hash, self.as_bytes(), label, &digest(self.hash, &[]));
        expand_label(
            self.hash,
            secret.as_bytes(),
            b"exporter",
            &digest(self.hash, context),
            out,
        );
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The traffic secrets of both directions.
#[derive(Debug, Clone)]
pub(crate) struct Directions {
    pub(crate) client: Secret,
    pub(crate) server: Secret,
}

/// The schedule once both shares are known.
pub(crate) struct Schedule {
    hash: HashAlgorithm,
    handshake: Digest,
}

impl Schedule {
    pub(crate) fn new(suite: CipherSuite, shared: &[u8]) -> Self {
        let hash = suite.hash();
        let zeros = [0; 48];
        let zeros = &zeros[..hash.digest_len()];
        let early = hkdf::extract(hash, &[], zeros);
        let derived = Secret::derive(hash, &early, b"derived", &digest(hash, &[]));
        Self {
            hash,
            handshake: hkdf::extract(hash, derived.as_bytes(), shared),
        }
    }

    /// `hellos`: the hash of ClientHello to ServerHello.
    pub(crate) fn handshake_traffic(&self, hellos: &[u8]) -> Directions {
        Directions {
            client: Secret::derive(self.hash, &self.handshake, b"c hs traffic", hellos),
            server: Secret::derive(self.hash, &self.handshake, b"s hs traffic", hellos),
        }
    }

    /// `transcript`: the hash of ClientHello to the server's Finished. Answers with the traffic secrets and the
    /// exporter's.
    pub(crate) fn application_traffic(&self, transcript: &[u8]) -> (Directions, Secret) {
        let hash = self.hash;
        let derived = Secret::derive(hash, &self.handshake, b"derived", &digest(hash, &[]));
        let zeros = [0; 48];
        let master = hkdf::extract(hash, derived.as_bytes(), &zeros[..hash.digest_len()]);
        let directions = Directions {
            client: Secret::derive(hash, &master, b"c ap traffic", transcript),
            server: Secret::derive(hash, &master, b"s ap traffic", transcript),
        };
        (
            directions,
            Secret::derive(hash, &master, b"exp master", transcript),
        )
    }
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schedule")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLS: &[u8] = b"tls13 ";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// RFC 8448, section 3 (simple 1-RTT handshake). The schedule is that of TLS 1.3 but for the labels' prefix, so
    /// the vectors hold for `expand_prefixed` with TLS's, and the steps between them are those of [`Schedule`].
    #[test]
    fn the_trace_of_rfc_8448_comes_out_with_the_labels_of_tls() {
        let hash = HashAlgorithm::Sha256;
        let expand = |secret: &[u8], label: &[u8], context: &[u8], len: usize| {
            let mut out = vec![0; len];
            expand_prefixed(TLS, hash, secret, label, context, &mut out);
            out
        };
        let early = hkdf::extract(hash, &[], &[0; 32]);
        assert_eq!(
            early[..],
            hex("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a")
        );
        let empty = digest(hash, &[]);
        let derived = expand(&early, b"derived", &empty, 32);
        assert_eq!(
            derived,
            hex("6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba")
        );
        let shared = hex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
        let handshake = hkdf::extract(hash, &derived, &shared);
        assert_eq!(
            handshake[..],
            hex("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac")
        );
        let hellos = hex("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8");
        let client = expand(&handshake, b"c hs traffic", &hellos, 32);
        assert_eq!(
            client,
            hex("b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21")
        );
        let server = expand(&handshake, b"s hs traffic", &hellos, 32);
        assert_eq!(
            server,
            hex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
        );
        assert_eq!(
            expand(&server, b"key", &[], 16),
            hex("3fce516009c21727d0f2e4e86ee403bc")
        );
        assert_eq!(expand(&server, b"iv", &[], 12), hex("5d313eb2671276ee13000b30"));
        let derived = expand(&handshake, b"derived", &empty, 32);
        let master = hkdf::extract(hash, &derived, &[0; 32]);
        assert_eq!(
            master[..],
            hex("18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919")
        );
    }

    /// The same inputs with the labels of DTLS give other secrets, and the two never meet.
    #[test]
    fn the_labels_of_dtls_have_no_space_and_lead_elsewhere() {
        assert_eq!(LABEL_PREFIX, b"dtls13");
        let hash = HashAlgorithm::Sha256;
        let (mut ours, mut tls) = ([0; 32], [0; 32]);
        expand_label(hash, &[7; 32], b"key", &[], &mut ours);
        expand_prefixed(TLS, hash, &[7; 32], b"key", &[], &mut tls);
        assert_ne!(ours, tls);
    }

    #[test]
    fn both_ends_of_every_suite_derive_the_same_records() {
        for suite in CipherSuite::ALL
            .into_iter()
            .filter(|suite| suite.version() == crate::Version::Dtls13)
        {
            let schedule = Schedule::new(suite, &[3; 32]);
            let transcript = digest(suite.hash(), b"hellos");
            let traffic = schedule.handshake_traffic(&transcript);
            assert_eq!(traffic.client.as_bytes().len(), suite.hash().digest_len());
            assert_ne!(traffic.client.as_bytes(), traffic.server.as_bytes());
            let (application, exporter) = schedule.application_traffic(&transcript);
            assert_ne!(
                application.client.next().as_bytes(),
                application.client.as_bytes()
            );
            let (mut a, mut b) = ([0; 40], [0; 40]);
            exporter.export(b"label", b"", &mut a);
            exporter.export(b"label", b"context", &mut b);
            assert_ne!(a, b);
        }
    }
}
