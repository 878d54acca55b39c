//! `supported_versions` of a ClientHello (RFC 8446, section 4.2.1): read to see whether DTLS 1.2 is among them.

use crate::codec::{Malformed, Reader, put_u16, put_vec, u16_values};

pub(crate) const KIND: u16 = 43;

pub(crate) fn parse(body: &[u8]) -> Result<Vec<u16>, Malformed> {
    let mut reader = Reader::new(body);
    let versions = u16_values(reader.vec8()?)?;
    reader.finish()?;
    Ok(versions)
}

pub(crate) fn write(versions: &[u16], out: &mut Vec<u8>) {
    put_vec(out, 1, |out| {
        versions.iter().for_each(|version| put_u16(out, *version))
    });
}
