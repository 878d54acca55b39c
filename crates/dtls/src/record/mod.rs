//! The record layer (RFC 6347, section 4.1; RFC 9147, section 4): who may write and read in which epoch.

pub(crate) mod cipher12;
pub(crate) mod cipher13;
pub(crate) mod header;
pub(crate) mod replay;
pub(crate) mod unified;

use bytes::BytesMut;

use header::{ContentType, HEADER_LEN, MAX_PLAINTEXT, RecordHeader};
use unified::UnifiedHeader;

/// > This 128-bit value is used in the ACK message (RFC 9147, section 4)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordNumber {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
}

/// Why a record did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenError {
    Replayed,
    Unauthentic,
    /// It authenticates, but is all padding or longer than a record may be.
    NoContent,
}

/// The type behind the content and before the padding (RFC 8446, section 5.4; RFC 9146, section 4), and the bytes of
/// the content. `None`: all of it is zero, or the type is one that no record has.
fn inner_type(inner: &[u8]) -> Option<(ContentType, usize)> {
    let at = inner.iter().rposition(|byte| *byte != 0)?;
    Some((ContentType::of_content(inner[at])?, at))
}

/// The sending half of an epoch.
#[derive(Debug)]
pub(crate) enum Sealer {
    V12(cipher12::Sealer),
    V13(cipher13::Sealer),
}

/// The most bytes of content in a protected record, each way (RFC 8449).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxContent {
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

impl Default for MaxContent {
    fn default() -> Self {
        Self {
            sent: MAX_PLAINTEXT,
            received: MAX_PLAINTEXT,
        }
    }
}

/// The receiving half of an epoch.
#[derive(Debug)]
pub(crate) enum Opener {
    V12(cipher12::Opener),
    V13(cipher13::Opener),
}

impl Opener {
    fn failures(&self) -> u64 {
        match self {
            Opener::V12(opener) => opener.failures(),
            Opener::V13(opener) => opener.failures(),
        }
    }
}

/// All epochs that are alive.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// The number of the next record of epoch 0.
    next_plain: u64,
    /// By epoch, the newest last. DTLS 1.2 has one; 1.3 has the handshake's and one or two of the application.
    sealers: Vec<(u64, Sealer)>,
    openers: Vec<(u64, Opener)>,
    /// What is not part of a flight (alerts, ACKs, application data) goes out in this epoch.
    pub(crate) current: u64,
    /// What both ends take.
    pub(crate) max_content: MaxContent,
    /// What our peer wants in front of its records; empty: nothing.
    peer_cid: Box<[u8]>,
    /// What we want in front of ours.
    own_cid: Box<[u8]>,
    /// What we wanted before that: it may still come.
    old_cid: Option<Box<[u8]>>,
}

impl Records {
    pub(crate) fn add_sealer(&mut self, epoch: u64, sealer: Sealer) {
        self.sealers.reserve_exact(1);
        self.sealers.push((epoch, sealer));
    }

    pub(crate) fn add_opener(&mut self, epoch: u64, opener: Opener) {
        self.openers.reserve_exact(1);
        self.openers.push((epoch, opener));
    }

    /// Forgets the keys to send with in epochs before `epoch`.
    pub(crate) fn retire_sealers(&mut self, epoch: u64) {
        self.sealers.retain(|(sealing, _)| *sealing >= epoch);
        self.sealers.shrink_to_fit();
    }

    /// Forgets the keys to receive with in epochs before `epoch`.
    pub(crate) fn retire_openers(&mut self, epoch: u64) {
        self.openers.retain(|(opening, _)| *opening >= epoch);
        self.openers.shrink_to_fit();
    }

    pub(crate) fn set_cids(&mut self, own: &[u8], peer: &[u8]) {
        (self.own_cid, self.peer_cid) = (own.into(), peer.into());
    }

    /// We want another connection ID from now on, of the same length.
    pub(crate) fn set_own_cid(&mut self, cid: &[u8]) {
        self.old_cid = Some(std::mem::replace(&mut self.own_cid, cid.into()));
    }

    fn is_ours(&self, cid: &[u8]) -> bool {
        *cid == *self.own_cid || self.old_cid.as_ref().is_some_and(|old| *cid == **old)
    }

    /// The peer wants another connection ID from now on (RFC 9147, section 9).
    pub(crate) fn set_peer_cid(&mut self, cid: &[u8]) {
        self.peer_cid = cid.into();
    }

    pub(crate) fn own_cid(&self) -> &[u8] {
        &self.own_cid
    }

    pub(crate) fn peer_cid(&self) -> &[u8] {
        &self.peer_cid
    }

    fn sealer(&mut self, epoch: u64) -> Option<&mut Sealer> {
        let mut newest_first = self.sealers.iter_mut().rev();
        newest_first.find_map(|(sealing, sealer)| (*sealing == epoch).then_some(sealer))
    }

    #[cfg(test)]
    pub(crate) fn newest_sealer(&mut self) -> &mut Sealer {
        &mut self.sealers.last_mut().unwrap().1
    }

    #[cfg(test)]
    pub(crate) fn take_newest_sealer(&mut self) -> (u64, Sealer) {
        self.sealers.pop().unwrap()
    }

    /// Whether there are keys to receive with in `epoch`.
    pub(crate) fn can_open(&self, epoch: u64) -> bool {
        self.openers.iter().any(|(opening, _)| *opening == epoch)
    }

    /// The newest epoch that there are keys to receive with.
    pub(crate) fn newest_open_epoch(&self) -> u64 {
        self.openers.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// How many records failed to authenticate under the newest keys.
    pub(crate) fn failures(&self) -> u64 {
        self.openers.last().map_or(0, |(_, opener)| opener.failures())
    }

    /// Nothing is received any more.
    pub(crate) fn stop_receiving(&mut self) {
        self.openers = Vec::new();
    }

    /// Opens a record of DTLS 1.2; `None`: there are no keys for it.
    pub(crate) fn open12(
        &mut self,
        header: &RecordHeader,
        record: &mut BytesMut,
    ) -> Option<Result<ContentType, OpenError>> {
        // "receivers MUST reject" what is addressed to another connection (after RFC 9146, section 4), and with a
        // connection ID negotiated everything protected carries it.
        let addressed = self.is_ours(&record[HEADER_LEN - 2..][..header.cid_len]);
        let (_, opener) = self
            .openers
            .iter_mut()
            .find(|(epoch, _)| *epoch == u64::from(header.epoch))?;
        let Opener::V12(opener) = opener else { return None };
        Some(if addressed {
            opener.open(header, record)
        } else {
            Err(OpenError::Unauthentic)
        })
    }

    /// Opens a record of DTLS 1.3 with the newest keys that fit its epoch; `None`: there are none.
    pub(crate) fn open13(
        &mut self,
        header: &UnifiedHeader,
        record: &mut BytesMut,
    ) -> Option<Result<(ContentType, RecordNumber), OpenError>> {
        let addressed = self.is_ours(&record[1..][..header.cid_len]);
        // "implementations SHOULD use the most recent past epoch which has matching bits" (RFC 9147, section 4.2.2)
        let (epoch, opener) = self
            .openers
            .iter_mut()
            .rev()
            .find(|(epoch, _)| epoch & 3 == u64::from(header.epoch_bits))?;
        let Opener::V13(opener) = opener else { return None };
        let epoch = *epoch;
        Some(if addressed {
            opener
                .open(header, record)
                .map(|(content_type, sequence)| (content_type, RecordNumber { epoch, sequence }))
        } else {
            Err(OpenError::Unauthentic)
        })
    }

    /// Appends a whole record in the current epoch.
    pub(crate) fn write(&mut self, content_type: ContentType, content: &[u8], out: &mut Vec<u8>) -> bool {
        let epoch = self.current;
        let Some(start) = self.begin(epoch, content_type, out) else {
            return false;
        };
        out.extend_from_slice(content);
        self.finish(epoch, content_type, out, start);
        true
    }

    /// Appends the header of a record (and the explicit nonce, if the cipher has one). The content follows,
    /// then [`Self::finish`] with the answer. `None`: no keys, or no numbers left.
    pub(crate) fn begin(
        &mut self,
        epoch: u64,
        content_type: ContentType,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let start = out.len();
        if epoch == 0 {
            let header = RecordHeader {
                content_type,
                epoch: 0,
                sequence: self.next_plain,
                cid_len: 0,
                len: 0,
            };
            out.extend_from_slice(&header.bytes());
            self.next_plain += 1;
            return Some(start);
        }
        let cid = std::mem::take(&mut self.peer_cid);
        let begun = match self.sealer(epoch) {
            Some(Sealer::V12(sealer)) => sealer.begin(content_type, &cid, out),
            Some(Sealer::V13(sealer)) => sealer.begin(epoch, &cid, out),
            None => false,
        };
        self.peer_cid = cid;
        begun.then_some(start)
    }

    /// Completes the record that begins at `start` and goes to the end of `out`; answers with its number.
    pub(crate) fn finish(
        &mut self,
        epoch: u64,
        content_type: ContentType,
        out: &mut Vec<u8>,
        start: usize,
    ) -> RecordNumber {
        if epoch == 0 {
            let len = (out.len() - start - HEADER_LEN) as u16;
            out[start + 11..start + 13].copy_from_slice(&len.to_be_bytes());
            let sequence = self.next_plain - 1;
            return RecordNumber { epoch, sequence };
        }
        let cid = std::mem::take(&mut self.peer_cid);
        let sequence = match self.sealer(epoch) {
            Some(Sealer::V12(sealer)) => sealer.finish(content_type, &cid, out, start),
            Some(Sealer::V13(sealer)) => sealer.finish(content_type, cid.len(), out, start),
            None => 0,
        };
        self.peer_cid = cid;
        RecordNumber { epoch, sequence }
    }

    /// Bytes that a record of `epoch` has beyond its content.
    pub(crate) fn overhead(&self, epoch: u64) -> usize {
        let sealer = self.sealers.iter().find(|(sealing, _)| *sealing == epoch);
        match sealer {
            Some((_, Sealer::V12(sealer))) => sealer.overhead(self.peer_cid.len()),
            Some((_, Sealer::V13(_))) => cipher13::Sealer::overhead(self.peer_cid.len()),
            None => HEADER_LEN,
        }
    }

    /// Bytes of a record of `epoch` behind its content.
    pub(crate) fn trailer(&self, epoch: u64) -> usize {
        let sealer = self.sealers.iter().find(|(sealing, _)| *sealing == epoch);
        let tag = dunlin_crypto::aead::TAG_LEN;
        match sealer {
            Some((_, Sealer::V12(_))) => tag + usize::from(!self.peer_cid.is_empty()),
            Some((_, Sealer::V13(_))) => tag + 1,
            None => 0,
        }
    }

    /// > In order to avoid sequence number duplication in case of multiple cookie exchanges, the server MUST use
    /// > the record sequence number in the ClientHello as the record sequence number in its initial ServerHello.
    /// > (RFC 6347, section 4.2.1; likewise for the HelloVerifyRequest)
    pub(crate) fn continue_plain_from(&mut self, sequence: u64) {
        self.next_plain = self.next_plain.max(sequence);
    }
}
