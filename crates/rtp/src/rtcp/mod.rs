//! RTCP packets (RFC 3550, section 6; RFC 4585; RFC 5104): one file per packet type.
//!
//! A datagram is a compound of packets (RFC 3550, section 6.1), or with `a=rtcp-rsize` any non-empty sequence of
//! them (RFC 5506). [`parse_compound`] accepts both, and keeps what it does not know as [`Unknown`].

mod app;
mod bye;
mod full_intra_request;
mod nack;
mod picture_loss_indication;
mod receiver_report;
mod remb;
mod report_block;
mod sender_report;
mod source_description;
mod transport_feedback;
mod unknown;

pub use app::App;
pub use bye::Bye;
pub use full_intra_request::{FirEntry, FullIntraRequest};
pub use nack::{Nack, NackPair};
pub use picture_loss_indication::PictureLossIndication;
pub use receiver_report::ReceiverReport;
pub use remb::Remb;
pub use report_block::{MAX_REPORT_BLOCKS, ReportBlock};
pub use sender_report::SenderReport;
pub use source_description::{SdesChunk, SdesItem, SdesKind, SourceDescription};
pub use transport_feedback::{MAX_STATUSES, TransportFeedback};
pub use unknown::Unknown;

use byteorder::{BigEndian, ByteOrder};

use crate::{ParseError, Ssrc};

/// The packet type field (RFC 3550, section 12.1; RFC 4585, section 6.1; RFC 3611, section 2).
pub mod packet_type {
    /// Sender report.
    pub const SR: u8 = 200;
    /// Receiver report.
    pub const RR: u8 = 201;
    /// Source description.
    pub const SDES: u8 = 202;
    /// Goodbye.
    pub const BYE: u8 = 203;
    /// Application-defined.
    pub const APP: u8 = 204;
    /// Transport layer feedback.
    pub const RTPFB: u8 = 205;
    /// Payload-specific feedback.
    pub const PSFB: u8 = 206;
    /// Extended report.
    pub const XR: u8 = 207;
}

/// One RTCP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet {
    /// SR: what a sender sent, and what it received.
    SenderReport(SenderReport),
    /// RR: what a receiver received.
    ReceiverReport(ReceiverReport),
    /// SDES: who the sources are.
    SourceDescription(SourceDescription),
    /// BYE: sources that end.
    Bye(Bye),
    /// APP: defined by an application.
    App(App),
    /// Generic NACK: packets that were not received.
    Nack(Nack),
    /// PLI: a picture was lost, a key frame is wanted.
    PictureLossIndication(PictureLossIndication),
    /// FIR: a key frame is wanted.
    FullIntraRequest(FullIntraRequest),
    /// REMB: the receiver's estimate of the bandwidth.
    Remb(Remb),
    /// When packets of a transport arrived.
    TransportFeedback(TransportFeedback),
    /// Any other packet, as its bytes.
    Unknown(Unknown),
}

impl Packet {
    /// Appends this packet. What does not fit its fields is left out, and said so at each type.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::SenderReport(packet) => packet.write(out),
            Self::ReceiverReport(packet) => packet.write(out),
            Self::SourceDescription(packet) => packet.write(out),
            Self::Bye(packet) => packet.write(out),
            Self::App(packet) => packet.write(out),
            Self::Nack(packet) => packet.write(out),
            Self::PictureLossIndication(packet) => packet.write(out),
            Self::FullIntraRequest(packet) => packet.write(out),
            Self::Remb(packet) => packet.write(out),
            Self::TransportFeedback(packet) => packet.write(out),
            Self::Unknown(packet) => packet.write(out),
        }
    }
}

/// The packets of a datagram, in order. After an error there is nothing more.
#[must_use]
pub fn parse_compound(datagram: &[u8]) -> Compound<'_> {
    Compound { rest: datagram }
}

/// The iterator of [`parse_compound`].
#[derive(Debug, Clone)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl Iterator for Compound<'_> {
    type Item = Result<Packet, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match split_packet(self.rest) {
            Ok((frame, rest)) => {
                self.rest = rest;
                Some(parse_frame(&frame))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

/// One packet cut out of its compound: the common header's fields and what follows, without padding.
#[derive(Debug, Clone, Copy)]
struct Frame<'a> {
    /// The five bits after the padding bit: a count, a subtype or a feedback format.
    count: u8,
    packet_type: u8,
    body: &'a [u8],
}

/// ```text
/// |V=2|P|  count  |  packet type  |   length in words, minus one  |
/// ```
fn split_packet(data: &[u8]) -> Result<(Frame<'_>, &[u8]), ParseError> {
    let head = data
        .first_chunk::<4>()
        .ok_or(ParseError::TooShort("the RTCP header"))?;
    let version = head[0] >> 6;
    if version != 2 {
        return Err(ParseError::Version(version));
    }
    let len = 4 + 4 * usize::from(BigEndian::read_u16(&head[2..]));
    let (packet, rest) = data
        .split_at_checked(len)
        .ok_or(ParseError::TooShort("the RTCP packet"))?;
    let mut body = &packet[4..];
    if head[0] & 0x20 != 0 {
        // RFC 3550, section 6.4.1: "The last octet of the padding is a count of how many padding octets should
        // be ignored, including itself (it will be a multiple of four)." Deployed senders fill the last word of
        // transport-wide feedback with one to three bytes of padding, so other counts are accepted too.
        let count = body.last().copied().unwrap_or(0);
        if count == 0 || usize::from(count) > body.len() {
            return Err(ParseError::Padding(count));
        }
        body = &body[..body.len() - usize::from(count)];
    }
    Ok((
        Frame {
            count: head[0] & 0x1f,
            packet_type: head[1],
            body,
        },
        rest,
    ))
}

fn parse_frame(frame: &Frame<'_>) -> Result<Packet, ParseError> {
    use packet_type::{APP, BYE, PSFB, RR, RTPFB, SDES, SR};
    Ok(match (frame.packet_type, frame.count) {
        (SR, _) => Packet::SenderReport(SenderReport::parse(frame)?),
        (RR, _) => Packet::ReceiverReport(ReceiverReport::parse(frame)?),
        (SDES, _) => Packet::SourceDescription(SourceDescription::parse(frame)?),
        (BYE, _) => Packet::Bye(Bye::parse(frame)?),
        (APP, _) => Packet::App(App::parse(frame)?),
        (RTPFB, nack::FORMAT) => Packet::Nack(Nack::parse(frame)?),
        (RTPFB, transport_feedback::FORMAT) => Packet::TransportFeedback(TransportFeedback::parse(frame)?),
        (PSFB, picture_loss_indication::FORMAT) => {
            Packet::PictureLossIndication(PictureLossIndication::parse(frame)?)
        }
        (PSFB, full_intra_request::FORMAT) => Packet::FullIntraRequest(FullIntraRequest::parse(frame)?),
        (PSFB, remb::FORMAT) if remb::is_remb(frame) => Packet::Remb(Remb::parse(frame)?),
        _ => Packet::Unknown(Unknown::parse(frame)),
    })
}

/// Appends the common header; [`end_packet`] fills its length in. Answers with where the packet starts.
fn begin_packet(out: &mut Vec<u8>, count: u8, packet_type: u8) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0x80 | (count & 0x1f), packet_type, 0, 0]);
    start
}

/// Fills the last word of the packet from `start` with padding if it is not whole, and writes the length.
fn end_packet(out: &mut Vec<u8>, start: usize) {
    let missing = (4 - (out.len() - start) % 4) % 4;
    if missing > 0 {
        out.resize(out.len() + missing - 1, 0);
        out.push(missing as u8);
        out[start] |= 0x20;
    }
    let words = (out.len() - start) / 4 - 1;
    BigEndian::write_u16(
        &mut out[start + 2..start + 4],
        u16::try_from(words).unwrap_or(u16::MAX),
    );
}

fn push_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Takes an SSRC off the front of `body`.
fn take_ssrc(body: &mut &[u8], what: &'static str) -> Result<Ssrc, ParseError> {
    take_u32(body, what).map(Ssrc)
}

/// Takes four bytes off the front of `body`.
fn take_u32(body: &mut &[u8], what: &'static str) -> Result<u32, ParseError> {
    let (word, rest) = body.split_first_chunk::<4>().ok_or(ParseError::TooShort(what))?;
    *body = rest;
    Ok(u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compound_is_read_packet_by_packet() {
        let mut datagram = Vec::new();
        ReceiverReport {
            ssrc: Ssrc(1),
            reports: vec![],
        }
        .write(&mut datagram);
        PictureLossIndication {
            sender: Ssrc(1),
            media: Ssrc(2),
        }
        .write(&mut datagram);
        datagram.extend([0x85, 199, 0, 0]);
        let packets: Vec<_> = parse_compound(&datagram).map(Result::unwrap).collect();
        assert!(matches!(
            &packets[..],
            [
                Packet::ReceiverReport(_),
                Packet::PictureLossIndication(_),
                Packet::Unknown(_)
            ]
        ));
        let mut again = Vec::new();
        packets.iter().for_each(|packet| packet.write(&mut again));
        assert_eq!(again, datagram);
    }

    #[test]
    fn an_error_ends_the_compound() {
        let mut datagram = Vec::new();
        ReceiverReport {
            ssrc: Ssrc(1),
            reports: vec![],
        }
        .write(&mut datagram);
        for bad in [
            &[0x80, 201, 0][..],
            &[0x80, 201, 0, 9, 0, 0, 0, 0],
            &[0x40, 201, 0, 0],
        ] {
            let mut datagram = datagram.clone();
            datagram.extend_from_slice(bad);
            let results: Vec<_> = parse_compound(&datagram).collect();
            assert_eq!(results.len(), 2);
            assert!(results[0].is_ok() && results[1].is_err());
        }
    }

    #[test]
    fn a_malformed_body_does_not_hide_the_packets_behind_it() {
        let mut datagram = vec![0x81, 200, 0, 1, 0, 0, 0, 1];
        PictureLossIndication {
            sender: Ssrc(1),
            media: Ssrc(2),
        }
        .write(&mut datagram);
        let results: Vec<_> = parse_compound(&datagram).collect();
        assert!(matches!(
            results[..],
            [Err(_), Ok(Packet::PictureLossIndication(_))]
        ));
    }

    #[test]
    fn padding_is_removed_and_checked() {
        let padded = |count: u8| {
            let packet = [0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, count];
            parse_compound(&packet).next().unwrap()
        };
        assert_eq!(
            padded(4),
            Ok(Packet::ReceiverReport(ReceiverReport {
                ssrc: Ssrc(1),
                reports: vec![]
            }))
        );
        for bad in [0, 9, 12, 255] {
            assert_eq!(padded(bad), Err(ParseError::Padding(bad)));
        }
        assert!(padded(8).is_err(), "nothing is left of the SSRC");
        assert!(
            padded(3).is_ok(),
            "what is left is skipped as an extension of the report"
        );
    }

    #[test]
    fn every_length_up_to_64_of_every_type() {
        for packet_type in 192..=223 {
            for count in 0..32 {
                for len in 0..=64usize {
                    let mut datagram = vec![0xff; len];
                    let words = u8::try_from((len / 4).saturating_sub(1)).unwrap();
                    for (to, from) in datagram.iter_mut().zip([0x80 | count, packet_type, 0, words]) {
                        *to = from;
                    }
                    assert!(parse_compound(&datagram).count() <= 17);
                }
            }
        }
    }
}
