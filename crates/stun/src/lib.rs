#![doc = include_str!("../README.md")]

pub mod attribute;
mod client;
pub mod discovery;
mod error;
mod fingerprint;
mod integrity;
pub mod long_term;
mod message;
mod server;
mod transaction;
pub mod uri;
mod writer;

pub use attribute::address::AddressFamily;
pub use attribute::change_request::ChangeRequest;
pub use attribute::credential::{
    PasswordAlgorithm, PasswordAlgorithms, SecurityFeatures, nonce_features, userhash,
};
pub use attribute::error_code::{ErrorCode, code};
pub use client::{Client, Config, Event, Failure, Stats};
pub use error::{IntegrityError, ParseError};
pub use integrity::IntegrityKey;
pub use message::{Attributes, Class, Message, Method, RawAttribute, TransactionId, is_stun};
pub use server::{BindingServer, unknown_attributes};
pub use transaction::{Retransmission, Step};
pub use writer::Writer;

/// The magic cookie of every message (RFC 8489, section 5).
pub const MAGIC_COOKIE: u32 = 0x2112_A442;
/// Bytes of the message header.
pub const HEADER_LEN: usize = 20;
/// The port of a server over UDP and TCP (RFC 8489, section 18.6).
pub const PORT: u16 = 3478;
/// The port of a server over TLS and DTLS (RFC 8489, section 18.6).
pub const TLS_PORT: u16 = 5349;
