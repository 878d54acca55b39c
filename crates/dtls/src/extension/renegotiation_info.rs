//! `renegotiation_info` (RFC 5746, section 3.2): the verify_data of the handshake before, so nothing in a first.

use crate::codec::{Malformed, Reader, put_vec};

pub(crate) const KIND: u16 = 0xFF01;

pub(crate) fn parse(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::new(body);
    let verify_data = reader.vec8()?;
    reader.finish()?;
    Ok(verify_data.to_vec())
}

pub(crate) fn write(verify_data: &[u8], out: &mut Vec<u8>) {
    put_vec(out, 1, |out| out.extend_from_slice(verify_data));
}
