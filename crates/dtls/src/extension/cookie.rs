//! `cookie` (RFC 8446, section 4.2.2).

use crate::codec::{Malformed, Reader, put_vec};

pub(crate) const KIND: u16 = 44;

pub(crate) fn parse(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::new(body);
    let cookie = reader.vec16()?;
    reader.finish()?;
    // opaque cookie<1..2^16-1>;
    if cookie.is_empty() {
        Err(Malformed)
    } else {
        Ok(cookie.to_vec())
    }
}

pub(crate) fn write(cookie: &[u8], out: &mut Vec<u8>) {
    put_vec(out, 2, |out| out.extend_from_slice(cookie));
}
