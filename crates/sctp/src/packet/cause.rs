//! Error causes (RFC 9260, section 3.3.10) and the two chunks that carry them, ERROR and ABORT.

use byteorder::{BigEndian, ByteOrder};

use super::write_chunk;
use crate::types::{StreamId, Tsn};

/// Cause codes that are read here.
pub(crate) mod code {
    pub(crate) const STALE_COOKIE: u16 = 3;
    pub(crate) const USER_INITIATED_ABORT: u16 = 12;
}

/// An error cause to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause<'a> {
    InvalidStream(StreamId),
    MissingParameters(&'a [u16]),
    /// How much too late the cookie came, in microseconds.
    StaleCookie(u32),
    OutOfResource,
    /// The Host Name Address parameter that cannot be used.
    UnresolvableAddress(&'a [u8]),
    /// The whole chunk.
    UnrecognizedChunk(&'a [u8]),
    InvalidMandatoryParameter,
    /// Whole parameters, one after the other.
    UnrecognizedParameters(&'a [u8]),
    NoUserData(Tsn),
    CookieWhileShuttingDown,
    UserInitiatedAbort(&'a str),
    ProtocolViolation(&'a str),
}

impl Cause<'_> {
    /// Appends the cause, padded.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut number = [0; 4];
        let (code, info): (u16, &[u8]) = match *self {
            Cause::InvalidStream(stream) => {
                BigEndian::write_u16(&mut number, stream.0);
                (1, &number)
            }
            Cause::MissingParameters(kinds) => {
                let mut info = u32::try_from(kinds.len()).unwrap_or(0).to_be_bytes().to_vec();
                info.extend(kinds.iter().flat_map(|kind| kind.to_be_bytes()));
                return super::parameter::write_parameter(out, 2, &info);
            }
            Cause::StaleCookie(staleness) => {
                number = staleness.to_be_bytes();
                (code::STALE_COOKIE, &number)
            }
            Cause::OutOfResource => (4, &[]),
            Cause::UnresolvableAddress(address) => (5, address),
            Cause::UnrecognizedChunk(chunk) => (6, chunk),
            Cause::InvalidMandatoryParameter => (7, &[]),
            Cause::UnrecognizedParameters(parameters) => (8, parameters),
            Cause::NoUserData(tsn) => {
                number = tsn.0.to_be_bytes();
                (9, &number)
            }
            Cause::CookieWhileShuttingDown => (10, &[]),
            Cause::UserInitiatedAbort(reason) => (code::USER_INITIATED_ABORT, reason.as_bytes()),
            Cause::ProtocolViolation(reason) => (13, reason.as_bytes()),
        };
        // A cause has the same shape as a parameter: code, length without padding, value.
        super::parameter::write_parameter(out, code, info);
    }

    /// Appends an ERROR or ABORT chunk with this one cause.
    pub(crate) fn write_chunk(&self, out: &mut Vec<u8>, kind: u8, flags: u8) {
        write_chunk(out, kind, flags, |out| self.write(out));
    }
}

/// A received cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceivedCause<'a> {
    pub(crate) code: u16,
    pub(crate) info: &'a [u8],
}

/// The causes of an ERROR or ABORT chunk, as far as they can be read.
pub(crate) fn causes(value: &[u8]) -> impl Iterator<Item = ReceivedCause<'_>> {
    super::parameter::Parameters(value)
        .map_while(Result::ok)
        .map(|cause| ReceivedCause {
            code: cause.kind,
            info: cause.value,
        })
}

/// The name of a cause code, for people.
pub(crate) fn name(code: u16) -> &'static str {
    match code {
        1 => "invalid stream identifier",
        2 => "missing mandatory parameter",
        3 => "stale cookie",
        4 => "out of resource",
        5 => "unresolvable address",
        6 => "unrecognized chunk type",
        7 => "invalid mandatory parameter",
        8 => "unrecognized parameters",
        9 => "no user data",
        10 => "cookie received while shutting down",
        11 => "restart of an association with new addresses",
        12 => "user-initiated abort",
        13 => "protocol violation",
        _ => "unknown cause",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::kind;

    #[test]
    fn every_cause_round_trips_with_its_code() {
        let all = [
            (1, Cause::InvalidStream(StreamId(9))),
            (2, Cause::MissingParameters(&[7])),
            (3, Cause::StaleCookie(1500)),
            (4, Cause::OutOfResource),
            (5, Cause::UnresolvableAddress(&[0, 11, 0, 5, 1])),
            (6, Cause::UnrecognizedChunk(&[255, 0, 0, 4])),
            (7, Cause::InvalidMandatoryParameter),
            (8, Cause::UnrecognizedParameters(&[0xc0, 1, 0, 4])),
            (9, Cause::NoUserData(Tsn(77))),
            (10, Cause::CookieWhileShuttingDown),
            (12, Cause::UserInitiatedAbort("bye")),
            (13, Cause::ProtocolViolation("no")),
        ];
        let mut out = Vec::new();
        write_chunk(&mut out, kind::ERROR, 0, |out| {
            all.iter().for_each(|(_, cause)| cause.write(out))
        });
        let parsed: Vec<_> = causes(&out[4..]).collect();
        assert_eq!(
            parsed.iter().map(|cause| cause.code).collect::<Vec<_>>(),
            all.map(|(code, _)| code)
        );
        assert_eq!(parsed[0].info, [0, 9, 0, 0]);
        assert_eq!(parsed[1].info, [0, 0, 0, 1, 0, 7]);
        assert_eq!(parsed[10].info, b"bye");
    }
}
