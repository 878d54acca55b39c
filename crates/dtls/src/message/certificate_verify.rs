//! CertificateVerify (RFC 5246, section 7.4.8).

use crate::codec::{Malformed, Reader, put_u16, put_vec};

/// A signature over all messages so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateVerify<'a> {
    pub(crate) scheme: u16,
    pub(crate) signature: &'a [u8],
}

impl<'a> CertificateVerify<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let scheme = reader.u16()?;
        let signature = reader.vec16()?;
        reader.finish()?;
        Ok(Self { scheme, signature })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_u16(out, self.scheme);
        put_vec(out, 2, |out| out.extend_from_slice(self.signature));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_written() {
        let message = CertificateVerify {
            scheme: 0x0403,
            signature: b"signature",
        };
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        assert_eq!(CertificateVerify::parse(&bytes), Ok(message));
        assert_eq!(CertificateVerify::parse(&bytes[1..]), Err(Malformed));
    }
}
