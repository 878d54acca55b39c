//! Certificate (RFC 5246, section 7.4.2).

use crate::codec::{Malformed, Reader, put_vec};

/// A chain of certificates in DER, the sender's own first. Empty: the client has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateMessage<'a> {
    pub(crate) chain: Vec<&'a [u8]>,
}

impl<'a> CertificateMessage<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let mut list = Reader::new(reader.vec24()?);
        reader.finish()?;
        let mut chain = Vec::new();
        while !list.is_empty() {
            match list.vec24()? {
                [] => return Err(Malformed),
                certificate => chain.push(certificate),
            }
        }
        Ok(Self { chain })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_vec(out, 3, |out| {
            for certificate in &self.chain {
                put_vec(out, 3, |out| out.extend_from_slice(certificate));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_written() {
        for chain in [vec![], vec![&b"one"[..]], vec![b"one", b"two"]] {
            let message = CertificateMessage { chain };
            let mut bytes = Vec::new();
            message.write(&mut bytes);
            assert_eq!(CertificateMessage::parse(&bytes), Ok(message));
        }
        for bytes in [
            &[0, 0, 3, 0, 0, 0][..],
            &[0, 0, 4, 0, 0, 2, 1],
            &[0, 0, 0, 0],
            &[0, 0],
        ] {
            assert_eq!(CertificateMessage::parse(bytes), Err(Malformed), "{bytes:?}");
        }
    }
}
