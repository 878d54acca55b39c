//! The header extension elements of an outgoing packet.

use dunlin_rtp::extension::{AbsSendTime, TransportSequence};
use dunlin_rtp::{ExtensionKind, ExtensionMap, NtpTime};

const MAX: usize = ExtensionKind::ALL.len();

/// Elements of one packet, in place.
pub(crate) struct Elements<'a> {
    list: [(u8, &'a [u8]); MAX],
    len: usize,
}

impl<'a> Elements<'a> {
    pub(crate) fn new() -> Self {
        Self {
            list: [(0, &[]); MAX],
            len: 0,
        }
    }

    /// Adds an element if it is negotiated.
    pub(crate) fn push(&mut self, map: &ExtensionMap, kind: ExtensionKind, data: &'a [u8]) {
        if let (Some(id), Some(slot)) = (map.id(kind), self.list.get_mut(self.len)) {
            *slot = (id, data);
            self.len += 1;
        }
    }

    /// Adds the elements of another packet that are negotiated here and do not belong to the hop.
    pub(crate) fn pass_on<'b: 'a>(
        &mut self,
        map: &ExtensionMap,
        elements: impl Iterator<Item = (ExtensionKind, &'b [u8])>,
    ) {
        for (kind, data) in elements.filter(|(kind, _)| !belongs_to_hop(*kind)) {
            self.push(map, kind, data);
        }
    }

    pub(crate) fn as_slice(&self) -> &[(u8, &'a [u8])] {
        &self.list[..self.len]
    }
}

fn belongs_to_hop(kind: ExtensionKind) -> bool {
    matches!(
        kind,
        ExtensionKind::Mid
            | ExtensionKind::Rid
            | ExtensionKind::RepairedRid
            | ExtensionKind::AbsSendTime
            | ExtensionKind::TransportSequence
            | ExtensionKind::TimestampOffset
    )
}

/// The elements that every packet gets as it leaves: when, and as which packet of the transport.
pub(crate) struct HopExtensions {
    pub(crate) send_time: [u8; 3],
    pub(crate) transport_sequence: [u8; 2],
}

impl HopExtensions {
    pub(crate) fn new(now: NtpTime, transport_sequence: u16) -> Self {
        Self {
            send_time: AbsSendTime::from_ntp(now).to_bytes(),
            transport_sequence: TransportSequence(transport_sequence).to_bytes(),
        }
    }

    pub(crate) fn push_to<'a>(&'a self, map: &ExtensionMap, elements: &mut Elements<'a>) {
        elements.push(map, ExtensionKind::AbsSendTime, &self.send_time);
        elements.push(map, ExtensionKind::TransportSequence, &self.transport_sequence);
    }
}
