//! CertificateRequest of DTLS 1.3 (RFC 8446, section 4.3.2).

use crate::codec::{Malformed, Reader, put_vec};
use crate::extension::{put, read_block, signature_algorithms};

/// What the server verifies. Other extensions (authorities, filters) say nothing where certificates are self-signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateRequest13 {
    /// Comes back in the Certificate.
    pub(crate) context: Vec<u8>,
    pub(crate) schemes: Vec<u16>,
}

impl CertificateRequest13 {
    /// > The "signature_algorithms" extension MUST be specified
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let context = reader.vec8()?.to_vec();
        let mut schemes = None;
        read_block(&mut reader, |kind, body| {
            if kind == signature_algorithms::KIND {
                schemes = Some(signature_algorithms::parse(body)?);
            }
            Ok(())
        })?;
        reader.finish()?;
        let schemes = schemes.ok_or(Malformed)?;
        Ok(Self { context, schemes })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_vec(out, 1, |out| out.extend_from_slice(&self.context));
        put_vec(out, 2, |out| {
            put(out, signature_algorithms::KIND, |out| {
                signature_algorithms::write(&self.schemes, out);
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_written() {
        let message = CertificateRequest13 {
            context: vec![],
            schemes: vec![0x0403, 0x0804],
        };
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        assert_eq!(CertificateRequest13::parse(&bytes), Ok(message));
        for len in 0..bytes.len() {
            assert_eq!(CertificateRequest13::parse(&bytes[..len]), Err(Malformed));
        }
        assert_eq!(
            CertificateRequest13::parse(&[0, 0, 0]),
            Err(Malformed),
            "nothing is verified"
        );
    }
}
