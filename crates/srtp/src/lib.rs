//! SRTP (RFC 3711, 7714): a pure transform.
