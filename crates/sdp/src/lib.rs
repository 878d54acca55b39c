#![doc = include_str!("../README.md")]

pub mod attribute;
mod error;
mod media;
mod parse;
mod session;
mod value;
mod write;

pub use attribute::{Attribute, Direction, Setup};
pub use error::{ParseError, Reason};
pub use media::{Codec, Formats, MediaDescription, MediaKind};
pub use parse::Limits;
pub use session::{SessionDescription, Timing};
pub use value::{AddressType, Bandwidth, Connection, Origin};
