//! FINGERPRINT (RFC 8489, section 14.7): a CRC-32 that tells STUN from other protocols.

/// RFC 8489, section 14.7: "XOR'ed with the 32-bit value 0x5354554e".
const XOR: u32 = 0x5354_554E;

/// The attribute's value for a message whose bytes before the attribute are `before`; the header's length
/// field already includes the attribute.
pub(crate) fn value(before: &[u8]) -> u32 {
    crc32fast::hash(before) ^ XOR
}
