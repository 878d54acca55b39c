//! HelloVerifyRequest (RFC 6347, section 4.2.1).

use crate::codec::{Malformed, Reader, put_u16, put_vec};
use crate::record::header::DTLS_1_0;

/// A HelloVerifyRequest. Its version means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HelloVerifyRequest<'a> {
    pub(crate) cookie: &'a [u8],
}

impl<'a> HelloVerifyRequest<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        // "DTLS 1.2 and 1.0 clients MUST use the version solely to indicate packet formatting"
        let _version = reader.u16()?;
        let cookie = reader.vec8()?;
        reader.finish()?;
        Ok(Self { cookie })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        // "DTLS 1.2 server implementations SHOULD use DTLS version 1.0 regardless of the version of TLS that is
        // expected to be negotiated."
        put_u16(out, DTLS_1_0);
        put_vec(out, 1, |out| out.extend_from_slice(self.cookie));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_written() {
        let mut bytes = Vec::new();
        HelloVerifyRequest { cookie: b"cookie" }.write(&mut bytes);
        assert_eq!(
            HelloVerifyRequest::parse(&bytes),
            Ok(HelloVerifyRequest { cookie: b"cookie" })
        );
        assert_eq!(HelloVerifyRequest::parse(&bytes[..8]), Err(Malformed));
    }
}
