//! Certificate of DTLS 1.3 (RFC 8446, section 4.4.2).

use crate::codec::{Malformed, Reader, put_u16, put_vec};
use crate::extension::read_block;

/// A chain of certificates in DER, the sender's own first. Empty: the client has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate13<'a> {
    /// Empty in a handshake (it tells requests after it apart).
    pub(crate) context: &'a [u8],
    pub(crate) chain: Vec<&'a [u8]>,
    /// Extensions of the entries: answers to what was asked for, and this crate asks for nothing.
    pub(crate) extensions: Vec<u16>,
}

impl<'a> Certificate13<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let context = reader.vec8()?;
        let mut list = Reader::new(reader.vec24()?);
        reader.finish()?;
        let (mut chain, mut extensions) = (Vec::new(), Vec::new());
        while !list.is_empty() {
            match list.vec24()? {
                [] => return Err(Malformed),
                certificate => chain.push(certificate),
            }
            read_block(&mut list, |kind, _| {
                extensions.push(kind);
                Ok(())
            })?;
        }
        Ok(Self {
            context,
            chain,
            extensions,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_vec(out, 1, |out| out.extend_from_slice(self.context));
        put_vec(out, 3, |out| {
            for certificate in &self.chain {
                put_vec(out, 3, |out| out.extend_from_slice(certificate));
                put_u16(out, 0);
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
            let message = Certificate13 {
                context: b"context",
                chain,
                extensions: vec![],
            };
            let mut bytes = Vec::new();
            message.write(&mut bytes);
            assert_eq!(Certificate13::parse(&bytes), Ok(message));
            for len in 0..bytes.len() {
                assert_eq!(Certificate13::parse(&bytes[..len]), Err(Malformed), "{len}");
            }
        }
        let with_extension = [0, 0, 0, 10, 0, 0, 1, 9, 0, 4, 0, 5, 0, 0];
        assert_eq!(Certificate13::parse(&with_extension).unwrap().extensions, [5]);
    }
}
