//! RTP and RTCP codecs (RFC 3550, 8285, 4585).
