//! Media as RTP packets: transceivers, their senders and their receivers.

use std::sync::Arc;
use std::time::Instant;

use dunlin_peerconnection as peer;
use dunlin_peerconnection::{
    CodecCapability, Direction, MediaKind, NegotiatedCodec, OutgoingPacket, RtpPacket, TransceiverError,
};

use crate::core::{Connection, Core, State};
use crate::track_state::{Listening, TrackShared};

/// What the peer wants of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feedback {
    /// A key frame (PLI or FIR).
    KeyframeRequest,
}

/// A sender and a receiver that share a media section (webrtc-pc, section 5.4).
///
/// It is a handle: while it lives, the connection does. Dropping it does not stop the transceiver.
#[derive(Debug, Clone)]
pub struct Transceiver {
    connection: Arc<Connection>,
    shared: Arc<TrackShared>,
}

impl Transceiver {
    pub(crate) fn new(connection: Arc<Connection>, shared: Arc<TrackShared>) -> Self {
        Self { connection, shared }
    }

    fn core(&self) -> &Core {
        &self.connection.core
    }

    fn read<T>(&self, read: impl FnOnce(&peer::Transceiver) -> T) -> Option<T> {
        self.core().lock().peer.transceiver(self.shared.id).map(read)
    }

    /// Audio or video.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        // A transceiver lives as long as its connection.
        self.read(peer::Transceiver::kind).unwrap_or(MediaKind::Audio)
    }

    /// The identification of its media section, once there is one.
    #[must_use]
    pub fn mid(&self) -> Option<String> {
        self.read(|transceiver| transceiver.mid().map(str::to_owned))
            .flatten()
    }

    /// The direction that is wanted.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.read(peer::Transceiver::direction)
            .unwrap_or(Direction::Inactive)
    }

    /// The direction that was negotiated last.
    #[must_use]
    pub fn current_direction(&self) -> Option<Direction> {
        self.read(peer::Transceiver::current_direction).flatten()
    }

    /// Sets the wanted direction; it counts from the next offer or answer on.
    ///
    /// # Errors
    /// When the transceiver is stopped.
    pub fn set_direction(&self, direction: Direction) -> Result<(), TransceiverError> {
        let id = self.shared.id;
        self.core()
            .command(|state, _| state.peer.set_direction(id, direction))
    }

    /// Sets the codecs to use, in order of preference; empty for all of the connection's. It counts from the next
    /// offer or answer on.
    ///
    /// # Errors
    /// When the transceiver is stopped.
    pub fn set_codec_preferences(&self, codecs: Vec<CodecCapability>) -> Result<(), TransceiverError> {
        let id = self.shared.id;
        self.core()
            .command(|state, _| state.peer.set_codec_preferences(id, codecs))
    }

    /// Ends it. The peer learns of it from the next offer.
    ///
    /// # Errors
    /// When it is stopped already.
    pub fn stop(&self) -> Result<(), TransceiverError> {
        let id = self.shared.id;
        self.core().command(|state, _| state.peer.stop_transceiver(id))
    }

    /// What sends on it.
    #[must_use]
    pub fn sender(&self) -> TrackSender {
        TrackSender {
            transceiver: self.clone(),
        }
    }

    /// What receives on it. Packets are kept from now on.
    #[must_use]
    pub fn receiver(&self) -> TrackReceiver {
        TrackReceiver::new(
            self.connection.clone(),
            Listening::new(self.shared.clone()),
            Vec::new(),
        )
    }
}

/// Sends RTP packets on a transceiver.
#[derive(Debug, Clone)]
pub struct TrackSender {
    transceiver: Transceiver,
}

impl TrackSender {
    /// The codecs that were negotiated for sending, with their payload types.
    #[must_use]
    pub fn codecs(&self) -> Vec<NegotiatedCodec> {
        let Transceiver { connection, shared } = &self.transceiver;
        connection
            .core
            .lock()
            .peer
            .send_parameters(shared.id)
            .map(|p| p.codecs.clone())
            .unwrap_or_default()
    }

    /// Queues a packet. It never waits: media that cannot be sent now is late anyway.
    ///
    /// # Errors
    /// When sending was not negotiated, the payload type is not one of `codecs`, or too many packets wait.
    pub fn send_packet(&self, packet: OutgoingPacket) -> Result<(), TransceiverError> {
        let Transceiver { connection, shared } = &self.transceiver;
        connection
            .core
            .lock()
            .peer
            .send_rtp(Instant::now(), shared.id, packet)?;
        connection.core.wake_driver();
        Ok(())
    }

    /// What the peer wants; `None` when the connection has ended. Requests that came since the last call
    /// are one.
    ///
    /// Cancel-safe: feedback is taken only as it is returned.
    pub async fn feedback(&self) -> Option<Feedback> {
        let Transceiver { connection, shared } = &self.transceiver;
        let feedback = connection.core.wait(&shared.feedback, |state, _| {
            if shared.take_keyframe_request() {
                return Some(Some(Feedback::KeyframeRequest));
            }
            is_over(state).then_some(None)
        });
        feedback.await
    }

    /// The transceiver it belongs to.
    #[must_use]
    pub fn transceiver(&self) -> &Transceiver {
        &self.transceiver
    }
}

/// Receives the RTP packets of a transceiver.
///
/// While no receiver of a transceiver lives, its packets are dropped as they arrive.
#[derive(Debug)]
pub struct TrackReceiver {
    connection: Arc<Connection>,
    listening: Listening,
    streams: Vec<String>,
}

impl TrackReceiver {
    pub(crate) fn new(connection: Arc<Connection>, listening: Listening, streams: Vec<String>) -> Self {
        Self {
            connection,
            listening,
            streams,
        }
    }

    /// The ids of the media streams that the peer put the track into.
    #[must_use]
    pub fn streams(&self) -> &[String] {
        &self.streams
    }

    /// The transceiver it belongs to.
    #[must_use]
    pub fn transceiver(&self) -> Transceiver {
        Transceiver::new(self.connection.clone(), self.listening.0.clone())
    }

    /// The codecs that were negotiated for receiving, with their payload types.
    #[must_use]
    pub fn codecs(&self) -> Vec<NegotiatedCodec> {
        self.connection
            .core
            .lock()
            .peer
            .receive_parameters(self.listening.0.id)
            .map(|p| p.codecs.clone())
            .unwrap_or_default()
    }

    /// The next packet; `None` when the peer stopped sending, or the connection has ended, and everything was
    /// received. Should the peer send again, there is another [`Event::Track`](crate::Event::Track).
    ///
    /// At most [`Config::track_queue`](crate::Config) packets wait; then the oldest is dropped.
    ///
    /// Cancel-safe: a packet is taken only as it is returned.
    pub async fn recv(&mut self) -> Option<RtpPacket> {
        let shared = &self.listening.0;
        // Without the connection's lock while there are packets.
        if let Some(packet) = shared.pop() {
            return Some(packet);
        }
        let received = self
            .connection
            .core
            .wait(&shared.readable, |state, _| match shared.pop() {
                Some(packet) => Some(Some(packet)),
                None => (shared.is_ended() || is_over(state)).then_some(None),
            });
        received.await
    }

    /// Asks the peer for a key frame.
    ///
    /// # Errors
    /// When the transceiver is stopped.
    pub fn request_keyframe(&self) -> Result<(), TransceiverError> {
        let id = self.listening.0.id;
        self.connection
            .core
            .command(|state, now| state.peer.request_keyframe(now, id))
    }

    /// How many packets were dropped because nobody took them in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.listening.0.dropped()
    }
}

/// Nothing comes any more. A connection that failed may come back by an ICE restart.
fn is_over(state: &State) -> bool {
    state.detached || state.peer.is_closed()
}
