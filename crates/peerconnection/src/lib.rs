//! A WebRTC peer connection (RFC 9429), sans-IO.
