//! Why a description is refused (RFC 9429 sections 5.7 to 5.11). The state is as it was before.

use crate::description::SdpType;
use crate::state::SignalingState;

/// A description, or a wish for one, that cannot be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsepError {
    /// RFC 9429 section 5.5: each type has the states it may come in.
    #[error("{side} {kind} in state {state}")]
    WrongState {
        /// `local` or `remote`.
        side: &'static str,
        /// The type of the description.
        kind: SdpType,
        /// Where signalling stands.
        state: SignalingState,
    },
    /// RFC 3264 section 6: an answer has as many m-lines as its offer.
    #[error("the offer has {offer} m-lines, the answer has {answer}")]
    MLineCount {
        /// In the offer.
        offer: usize,
        /// In the answer.
        answer: usize,
    },
    /// RFC 3264 section 8: m-lines never disappear.
    #[error("the session has {before} m-lines, the offer has {now}")]
    MLinesRemoved {
        /// Before the offer.
        before: usize,
        /// In the offer.
        now: usize,
    },
    /// The m-line is of another kind than the one it answers or replaces.
    #[error("m-line {index} is {found}, it was {expected}")]
    MediaChanged {
        /// The position of the m-line, counted from 0.
        index: usize,
        /// The kind it has to be.
        expected: String,
        /// The kind it is.
        found: String,
    },
    /// The m-line has another mid than the one it answers or replaces.
    #[error("m-line {index} has mid {found:?}, it was {expected:?}")]
    MidChanged {
        /// The position of the m-line, counted from 0.
        index: usize,
        /// The mid it has to have.
        expected: String,
        /// The mid it has.
        found: String,
    },
    /// RFC 5888 section 4: a mid is unique.
    #[error("mid {0:?} stands in two sections")]
    DuplicateMid(String),
    /// RFC 3264 section 6: what was offered with port zero is answered with port zero.
    #[error("m-line {index} was rejected in the offer and is accepted in the answer")]
    NotRejected {
        /// The position of the m-line, counted from 0.
        index: usize,
    },
    /// The m-line's transport is not one that is spoken here.
    #[error("m-line {index}: protocol {protocol:?} is not supported")]
    Protocol {
        /// The position of the m-line, counted from 0.
        index: usize,
        /// What stands there.
        protocol: String,
    },
    /// Neither the section nor the session has `a=ice-ufrag` and `a=ice-pwd`.
    #[error("m-line {index}: no ice-ufrag and ice-pwd")]
    NoIceCredentials {
        /// The position of the m-line, counted from 0.
        index: usize,
    },
    /// RFC 9429 section 5.8.2: a section without fingerprint is not acceptable.
    #[error("m-line {index}: no fingerprint")]
    NoFingerprint {
        /// The position of the m-line, counted from 0.
        index: usize,
    },
    /// `a=setup` has a value that is not allowed here (RFC 8842 section 5).
    #[error("m-line {index}: setup:{value} is not allowed in {kind}")]
    Setup {
        /// The position of the m-line, counted from 0.
        index: usize,
        /// What stands there.
        value: &'static str,
        /// The type of the description.
        kind: SdpType,
    },
    /// RFC 5761; WebRTC does without a second port for RTCP.
    #[error("m-line {index}: no rtcp-mux")]
    NoRtcpMux {
        /// The position of the m-line, counted from 0.
        index: usize,
    },
    /// RFC 8842 section 4: another certificate is another DTLS association, which needs an ICE restart with it.
    #[error("m-line {index}: the fingerprint changed without an ICE restart")]
    FingerprintChanged {
        /// The position of the m-line, counted from 0.
        index: usize,
    },
    /// A local description has a section that no transceiver is for.
    #[error("m-line {index}: no transceiver for this {kind} section")]
    NoTransceiver {
        /// The position of the m-line, counted from 0.
        index: usize,
        /// Its kind.
        kind: String,
    },
    /// More m-lines than are handled.
    #[error("{count} m-lines, at most {limit} are handled")]
    TooManySections {
        /// In the description.
        count: usize,
        /// The bound.
        limit: usize,
    },
}
