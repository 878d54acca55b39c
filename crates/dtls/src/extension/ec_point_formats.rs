//! `ec_point_formats` (RFC 8422, section 5.1.2).

use crate::codec::{Malformed, Reader, put_vec};

pub(crate) const KIND: u16 = 11;
/// The only format that is left.
pub(crate) const UNCOMPRESSED: u8 = 0;

pub(crate) fn parse(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::new(body);
    let formats = reader.vec8()?;
    reader.finish()?;
    if formats.is_empty() {
        Err(Malformed)
    } else {
        Ok(formats.to_vec())
    }
}

pub(crate) fn write(formats: &[u8], out: &mut Vec<u8>) {
    put_vec(out, 1, |out| out.extend_from_slice(formats));
}
