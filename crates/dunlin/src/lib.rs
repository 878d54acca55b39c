//! WebRTC for Rust: full peers over tokio.
