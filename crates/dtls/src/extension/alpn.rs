//! `application_layer_protocol_negotiation` (RFC 7301, section 3.1).

use crate::codec::{Malformed, Reader, put_vec};

pub(crate) const KIND: u16 = 16;

/// Protocols, best first; exactly one in a server's answer.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut reader = Reader::new(body);
    let mut list = Reader::new(reader.vec16()?);
    reader.finish()?;
    let mut protocols = Vec::new();
    while !list.is_empty() {
        match list.vec8()? {
            [] => return Err(Malformed),
            protocol => protocols.push(protocol.to_vec()),
        }
    }
    if protocols.is_empty() {
        Err(Malformed)
    } else {
        Ok(protocols)
    }
}

pub(crate) fn write(protocols: &[Vec<u8>], out: &mut Vec<u8>) {
    put_vec(out, 2, |out| {
        for protocol in protocols {
            put_vec(out, 1, |out| out.extend_from_slice(protocol));
        }
    });
}
