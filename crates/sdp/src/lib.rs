//! SDP (RFC 8866) for WebRTC: text in, values out.
