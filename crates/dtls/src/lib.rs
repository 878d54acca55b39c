//! DTLS (RFC 6347, 5764), sans-IO.
