//! ClientHello (RFC 5246, section 7.4.1.2; the cookie: RFC 6347, section 4.2.1).

use crate::codec::{Malformed, Reader, put_u16, put_u16_list, put_vec};
use crate::extension::ClientExtensions;

/// `TLS_EMPTY_RENEGOTIATION_INFO_SCSV` (RFC 5746, section 3.3).
pub(crate) const EMPTY_RENEGOTIATION_INFO: u16 = 0x00FF;

/// A ClientHello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientHello {
    pub(crate) version: u16,
    pub(crate) random: [u8; 32],
    pub(crate) session_id: Vec<u8>,
    pub(crate) cookie: Vec<u8>,
    pub(crate) cipher_suites: Vec<u16>,
    pub(crate) compression_methods: Vec<u8>,
    pub(crate) extensions: ClientExtensions,
}

impl ClientHello {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vec8()?;
        if session_id.len() > 32 {
            return Err(Malformed);
        }
        let cookie = reader.vec8()?;
        let cipher_suites = reader.u16_list()?;
        let compression_methods = reader.vec8()?;
        if compression_methods.is_empty() {
            return Err(Malformed);
        }
        // "The presence of extensions can be detected by determining whether there are bytes following the
        // compression_methods field at the end of the ClientHello." (RFC 5246, section 7.4.1.2)
        let extensions = match reader.is_empty() {
            true => ClientExtensions::default(),
            false => ClientExtensions::parse(reader.vec16()?)?,
        };
        reader.finish()?;
        Ok(Self {
            version,
            random,
            session_id: session_id.to_vec(),
            cookie: cookie.to_vec(),
            cipher_suites,
            compression_methods: compression_methods.to_vec(),
            extensions,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_u16(out, self.version);
        out.extend_from_slice(&self.random);
        put_vec(out, 1, |out| out.extend_from_slice(&self.session_id));
        put_vec(out, 1, |out| out.extend_from_slice(&self.cookie));
        put_u16_list(out, &self.cipher_suites);
        put_vec(out, 1, |out| out.extend_from_slice(&self.compression_methods));
        put_vec(out, 2, |out| self.extensions.write(out));
    }

    /// The parameters that must stay the same when the cookie is added, as bytes: "(version, random, session_id,
    /// cipher_suites, compression_method)" (RFC 6347, section 4.2.1). Extensions are none of them.
    pub(crate) fn lasting(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u16(&mut out, self.version);
        out.extend_from_slice(&self.random);
        put_vec(&mut out, 1, |out| out.extend_from_slice(&self.session_id));
        put_u16_list(&mut out, &self.cipher_suites);
        put_vec(&mut out, 1, |out| {
            out.extend_from_slice(&self.compression_methods)
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> ClientHello {
        ClientHello {
            version: 0xFEFD,
            random: [3; 32],
            session_id: vec![],
            cookie: vec![1, 2, 3],
            cipher_suites: vec![0xC02B],
            compression_methods: vec![0],
            extensions: ClientExtensions {
                extended_master_secret: true,
                ..Default::default()
            },
        }
    }

    #[test]
    fn it_reads_back_as_written() {
        let mut bytes = Vec::new();
        hello().write(&mut bytes);
        assert_eq!(ClientHello::parse(&bytes), Ok(hello()));
        for len in 0..bytes.len() {
            // The one prefix that is whole is that without extensions.
            let parsed = ClientHello::parse(&bytes[..len]);
            assert_eq!(parsed.is_ok(), len == bytes.len() - 6, "{len}");
        }
        bytes.push(0);
        assert_eq!(ClientHello::parse(&bytes), Err(Malformed));
    }

    #[test]
    fn the_cookie_alone_makes_no_difference() {
        let other = ClientHello {
            cookie: vec![9; 255],
            ..hello()
        };
        assert_eq!(other.lasting(), hello().lasting());
    }
}
