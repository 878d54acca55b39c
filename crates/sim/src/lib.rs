#![doc = include_str!("../README.md")]

mod datagram;
pub mod laws;
pub mod liar;
mod link;
mod nat;
mod node;
pub mod peer;
pub mod scenario;
mod stun_server;
mod trace;
mod turn_server;
mod world;

pub use datagram::{Protocol, nominal_size};
pub use link::{Fate, Link, Loss, Rate};
pub use nat::{Dependence, Nat, NatKind};
pub use node::{Node, NodeId};
pub use stun_server::StunServer;
pub use trace::{Entry, Trace, TraceHash};
pub use turn_server::TurnServer;
pub use world::{Manners, World, epoch};
