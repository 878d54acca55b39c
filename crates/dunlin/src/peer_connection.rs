//! The handle of a connection.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use dunlin_net::Path;
use dunlin_peerconnection as peer;
use dunlin_peerconnection::{
    ConnectionState, DataChannelInit, IceConnectionState, IceGatheringState, IceReport, MediaKind,
    SignalingState, Stats, TransceiverError, TransceiverId, TransceiverInit,
};

use crate::config::Config;
use crate::core::{Connection, Core};
use crate::data_channel::DataChannel;
use crate::description::{IceCandidate, SessionDescription};
use crate::endpoint::Endpoint;
use crate::error::{AddCandidateError, BindError, ConnectionError, CreateChannelError, DescriptionError};
use crate::event::Events;
use crate::ice_server::{self, IceServer};
use crate::tls::{Tls, TlsRoots};
use crate::track::Transceiver;

/// A WebRTC peer connection (W3C webrtc-pc).
///
/// Cloning makes another handle. Channels, tracks, transceivers and [`Events`] are handles too: when the last
/// one of any kind is dropped, the connection is closed and the peer is told.
#[derive(Clone)]
pub struct PeerConnection {
    pub(crate) connection: Arc<Connection>,
}

impl PeerConnection {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.connection.core
    }

    /// Makes a connection with sockets of its own.
    ///
    /// Cancel-safe: a dropped future leaves nothing behind. It waits only for the names of STUN and TURN servers, 5 s
    /// at most.
    ///
    /// # Errors
    /// When the system refuses a socket, the host has no address, the URL of a server is malformed, or its credentials
    /// are missing.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn bind(config: Config) -> Result<(Self, Events), BindError> {
        // The endpoint's own handle goes at once: its sockets live as long as the connection.
        Endpoint::bind(config.sockets.clone())
            .await?
            .make(config, true)
            .await
    }

    /// Applies the peer's offer or answer.
    ///
    /// # Errors
    /// When the description is malformed or does not fit the signalling state. The connection is as it was.
    pub fn set_remote_description(&self, description: SessionDescription) -> Result<(), DescriptionError> {
        self.core()
            .command(|state, now| state.peer.set_remote_description(now, description.into()))
    }

    /// Makes the offer or the answer that is due, applies it and returns it for the peer.
    ///
    /// # Errors
    /// When nothing can be made now: the connection is closed, or an answer from the peer is due.
    pub fn set_local_description(&self) -> Result<SessionDescription, DescriptionError> {
        let made = self
            .core()
            .command(|state, now| state.peer.set_local_description(now, None))?;
        Ok(made.into())
    }

    /// Applies a description of our own: one that was changed after `create_offer`, or a rollback.
    ///
    /// # Errors
    /// When the description is malformed or does not fit the signalling state. The connection is as it was.
    pub fn apply_local_description(
        &self,
        description: SessionDescription,
    ) -> Result<SessionDescription, DescriptionError> {
        let description = Some(description.into());
        let made = self
            .core()
            .command(|state, now| state.peer.set_local_description(now, description))?;
        Ok(made.into())
    }

    /// An offer for the connection as it is, not applied.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn create_offer(&self) -> Result<SessionDescription, DescriptionError> {
        Ok(self.core().lock().peer.create_offer()?.into())
    }

    /// An answer to the offer that was set, not applied.
    ///
    /// # Errors
    /// When there is no offer to answer.
    pub fn create_answer(&self) -> Result<SessionDescription, DescriptionError> {
        Ok(self.core().lock().peer.create_answer()?.into())
    }

    /// The local description with the candidates gathered so far.
    #[must_use]
    pub fn local_description(&self) -> Option<SessionDescription> {
        self.core().lock().peer.local_description().map(Into::into)
    }

    /// The remote description.
    #[must_use]
    pub fn remote_description(&self) -> Option<SessionDescription> {
        self.core().lock().peer.remote_description().map(Into::into)
    }

    /// Adds a candidate that the peer trickled.
    ///
    /// # Errors
    /// When it is malformed, or belongs to no media section that is known.
    pub fn add_ice_candidate(&self, candidate: IceCandidate) -> Result<(), AddCandidateError> {
        self.core()
            .command(|state, now| state.peer.add_ice_candidate(now, candidate.into()))
    }

    /// Creates a data channel. It opens when the connection is up: `send` waits for that.
    ///
    /// # Errors
    /// When the options contradict each other or a limit is reached.
    pub fn create_data_channel(
        &self,
        label: &str,
        init: DataChannelInit,
    ) -> Result<DataChannel, CreateChannelError> {
        let shared = self.core().command(|state, now| {
            let id = state.peer.create_data_channel(now, label, init)?;
            state.channel(id).ok_or(CreateChannelError::Closed)
        })?;
        Ok(DataChannel::new(self.connection.clone(), shared))
    }

    /// Makes a transceiver, for the next offer.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn add_transceiver(
        &self,
        kind: MediaKind,
        init: TransceiverInit,
    ) -> Result<Transceiver, TransceiverError> {
        let shared = self.core().command(|state, _| {
            let id = state.peer.add_transceiver(kind, init)?;
            Ok::<_, TransceiverError>(state.track(id))
        })?;
        Ok(Transceiver::new(self.connection.clone(), shared))
    }

    /// The transceivers, in the order they were made.
    #[must_use]
    pub fn transceivers(&self) -> Vec<Transceiver> {
        let mut state = self.core().lock();
        let ids: Vec<TransceiverId> = state
            .peer
            .transceivers()
            .iter()
            .map(peer::Transceiver::id)
            .collect();
        ids.into_iter()
            .map(|id| Transceiver::new(self.connection.clone(), state.track(id)))
            .collect()
    }

    /// Takes new ICE credentials, which the next offer carries. What flows goes on over the old path until the
    /// new one is there.
    pub fn restart_ice(&self) {
        self.core().command(|state, now| state.peer.restart_ice(now));
    }

    /// Other STUN and TURN servers (`RTCPeerConnection.setConfiguration`), such as the same with credentials that live on:
    /// for the first description, or for the next [`restart_ice`](Self::restart_ice), which is not called here (RFC 9429,
    /// section 4.1.18). A relay in use goes on until the restart has found another path. `roots` says who may sign the
    /// certificates of servers over TLS.
    ///
    /// Cancel-safe: a dropped future has changed nothing. It waits only for the names of the servers, 5 s at most.
    ///
    /// # Errors
    /// When a URL is malformed, credentials are missing, or the roots are not understood. The servers are as they were.
    pub async fn set_ice_servers(&self, servers: &[IceServer], roots: &TlsRoots) -> Result<(), BindError> {
        let resolved = ice_server::resolve(servers).await?;
        let tls = match resolved.needs_tls() {
            true => Some(Tls::new(roots)?),
            false => None,
        };
        self.core().command(|state, now| {
            if tls.is_some() {
                state.tls = tls;
            }
            state.peer.set_ice_servers(now, resolved.into_servers());
        });
        Ok(())
    }

    /// Waits until the connection is established.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// When it failed, with a sentence that says why, or was closed.
    pub async fn connected(&self) -> Result<(), ConnectionError> {
        let core = self.core();
        let connected = core.wait(&core.changed, |state, _| match state.peer.connection_state() {
            ConnectionState::Connected => Some(Ok(())),
            _ => state.ended().map(Err),
        });
        connected.await
    }

    /// Waits until all local candidates are known: then `local_description` has them, for peers that do not
    /// trickle. Gathering begins with `set_local_description`.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// When the connection ended first.
    pub async fn gathered(&self) -> Result<(), ConnectionError> {
        let core = self.core();
        let gathered = core.wait(&core.changed, |state, _| match state.peer.ice_gathering_state() {
            IceGatheringState::Complete => Some(Ok(())),
            _ => state.ended().map(Err),
        });
        gathered.await
    }

    /// Waits until the connection has ended, and says how: it failed, the peer closed it, or this side did.
    ///
    /// Cancel-safe.
    pub async fn closed(&self) -> ConnectionError {
        let core = self.core();
        core.wait(&core.changed, |state, _| state.ended()).await
    }

    /// Ends the connection; the peer is told. Handles that remain answer that it is closed.
    pub fn close(&self) {
        self.core().command(|state, now| state.peer.close(now));
    }

    /// Where offer and answer stand.
    #[must_use]
    pub fn signaling_state(&self) -> SignalingState {
        self.core().lock().peer.signaling_state()
    }

    /// Whether all local candidates are known.
    #[must_use]
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        self.core().lock().peer.ice_gathering_state()
    }

    /// Whether ICE has a path.
    #[must_use]
    pub fn ice_connection_state(&self) -> IceConnectionState {
        self.core().lock().peer.ice_connection_state()
    }

    /// ICE and DTLS together.
    #[must_use]
    pub fn connection_state(&self) -> ConnectionState {
        self.core().lock().peer.connection_state()
    }

    /// The path that datagrams take now.
    #[must_use]
    pub fn selected_path(&self) -> Option<Path> {
        self.core().lock().peer.selected_path()
    }

    /// Why the connection failed or was closed by the peer, once it was.
    #[must_use]
    pub fn failure(&self) -> Option<ConnectionError> {
        self.core().lock().ended()
    }

    /// What ICE has tried: STUN and TURN servers and what became of them, candidates, pairs. After a failure, as it was
    /// when ICE failed. Its `Display` is for a person.
    #[must_use]
    pub fn ice_report(&self) -> IceReport {
        self.core().lock().peer.ice_report(Instant::now())
    }

    /// Numbers about everything, now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core().lock().peer.stats(Instant::now())
    }
}

impl fmt::Debug for PeerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerConnection({:?})", self.core().lock().peer)
    }
}
