//! `extended_master_secret` (RFC 7627, section 5.1): empty.

use crate::codec::{Malformed, Reader};

pub(crate) const KIND: u16 = 23;

pub(crate) fn parse(body: &[u8]) -> Result<(), Malformed> {
    Reader::new(body).finish()
}
