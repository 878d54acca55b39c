//! ServerKeyExchange with an ephemeral share of a named group (RFC 8422, section 5.4).

use crate::codec::{Malformed, Reader, put_u16, put_vec};

/// `ECCurveType.named_curve`: "This option is now the only remaining format."
const NAMED_CURVE: u8 = 3;

/// A ServerKeyExchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerKeyExchange<'a> {
    pub(crate) group: u16,
    pub(crate) share: &'a [u8],
    pub(crate) scheme: u16,
    pub(crate) signature: &'a [u8],
}

impl<'a> ServerKeyExchange<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        if reader.u8()? != NAMED_CURVE {
            return Err(Malformed);
        }
        let group = reader.u16()?;
        let share = reader.vec8()?;
        let scheme = reader.u16()?;
        let signature = reader.vec16()?;
        reader.finish()?;
        Ok(Self {
            group,
            share,
            scheme,
            signature,
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_params(out, self.group, self.share);
        put_u16(out, self.scheme);
        put_vec(out, 2, |out| out.extend_from_slice(self.signature));
    }
}

fn put_params(out: &mut Vec<u8>, group: u16, share: &[u8]) {
    out.push(NAMED_CURVE);
    put_u16(out, group);
    put_vec(out, 1, |out| out.extend_from_slice(share));
}

/// What the signature is over.
///
/// > SHA(ClientHello.random + ServerHello.random + ServerKeyExchange.params) (RFC 8422, section 5.4)
pub(crate) fn signed_bytes(
    client_random: &[u8; 32],
    server_random: &[u8; 32],
    group: u16,
    share: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 4 + share.len());
    out.extend_from_slice(client_random);
    out.extend_from_slice(server_random);
    put_params(&mut out, group, share);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_written() {
        let message = ServerKeyExchange {
            group: 29,
            share: &[5; 32],
            scheme: 0x0403,
            signature: b"signature",
        };
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        assert_eq!(ServerKeyExchange::parse(&bytes), Ok(message));
        assert_eq!(signed_bytes(&[1; 32], &[2; 32], 29, &[5; 32])[64..], bytes[..36]);
        for len in 0..bytes.len() {
            assert_eq!(ServerKeyExchange::parse(&bytes[..len]), Err(Malformed));
        }
        bytes[0] = 1;
        assert_eq!(
            ServerKeyExchange::parse(&bytes),
            Err(Malformed),
            "explicit curves are gone"
        );
    }
}
