#![doc = include_str!("../README.md")]

mod cipher;
mod inbound;
mod key_derivation;
mod outbound;
mod profile;
mod replay;
mod rollover;
mod session;
mod tag_memory;

pub use profile::{Profile, UnknownProfile};
pub use session::{Config, Drops, NewError, ProtectError, Reject, Role, Session};
