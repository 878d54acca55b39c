//! The client's side (RFC 8489, sections 9.2.3 and 9.2.5): from a server's challenge to requests that it accepts.

use dunlin_crypto::BackendError;

use crate::attribute::PASSWORD_ALGORITHMS;
use crate::attribute::credential::{PasswordAlgorithm, nonce_features, userhash};
use crate::attribute::error_code::code;
use crate::error::IntegrityError;
use crate::integrity::IntegrityKey;
use crate::message::Message;
use crate::writer::Writer;

/// RFC 8489, sections 14.9 and 14.10: "as long as 763 bytes when decoding them". No more is echoed of any attribute, so
/// that no server makes our requests longer than a message can be.
const MAX_TEXT_LEN: usize = 763;
/// RFC 8489, section 14.3: "fewer than 509 bytes".
const MAX_USERNAME_LEN: usize = 508;

/// Who the user is. Text that is not ASCII has been through the OpaqueString profile (RFC 8265) before.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?})", self.username)
    }
}

/// Why a challenge cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// The message is no error response with 401 or 438.
    #[error("the response is not a challenge")]
    NotAChallenge,
    /// REALM or NONCE is missing, or too long, as PASSWORD-ALGORITHMS may be; or the realm is not UTF-8.
    #[error("the challenge has no usable REALM and NONCE")]
    Incomplete,
    /// Our own username has more than 508 bytes, which no server needs to take.
    #[error("the username is longer than 508 bytes")]
    UsernameTooLong,
    /// The nonce promises password algorithms and none are there: somebody on the path took them out.
    #[error("the server's password algorithms were removed on the way: somebody may be tampering")]
    BidDown,
    /// The server knows no algorithm that we know.
    #[error("the server knows neither MD5 nor SHA-256 password hashing")]
    NoCommonAlgorithm,
    /// The crypto backend has no MD5.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What a client knows after a challenge: everything that its requests need to be accepted.
#[derive(Debug, Clone)]
pub struct Authenticator {
    user: User,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    /// The PASSWORD-ALGORITHMS value to echo, and our choice from it.
    algorithm: Option<(Vec<u8>, PasswordAlgorithm)>,
    key: IntegrityKey,
}

#[derive(Debug, Clone)]
enum User {
    Name(Vec<u8>),
    Hash([u8; 32]),
}

impl Authenticator {
    /// Reads a 401 or a 438.
    ///
    /// # Errors
    /// When the challenge must not be answered, or cannot be.
    pub fn answer(credentials: &Credentials, challenge: &Message<'_>) -> Result<Self, ChallengeError> {
        let error = challenge.error_code().map(|error| error.code);
        if !matches!(error, Some(code::UNAUTHENTICATED | code::STALE_NONCE)) {
            return Err(ChallengeError::NotAChallenge);
        }
        let text = |value: Option<&[u8]>| {
            value
                .filter(|value| value.len() <= MAX_TEXT_LEN)
                .map(<[u8]>::to_vec)
                .ok_or(ChallengeError::Incomplete)
        };
        let (realm, nonce) = (text(challenge.realm())?, text(challenge.nonce())?);
        let realm_text = std::str::from_utf8(&realm).map_err(|_| ChallengeError::Incomplete)?;
        let features = nonce_features(&nonce).unwrap_or_default();
        let Credentials { username, password } = credentials;
        if username.len() > MAX_USERNAME_LEN {
            return Err(ChallengeError::UsernameTooLong);
        }
        // RFC 8489, section 9.2.5: "If so and the "nonce cookie" has the STUN Security Feature "Password algorithms" bit
        // set to 1 but no PASSWORD-ALGORITHMS attribute is present, then the client MUST NOT retry the request with a new
        // transaction."
        if challenge.is_bid_down() {
            return Err(ChallengeError::BidDown);
        }
        let algorithm = match challenge.password_algorithms() {
            None => None,
            // "[...] the request MUST contain a PASSWORD-ALGORITHM attribute with the first algorithm supported on
            // the list."
            Some(mut offered) => {
                let known = [PasswordAlgorithm::MD5, PasswordAlgorithm::SHA256];
                let chosen = offered.find(|(algorithm, _)| known.contains(algorithm));
                let (chosen, _) = chosen.ok_or(ChallengeError::NoCommonAlgorithm)?;
                Some((text(challenge.attribute(PASSWORD_ALGORITHMS))?, chosen))
            }
        };
        let key = match algorithm {
            Some((_, PasswordAlgorithm::SHA256)) => {
                IntegrityKey::long_term_sha256(username, realm_text, password)
            }
            _ => IntegrityKey::long_term_md5(username, realm_text, password)?,
        };
        // "If the "nonce cookie" is present and has the STUN Security Feature "Username anonymity" bit set to 1,
        // then the USERHASH attribute MUST be used; else, the USERNAME attribute MUST be used."
        let user = if features.username_anonymity {
            User::Hash(userhash(username, realm_text))
        } else {
            User::Name(username.as_bytes().to_vec())
        };
        Ok(Self {
            user,
            realm,
            nonce,
            algorithm,
            key,
        })
    }

    /// Reads a later 401 or 438, which a request that [`authenticate`](Self::authenticate) signed was refused with.
    ///
    /// # Errors
    /// As [`answer`](Self::answer), and [`ChallengeError::BidDown`] when SHA-256 had been agreed and is not offered
    /// any more: a server does not forget that, so somebody on the path made the challenge.
    pub fn renew(&self, credentials: &Credentials, challenge: &Message<'_>) -> Result<Self, ChallengeError> {
        let renewed = Self::answer(credentials, challenge)?;
        if self.algorithm.is_some() && renewed.algorithm.is_none() {
            return Err(ChallengeError::BidDown);
        }
        Ok(renewed)
    }

    /// Whether this is the answer to a challenge with the same nonce: a second answer would be refused as the first
    /// was.
    #[must_use]
    pub fn has_nonce_of(&self, challenge: &Message<'_>) -> bool {
        challenge.nonce() == Some(&self.nonce[..])
    }

    /// Whether this is the answer to a challenge of the same realm. RFC 8489, section 9.2.5, of a 401: "The client MUST NOT
    /// perform this retry if it is not changing the USERNAME, USERHASH, REALM, or its associated password from the
    /// previous attempt."
    #[must_use]
    pub fn has_realm_of(&self, challenge: &Message<'_>) -> bool {
        challenge.realm() == Some(&self.realm[..])
    }

    /// Appends who we are and the message integrity to a request that has all its other attributes.
    pub fn authenticate(&self, request: &mut Writer<'_>) {
        match &self.user {
            User::Name(name) => request.username(name),
            User::Hash(hash) => request.userhash(hash),
        };
        request.realm(&self.realm).nonce(&self.nonce);
        match &self.algorithm {
            // RFC 8489, section 9.2.5: "If the response contains a PASSWORD-ALGORITHMS attribute, all the subsequent
            // requests MUST be authenticated using MESSAGE-INTEGRITY-SHA256 only."
            Some((echo, chosen)) => {
                request
                    .attribute(PASSWORD_ALGORITHMS, echo)
                    .password_algorithm(*chosen)
                    .integrity_sha256(&self.key);
            }
            None => {
                request.integrity(&self.key);
            }
        }
    }

    /// Checks a response to a request of ours. One that does not pass is to be treated as never received.
    ///
    /// # Errors
    /// When its integrity is missing or wrong.
    pub fn verify(&self, response: &Message<'_>) -> Result<(), IntegrityError> {
        // Where SHA-256 was agreed, a response that only has the weaker attribute is a bid-down.
        if self.algorithm.is_some() && !response.has_integrity_sha256() {
            return Err(IntegrityError::Missing);
        }
        response.verify_integrity(&self.key)
    }
}
