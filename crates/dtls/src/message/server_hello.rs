//! ServerHello (RFC 5246, section 7.4.1.3; RFC 8446, section 4.1.3), and the HelloRetryRequest that looks like one (RFC
//! 8446, section 4.1.4).

use crate::codec::{Malformed, Reader, put_u16, put_vec};
use crate::extension::ServerExtensions;

/// > the Random value is set to the special value of the SHA-256 of "HelloRetryRequest" (RFC 8446, section 4.1.3)
pub(crate) const RETRY_RANDOM: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2,
    0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// A ServerHello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerHello {
    pub(crate) version: u16,
    pub(crate) random: [u8; 32],
    pub(crate) session_id: Vec<u8>,
    pub(crate) cipher_suite: u16,
    pub(crate) compression_method: u8,
    pub(crate) extensions: ServerExtensions,
}

impl ServerHello {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vec8()?;
        if session_id.len() > 32 {
            return Err(Malformed);
        }
        let cipher_suite = reader.u16()?;
        let compression_method = reader.u8()?;
        let extensions = match reader.is_empty() {
            true => ServerExtensions::default(),
            false => ServerExtensions::parse(reader.vec16()?)?,
        };
        reader.finish()?;
        let session_id = session_id.to_vec();
        Ok(Self {
            version,
            random,
            session_id,
            cipher_suite,
            compression_method,
            extensions,
        })
    }

    /// Whether it is a HelloRetryRequest.
    pub(crate) fn is_retry_request(&self) -> bool {
        self.random == RETRY_RANDOM
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_u16(out, self.version);
        out.extend_from_slice(&self.random);
        put_vec(out, 1, |out| out.extend_from_slice(&self.session_id));
        put_u16(out, self.cipher_suite);
        out.push(self.compression_method);
        put_vec(out, 2, |out| self.extensions.write(out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_random_value_of_a_retry_is_the_hash_of_its_name() {
        assert_eq!(RETRY_RANDOM, dunlin_crypto::hash::sha256(b"HelloRetryRequest"));
    }

    #[test]
    fn it_reads_back_as_written() {
        let hello = ServerHello {
            version: 0xFEFD,
            random: [7; 32],
            session_id: vec![1; 32],
            cipher_suite: 0xC02B,
            compression_method: 0,
            extensions: ServerExtensions {
                extended_master_secret: true,
                kinds: vec![23],
                ..Default::default()
            },
        };
        let mut bytes = Vec::new();
        hello.write(&mut bytes);
        assert_eq!(ServerHello::parse(&bytes), Ok(hello));
        for len in 0..bytes.len() {
            assert_eq!(
                ServerHello::parse(&bytes[..len]).is_ok(),
                len == bytes.len() - 6,
                "{len}"
            );
        }
    }
}
