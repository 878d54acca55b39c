//! `supported_versions` (RFC 8446, section 4.2.1): a list in a ClientHello, the one that was chosen in a ServerHello.

use crate::codec::{Malformed, Reader, put_u16, put_vec, u16_values};

pub(crate) const KIND: u16 = 43;

pub(crate) fn parse_offered(body: &[u8]) -> Result<Vec<u16>, Malformed> {
    let mut reader = Reader::new(body);
    let versions = u16_values(reader.vec8()?)?;
    reader.finish()?;
    Ok(versions)
}

pub(crate) fn write_offered(versions: &[u16], out: &mut Vec<u8>) {
    put_vec(out, 1, |out| {
        versions.iter().for_each(|version| put_u16(out, *version))
    });
}

pub(crate) fn parse_chosen(body: &[u8]) -> Result<u16, Malformed> {
    let mut reader = Reader::new(body);
    let version = reader.u16()?;
    reader.finish()?;
    Ok(version)
}
