//! As much DER (X.690) as finds the public key in a certificate (RFC 5280, section 4.1).
//!
//! Nothing else of a peer's certificate is used, and the backend's decoders take ten times as long as the rest
//! of reading it.

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;

/// The `SubjectPublicKeyInfo` of a certificate, header included, and `None` if the bytes are not laid out as one
/// certificate. What is in the names, the dates and the extensions is not looked at.
pub(crate) fn subject_public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    let mut outer = Reader(certificate);
    let mut certificate = Reader(outer.take(SEQUENCE)?.content);
    let mut to_be_signed = Reader(certificate.take(SEQUENCE)?.content);
    certificate.take(SEQUENCE)?;
    certificate.take(BIT_STRING)?;
    if !outer.0.is_empty() || !certificate.0.is_empty() {
        return None;
    }
    if to_be_signed.0.first() == Some(&VERSION) {
        to_be_signed.take(VERSION)?;
    }
    to_be_signed.take(INTEGER)?; // serial number
    for _ in ["signature", "issuer", "validity", "subject"] {
        to_be_signed.take(SEQUENCE)?;
    }
    Some(to_be_signed.take(SEQUENCE)?.whole)
}

struct Reader<'a>(&'a [u8]);

struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The next element, if it has this tag and a length in its shortest form.
    fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        let (header, len) = match *self.0 {
            [t, len @ 0..=0x7F, ..] if t == tag => (2, usize::from(len)),
            [t, 0x81, len @ 0x80..=0xFF, ..] if t == tag => (3, usize::from(len)),
            [t, 0x82, high @ 1..=0xFF, low, ..] if t == tag => {
                (4, usize::from(u16::from_be_bytes([high, low])))
            }
            _ => return None,
        };
        let (whole, rest) = self.0.split_at_checked(header + len)?;
        self.0 = rest;
        Some(Element {
            whole,
            content: &whole[header..],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certificate;

    #[test]
    fn the_key_is_found_and_a_certificate_cut_short_or_followed_by_bytes_is_none() {
        let certificate = Certificate::generate().unwrap();
        let der = certificate.der();
        let expected = certificate
            .signing_key()
            .openssl()
            .unwrap()
            .public_key_to_der()
            .unwrap();
        assert_eq!(subject_public_key_info(der), Some(&expected[..]));
        for len in 0..der.len() {
            assert_eq!(subject_public_key_info(&der[..len]), None, "{len}");
        }
        assert_eq!(subject_public_key_info(&[der, &[0]].concat()), None);
    }

    #[test]
    fn lengths_have_their_shortest_form() {
        let take = |bytes: &[u8]| Reader(bytes).take(SEQUENCE).map(|element| element.content.len());
        assert_eq!(take(&[&[0x30, 0x7F][..], &[0; 0x7F]].concat()), Some(0x7F));
        assert_eq!(take(&[&[0x30, 0x81, 0x7F][..], &[0; 0x7F]].concat()), None);
        assert_eq!(take(&[&[0x30, 0x81, 0x80][..], &[0; 0x80]].concat()), Some(0x80));
        assert_eq!(take(&[&[0x30, 0x82, 0, 0x80][..], &[0; 0x80]].concat()), None);
        assert_eq!(
            take(&[&[0x30, 0x82, 1, 0][..], &[0; 0x100]].concat()),
            Some(0x100)
        );
        assert_eq!(take(&[0x30, 0x80, 0, 0]), None);
        assert_eq!(take(&[0x31, 0]), None);
    }
}
