//! CertificateRequest (RFC 5246, section 7.4.4).

use crate::codec::{Malformed, Reader, put_u16_list, put_vec};

/// `rsa_sign` and `ecdsa_sign` (RFC 5246, section 7.4.4; RFC 8422, section 5.5).
const CERTIFICATE_TYPES: [u8; 2] = [64, 1];

/// A CertificateRequest. Types and authorities say nothing where certificates are self-signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateRequest {
    pub(crate) schemes: Vec<u16>,
}

impl CertificateRequest {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        if reader.vec8()?.is_empty() {
            return Err(Malformed);
        }
        let schemes = reader.u16_list()?;
        let _authorities = reader.vec16()?;
        reader.finish()?;
        Ok(Self { schemes })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_vec(out, 1, |out| out.extend_from_slice(&CERTIFICATE_TYPES));
        put_u16_list(out, &self.schemes);
        put_vec(out, 2, |_| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_written() {
        let message = CertificateRequest {
            schemes: vec![0x0403, 0x0804],
        };
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        assert_eq!(CertificateRequest::parse(&bytes), Ok(message));
        for len in 0..bytes.len() {
            assert_eq!(CertificateRequest::parse(&bytes[..len]), Err(Malformed));
        }
    }
}
