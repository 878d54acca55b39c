//! ICE (RFC 8445, 8838, 7675), sans-IO.
