//! To which media section a received packet belongs (RFC 9143, section 9.2; RFC 8852).

use std::collections::BTreeMap;

use dunlin_rtp::extension::{TransportSequence, parse_text};
use dunlin_rtp::{ExtensionKind, ExtensionMap, Header, PayloadType, Ssrc};

use crate::receive::Stream;
use crate::{ReceiverConfig, ReceiverId};

/// A receiver with its id.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    pub(crate) id: ReceiverId,
    pub(crate) config: ReceiverConfig,
}

/// What the header extension of a packet says about where it belongs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tags<'a> {
    pub(crate) mid: Option<&'a str>,
    pub(crate) rid: Option<&'a str>,
    pub(crate) repaired_rid: Option<&'a str>,
    pub(crate) transport_sequence: Option<TransportSequence>,
}

impl<'a> Tags<'a> {
    pub(crate) fn read(header: &Header, packet: &'a [u8], map: &ExtensionMap) -> Self {
        let mut tags = Self::default();
        for (id, data) in header.extensions(packet) {
            match map.kind(id) {
                Some(ExtensionKind::Mid) => tags.mid = parse_text(data),
                Some(ExtensionKind::Rid) => tags.rid = parse_text(data),
                Some(ExtensionKind::RepairedRid) => tags.repaired_rid = parse_text(data),
                Some(ExtensionKind::TransportSequence) => {
                    tags.transport_sequence = TransportSequence::parse(data);
                }
                _ => {}
            }
        }
        tags
    }
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To the receiver at this index.
    Receiver(usize),
    /// Nowhere: no receiver has its MID.
    UnknownMid,
    /// Nowhere: its receiver does not have its payload type.
    UnknownPayloadType,
    /// Nowhere: nothing tells.
    Unroutable,
}

/// Finds the receiver of a packet. `is_newer` is false when the packet is older than the one that last placed its
/// stream.
pub(crate) fn route(
    receivers: &[Receiver],
    streams: &BTreeMap<Ssrc, Stream>,
    ssrc: Ssrc,
    payload_type: PayloadType,
    mid: Option<&str>,
    is_newer: bool,
) -> Route {
    let known = streams.get(&ssrc).map(|stream| stream.receiver);
    let by_known = || {
        let by_stream = known.and_then(|id| receivers.iter().position(|receiver| receiver.id == id));
        by_stream.or_else(|| {
            receivers
                .iter()
                .position(|receiver| is_described(&receiver.config, ssrc))
        })
    };
    let found = match mid {
        // "If the packet has a MID and the packet's extended sequence number is greater than that of the last MID
        // update ... update the MID associated with the RTP stream to match the MID carried in the RTP packet".
        Some(mid) if is_newer || known.is_none() => {
            // "If the MID associated with the RTP stream is not in the table mapping a MID to an "m=" section,
            // then the RTP stream is not decoded, and the payload data is discarded."
            match receivers.iter().position(|receiver| receiver.config.mid == mid) {
                Some(index) => Some(index),
                None => return Route::UnknownMid,
            }
        }
        // "If the SSRC of the RTP stream is in the incoming SSRC mapping table ..."
        _ => by_known(),
    };
    // "If the payload type used by the RTP stream is in the payload type table": only unique ones are.
    let Some(index) = found.or_else(|| unique_payload_type(receivers, payload_type)) else {
        return Route::Unroutable;
    };
    // "... check that the payload type used by the RTP stream matches a payload type included in the matching "m="
    // section. ... Otherwise, the RTP stream is not decoded, and the payload data is discarded."
    if receivers[index].config.accepts(payload_type) {
        Route::Receiver(index)
    } else {
        Route::UnknownPayloadType
    }
}

fn is_described(config: &ReceiverConfig, ssrc: Ssrc) -> bool {
    config.ssrcs.contains(&ssrc)
        || config
            .rtx_ssrcs
            .iter()
            .any(|(media, rtx)| *media == ssrc || *rtx == ssrc)
}

fn unique_payload_type(receivers: &[Receiver], payload_type: PayloadType) -> Option<usize> {
    let mut accepting = receivers
        .iter()
        .enumerate()
        .filter(|(_, receiver)| receiver.config.accepts(payload_type));
    match (accepting.next(), accepting.next()) {
        (Some((index, _)), None) => Some(index),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::receive::{MediaStream, StreamKind};
    use crate::{Codec, Feedback, MediaKind};

    fn codec(payload_type: u8) -> Codec {
        Codec {
            payload_type: PayloadType::new(payload_type).unwrap(),
            clock_rate: 90_000,
            rtx: PayloadType::new(payload_type + 1),
            feedback: Feedback::default(),
        }
    }

    fn receivers() -> Vec<Receiver> {
        [(1, "a", 10u8, 100), (2, "b", 20, 200), (3, "c", 20, 300)]
            .map(|(id, mid, payload_type, ssrc)| {
                let mut config = ReceiverConfig::new(mid, MediaKind::Video);
                config.codecs = vec![codec(payload_type)];
                config.ssrcs = vec![Ssrc(ssrc)];
                config.rtx_ssrcs = vec![(Ssrc(ssrc), Ssrc(ssrc + 1))];
                Receiver {
                    id: ReceiverId(id),
                    config,
                }
            })
            .to_vec()
    }

    fn routed(ssrc: u32, payload_type: u8, mid: Option<&str>, known: Option<u32>, is_newer: bool) -> Route {
        let mut streams = BTreeMap::new();
        if let Some(id) = known {
            let media = MediaStream::new(None, codec(20));
            let kind = StreamKind::Media(Box::new(media));
            streams.insert(
                Ssrc(ssrc),
                Stream::new(ReceiverId(id), kind, 90_000, Instant::now()),
            );
        }
        let payload_type = PayloadType::new(payload_type).unwrap();
        route(&receivers(), &streams, Ssrc(ssrc), payload_type, mid, is_newer)
    }

    #[test]
    fn mid_comes_before_ssrc_before_payload_type() {
        assert_eq!(
            routed(300, 20, Some("b"), None, true),
            Route::Receiver(1),
            "MID over a described SSRC"
        );
        assert_eq!(
            routed(9, 20, Some("b"), Some(3), true),
            Route::Receiver(1),
            "a newer MID moves the stream"
        );
        assert_eq!(
            routed(9, 20, Some("b"), Some(3), false),
            Route::Receiver(2),
            "an older one does not"
        );
        assert_eq!(routed(300, 20, None, None, true), Route::Receiver(2));
        assert_eq!(
            routed(301, 21, None, None, true),
            Route::Receiver(2),
            "retransmissions"
        );
        assert_eq!(routed(9, 20, None, Some(2), true), Route::Receiver(1));
        assert_eq!(
            routed(9, 11, None, None, true),
            Route::Receiver(0),
            "a unique payload type"
        );
    }

    #[test]
    fn what_belongs_nowhere_is_dropped() {
        assert_eq!(routed(300, 20, Some("x"), Some(3), true), Route::UnknownMid);
        assert_eq!(
            routed(9, 20, None, None, true),
            Route::Unroutable,
            "two sections have the payload type"
        );
        assert_eq!(routed(9, 99, None, None, true), Route::Unroutable);
        assert_eq!(routed(9, 10, None, Some(2), true), Route::UnknownPayloadType);
        assert_eq!(routed(9, 10, Some("b"), None, true), Route::UnknownPayloadType);
    }
}
