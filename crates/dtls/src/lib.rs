#![doc = include_str!("../README.md")]

mod acks;
mod alert;
mod certificate;
mod close;
mod codec;
mod config;
mod connection;
mod export;
mod extension;
mod flight;
mod fragment;
mod handshake;
mod message;
mod ranges;
mod record;
mod stats;
mod suite;
mod v12;
mod v13;
mod version;

pub use alert::AlertDescription;
pub use certificate::PeerIdentity;
pub use close::{CloseReason, HandshakeError};
pub use config::{ClientAddress, ClientAuth, Config, ConfigError, CookieSecret, Role};
pub use connection::{Connection, Event, UpdateError};
pub use export::ExportError;
pub use stats::{Drops, Stats};
pub use suite::CipherSuite;
pub use version::Version;

pub use dunlin_crypto::agreement::Group;
pub use dunlin_crypto::certificate::{Certificate, CertificateOptions, Fingerprint, ImportError};
pub use dunlin_crypto::hash::HashAlgorithm;
pub use dunlin_crypto::signature::{KeyKind, SignatureScheme};
