//! `supported_groups` (RFC 8422, section 5.1.1; registry "TLS Supported Groups").

use dunlin_crypto::agreement::Group;

use crate::codec::{Malformed, Reader, put_u16_list};

pub(crate) const KIND: u16 = 10;

pub(crate) fn parse(body: &[u8]) -> Result<Vec<u16>, Malformed> {
    let mut reader = Reader::new(body);
    let groups = reader.u16_list()?;
    reader.finish()?;
    Ok(groups)
}

pub(crate) fn write(groups: &[u16], out: &mut Vec<u8>) {
    put_u16_list(out, groups);
}

/// The code point of a group (X25519MLKEM768: draft-ietf-tls-ecdhe-mlkem); `None` for one that has none here.
pub(crate) fn code(group: Group) -> Option<u16> {
    Some(match group {
        Group::X25519MlKem768 => 0x11EC,
        Group::X25519 => 0x001D,
        Group::P256 => 0x0017,
        Group::P384 => 0x0018,
        Group::P521 => 0x0019,
        _ => return None,
    })
}

/// Whether a group is more than DTLS 1.2 can negotiate: a client's share and a server's are not of the same kind.
pub(crate) fn is_1_3_only(group: Group) -> bool {
    group == Group::X25519MlKem768
}
