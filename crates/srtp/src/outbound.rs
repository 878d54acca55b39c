//! What is sent: indices per SSRC, each used for one packet only (RFC 3711, sections 3.3 and 3.4).

use std::collections::BTreeMap;

use dunlin_rtp::{Header, Ssrc};

use crate::ProtectError;
use crate::cipher::{RTCP_CLEAR_LEN, Sealer};
use crate::rollover::estimate_index;
use crate::tag_memory::{TagMemory, Use};

/// RFC 3711, section 9.2: "This limit is fixed to 2^48 SRTP packets for an SRTP stream, and 2^31 SRTCP packets".
const RTCP_INDEX_LIMIT: u32 = 1 << 31;

pub(crate) struct Outbound {
    sealer: Sealer,
    rtp: BTreeMap<Ssrc, Stream>,
    /// The index of the next compound of each sender.
    rtcp: BTreeMap<Ssrc, u32>,
    max_streams: usize,
}

struct Stream {
    highest: u64,
    tags: TagMemory,
}

impl Outbound {
    pub(crate) fn new(sealer: Sealer, max_streams: usize) -> Self {
        Self {
            sealer,
            rtp: BTreeMap::new(),
            rtcp: BTreeMap::new(),
            max_streams,
        }
    }

    pub(crate) fn protect_rtp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), ProtectError> {
        let packet = out.get(start..).unwrap_or_default();
        let header = Header::parse_encrypted(packet).map_err(ProtectError::Malformed)?;
        let full = self.rtp.len() >= self.max_streams;
        let (index, used) = match self.rtp.get(&header.ssrc) {
            None if full => return Err(ProtectError::TooManyStreams),
            // RFC 3711, section 3.3.1: the rollover counter starts at zero.
            None => (u64::from(header.sequence.0), Use::First),
            Some(stream) => {
                let index =
                    estimate_index(stream.highest, header.sequence.0).ok_or(ProtectError::IndexRange)?;
                (index, stream.tags.look_up(index, stream.highest))
            }
        };
        if used == Use::Forgotten {
            return Err(ProtectError::IndexReused);
        }
        let tag = self
            .sealer
            .seal_rtp(out, start, header.header_len, header.ssrc, index);
        if let Use::Again(before) = used
            && before != tag
        {
            out.truncate(start);
            return Err(ProtectError::IndexReused);
        }
        let stream = self.rtp.entry(header.ssrc).or_insert_with(|| Stream {
            highest: index,
            tags: TagMemory::new(),
        });
        stream.highest = stream.highest.max(index);
        stream.tags.remember(index, tag);
        Ok(())
    }

    pub(crate) fn protect_rtcp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), ProtectError> {
        let ssrc = out
            .get(start..)
            .and_then(rtcp_sender)
            .ok_or(ProtectError::Malformed(dunlin_rtp::ParseError::TooShort(
                "the SSRC of an RTCP packet",
            )))?;
        let full = self.rtcp.len() >= self.max_streams;
        let index = match self.rtcp.get(&ssrc) {
            None if full => return Err(ProtectError::TooManyStreams),
            // RFC 3711, section 3.4: "The SRTCP index MUST be set to zero before the first SRTCP packet is sent".
            None => 0,
            Some(&next) => next,
        };
        if index >= RTCP_INDEX_LIMIT {
            return Err(ProtectError::IndexRange);
        }
        self.sealer.seal_rtcp(out, start, ssrc, index);
        self.rtcp.insert(ssrc, index + 1);
        Ok(())
    }
}

/// The SSRC of the first packet of a compound, which the context of the whole compound belongs to.
pub(crate) fn rtcp_sender(compound: &[u8]) -> Option<Ssrc> {
    let clear: &[u8; RTCP_CLEAR_LEN] = compound.first_chunk()?;
    Some(Ssrc(u32::from_be_bytes([clear[4], clear[5], clear[6], clear[7]])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::key_derivation::KeyDerivation;

    fn outbound(profile: Profile) -> Outbound {
        let mut kdf = KeyDerivation::new(&vec![1; profile.key_len()], &vec![2; profile.salt_len()]).unwrap();
        Outbound::new(Sealer::new(profile, &mut kdf).unwrap(), 4)
    }

    #[test]
    fn a_key_protects_2_31_compounds_and_no_more() {
        let mut outbound = outbound(Profile::AeadAes128Gcm);
        let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
        outbound.rtcp.insert(Ssrc(7), RTCP_INDEX_LIMIT - 1);
        let mut out = report.to_vec();
        outbound.protect_rtcp(&mut out, 0).unwrap();
        assert_eq!(out[out.len() - 4..], [0xff; 4], "the last index, with the E flag");
        let mut out = report.to_vec();
        assert_eq!(outbound.protect_rtcp(&mut out, 0), Err(ProtectError::IndexRange));
        assert_eq!(out, report);
    }

    #[test]
    fn a_key_protects_2_48_packets_of_a_stream_and_no_more() {
        let mut outbound = outbound(Profile::Aes128CmSha1_80);
        let packet = |sequence: u16| {
            let [a, b] = sequence.to_be_bytes();
            vec![0x80, 96, a, b, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 3]
        };
        outbound.protect_rtp(&mut packet(65_534), 0).unwrap();
        outbound.rtp.get_mut(&Ssrc(7)).unwrap().highest = (1 << 48) - 2;
        assert_eq!(outbound.protect_rtp(&mut packet(65_535), 0), Ok(()));
        assert_eq!(
            outbound.protect_rtp(&mut packet(0), 0),
            Err(ProtectError::IndexRange)
        );
    }

    #[test]
    fn an_index_serves_one_packet_which_may_be_sent_again() {
        for profile in Profile::ALL {
            let mut outbound = outbound(profile);
            let packet = |sequence: u16, payload: u8| {
                let [a, b] = sequence.to_be_bytes();
                vec![0x80, 96, a, b, 0, 0, 0, 0, 0, 0, 0, 7, payload, 2, 3]
            };
            let mut first = packet(1000, 1);
            outbound.protect_rtp(&mut first, 0).unwrap();
            outbound.protect_rtp(&mut packet(1001, 1), 0).unwrap();
            let mut again = packet(1000, 1);
            outbound.protect_rtp(&mut again, 0).unwrap();
            assert_eq!(again, first);

            let mut other = vec![0xaa];
            other.extend(packet(1000, 9));
            assert_eq!(
                outbound.protect_rtp(&mut other, 1),
                Err(ProtectError::IndexReused),
                "{profile:?}"
            );
            assert_eq!(other, [0xaa], "nothing of it can be sent by mistake");

            outbound.protect_rtp(&mut packet(3000, 1), 0).unwrap();
            let mut old = packet(1001, 1);
            assert_eq!(
                outbound.protect_rtp(&mut old, 0),
                Err(ProtectError::IndexReused),
                "forgotten"
            );
        }
    }

    #[test]
    fn streams_are_bounded() {
        let mut outbound = outbound(Profile::AeadAes256Gcm);
        for ssrc in 0..4 {
            outbound
                .protect_rtp(&mut vec![0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, ssrc], 0)
                .unwrap();
            outbound
                .protect_rtcp(&mut vec![0x80, 201, 0, 1, 0, 0, 0, ssrc], 0)
                .unwrap();
        }
        let mut out = vec![0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4];
        assert_eq!(
            outbound.protect_rtp(&mut out, 0),
            Err(ProtectError::TooManyStreams)
        );
        let mut out = vec![0x80, 201, 0, 1, 0, 0, 0, 4];
        assert_eq!(
            outbound.protect_rtcp(&mut out, 0),
            Err(ProtectError::TooManyStreams)
        );
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        let mut outbound = outbound(Profile::AeadAes128Gcm);
        for len in 0..12 {
            let mut out = vec![0x80; len];
            assert!(matches!(
                outbound.protect_rtp(&mut out, 0),
                Err(ProtectError::Malformed(_))
            ));
            assert!(matches!(
                outbound.protect_rtp(&mut out, 99),
                Err(ProtectError::Malformed(_))
            ));
        }
        for len in 0..8 {
            let mut out = vec![0x80; len];
            assert!(matches!(
                outbound.protect_rtcp(&mut out, 0),
                Err(ProtectError::Malformed(_))
            ));
        }
    }
}
