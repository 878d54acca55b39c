//! Who may use the server: users with a password, and holders of credentials that a shared secret made.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;

use dunlin_stun::long_term::{Identity, SharedSecret};
use dunlin_stun::{IntegrityKey, PasswordAlgorithm, userhash};

/// RFC 8489, section 14.3: "A compliant implementation MUST be able to parse a UTF-8-encoded sequence of 763 or fewer octets".
const MAX_USERNAME_LEN: usize = 763;

/// A user that is known by name.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name, prepared as RFC 8265 says if it is not ASCII.
    pub username: String,
    /// The password, likewise.
    pub password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({:?})", self.username)
    }
}

/// The keys of a user, made once. Each holds two hash states, so they are kept apart from the names.
#[derive(Debug)]
struct Keys {
    username: Box<[u8]>,
    md5: Option<IntegrityKey>,
    sha256: IntegrityKey,
}

/// Everybody who may use the server.
#[derive(Debug)]
pub(super) struct Users {
    realm: String,
    users: Vec<Keys>,
    by_name: BTreeMap<Box<[u8]>, usize>,
    by_hash: BTreeMap<[u8; 32], usize>,
    secrets: Vec<SharedSecret>,
}

/// A user that was found, and the key that must have signed the request.
pub(super) struct Found<'a> {
    pub(super) username: Cow<'a, [u8]>,
    pub(super) key: Cow<'a, IntegrityKey>,
}

impl Borrow<IntegrityKey> for Found<'_> {
    fn borrow(&self) -> &IntegrityKey {
        &self.key
    }
}

impl Users {
    pub(super) fn new(realm: &str, users: &[User], secrets: &[Vec<u8>]) -> Self {
        let mut this = Self {
            realm: realm.to_owned(),
            users: Vec::new(),
            by_name: BTreeMap::new(),
            by_hash: BTreeMap::new(),
            secrets: secrets.iter().map(|secret| SharedSecret::new(secret)).collect(),
        };
        for User { username, password } in users {
            let index = this.users.len();
            this.by_name.insert(username.as_bytes().into(), index);
            this.by_hash.insert(userhash(username, realm), index);
            this.users.push(Keys {
                username: username.as_bytes().into(),
                md5: IntegrityKey::long_term_md5(username, realm, password).ok(),
                sha256: IntegrityKey::long_term_sha256(username, realm, password),
            });
        }
        this
    }

    /// The key for an identity. `unix_time` decides whether shared-secret credentials have ended. Several secrets, while
    /// one replaces another: `fits` tries the key.
    pub(super) fn find<'a>(
        &'a self,
        identity: Identity<'a>,
        algorithm: PasswordAlgorithm,
        unix_time: u64,
        fits: impl Fn(&IntegrityKey) -> bool,
    ) -> Option<Found<'a>> {
        let known = match identity {
            Identity::Name(name) => self.by_name.get(name),
            Identity::Hash(hash) => self.by_hash.get(&hash),
        };
        if let Some(keys) = known.and_then(|index| self.users.get(*index)) {
            let key = match algorithm {
                PasswordAlgorithm::SHA256 => &keys.sha256,
                _ => keys.md5.as_ref()?,
            };
            return Some(Found {
                username: Cow::Borrowed(&keys.username),
                key: Cow::Borrowed(key),
            });
        }
        let Identity::Name(name) = identity else {
            return None;
        };
        if self.secrets.is_empty() {
            return None;
        }
        let (expiry, _) = SharedSecret::split(name)?;
        let text = std::str::from_utf8(name).ok()?;
        if expiry < unix_time || name.len() > MAX_USERNAME_LEN {
            return None;
        }
        let mut key = None;
        for secret in &self.secrets {
            let password = secret.password(name);
            let password = std::str::from_utf8(&password).ok()?;
            let made = match algorithm {
                PasswordAlgorithm::SHA256 => IntegrityKey::long_term_sha256(text, &self.realm, password),
                _ => IntegrityKey::long_term_md5(text, &self.realm, password).ok()?,
            };
            let right = fits(&made);
            key = Some(made);
            if right {
                break;
            }
        }
        let key = key?;
        Some(Found {
            username: Cow::Borrowed(name),
            key: Cow::Owned(key),
        })
    }
}

/// Whose quota an allocation counts for: of shared-secret credentials the part behind the expiry time, which stays the
/// same when they are renewed.
pub(super) fn quota_name(username: &[u8]) -> &[u8] {
    match SharedSecret::split(username) {
        Some((_, user)) if !user.is_empty() => user,
        _ => username,
    }
}
