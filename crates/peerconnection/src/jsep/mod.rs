//! Offers and answers (RFC 9429, "JSEP"; RFC 3264; RFC 9143) as pure functions over a plain [`State`].
//!
//! - [`create_offer`] and [`create_answer`] read the state and make a description; they change nothing.
//! - [`apply_local`] and [`apply_remote`] take a description of either side into the state and answer
//!   [`Applied`]: what the transport, the data channels and each transceiver now have to do. On an error the
//!   state is as it was.
//! - [`negotiation_needed`] says whether a new offer would change anything.
//! - [`with_candidates`] puts the gathered candidates into a local description.
//!
//! All sections share one transport: offers put everything into one BUNDLE, answers reject what stands outside.

mod answer;
mod apply;
mod associate;
mod bundle;
mod candidates;
mod codec;
mod error;
mod extension;
mod h264;
mod needed;
mod negotiated;
mod numbers;
mod offer;
mod rollback;
mod state;
#[cfg(test)]
mod tests;
mod transceiver;
mod write;

pub use answer::create_answer;
pub use apply::{apply_local, apply_remote};
pub use candidates::with_candidates;
pub use codec::{CodecCapability, Codecs, FeedbackFlags, NegotiatedCodec};
pub use dunlin_sdp::Direction;
pub use error::JsepError;
pub use extension::{HeaderExtension, HeaderExtensions};
pub use needed::negotiation_needed;
pub use negotiated::{
    Applied, DataSection, DtlsRole, MediaSection, ReceiveParameters, RemoteTransport, SendParameters,
    TrackAdded,
};
pub use offer::create_offer;
pub use state::{LocalTransport, Settings, State};
pub use transceiver::{MediaKind, Transceiver, TransceiverId, TransceiverInit};
