//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).
//!
//! ```text
//! |      base sequence number     |      packet status count      |
//! |                 reference time                | fb pkt. count |
//! |          packet chunk         |         packet chunk          |
//! |         packet chunk          |  recv delta   |  recv delta   |
//! ```
//!
//! A chunk is a run (`0 SS` and a length of 13 bits) or a vector (`1 0` and 14 symbols of one bit, `1 1` and 7
//! symbols of two bits). Symbols: 0 not received, 1 a delta of one byte, 2 a delta of two bytes.

use super::{Frame, begin_packet, end_packet, packet_type, push_u32, take_ssrc, take_u32};
use crate::{ParseError, SequenceNumber, Ssrc};

pub(super) const FORMAT: u8 = 15;

/// The most statuses that a packet is read with. A run of 8,191 lost packets takes two bytes: without a bound
/// a short packet would cost its reader much.
pub const MAX_STATUSES: usize = 16_384;

const NOT_RECEIVED: u8 = 0;
const SMALL_DELTA: u8 = 1;
const LARGE_DELTA: u8 = 2;
const MAX_RUN: usize = 0x1fff;

/// When the packets of a transport arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportFeedback {
    /// Who received.
    pub sender: Ssrc,
    /// A source of the packets.
    pub media: Ssrc,
    /// The transport-wide number of the first status.
    pub base_sequence: SequenceNumber,
    /// The time that the first delta counts from: signed 24 bits, in 64 ms of the receiver's clock.
    pub reference_time: i32,
    /// The number of this feedback, modulo 256.
    pub feedback_count: u8,
    /// Per packet from the first on: the time since the one before (the first: since the reference time) in
    /// 250 us, or `None` if it did not arrive.
    pub statuses: Vec<Option<i16>>,
}

impl TransportFeedback {
    pub(super) fn parse(frame: &Frame<'_>) -> Result<Self, ParseError> {
        const WHAT: &str = "transport feedback";
        let mut body = frame.body;
        let sender = take_ssrc(&mut body, WHAT)?;
        let media = take_ssrc(&mut body, WHAT)?;
        let [a, b, c, d] = take_u32(&mut body, WHAT)?.to_be_bytes();
        let time = take_u32(&mut body, WHAT)?;
        let count = usize::from(u16::from_be_bytes([c, d]));
        if count > MAX_STATUSES {
            return Err(ParseError::Invalid("count of packet statuses"));
        }
        let deltas_at = skip_chunks(body, count)?;
        let (chunks, mut deltas) = body.split_at(deltas_at);
        let mut statuses = Vec::with_capacity(count);
        for chunk in chunks.chunks_exact(2) {
            let chunk = u16::from_be_bytes([chunk[0], chunk[1]]);
            for index in 0..symbols_in(chunk).min(count - statuses.len()) {
                statuses.push(take_delta(symbol(chunk, index), &mut deltas)?);
            }
        }
        Ok(Self {
            sender,
            media,
            base_sequence: SequenceNumber(u16::from_be_bytes([a, b])),
            reference_time: time.cast_signed() >> 8,
            feedback_count: time.to_be_bytes()[3],
            statuses,
        })
    }

    /// Appends the packet. Statuses beyond 65,535 are not written.
    pub fn write(&self, out: &mut Vec<u8>) {
        let statuses = &self.statuses[..self.statuses.len().min(usize::from(u16::MAX))];
        let start = begin_packet(out, FORMAT, packet_type::RTPFB);
        push_u32(out, self.sender.0);
        push_u32(out, self.media.0);
        out.extend_from_slice(&self.base_sequence.0.to_be_bytes());
        out.extend_from_slice(&(statuses.len() as u16).to_be_bytes());
        let [_, a, b, c] = self.reference_time.to_be_bytes();
        out.extend_from_slice(&[a, b, c, self.feedback_count]);

        let mut rest = statuses;
        while !rest.is_empty() {
            let (chunk, taken) = next_chunk(rest);
            out.extend_from_slice(&chunk.to_be_bytes());
            rest = &rest[taken..];
        }
        for delta in statuses.iter().flatten() {
            match u8::try_from(*delta) {
                Ok(small) => out.push(small),
                Err(_) => out.extend_from_slice(&delta.to_be_bytes()),
            }
        }
        end_packet(out, start);
    }
}

/// The bytes of the chunks that hold `count` symbols.
fn skip_chunks(body: &[u8], count: usize) -> Result<usize, ParseError> {
    let mut symbols = 0;
    let mut at = 0;
    while symbols < count {
        let chunk = body
            .get(at..at + 2)
            .ok_or(ParseError::TooShort("packet status chunks"))?;
        // A run of length zero makes no progress in symbols but does in bytes.
        symbols += symbols_in(u16::from_be_bytes([chunk[0], chunk[1]]));
        at += 2;
    }
    Ok(at)
}

fn symbols_in(chunk: u16) -> usize {
    match chunk >> 14 {
        0b10 => 14,
        0b11 => 7,
        _ => usize::from(chunk) & MAX_RUN,
    }
}

fn symbol(chunk: u16, index: usize) -> u8 {
    let bits = match chunk >> 14 {
        0b10 => (chunk >> (13 - index)) & 1,
        0b11 => (chunk >> (2 * (6 - index))) & 3,
        _ => (chunk >> 13) & 3,
    };
    bits as u8
}

fn take_delta(symbol: u8, deltas: &mut &[u8]) -> Result<Option<i16>, ParseError> {
    const WHAT: &str = "receive deltas";
    match symbol {
        SMALL_DELTA => {
            let (delta, rest) = deltas.split_first().ok_or(ParseError::TooShort(WHAT))?;
            *deltas = rest;
            Ok(Some(i16::from(*delta)))
        }
        LARGE_DELTA => {
            let (delta, rest) = deltas
                .split_first_chunk::<2>()
                .ok_or(ParseError::TooShort(WHAT))?;
            *deltas = rest;
            Ok(Some(i16::from_be_bytes(*delta)))
        }
        NOT_RECEIVED => Ok(None),
        // 3 is reserved: nothing says how long its delta is.
        _ => Err(ParseError::Invalid("packet status symbol")),
    }
}

fn symbol_of(status: Option<i16>) -> u8 {
    match status {
        None => NOT_RECEIVED,
        Some(0..=255) => SMALL_DELTA,
        Some(_) => LARGE_DELTA,
    }
}

/// The chunk that says most about the beginning of `statuses`, and how many of them it says.
fn next_chunk(statuses: &[Option<i16>]) -> (u16, usize) {
    let first = symbol_of(statuses[0]);
    let run = statuses
        .iter()
        .take(MAX_RUN)
        .take_while(|status| symbol_of(**status) == first)
        .count();
    let one_bit = &statuses[..statuses.len().min(14)];
    let fits_one_bit = one_bit.iter().all(|status| symbol_of(*status) != LARGE_DELTA);
    let vector = if fits_one_bit {
        one_bit
    } else {
        &statuses[..statuses.len().min(7)]
    };
    if run >= vector.len() {
        return (u16::from(first) << 13 | run as u16, run);
    }
    let (head, width, capacity) = if fits_one_bit { (0b10, 1, 14) } else { (0b11, 2, 7) };
    let mut chunk = head;
    for index in 0..capacity {
        let symbol = vector
            .get(index)
            .map_or(NOT_RECEIVED, |status| symbol_of(*status));
        chunk = chunk << width | u16::from(symbol);
    }
    (chunk, vector.len())
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, parse_compound};
    use super::*;

    fn feedback(statuses: Vec<Option<i16>>) -> TransportFeedback {
        TransportFeedback {
            sender: Ssrc(1),
            media: Ssrc(2),
            base_sequence: SequenceNumber(65_530),
            reference_time: -3,
            feedback_count: 200,
            statuses,
        }
    }

    fn round_trip(statuses: Vec<Option<i16>>) -> usize {
        let feedback = feedback(statuses);
        let mut out = Vec::new();
        feedback.write(&mut out);
        let len = out.len();
        assert_eq!(
            parse_compound(&out).next(),
            Some(Ok(Packet::TransportFeedback(feedback)))
        );
        len
    }

    #[test]
    fn runs_and_vectors_come_back() {
        assert_eq!(round_trip(vec![Some(4); 3]), 20 + 2 + 3 + 3);
        assert_eq!(round_trip(vec![None; 9000]), 20 + 4, "two runs");
        round_trip(vec![
            Some(1),
            None,
            Some(-1),
            Some(256),
            None,
            Some(0),
            Some(255),
            Some(2),
        ]);
        round_trip((0..100).map(|i| (i % 3 != 0).then_some(i)).collect());
        round_trip(
            (0..100)
                .map(|i| (i % 7 != 0).then_some(i * 300 - 15_000))
                .collect(),
        );
        round_trip(vec![]);
    }

    #[test]
    fn a_count_without_chunks_and_chunks_without_deltas_are_errors() {
        let mut out = Vec::new();
        feedback(vec![Some(1); 12]).write(&mut out);
        let parse = |body: &[u8]| {
            TransportFeedback::parse(&Frame {
                count: FORMAT,
                packet_type: packet_type::RTPFB,
                body,
            })
        };
        for len in 4..out.len() - 2 {
            assert!(parse(&out[4..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn runs_of_length_zero_end() {
        let mut body = vec![0; 16];
        body[10..12].copy_from_slice(&[0, 1]);
        body.resize(1016, 0);
        let frame = Frame {
            count: FORMAT,
            packet_type: packet_type::RTPFB,
            body: &body,
        };
        assert!(TransportFeedback::parse(&frame).is_err());
    }

    #[test]
    fn the_count_is_bounded_and_symbol_three_refused() {
        let mut body = vec![0; 16];
        body[10..12].copy_from_slice(&[0xff, 0xff]);
        body.extend([0x1f, 0xff].repeat(9));
        let frame = Frame {
            count: FORMAT,
            packet_type: packet_type::RTPFB,
            body: &body,
        };
        assert!(matches!(
            TransportFeedback::parse(&frame),
            Err(ParseError::Invalid(_))
        ));
        let mut body = vec![0; 16];
        body[11] = 1;
        body.extend([0x60, 1, 0, 0]);
        let frame = Frame {
            count: FORMAT,
            packet_type: packet_type::RTPFB,
            body: &body,
        };
        assert!(matches!(
            TransportFeedback::parse(&frame),
            Err(ParseError::Invalid(_))
        ));
    }
}
