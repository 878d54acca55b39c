//! EncryptedExtensions (RFC 8446, section 4.3.1).

use crate::codec::{Malformed, Reader, put_vec};
use crate::extension::ServerExtensions;

pub(crate) fn parse(body: &[u8]) -> Result<ServerExtensions, Malformed> {
    let mut reader = Reader::new(body);
    let extensions = ServerExtensions::parse(reader.vec16()?)?;
    reader.finish()?;
    Ok(extensions)
}

pub(crate) fn write(extensions: &ServerExtensions, out: &mut Vec<u8>) {
    put_vec(out, 2, |out| extensions.write(out));
}
