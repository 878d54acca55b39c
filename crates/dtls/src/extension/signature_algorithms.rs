//! `signature_algorithms` (RFC 5246, section 7.4.1.4.1; code points as in RFC 8446, section 4.2.3).

use crate::codec::{Malformed, Reader, put_u16_list};

pub(crate) const KIND: u16 = 13;

pub(crate) fn parse(body: &[u8]) -> Result<Vec<u16>, Malformed> {
    let mut reader = Reader::new(body);
    let schemes = reader.u16_list()?;
    reader.finish()?;
    Ok(schemes)
}

pub(crate) fn write(schemes: &[u16], out: &mut Vec<u8>) {
    put_u16_list(out, schemes);
}
