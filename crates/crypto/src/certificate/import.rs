//! Reading a certificate, its chain and its key from PEM (RFC 7468) or DER.

use bytes::Bytes;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use super::{Certificate, Chain};
use crate::BackendError;
use crate::der::subject_public_key_info;
use crate::signature::{KeyKind, MAX_RSA_BITS, MIN_RSA_BITS, SigningKey};

/// Why a certificate or a key could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// There is no certificate in the input.
    #[error("there is no certificate: a PEM file has a block that starts with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// A certificate of the chain is malformed.
    #[error("certificate {index} of the chain (0 is the own one) is malformed: {reason}")]
    Certificate {
        /// Its place in the chain, from 0.
        index: usize,
        /// What the backend says.
        reason: BackendError,
    },
    /// There is no private key in the input.
    #[error("there is no private key: a PEM file has a block that starts with -----BEGIN PRIVATE KEY-----")]
    NoKey,
    /// The key is encrypted.
    #[error(
        "the private key is encrypted with a passphrase: decrypt it first (openssl pkey -in KEY -out PLAIN)"
    )]
    EncryptedKey,
    /// The key is not one.
    #[error("the private key is neither PKCS #8, SEC 1 nor PKCS #1: {0}")]
    Key(BackendError),
    /// The key is of a kind that cannot sign here.
    #[error(
        "the private key is of an unsupported kind: ECDSA on P-256, P-384 or P-521, Ed25519, and RSA are supported"
    )]
    UnsupportedKey,
    /// The RSA key is too short or too long.
    #[error("the RSA key has {bits} bits: {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted")]
    RsaBits {
        /// Bits of its modulus.
        bits: u32,
    },
    /// The key is not that of the first certificate.
    #[error(
        "the private key does not belong to the first certificate: the chain starts with the own certificate, \
         and the key is the one it was issued for"
    )]
    KeyMismatch,
}

impl Certificate {
    /// A certificate from PEM: the own one, then those that vouch for it, in `certificates`; in `key` its private
    /// key as PKCS #8, SEC 1 or PKCS #1, unencrypted. Both may be the same file.
    ///
    /// The dates are not looked at.
    ///
    /// # Errors
    /// [`ImportError`] says which part cannot be used, and why.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, ImportError> {
        let mut chain = Vec::new();
        for (index, pem) in blocks(certificates).enumerate() {
            let malformed = |error| ImportError::Certificate {
                index,
                reason: BackendError::from(error),
            };
            let certificate = X509::from_pem(pem).map_err(malformed)?;
            chain.push(certificate.to_der().map_err(malformed)?);
        }
        if chain.is_empty() {
            return Err(ImportError::NoCertificate);
        }
        if !contains(key, b"PRIVATE KEY-----") {
            return Err(ImportError::NoKey);
        }
        let mut asked = false;
        // Without a callback of ours the backend would ask at the terminal.
        let key = PKey::private_key_from_pem_callback(key, |_| {
            asked = true;
            Ok(0)
        });
        match key {
            Ok(key) => Self::assemble(chain, key),
            Err(_) if asked => Err(ImportError::EncryptedKey),
            Err(error) => Err(ImportError::Key(error.into())),
        }
    }

    /// A certificate from DER: the own one, then those that vouch for it, and its private key as PKCS #8, SEC 1
    /// or PKCS #1, unencrypted.
    ///
    /// The dates are not looked at.
    ///
    /// # Errors
    /// [`ImportError`] says which part cannot be used, and why.
    pub fn from_der(chain: Vec<Vec<u8>>, key: &[u8]) -> Result<Self, ImportError> {
        let key = PKey::private_key_from_der(key).map_err(|error| ImportError::Key(error.into()))?;
        Self::assemble(chain, key)
    }

    fn assemble(chain: Vec<Vec<u8>>, key: PKey<Private>) -> Result<Self, ImportError> {
        let mut own = None;
        for (index, der) in chain.iter().enumerate() {
            let malformed = |reason| ImportError::Certificate { index, reason };
            let certificate = X509::from_der(der).map_err(|error| malformed(error.into()))?;
            if subject_public_key_info(der).is_none() {
                return Err(malformed(BackendError("more bytes follow it".to_owned())));
            }
            own.get_or_insert(certificate);
        }
        let own = own.ok_or(ImportError::NoCertificate)?;
        let key = SigningKey::new(key).ok_or(ImportError::UnsupportedKey)?;
        match key.kind() {
            KeyKind::Rsa { bits } if !key.kind().is_sound() => return Err(ImportError::RsaBits { bits }),
            _ => {}
        }
        let public = own.public_key().map_err(|error| ImportError::Certificate {
            index: 0,
            reason: error.into(),
        })?;
        // Where only the scalar is kept, the public half follows from it, whatever the file says.
        let private = key.openssl().map_err(|error| ImportError::Key(error.into()))?;
        if !public.public_eq(&private) {
            return Err(ImportError::KeyMismatch);
        }
        let mut chain: Vec<Bytes> = chain.into_iter().map(Bytes::from).collect();
        let chain = match chain.len() {
            1 => Chain::Single([chain.remove(0)]),
            _ => Chain::Several(chain),
        };
        Ok(Self { chain, key })
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// The certificates of a PEM file, each from its first line on.
fn blocks(pem: &[u8]) -> impl Iterator<Item = &[u8]> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let starts = pem.windows(BEGIN.len()).enumerate();
    starts
        .filter(|(_, window)| *window == BEGIN)
        .map(|(start, _)| &pem[start..])
}

#[cfg(test)]
mod tests {
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::rsa::Rsa;
    use openssl::symm::Cipher;

    use super::*;
    use crate::certificate::CertificateOptions;

    fn generate(key: KeyKind) -> Certificate {
        let options = CertificateOptions {
            key,
            ..CertificateOptions::default()
        };
        Certificate::generate_with(&options).unwrap()
    }

    fn import_key(certificate: &Certificate, key: &[u8]) -> Result<Certificate, ImportError> {
        let (chain, _) = certificate.to_pem().unwrap();
        Certificate::from_pem(chain.as_bytes(), key)
    }

    #[test]
    fn what_is_exported_is_imported() {
        for kind in [KeyKind::EcdsaP256, KeyKind::EcdsaP521, KeyKind::Ed25519] {
            let certificate = generate(kind);
            let (chain, key) = certificate.to_pem().unwrap();
            let imported = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
            assert_eq!(imported.chain(), certificate.chain());
            assert_eq!(imported.signing_key().kind(), kind);
            let both = chain + &key;
            assert!(Certificate::from_pem(both.as_bytes(), both.as_bytes()).is_ok());
            let key = certificate.key_der().unwrap();
            let imported = Certificate::from_der(vec![certificate.der().to_vec()], &key).unwrap();
            assert_eq!(imported.key_der().unwrap(), key);
        }
    }

    #[test]
    fn keys_come_as_pkcs8_sec1_or_pkcs1_and_after_other_blocks() {
        let ecdsa = generate(KeyKind::EcdsaP384);
        let key = ecdsa.signing_key().openssl().unwrap().ec_key().unwrap();
        let sec1 = key.private_key_to_pem().unwrap();
        assert!(import_key(&ecdsa, &sec1).is_ok());
        // What `openssl ecparam -genkey` writes: P-384's name, then the key.
        let parameters = b"-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n";
        assert!(import_key(&ecdsa, &[&parameters[..], &sec1].concat()).is_ok());
        let sec1 = key.private_key_to_der().unwrap();
        assert!(Certificate::from_der(vec![ecdsa.der().to_vec()], &sec1).is_ok());
        let rsa = generate(KeyKind::Rsa { bits: 2048 });
        let key = rsa.signing_key().openssl().unwrap().rsa().unwrap();
        assert!(import_key(&rsa, &key.private_key_to_pem().unwrap()).is_ok());
        let pkcs1 = key.private_key_to_der().unwrap();
        let imported = Certificate::from_der(vec![rsa.der().to_vec()], &pkcs1).unwrap();
        assert_eq!(imported.signing_key().kind(), KeyKind::Rsa { bits: 2048 });
    }

    #[test]
    fn a_chain_keeps_its_order() {
        let [own, above] = [generate(KeyKind::EcdsaP256), generate(KeyKind::EcdsaP256)];
        let (own_pem, key) = own.to_pem().unwrap();
        let text = format!("a comment\n{own_pem}\n{}", above.to_pem().unwrap().0);
        let chain = Certificate::from_pem(text.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(chain.chain(), [own.chain(), above.chain()].concat());
        assert_eq!(chain.der(), own.der());
        assert_eq!(chain.to_pem().unwrap().0.matches("BEGIN CERTIFICATE").count(), 2);
        let swapped = above.to_pem().unwrap().0 + &own_pem;
        let error = Certificate::from_pem(swapped.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(error, ImportError::KeyMismatch);
    }

    #[test]
    fn encrypted_keys_are_named_and_nobody_is_asked_for_the_passphrase() {
        let certificate = generate(KeyKind::EcdsaP256);
        let key = certificate.signing_key().openssl().unwrap();
        let cipher = Cipher::aes_128_cbc();
        let pkcs8 = key
            .private_key_to_pem_pkcs8_passphrase(cipher, b"secret")
            .unwrap();
        assert_eq!(
            import_key(&certificate, &pkcs8).unwrap_err(),
            ImportError::EncryptedKey
        );
        let ec = key.ec_key().unwrap();
        let sec1 = ec.private_key_to_pem_passphrase(cipher, b"secret").unwrap();
        assert_eq!(
            import_key(&certificate, &sec1).unwrap_err(),
            ImportError::EncryptedKey
        );
    }

    #[test]
    fn each_fault_has_its_own_error() {
        let certificate = generate(KeyKind::EcdsaP256);
        let (chain, key) = certificate.to_pem().unwrap();
        let import =
            |chain: &str, key: &str| Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(import("", &key), ImportError::NoCertificate);
        assert_eq!(import(&key, &key), ImportError::NoCertificate);
        assert_eq!(import(&chain, &chain), ImportError::NoKey);
        let cut = key.replace('M', "A");
        assert!(matches!(import(&chain, &cut), ImportError::Key(_)));
        let broken = format!("{chain}{}", chain.replacen("MII", "AII", 1));
        assert!(matches!(
            import(&broken, &key),
            ImportError::Certificate { index: 1, .. }
        ));
        let followed = [certificate.der(), &[0]].concat();
        let error = Certificate::from_der(vec![followed], &certificate.key_der().unwrap()).unwrap_err();
        assert!(
            matches!(error, ImportError::Certificate { index: 0, .. }),
            "{error}"
        );
        let error = Certificate::from_der(vec![], &certificate.key_der().unwrap()).unwrap_err();
        assert_eq!(error, ImportError::NoCertificate);
        let rsa = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
        let error = import_key(&certificate, &rsa.private_key_to_pem_pkcs8().unwrap()).unwrap_err();
        assert_eq!(error, ImportError::RsaBits { bits: 1024 });
        let other = generate(KeyKind::Ed25519).to_pem().unwrap().1;
        assert_eq!(import(&chain, &other), ImportError::KeyMismatch);
        let group = EcGroup::from_curve_name(Nid::SECP256K1).unwrap();
        let curve = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let error = import_key(&certificate, &curve.private_key_to_pem_pkcs8().unwrap()).unwrap_err();
        assert_eq!(error, ImportError::UnsupportedKey);
    }
}
