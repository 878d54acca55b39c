//! RE-CONFIG (RFC 6525, sections 3 and 4): requests and responses about streams.

use byteorder::{BigEndian, ByteOrder};

use super::parameter::{PARAMETER_HEADER_LEN, Parameters, write_parameter};
use super::{CHUNK_HEADER_LEN, kind as chunk_kind, padded, write_chunk};
use crate::types::{StreamId, Tsn};

mod parameter_kind {
    pub(super) const OUTGOING_RESET: u16 = 13;
    pub(super) const INCOMING_RESET: u16 = 14;
    pub(super) const ASSOCIATION_RESET: u16 = 15;
    pub(super) const RESPONSE: u16 = 16;
    pub(super) const ADD_OUTGOING: u16 = 17;
    pub(super) const ADD_INCOMING: u16 = 18;
}

/// A Re-configuration Request Sequence Number; each direction counts its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestNumber(pub(crate) u32);

impl RequestNumber {
    pub(crate) fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    pub(crate) fn previous(self) -> Self {
        Self(self.0.wrapping_sub(1))
    }
}

/// RFC 6525, section 4.4, Table 3. Unknown values survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResetResult(pub(crate) u32);

impl ResetResult {
    pub(crate) const NOTHING_TO_DO: Self = Self(0);
    pub(crate) const PERFORMED: Self = Self(1);
    pub(crate) const DENIED: Self = Self(2);
    pub(crate) const ALREADY_IN_PROGRESS: Self = Self(4);
    pub(crate) const BAD_SEQUENCE_NUMBER: Self = Self(5);
    pub(crate) const IN_PROGRESS: Self = Self(6);
}

/// The stream numbers at the end of a reset request. An empty list means all streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamList<'a>(&'a [u8]);

impl<'a> StreamList<'a> {
    pub(crate) fn is_all(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = StreamId> + use<'a> {
        self.0.chunks_exact(2).map(|id| StreamId(BigEndian::read_u16(id)))
    }
}

/// One parameter of a RE-CONFIG chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reconfig<'a> {
    /// The sender resets its outgoing streams.
    OutgoingReset {
        request: RequestNumber,
        /// The last request of ours that the sender has seen.
        response: RequestNumber,
        last_tsn: Tsn,
        streams: StreamList<'a>,
    },
    /// The sender asks us to reset our outgoing streams.
    IncomingReset {
        request: RequestNumber,
        streams: StreamList<'a>,
    },
    AssociationReset {
        request: RequestNumber,
    },
    Response {
        response: RequestNumber,
        result: ResetResult,
        /// The sender's next TSN and the receiver's: the answer to a request to reset the association.
        next: Option<[Tsn; 2]>,
    },
    AddOutgoing {
        request: RequestNumber,
        count: u16,
    },
    AddIncoming {
        request: RequestNumber,
        count: u16,
    },
}

impl Reconfig<'_> {
    /// The number of the request, or of what is answered.
    pub(crate) fn number(&self) -> RequestNumber {
        match *self {
            Reconfig::OutgoingReset { request, .. }
            | Reconfig::IncomingReset { request, .. }
            | Reconfig::AssociationReset { request }
            | Reconfig::AddOutgoing { request, .. }
            | Reconfig::AddIncoming { request, .. } => request,
            Reconfig::Response { response, .. } => response,
        }
    }
}

fn streams(value: &[u8]) -> Option<StreamList<'_>> {
    value.len().is_multiple_of(2).then_some(StreamList(value))
}

/// The parameters of a RE-CONFIG chunk; `None` when one of them cannot be read.
pub(crate) fn parse_reconfig(value: &[u8]) -> impl Iterator<Item = Option<Reconfig<'_>>> {
    Parameters(value).map(|parameter| {
        let parameter = parameter.ok()?;
        let value = parameter.value;
        let number = |at: usize| value.get(at..at + 4).map(BigEndian::read_u32);
        let request = RequestNumber(number(0)?);
        Some(match parameter.kind {
            parameter_kind::OUTGOING_RESET => Reconfig::OutgoingReset {
                request,
                response: RequestNumber(number(4)?),
                last_tsn: Tsn(number(8)?),
                streams: streams(&value[12..])?,
            },
            parameter_kind::INCOMING_RESET => Reconfig::IncomingReset {
                request,
                streams: streams(&value[4..])?,
            },
            parameter_kind::ASSOCIATION_RESET => Reconfig::AssociationReset { request },
            parameter_kind::RESPONSE => Reconfig::Response {
                response: request,
                result: ResetResult(number(4)?),
                next: number(8).zip(number(12)).map(|(a, b)| [Tsn(a), Tsn(b)]),
            },
            parameter_kind::ADD_OUTGOING => Reconfig::AddOutgoing {
                request,
                count: BigEndian::read_u16(value.get(4..6)?),
            },
            parameter_kind::ADD_INCOMING => Reconfig::AddIncoming {
                request,
                count: BigEndian::read_u16(value.get(4..6)?),
            },
            _ => return None,
        })
    })
}

/// A request to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    OutgoingReset {
        last_tsn: Tsn,
        streams: Vec<StreamId>,
    },
    /// An empty list means all streams.
    IncomingReset(Vec<StreamId>),
    AssociationReset,
    AddOutgoing(u16),
    AddIncoming(u16),
}

impl Request {
    /// Bytes of a RE-CONFIG chunk with this request.
    pub(crate) fn chunk_len(&self) -> usize {
        let value = match self {
            Request::OutgoingReset { streams, .. } => OUTGOING_RESET_LEN + 2 * streams.len(),
            Request::IncomingReset(streams) => 4 + 2 * streams.len(),
            Request::AssociationReset => 4,
            Request::AddOutgoing(_) | Request::AddIncoming(_) => 8,
        };
        CHUNK_HEADER_LEN + PARAMETER_HEADER_LEN + padded(value)
    }

    /// Appends a RE-CONFIG chunk; `seen` is the last request of the peer's.
    pub(crate) fn write(&self, out: &mut Vec<u8>, number: RequestNumber, seen: RequestNumber) {
        let mut value = number.0.to_be_bytes().to_vec();
        let kind = match self {
            Request::OutgoingReset { last_tsn, streams } => {
                value.extend_from_slice(&seen.0.to_be_bytes());
                value.extend_from_slice(&last_tsn.0.to_be_bytes());
                value.extend(streams.iter().flat_map(|stream| stream.0.to_be_bytes()));
                parameter_kind::OUTGOING_RESET
            }
            Request::IncomingReset(streams) => {
                value.extend(streams.iter().flat_map(|stream| stream.0.to_be_bytes()));
                parameter_kind::INCOMING_RESET
            }
            Request::AssociationReset => parameter_kind::ASSOCIATION_RESET,
            Request::AddOutgoing(count) | Request::AddIncoming(count) => {
                value.extend_from_slice(&count.to_be_bytes());
                value.extend_from_slice(&[0; 2]);
                match self {
                    Request::AddOutgoing(_) => parameter_kind::ADD_OUTGOING,
                    _ => parameter_kind::ADD_INCOMING,
                }
            }
        };
        write_chunk(out, chunk_kind::RE_CONFIG, 0, |out| {
            write_parameter(out, kind, &value)
        });
    }
}

/// Bytes of the value of an Outgoing SSN Reset Request before the streams.
const OUTGOING_RESET_LEN: usize = 12;
/// Streams that fit with a response into a packet with so much room for chunks.
pub(crate) fn max_streams(room: usize) -> usize {
    let fixed = CHUNK_HEADER_LEN + PARAMETER_HEADER_LEN + OUTGOING_RESET_LEN + RESPONSE_CHUNK_LEN;
    room.saturating_sub(fixed) / 2
}

/// Bytes of a RE-CONFIG chunk with the longest response.
pub(crate) const RESPONSE_CHUNK_LEN: usize = CHUNK_HEADER_LEN + PARAMETER_HEADER_LEN + 16;

/// An answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) number: RequestNumber,
    pub(crate) result: ResetResult,
    /// Our next TSN and the peer's.
    pub(crate) next: Option<[Tsn; 2]>,
    /// The request came in one chunk with the one answered before: "If multiple parameters have to be returned, they MUST
    /// be put into one RE_CONFIG chunk" (section 5.2.1).
    pub(crate) joined: bool,
}

/// Appends a RE-CONFIG chunk with responses.
pub(crate) fn write_responses(out: &mut Vec<u8>, responses: impl Iterator<Item = Response>) {
    write_chunk(out, chunk_kind::RE_CONFIG, 0, |out| {
        for response in responses {
            let mut value = [0; 16];
            BigEndian::write_u32(&mut value[0..4], response.number.0);
            BigEndian::write_u32(&mut value[4..8], response.result.0);
            let len = match response.next {
                Some([ours, theirs]) => {
                    BigEndian::write_u32(&mut value[8..12], ours.0);
                    BigEndian::write_u32(&mut value[12..16], theirs.0);
                    16
                }
                None => 8,
            };
            write_parameter(out, parameter_kind::RESPONSE, &value[..len]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_round_trips() {
        let streams = vec![StreamId(1), StreamId(2), StreamId(3)];
        for request in [
            Request::OutgoingReset {
                last_tsn: Tsn(99),
                streams: streams.clone(),
            },
            Request::IncomingReset(streams.clone()),
            Request::IncomingReset(Vec::new()),
            Request::AssociationReset,
            Request::AddOutgoing(7),
            Request::AddIncoming(u16::MAX),
        ] {
            let mut out = Vec::new();
            request.write(&mut out, RequestNumber(u32::MAX), RequestNumber(4));
            assert_eq!(out.len(), request.chunk_len());
            let len = usize::from(BigEndian::read_u16(&out[2..4]));
            let parsed = parse_reconfig(&out[4..len]).next().unwrap().unwrap();
            let (number, back) = match parsed {
                Reconfig::OutgoingReset {
                    request,
                    response,
                    last_tsn,
                    streams,
                } => {
                    assert_eq!(response, RequestNumber(4));
                    let streams = streams.iter().collect();
                    (request, Request::OutgoingReset { last_tsn, streams })
                }
                Reconfig::IncomingReset { request, streams } => {
                    assert_eq!(
                        streams.is_all(),
                        request.0 == 0 || streams.iter().next().is_none()
                    );
                    (request, Request::IncomingReset(streams.iter().collect()))
                }
                Reconfig::AssociationReset { request } => (request, Request::AssociationReset),
                Reconfig::AddOutgoing { request, count } => (request, Request::AddOutgoing(count)),
                Reconfig::AddIncoming { request, count } => (request, Request::AddIncoming(count)),
                Reconfig::Response { .. } => panic!("{parsed:?}"),
            };
            assert_eq!((number, back), (RequestNumber(u32::MAX), request));
        }
    }

    #[test]
    fn responses_round_trip_and_short_ones_are_refused() {
        let plain = Response {
            number: RequestNumber(5),
            result: ResetResult::IN_PROGRESS,
            next: None,
            joined: false,
        };
        let with_numbers = Response {
            next: Some([Tsn(7), Tsn(8)]),
            ..plain
        };
        let mut out = Vec::new();
        write_responses(&mut out, [with_numbers, plain].into_iter());
        assert_eq!(out.len(), RESPONSE_CHUNK_LEN + 12);
        let parsed: Vec<_> = parse_reconfig(&out[4..]).map(Option::unwrap).collect();
        let expected = [with_numbers, plain].map(|response| Reconfig::Response {
            response: response.number,
            result: response.result,
            next: response.next,
        });
        assert_eq!(parsed, expected);
        let mut out = Vec::new();
        write_responses(&mut out, std::iter::once(plain));
        for end in 5..out.len() {
            assert!(parse_reconfig(&out[4..end]).all(|parameter| parameter.is_none()));
        }
    }
}
