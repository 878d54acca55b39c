//! ServerHello (RFC 5246, section 7.4.1.3).

use crate::codec::{Malformed, Reader, put_u16, put_vec};
use crate::extension::ServerExtensions;

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
    fn it_reads_back_as_written() {
        let hello = ServerHello {
            version: 0xFEFD,
            random: [7; 32],
            session_id: vec![1; 32],
            cipher_suite: 0xC02B,
            compression_method: 0,
            extensions: ServerExtensions {
                extended_master_secret: true,
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
