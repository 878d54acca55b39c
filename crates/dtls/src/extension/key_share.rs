//! `key_share` (RFC 8446, section 4.2.8).

use crate::codec::{Malformed, Reader, put_u16, put_vec};

pub(crate) const KIND: u16 = 51;

/// One public share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyShare {
    pub(crate) group: u16,
    pub(crate) share: Vec<u8>,
}

impl KeyShare {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let group = reader.u16()?;
        let share = reader.vec16()?.to_vec();
        // opaque key_exchange<1..2^16-1>;
        if share.is_empty() {
            Err(Malformed)
        } else {
            Ok(Self { group, share })
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_u16(out, self.group);
        put_vec(out, 2, |out| out.extend_from_slice(&self.share));
    }
}

/// A client's shares; none of them is legal: it asks for a HelloRetryRequest.
pub(crate) fn parse_offered(body: &[u8]) -> Result<Vec<KeyShare>, Malformed> {
    let mut reader = Reader::new(body);
    let mut list = Reader::new(reader.vec16()?);
    reader.finish()?;
    let mut shares: Vec<KeyShare> = Vec::new();
    while !list.is_empty() {
        let share = KeyShare::read(&mut list)?;
        // "Clients MUST NOT offer multiple KeyShareEntry values for the same group."
        if shares.iter().any(|other| other.group == share.group) {
            return Err(Malformed);
        }
        shares.push(share);
    }
    Ok(shares)
}

pub(crate) fn write_offered(shares: &[KeyShare], out: &mut Vec<u8>) {
    put_vec(out, 2, |out| shares.iter().for_each(|share| share.write(out)));
}

/// What a server says: its share in a ServerHello, or the group that it wants a share of in a HelloRetryRequest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Share(KeyShare),
    Group(u16),
}

impl Answer {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let answer = if body.len() == 2 {
            Answer::Group(reader.u16()?)
        } else {
            Answer::Share(KeyShare::read(&mut reader)?)
        };
        reader.finish()?;
        Ok(answer)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Answer::Share(share) => share.write(out),
            Answer::Group(group) => put_u16(out, *group),
        }
    }
}
