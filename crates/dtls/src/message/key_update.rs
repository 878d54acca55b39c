//! KeyUpdate (RFC 8446, section 4.6.3; RFC 9147, section 8).

use crate::codec::Malformed;

/// Whether the peer is asked to update its keys, too. `Err`: neither yes nor no.
pub(crate) fn parse(body: &[u8]) -> Result<bool, Malformed> {
    match *body {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Malformed),
    }
}

pub(crate) fn write(update_requested: bool) -> [u8; 1] {
    [u8::from(update_requested)]
}
