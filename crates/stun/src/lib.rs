//! STUN (RFC 8489), sans-IO.
