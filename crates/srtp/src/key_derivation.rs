//! Session keys from a master key and salt (RFC 3711, section 4.3; RFC 7714, section 11).

use dunlin_crypto::BackendError;
use dunlin_crypto::cipher::AesCtr;

/// What a key is for: the label of RFC 3711, section 4.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    RtpCipher = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpCipher = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Derives session keys, with a key derivation rate of 0.
pub(crate) struct KeyDerivation {
    prf: AesCtr,
    salt: [u8; 14],
}

impl KeyDerivation {
    /// RFC 7714, section 11: a 96-bit master salt is extended to the 112 bits of the PRF with zeros on its right.
    pub(crate) fn new(master_key: &[u8], master_salt: &[u8]) -> Result<Self, BackendError> {
        let mut salt = [0; 14];
        salt.iter_mut()
            .zip(master_salt)
            .for_each(|(to, from)| *to = *from);
        Ok(Self {
            prf: AesCtr::new(master_key)?,
            salt,
        })
    }

    /// RFC 3711, section 4.3.1: "x = key_id XOR master_salt", with the label in the byte above the 48-bit index,
    /// which is 0 here; section 4.3.3: the PRF is AES-CM with the IV x * 2^16.
    pub(crate) fn derive<const N: usize>(&mut self, label: Label) -> [u8; N] {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        iv[7] ^= label as u8;
        let mut key = [0; N];
        self.prf.apply(&iv, &mut key);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::tests::hex;

    /// RFC 3711, appendix B.3.
    #[test]
    fn key_derivation_vectors() {
        let mut kdf = KeyDerivation::new(
            &hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
            &hex("0EC675AD498AFEEBB6960B3AABE6"),
        )
        .unwrap();
        assert_eq!(
            kdf.derive::<16>(Label::RtpCipher)[..],
            hex("C61E7A93744F39EE10734AFE3FF7A087")
        );
        assert_eq!(
            kdf.derive::<14>(Label::RtpSalt)[..],
            hex("30CBBC08863D8C85D49DB34A9AE1")
        );
        assert_eq!(
            kdf.derive::<94>(Label::RtpAuthentication)[..],
            hex("CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
                 E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
                 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2")
        );
    }
}
