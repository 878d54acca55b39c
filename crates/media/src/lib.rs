//! What RTP streams do over time, sans-IO.
