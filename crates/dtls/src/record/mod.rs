//! The record layer of DTLS 1.2 (RFC 6347, section 4.1): who may write and read in which epoch.

pub(crate) mod cipher;
pub(crate) mod header;
pub(crate) mod replay;

use crate::alert::Alert;
use cipher::{Opener, Sealer};
use header::{ContentType, RecordHeader};

/// The sending half of epoch 0 and both halves of epoch 1.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// The number of the next record of epoch 0.
    next_plain: u64,
    pub(crate) sealer: Option<Sealer>,
    pub(crate) opener: Option<Opener>,
    /// Our ChangeCipherSpec is on its way: what is not part of a flight goes out protected from now on.
    pub(crate) protecting: bool,
}

impl Records {
    /// Appends a whole record in the current epoch.
    pub(crate) fn write_alert(&mut self, alert: Alert, out: &mut Vec<u8>) -> bool {
        let epoch = u16::from(self.protecting);
        let Some(start) = self.begin(epoch, ContentType::Alert, out) else {
            return false;
        };
        out.extend_from_slice(&alert.bytes());
        self.finish(epoch, ContentType::Alert, out, start);
        true
    }

    /// Appends the header of a record (and the explicit nonce, if the cipher has one). The content follows,
    /// then [`Self::finish`] with the answer. `None`: no keys, or no numbers left.
    pub(crate) fn begin(
        &mut self,
        epoch: u16,
        content_type: ContentType,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let start = out.len();
        if epoch == 0 {
            let header = RecordHeader {
                content_type,
                epoch,
                sequence: self.next_plain,
                len: 0,
            };
            out.extend_from_slice(&header.bytes());
            self.next_plain += 1;
        } else {
            self.sealer.as_mut()?.begin(content_type, out).then_some(())?;
        }
        Some(start)
    }

    /// Completes the record that begins at `start` and goes to the end of `out`.
    pub(crate) fn finish(&mut self, epoch: u16, content_type: ContentType, out: &mut Vec<u8>, start: usize) {
        if epoch == 0 {
            let len = (out.len() - start - header::HEADER_LEN) as u16;
            out[start + 11..start + 13].copy_from_slice(&len.to_be_bytes());
        } else if let Some(sealer) = &mut self.sealer {
            sealer.finish(content_type, out, start);
        }
    }

    /// Bytes that a record of `epoch` has beyond its content.
    pub(crate) fn overhead(&self, epoch: u16) -> usize {
        match (&self.sealer, epoch) {
            (Some(sealer), 1..) => sealer.overhead(),
            _ => header::HEADER_LEN,
        }
    }

    /// > In order to avoid sequence number duplication in case of multiple cookie exchanges, the server MUST use
    /// > the record sequence number in the ClientHello as the record sequence number in its initial ServerHello.
    /// > (RFC 6347, section 4.2.1; likewise for the HelloVerifyRequest)
    pub(crate) fn continue_plain_from(&mut self, sequence: u64) {
        self.next_plain = self.next_plain.max(sequence);
    }
}
