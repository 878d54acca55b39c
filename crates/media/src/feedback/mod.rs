//! Feedback with a rhythm of its own: arrival times, and requests for key frames.

mod keyframe;
mod transport;

pub(crate) use keyframe::{IncomingKeyframeRequests, KeyframeRequests};
pub(crate) use transport::TransportRecorder;
