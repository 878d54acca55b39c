//! What is received: an index is estimated, the packet authenticated, and only then is anything remembered
//! (RFC 3711, section 3.3).

use std::collections::BTreeMap;

use bytes::BytesMut;
use dunlin_rtp::{Header, Ssrc};

use crate::Reject;
use crate::cipher::{ENCRYPTED_FLAG, Opener, RTCP_CLEAR_LEN};
use crate::outbound::rtcp_sender;
use crate::replay::{Freshness, ReplayWindow};
use crate::rollover::estimate_index;

pub(crate) struct Inbound {
    opener: Opener,
    rtp: BTreeMap<Ssrc, ReplayWindow>,
    rtcp: BTreeMap<Ssrc, ReplayWindow>,
    max_streams: usize,
    rtp_overhead: usize,
    rtcp_overhead: usize,
    /// A copy of the packet, where a second attempt at it may be needed.
    spare: Vec<u8>,
}

impl Inbound {
    pub(crate) fn new(opener: Opener, max_streams: usize, rtp_overhead: usize, rtcp_overhead: usize) -> Self {
        Self {
            opener,
            rtp: BTreeMap::new(),
            rtcp: BTreeMap::new(),
            max_streams,
            rtp_overhead,
            rtcp_overhead,
            spare: Vec::new(),
        }
    }

    pub(crate) fn unprotect_rtp(&mut self, packet: &mut BytesMut) -> Result<Header, Reject> {
        let plain_len = packet
            .len()
            .checked_sub(self.rtp_overhead)
            .ok_or(Reject::Malformed)?;
        let mut header = Header::parse_encrypted(&packet[..plain_len]).map_err(|_| Reject::Malformed)?;
        let full = self.rtp.len() >= self.max_streams;
        match self.rtp.get_mut(&header.ssrc) {
            Some(window) => {
                let index = estimate_index(window.highest(), header.sequence.0).ok_or(Reject::TooOld)?;
                check(window, index)?;
                self.opener
                    .open_rtp(packet, header.header_len, header.ssrc, index)
                    .map_err(|_| Reject::Unauthentic)?;
                window.accept(index);
            }
            None if full => return Err(Reject::TooManyStreams),
            None => {
                let index = self.open_first(packet, &header)?;
                self.rtp.insert(header.ssrc, ReplayWindow::new(index));
            }
        }
        packet.truncate(plain_len);
        header.read_padding(packet).map_err(|_| Reject::Malformed)?;
        Ok(header)
    }

    /// Opens the first packet of a stream and answers with its index.
    ///
    /// The rollover counter starts at zero. But if the stream began shortly before a wrap and the packets up to
    /// it were lost or come later, it is one already: a second attempt, for sequence numbers in the lower half.
    fn open_first(&mut self, packet: &mut [u8], header: &Header) -> Result<u64, Reject> {
        let index = u64::from(header.sequence.0);
        let may_have_wrapped = index < 1 << 15;
        let restore = may_have_wrapped && self.opener.spoils_what_it_rejects();
        if restore {
            self.spare.clear();
            self.spare.extend_from_slice(packet);
        }
        if self
            .opener
            .open_rtp(packet, header.header_len, header.ssrc, index)
            .is_ok()
        {
            return Ok(index);
        }
        if !may_have_wrapped {
            return Err(Reject::Unauthentic);
        }
        if restore {
            packet.copy_from_slice(&self.spare);
        }
        let index = index + (1 << 16);
        match self
            .opener
            .open_rtp(packet, header.header_len, header.ssrc, index)
        {
            Ok(()) => Ok(index),
            Err(_) => Err(Reject::Unauthentic),
        }
    }

    pub(crate) fn unprotect_rtcp(&mut self, packet: &mut BytesMut) -> Result<(), Reject> {
        let plain_len = packet
            .len()
            .checked_sub(self.rtcp_overhead)
            .ok_or(Reject::Malformed)?;
        if plain_len < RTCP_CLEAR_LEN || packet[0] >> 6 != 2 {
            return Err(Reject::Malformed);
        }
        let ssrc = rtcp_sender(packet).ok_or(Reject::Malformed)?;
        let word = self.opener.rtcp_index_word(packet);
        let index = u64::from(word & !ENCRYPTED_FLAG);
        let full = self.rtcp.len() >= self.max_streams;
        match self.rtcp.get_mut(&ssrc) {
            Some(window) => {
                check(window, index)?;
                self.opener
                    .open_rtcp(packet, ssrc, word)
                    .map_err(|_| Reject::Unauthentic)?;
                window.accept(index);
            }
            None if full => return Err(Reject::TooManyStreams),
            None => {
                self.opener
                    .open_rtcp(packet, ssrc, word)
                    .map_err(|_| Reject::Unauthentic)?;
                self.rtcp.insert(ssrc, ReplayWindow::new(index));
            }
        }
        packet.truncate(plain_len);
        Ok(())
    }

    /// Streams that have a context.
    pub(crate) fn streams(&self) -> usize {
        self.rtp.len() + self.rtcp.len()
    }
}

fn check(window: &ReplayWindow, index: u64) -> Result<(), Reject> {
    match window.check(index) {
        Freshness::Fresh => Ok(()),
        Freshness::Seen => Err(Reject::Replayed),
        Freshness::TooOld => Err(Reject::TooOld),
    }
}
