//! `connection_id` (RFC 9146, section 3): what the sender wants to find in the records that it gets.

use crate::codec::{Malformed, Reader, put_vec};

pub(crate) const KIND: u16 = 54;

pub(crate) fn parse(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::new(body);
    let cid = reader.vec8()?;
    reader.finish()?;
    Ok(cid.to_vec())
}

pub(crate) fn write(cid: &[u8], out: &mut Vec<u8>) {
    put_vec(out, 1, |out| out.extend_from_slice(cid));
}
