//! SCTP (RFC 9260) for data channels, sans-IO.
