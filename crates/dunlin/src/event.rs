//! What a connection tells its owner, as one owned stream.

use std::sync::Arc;

use dunlin_peerconnection as peer;
use dunlin_peerconnection::{
    ConnectionState, IceConnectionState, IceGatheringState, ServerReport, SignalingState,
};

use crate::core::{Connection, RawEvent};
use crate::data_channel::DataChannel;
use crate::description::IceCandidate;
use crate::track::TrackReceiver;

/// What happened to a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A local candidate to signal; an empty `candidate` ends them.
    IceCandidate(IceCandidate),
    /// The peer opened a data channel. Dropping it closes it.
    DataChannel(DataChannel),
    /// The peer sends media. Dropping the receiver drops the packets; the media is still negotiated.
    Track(TrackReceiver),
    /// A new offer would change the session (webrtc-pc, section 4.7.3).
    NegotiationNeeded,
    /// Offer and answer moved on.
    SignalingState(SignalingState),
    /// Gathering moved on.
    IceGatheringState(IceGatheringState),
    /// ICE moved on.
    IceConnectionState(IceConnectionState),
    /// The aggregate of ICE and DTLS moved on.
    ConnectionState(ConnectionState),
    /// A STUN or TURN server gave no candidate, or a TURN server relays no more (`icecandidateerror`). The connection
    /// may do without it.
    IceServerFailed(ServerReport),
    /// The connection failed: why, in words that its user can act on. When ICE found no path, lines follow that tell
    /// the servers, the candidates and the pairs.
    Failed(String),
    /// The peer ended the connection: why, in words.
    ClosedByPeer(String),
}

/// The events of one connection, in order. There is one such stream per connection.
///
/// It is a handle: while it lives, the connection does. Once it is dropped, data channels that the peer opens
/// are closed at once.
#[derive(Debug)]
pub struct Events {
    connection: Arc<Connection>,
}

impl Events {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    /// The next event; `None` when the connection is closed and everything was told.
    ///
    /// Cancel-safe: an event is taken only as it is returned.
    pub async fn next(&mut self) -> Option<Event> {
        let core = &self.connection.core;
        loop {
            let raw = core
                .wait(&core.events, |state, _| match state.next_event() {
                    Some(raw) => Some(Some(raw)),
                    None => (state.peer.is_closed() || state.detached).then_some(None),
                })
                .await?;
            if let Some(event) = self.public(raw) {
                return Some(event);
            }
        }
    }

    fn public(&self, raw: RawEvent) -> Option<Event> {
        Some(match raw {
            RawEvent::DataChannel(shared) => {
                Event::DataChannel(DataChannel::new(self.connection.clone(), shared))
            }
            RawEvent::Track(listening, streams) => {
                Event::Track(TrackReceiver::new(self.connection.clone(), listening, streams))
            }
            RawEvent::Plain(event) => match event {
                peer::Event::IceCandidate(candidate) => Event::IceCandidate(candidate.into()),
                peer::Event::NegotiationNeeded => Event::NegotiationNeeded,
                peer::Event::SignalingState(state) => Event::SignalingState(state),
                peer::Event::IceGatheringState(state) => Event::IceGatheringState(state),
                peer::Event::IceConnectionState(state) => Event::IceConnectionState(state),
                peer::Event::ConnectionState(state) => Event::ConnectionState(state),
                peer::Event::ServerFailed(report) => Event::IceServerFailed(report),
                peer::Event::Failed(reason) => Event::Failed(reason),
                peer::Event::ClosedByPeer(reason) => Event::ClosedByPeer(reason),
                _ => return None,
            },
        })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let events = self.connection.core.command(|state, now| {
            state.deaf = true;
            let events = std::mem::take(&mut state.events);
            for event in &events {
                // Channels that nobody will ever have a handle of.
                if let RawEvent::DataChannel(channel) = event {
                    state.channels.remove(&channel.id);
                    state.peer.close_channel(now, channel.id);
                    state.peer.forget_channel(channel.id);
                }
            }
            events
        });
        drop(events);
    }
}
