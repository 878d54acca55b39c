//! Reading and writing the presentation language of TLS (RFC 5246, section 4): big-endian integers and
//! vectors with a length in front.

/// The bytes are not what the message's grammar says: too short, too long, or a length that lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A cursor over bytes that a peer sent. Every read checks; nothing panics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u24(&mut self) -> Result<u32, Malformed> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    /// A vector with a length of one byte in front.
    pub(crate) fn vec8(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    /// A vector with a length of two bytes in front.
    pub(crate) fn vec16(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A vector with a length of three bytes in front.
    pub(crate) fn vec24(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u24()?;
        self.take(len as usize)
    }

    /// A vector of 16-bit values with a length in bytes of two bytes in front; at least one value.
    pub(crate) fn u16_list(&mut self) -> Result<Vec<u16>, Malformed> {
        u16_values(self.vec16()?)
    }

    /// Reading ends with nothing left.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// A non-empty list of 16-bit values that fills `bytes`.
pub(crate) fn u16_values(bytes: &[u8]) -> Result<Vec<u16>, Malformed> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return Err(Malformed);
    }
    Ok(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
}

pub(crate) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u24(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
}

/// Writes what `body` writes, with its length in `width` bytes in front. Our own vectors always fit.
pub(crate) fn put_vec(out: &mut Vec<u8>, width: usize, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 3][..width]);
    body(out);
    let len = out.len() - start - width;
    debug_assert!(
        len < 1 << (8 * width),
        "a vector of {len} bytes fits into {width} bytes of length"
    );
    out[start..start + width].copy_from_slice(&(len as u32).to_be_bytes()[4 - width..]);
}

pub(crate) fn put_u16_list(out: &mut Vec<u8>, values: &[u16]) {
    put_vec(out, 2, |out| values.iter().for_each(|value| put_u16(out, *value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_read_back_as_written_and_lies_are_malformed() {
        let mut out = Vec::new();
        put_vec(&mut out, 1, |out| out.extend_from_slice(b"a"));
        put_vec(&mut out, 2, |out| out.extend_from_slice(b"bc"));
        put_vec(&mut out, 3, |out| put_u24(out, 0x01_02_03));
        put_u16_list(&mut out, &[7, 8]);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.vec8(), Ok(&b"a"[..]));
        assert_eq!(reader.vec16(), Ok(&b"bc"[..]));
        assert_eq!(reader.vec24(), Ok(&[1, 2, 3][..]));
        assert_eq!(reader.u16_list(), Ok(vec![7, 8]));
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!(Reader::new(&[2, 0]).vec8(), Err(Malformed));
        assert_eq!(Reader::new(&[0, 1, 9]).u16_list(), Err(Malformed));
        assert_eq!(Reader::new(&[0, 0]).u16_list(), Err(Malformed));
        assert_eq!(Reader::new(&[0]).finish(), Err(Malformed));
    }
}
