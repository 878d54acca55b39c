//! ServerHelloDone (RFC 5246, section 7.4.5): nothing in it.

use crate::codec::{Malformed, Reader};

pub(crate) fn parse(body: &[u8]) -> Result<(), Malformed> {
    Reader::new(body).finish()
}
