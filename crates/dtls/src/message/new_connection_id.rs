//! NewConnectionId and RequestConnectionId (RFC 9147, section 9).

use crate::codec::{Malformed, Reader, put_vec};

/// Connection IDs that the sender wants to find in the records that it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewConnectionId<'a> {
    pub(crate) cids: Vec<&'a [u8]>,
    /// "one of the new CIDs MUST be used immediately for all future records"
    pub(crate) immediate: bool,
}

impl<'a> NewConnectionId<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let mut list = Reader::new(reader.vec16()?);
        let immediate = match reader.u8()? {
            0 => true,
            1 => false,
            _ => return Err(Malformed),
        };
        reader.finish()?;
        let mut cids = Vec::new();
        while !list.is_empty() {
            cids.push(list.vec8()?);
        }
        Ok(Self { cids, immediate })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_vec(out, 2, |out| {
            for cid in &self.cids {
                put_vec(out, 1, |out| out.extend_from_slice(cid));
            }
        });
        out.push(u8::from(!self.immediate));
    }
}

/// How many connection IDs a RequestConnectionId asks for.
pub(crate) fn parse_request(body: &[u8]) -> Result<u8, Malformed> {
    match *body {
        [count] => Ok(count),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_written() {
        for (cids, immediate) in [(vec![], false), (vec![&b"one"[..], b""], true)] {
            let message = NewConnectionId { cids, immediate };
            let mut bytes = Vec::new();
            message.write(&mut bytes);
            assert_eq!(NewConnectionId::parse(&bytes), Ok(message));
            for len in 0..bytes.len() {
                assert_eq!(NewConnectionId::parse(&bytes[..len]), Err(Malformed));
            }
        }
        assert_eq!(NewConnectionId::parse(&[0, 0, 2]), Err(Malformed));
    }
}
