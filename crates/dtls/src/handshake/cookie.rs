//! Cookies that hold all that a server has to remember of a first ClientHello (RFC 9147, section 5.1; RFC 6347, section
//! 4.2.1).

use dunlin_crypto::hash::HashAlgorithm;
use dunlin_crypto::hmac::HmacKey;

use crate::close::HandshakeError;
use crate::codec::{Reader, put_u16, put_vec};
use crate::suite::CipherSuite;

/// Bytes of the MAC at the end of a cookie.
const MAC_LEN: usize = 32;

/// Makes cookies and knows its own again.
#[derive(Debug, Clone)]
pub(crate) struct CookieJar {
    key: HmacKey,
    /// Whom the cookies are for.
    address: Vec<u8>,
}

/// What a HelloRetryRequest has to keep until the second ClientHello brings it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) suite: CipherSuite,
    /// The group that a share was asked for; `None`: the share was fine.
    pub(crate) group: Option<u16>,
    /// The hash of the first ClientHello.
    pub(crate) first_hello: Vec<u8>,
}

impl CookieJar {
    pub(crate) fn new(secret: &[u8; 32], address: &[u8]) -> Self {
        Self {
            key: HmacKey::new(HashAlgorithm::Sha256, secret),
            address: address.to_vec(),
        }
    }

    fn mac(&self, purpose: &[u8], content: &[u8]) -> [u8; MAC_LEN] {
        let len = (self.address.len() as u64).to_be_bytes();
        let mac = self.key.sign(&[purpose, &len, &self.address, content]);
        let mut out = [0; MAC_LEN];
        out.copy_from_slice(&mac[..MAC_LEN]);
        out
    }

    /// The cookie of DTLS 1.2, over the parameters of a ClientHello that must stay the same.
    pub(crate) fn cookie12(&self, parameters: &[u8]) -> [u8; MAC_LEN] {
        self.mac(b"1.2", parameters)
    }

    pub(crate) fn is_cookie12(&self, parameters: &[u8], cookie: &[u8]) -> bool {
        dunlin_crypto::hmac::constant_time_eq(&self.cookie12(parameters), cookie)
    }

    /// The cookie of a HelloRetryRequest.
    pub(crate) fn cookie13(&self, retry: &Retry) -> Vec<u8> {
        let mut out = Vec::new();
        put_u16(&mut out, retry.suite.code());
        put_u16(&mut out, retry.group.unwrap_or(0));
        put_vec(&mut out, 1, |out| out.extend_from_slice(&retry.first_hello));
        let mac = self.mac(b"1.3", &out);
        out.extend_from_slice(&mac);
        out
    }

    /// What a cookie that came back says.
    ///
    /// > If a server receives a ClientHello with an invalid cookie, it MUST terminate the handshake with an
    /// > "illegal_parameter" alert. (RFC 9147, section 5.1)
    pub(crate) fn open(&self, cookie: &[u8]) -> Result<Retry, HandshakeError> {
        let content = cookie.len().checked_sub(MAC_LEN).map(|len| cookie.split_at(len));
        let (content, mac) = content.ok_or(HandshakeError::BadCookie)?;
        if !dunlin_crypto::hmac::constant_time_eq(&self.mac(b"1.3", content), mac) {
            return Err(HandshakeError::BadCookie);
        }
        let mut reader = Reader::new(content);
        let mut read = || {
            let suite = CipherSuite::from_code(reader.u16().ok()?)?;
            let group = Some(reader.u16().ok()?).filter(|group| *group != 0);
            let first_hello = reader.vec8().ok()?.to_vec();
            Some(Retry {
                suite,
                group,
                first_hello,
            })
        };
        read().ok_or(HandshakeError::BadCookie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_opens_at_its_own_address_only_and_not_when_changed() {
        let jar = CookieJar::new(&[1; 32], b"192.0.2.1:5000");
        let retry = Retry {
            suite: CipherSuite::Aes128GcmSha256,
            group: Some(0x1D),
            first_hello: vec![9; 32],
        };
        let cookie = jar.cookie13(&retry);
        assert_eq!(jar.open(&cookie), Ok(retry.clone()));
        let same = CookieJar::new(&[1; 32], b"192.0.2.1:5000");
        assert_eq!(same.open(&cookie), Ok(retry), "no state is kept");
        for other in [
            CookieJar::new(&[1; 32], b"192.0.2.1:5001"),
            CookieJar::new(&[2; 32], b"192.0.2.1:5000"),
        ] {
            assert_eq!(other.open(&cookie), Err(HandshakeError::BadCookie));
        }
        for at in 0..cookie.len() {
            let mut changed = cookie.clone();
            changed[at] ^= 1;
            assert_eq!(jar.open(&changed), Err(HandshakeError::BadCookie));
        }
        assert_eq!(jar.open(&[]), Err(HandshakeError::BadCookie));
    }
}
