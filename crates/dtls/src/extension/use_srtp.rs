//! `use_srtp` (RFC 5764, section 4.1.1).

use crate::codec::{Malformed, Reader, put_u16_list, put_vec};

pub(crate) const KIND: u16 = 14;

/// Protection profiles, best first (exactly one in a ServerHello), and the MKI, which this crate leaves empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UseSrtp {
    pub(crate) profiles: Vec<u16>,
    pub(crate) mki: Vec<u8>,
}

impl UseSrtp {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let profiles = reader.u16_list()?;
        let mki = reader.vec8()?;
        reader.finish()?;
        Ok(Self {
            profiles,
            mki: mki.to_vec(),
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_u16_list(out, &self.profiles);
        put_vec(out, 1, |out| out.extend_from_slice(&self.mki));
    }
}
