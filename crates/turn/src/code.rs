//! The error codes of RFC 8656, section 19, and RFC 6062, section 6.3. Those of STUN are in [`dunlin_stun::code`].

/// Forbidden: administratively refused.
pub const FORBIDDEN: u16 = 403;
/// Mobility Forbidden (RFC 8016, section 3.4).
pub const MOBILITY_FORBIDDEN: u16 = 405;
/// Allocation Mismatch: there is none, or there is one already.
pub const ALLOCATION_MISMATCH: u16 = 437;
/// Address Family not Supported.
pub const ADDRESS_FAMILY_NOT_SUPPORTED: u16 = 440;
/// Wrong Credentials: not those that made the allocation.
pub const WRONG_CREDENTIALS: u16 = 441;
/// Unsupported Transport Protocol.
pub const UNSUPPORTED_TRANSPORT_PROTOCOL: u16 = 442;
/// Peer Address Family Mismatch.
pub const PEER_ADDRESS_FAMILY_MISMATCH: u16 = 443;
/// Connection Already Exists (RFC 6062).
pub const CONNECTION_ALREADY_EXISTS: u16 = 446;
/// Connection Timeout or Failure (RFC 6062).
pub const CONNECTION_TIMEOUT_OR_FAILURE: u16 = 447;
/// Allocation Quota Reached.
pub const ALLOCATION_QUOTA_REACHED: u16 = 486;
/// Insufficient Capacity.
pub const INSUFFICIENT_CAPACITY: u16 = 508;
