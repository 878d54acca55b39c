//! A retransmission unpacked into the packet it repeats (RFC 4588, section 4).
//!
//! Its payload is the original sequence number, in two bytes, and the original payload. Timestamp, marker and
//! header extension are those of the original packet.

use bytes::{Bytes, BytesMut};
use dunlin_rtp::{Header, Packet, PayloadType, SequenceNumber, Ssrc};

const OSN_LEN: usize = 2;

/// The packet that `rtx` repeats, or `None` when it holds no packet: padding that probes the bandwidth.
///
/// The header moves over the original sequence number, in place if nobody else holds the bytes.
pub(crate) fn decapsulate(rtx: Packet, payload_type: PayloadType, ssrc: Ssrc) -> Option<Packet> {
    let Packet { header, data } = rtx;
    let content_end = data.len().checked_sub(header.padding_len)?;
    if content_end < header.header_len + OSN_LEN + 1 {
        return None;
    }
    let osn = SequenceNumber(u16::from_be_bytes([
        data[header.header_len],
        data[header.header_len + 1],
    ]));
    let mut bytes = data
        .try_into_mut()
        .unwrap_or_else(|shared: Bytes| BytesMut::from(&shared[..]));
    bytes.truncate(content_end);
    bytes.copy_within(..header.header_len, OSN_LEN);
    let mut bytes = bytes.split_off(OSN_LEN);
    bytes[0] &= !0x20;
    bytes[1] = (bytes[1] & 0x80) | payload_type.get();
    bytes[2..4].copy_from_slice(&osn.0.to_be_bytes());
    bytes[8..12].copy_from_slice(&ssrc.0.to_be_bytes());
    let header = Header {
        payload_type,
        ssrc,
        sequence: osn,
        padding_len: 0,
        ..header
    };
    Some(Packet {
        header,
        data: bytes.freeze(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(data: &[u8]) -> Option<Packet> {
        let packet = Packet::parse(Bytes::copy_from_slice(data)).unwrap();
        let result = decapsulate(packet, PayloadType::new(96).unwrap(), Ssrc(5));
        if let Some(packet) = &result {
            assert_eq!(
                Packet::parse(packet.data.clone()).as_ref(),
                Ok(packet),
                "header and bytes agree"
            );
        }
        result
    }

    #[test]
    fn the_original_packet_comes_out() {
        let rtx = [
            0xb0, 0xe1, 0, 9, 0, 0, 0, 7, 0, 0, 0, 6, 0xbe, 0xde, 0, 1, 0x10, 1, 0,
            0, // header, extension
            0x12, 0x34, 1, 2, 3, 0, 2, // original sequence number, payload, padding
        ];
        let packet = unpacked(&rtx).unwrap();
        assert_eq!(packet.header.sequence, SequenceNumber(0x1234));
        assert_eq!(packet.header.payload_type.get(), 96);
        assert_eq!(
            (
                packet.header.ssrc,
                packet.header.timestamp.0,
                packet.header.marker
            ),
            (Ssrc(5), 7, true)
        );
        assert_eq!(packet.payload(), [1, 2, 3][..]);
        assert_eq!(packet.extension(1), Some(&[1][..]));
    }

    #[test]
    fn shared_bytes_are_copied_and_not_changed() {
        let data = Bytes::from(vec![0x80, 97, 0, 9, 0, 0, 0, 7, 0, 0, 0, 6, 0, 1, 9]);
        let packet = Packet::parse(data.clone()).unwrap();
        assert!(decapsulate(packet, PayloadType::new(96).unwrap(), Ssrc(5)).is_some());
        assert_eq!(data[..4], [0x80, 97, 0, 9]);
    }

    #[test]
    fn padding_and_too_short_payloads_hold_no_packet() {
        let head = [0x80, 97, 0, 9, 0, 0, 0, 7, 0, 0, 0, 6];
        for body in [&[][..], &[1], &[1, 2]] {
            assert_eq!(unpacked(&[&head, body].concat()), None);
        }
        let mut padded = [&head[..], &[0, 0, 0, 4]].concat();
        padded[0] |= 0x20;
        assert_eq!(unpacked(&padded), None);
    }
}
