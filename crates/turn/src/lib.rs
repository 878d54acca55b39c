#![doc = include_str!("../README.md")]

pub mod attribute;
mod channel_data;
pub mod client;
pub mod code;
pub mod server;
mod stream;

pub use channel_data::{ChannelData, ChannelNumber, HEADER_LEN};
pub use client::Client;
pub use dunlin_stun::long_term::{Authenticator, ChallengeError, Credentials};
pub use server::Server;
pub use stream::{Frame, Frames, next_frame};

/// How long an allocation lives when nobody says otherwise (RFC 8656, section 3.2).
pub const DEFAULT_LIFETIME: std::time::Duration = std::time::Duration::from_secs(600);
/// How long a permission lives (RFC 8656, section 9): "The Permission Lifetime MUST be 300 seconds".
pub const PERMISSION_LIFETIME: std::time::Duration = std::time::Duration::from_secs(300);
/// How long a channel binding lives (RFC 8656, section 12).
pub const CHANNEL_LIFETIME: std::time::Duration = std::time::Duration::from_secs(600);
