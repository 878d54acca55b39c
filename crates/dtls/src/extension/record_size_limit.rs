//! `record_size_limit` (RFC 8449, section 4): the most content that the sender takes in a protected record.

use crate::codec::{Malformed, Reader, put_u16};

pub(crate) const KIND: u16 = 28;
/// > Endpoints MUST NOT send a "record_size_limit" extension with a value smaller than 64.
pub(crate) const MIN: u16 = 64;

pub(crate) fn parse(body: &[u8]) -> Result<u16, Malformed> {
    let mut reader = Reader::new(body);
    let limit = reader.u16()?;
    reader.finish()?;
    Ok(limit)
}

pub(crate) fn write(limit: u16, out: &mut Vec<u8>) {
    put_u16(out, limit);
}
