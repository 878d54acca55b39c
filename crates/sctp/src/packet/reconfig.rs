//! RE-CONFIG (RFC 6525, sections 3 and 4): requests and responses about streams.

use byteorder::{BigEndian, ByteOrder};

use super::parameter::{Parameters, write_parameter};
use super::{kind, write_chunk};
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
    },
    AddOutgoing {
        request: RequestNumber,
        count: u16,
    },
    AddIncoming {
        request: RequestNumber,
    },
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
            },
            parameter_kind::ADD_OUTGOING => Reconfig::AddOutgoing {
                request,
                count: BigEndian::read_u16(value.get(4..6)?),
            },
            parameter_kind::ADD_INCOMING => Reconfig::AddIncoming { request },
            _ => return None,
        })
    })
}

/// Bytes of a RE-CONFIG chunk with an Outgoing SSN Reset Request, before the streams.
pub(crate) const OUTGOING_RESET_MIN_LEN: usize = 4 + 16;
/// Bytes of a RE-CONFIG chunk with one response.
pub(crate) const RESPONSE_LEN: usize = 4 + 12;

/// Appends a RE-CONFIG chunk with an Outgoing SSN Reset Request.
pub(crate) fn write_outgoing_reset(
    out: &mut Vec<u8>,
    request: RequestNumber,
    response: RequestNumber,
    last_tsn: Tsn,
    streams: &[StreamId],
) {
    let mut value = Vec::with_capacity(12 + 2 * streams.len());
    for number in [request.0, response.0, last_tsn.0] {
        value.extend_from_slice(&number.to_be_bytes());
    }
    for stream in streams {
        value.extend_from_slice(&stream.0.to_be_bytes());
    }
    write_chunk(out, kind::RE_CONFIG, 0, |out| {
        write_parameter(out, parameter_kind::OUTGOING_RESET, &value);
    });
}

/// Appends a RE-CONFIG chunk with a response.
pub(crate) fn write_response(out: &mut Vec<u8>, response: RequestNumber, result: ResetResult) {
    let mut value = [0; 8];
    BigEndian::write_u32(&mut value[0..4], response.0);
    BigEndian::write_u32(&mut value[4..8], result.0);
    write_chunk(out, kind::RE_CONFIG, 0, |out| {
        write_parameter(out, parameter_kind::RESPONSE, &value)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outgoing_reset_round_trips() {
        let mut out = Vec::new();
        let ids = [StreamId(1), StreamId(2), StreamId(3)];
        write_outgoing_reset(&mut out, RequestNumber(5), RequestNumber(4), Tsn(99), &ids);
        assert_eq!(out.len() % 4, 0);
        match parse_reconfig(&out[4..26]).next() {
            Some(Some(Reconfig::OutgoingReset {
                request,
                last_tsn,
                streams,
            })) => {
                assert_eq!((request, last_tsn), (RequestNumber(5), Tsn(99)));
                assert_eq!(streams.iter().collect::<Vec<_>>(), ids);
                assert!(!streams.is_all());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_response_round_trips_and_short_ones_are_refused() {
        let mut out = Vec::new();
        write_response(&mut out, RequestNumber(5), ResetResult::IN_PROGRESS);
        assert_eq!(out.len(), RESPONSE_LEN);
        assert_eq!(
            parse_reconfig(&out[4..]).next(),
            Some(Some(Reconfig::Response {
                response: RequestNumber(5),
                result: ResetResult::IN_PROGRESS
            }))
        );
        for end in 5..out.len() {
            assert!(parse_reconfig(&out[4..end]).all(|parameter| parameter.is_none()));
        }
    }
}
