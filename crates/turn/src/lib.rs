//! TURN (RFC 8656), sans-IO.
