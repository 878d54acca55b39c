//! ClientKeyExchange with an ephemeral share (RFC 8422, section 5.7).

use crate::codec::{Malformed, Reader, put_vec};

/// The share.
pub(crate) fn parse(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body);
    let share = reader.vec8()?;
    reader.finish()?;
    Ok(share)
}

pub(crate) fn write(share: &[u8], out: &mut Vec<u8>) {
    put_vec(out, 1, |out| out.extend_from_slice(share));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_written() {
        let mut bytes = Vec::new();
        write(&[4; 65], &mut bytes);
        assert_eq!(parse(&bytes), Ok(&[4; 65][..]));
        assert_eq!(parse(&bytes[..65]), Err(Malformed));
    }
}
