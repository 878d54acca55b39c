//! The long-term credential mechanism (RFC 8489, section 9.2): a challenge, an answer, and a nonce that ages. One file
//! for each side, one for the nonces.

pub(crate) mod base64;
mod client;
mod nonce;
mod server;
mod shared_secret;

pub use client::{Authenticator, ChallengeError, Credentials};
pub use nonce::{NONCE_LEN, Nonces};
pub use server::{Identity, Refusal, Verified, Verifier};
pub use shared_secret::{PASSWORD_LEN, SharedSecret};
