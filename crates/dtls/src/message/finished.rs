//! Finished (RFC 5246, section 7.4.9).

use crate::codec::{Malformed, Reader};

/// Bytes of `verify_data` in every suite that this crate has.
pub(crate) const VERIFY_DATA_LEN: usize = 12;

pub(crate) fn parse(body: &[u8]) -> Result<[u8; VERIFY_DATA_LEN], Malformed> {
    let mut reader = Reader::new(body);
    let verify_data = reader.array()?;
    reader.finish()?;
    Ok(verify_data)
}
