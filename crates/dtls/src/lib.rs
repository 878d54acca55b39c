#![doc = include_str!("../README.md")]

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
mod message;
mod record;
mod stats;
mod suite;
mod v12;

pub use alert::AlertDescription;
pub use certificate::PeerIdentity;
pub use close::{CloseReason, HandshakeError};
pub use config::{Config, Role};
pub use connection::{Connection, Event, Version};
pub use export::ExportError;
pub use stats::{Drops, Stats};
pub use suite::CipherSuite;

pub use dunlin_crypto::agreement::Group;
pub use dunlin_crypto::certificate::{Certificate, Fingerprint};
pub use dunlin_crypto::hash::HashAlgorithm;
