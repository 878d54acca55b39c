//! `server_name` (RFC 6066, section 3): which of the names at its address the client means, so that the server shows
//! the certificate of that one.

use crate::codec::{Malformed, Reader, put_vec};

pub(crate) const KIND: u16 = 0;

/// The only type of name that there is.
const HOST_NAME: u8 = 0;

/// The host name of a ClientHello.
///
/// > The ServerNameList MUST NOT contain more than one name of the same name_type.
pub(crate) fn parse(body: &[u8]) -> Result<String, Malformed> {
    let mut reader = Reader::new(body);
    let mut list = Reader::new(reader.vec16()?);
    reader.finish()?;
    let kind = list.u8()?;
    let name = list.vec16()?;
    list.finish()?;
    if kind != HOST_NAME || name.is_empty() {
        return Err(Malformed);
    }
    String::from_utf8(name.to_vec()).map_err(|_| Malformed)
}

pub(crate) fn write(name: &str, out: &mut Vec<u8>) {
    put_vec(out, 2, |out| {
        out.push(HOST_NAME);
        put_vec(out, 2, |out| out.extend_from_slice(name.as_bytes()));
    });
}

/// The form in which a name may be sent; `None` for what is none.
///
/// > The hostname is represented as a byte string using ASCII encoding without a trailing dot. [...] Literal IPv4 and
/// > IPv6 addresses are not permitted in "HostName".
pub(crate) fn sendable(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    let fits = name.is_ascii() && (1..=255).contains(&name.len());
    (fits && !is_address).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a browser writes `example.org`.
    const CAPTURED: [u8; 16] = *b"\x00\x0e\x00\x00\x0bexample.org";

    #[test]
    fn a_name_is_written_as_others_write_it() {
        let mut out = Vec::new();
        write("example.org", &mut out);
        assert_eq!(out, CAPTURED);
        assert_eq!(parse(&CAPTURED), Ok("example.org".to_owned()));
    }

    #[test]
    fn every_prefix_other_types_and_second_names_are_malformed() {
        for len in 0..CAPTURED.len() {
            assert_eq!(parse(&CAPTURED[..len]), Err(Malformed), "{len}");
        }
        assert_eq!(parse(b"\x00\x04\x01\x00\x01a"), Err(Malformed));
        assert_eq!(parse(b"\x00\x03\x00\x00\x00"), Err(Malformed));
        assert_eq!(parse(b"\x00\x08\x00\x00\x01a\x00\x00\x01b"), Err(Malformed));
        assert_eq!(parse(b"\x00\x04\x00\x00\x01\xff"), Err(Malformed));
    }

    #[test]
    fn addresses_and_what_is_no_ascii_are_not_sent() {
        assert_eq!(sendable("turn.example.org."), Some("turn.example.org".to_owned()));
        for not in ["192.0.2.1", "2001:db8::1", "", ".", "bücher.example"] {
            assert_eq!(sendable(not), None, "{not}");
        }
    }
}
