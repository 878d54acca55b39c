//! Descriptions and candidates: from signalling into JSEP's state, and from there to the transport.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dunlin_dtls::{Certificate, Fingerprint, HashAlgorithm, PeerIdentity, Role};
use dunlin_ice::{Candidate, Credentials, Renomination};
use dunlin_net::Transport as NetTransport;
use log::{debug, info};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::PeerConnection;
use crate::config::Config;
use crate::data_channel_table::Parity;
use crate::description::{CandidateInit, SdpType, SessionDescription};
use crate::error::{AddCandidateError, DescriptionError};
use crate::event::Event;
use crate::jsep::{self, Applied, DtlsRole, LocalTransport, RemoteTransport, Settings, State, TrackAdded};
use crate::state::{IceGatheringState, SignalingState};
use crate::transport::DtlsParameters;

/// The SCTP port of both sides unless the peer says otherwise (RFC 8841, section 5).
const SCTP_PORT: u16 = 5000;

/// What the data section says.
#[derive(Debug, Clone)]
pub(crate) struct SctpParameters {
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    /// The largest message the peer takes, 0 for any.
    pub(crate) max_message_size: usize,
}

/// A remote transport that was understood: nothing in it can fail any more.
#[derive(Debug, Clone)]
struct Remote {
    credentials: Credentials,
    lite: bool,
    renomination: Option<Renomination>,
    pacing: Option<Duration>,
    fingerprints: Vec<Fingerprint>,
    candidates: Vec<Candidate>,
    end_of_candidates: bool,
}

/// Where negotiation stands, and what is known of the peer but not used yet.
#[derive(Debug)]
pub(crate) struct Negotiation {
    pub(crate) jsep: State,
    fingerprint: String,
    pub(crate) local_addresses: Vec<(SocketAddr, NetTransport)>,
    pub(crate) sctp: Option<SctpParameters>,
    /// From the remote offer that waits for our answer.
    pending_remote: Option<Remote>,
    role_decided: bool,
    needed_told: bool,
}

/// A copy of a setting that is not as the default.
fn unless_default<T: Clone + Default + PartialEq>(setting: &T) -> Option<Box<T>> {
    (*setting != T::default()).then(|| Box::new(setting.clone()))
}

impl Negotiation {
    pub(crate) fn new(config: &Config, certificate: &Certificate, cname: &str, rng: &mut StdRng) -> Self {
        let settings = Settings {
            codecs: unless_default(&config.codecs),
            header_extensions: unless_default(&config.header_extensions),
            answer_setup: config.answer_setup,
            cname: cname.to_owned(),
            max_message_size: config.max_message_size as u64,
            ice_lite: config.ice_lite,
            // "the value of <sess-id> ... a 64-bit signed integer, ... positive" (RFC 9429, section 5.2.1).
            session_id: rng.random::<u64>() >> 2,
            ..Settings::default()
        };
        Self {
            jsep: State::new(settings, rng.random()),
            fingerprint: certificate.fingerprint(HashAlgorithm::Sha256).to_string(),
            local_addresses: Vec::new(),
            sctp: None,
            pending_remote: None,
            role_decided: false,
            needed_told: false,
        }
    }

    pub(crate) fn state(&self) -> SignalingState {
        self.jsep.signaling()
    }
}

impl PeerConnection {
    /// An offer for the connection as it is. Nothing changes until it is set.
    ///
    /// # Errors
    /// When the connection is closed, or an offer cannot be made now.
    pub fn create_offer(&self) -> Result<SessionDescription, DescriptionError> {
        self.check_open()?;
        let sdp = jsep::create_offer(&self.negotiation.jsep, &self.local_transport())?;
        Ok(SessionDescription {
            kind: SdpType::Offer,
            sdp: sdp.to_string(),
        })
    }

    /// An answer to the remote offer. Nothing changes until it is set.
    ///
    /// # Errors
    /// When the connection is closed, or there is no remote offer.
    pub fn create_answer(&self) -> Result<SessionDescription, DescriptionError> {
        self.check_open()?;
        let sdp = jsep::create_answer(&self.negotiation.jsep, &self.local_transport())?;
        Ok(SessionDescription {
            kind: SdpType::Answer,
            sdp: sdp.to_string(),
        })
    }

    /// Applies a local description; without one, makes the offer or answer that is due (webrtc-pc, section
    /// 4.4.1.5). Answers with what was applied, candidates known so far included.
    ///
    /// # Errors
    /// When it does not fit the state or is malformed; the connection is as it was.
    pub fn set_local_description(
        &mut self,
        now: Instant,
        description: Option<SessionDescription>,
    ) -> Result<SessionDescription, DescriptionError> {
        self.check_open()?;
        let now = self.advance(now);
        let description = match description {
            Some(description) => description,
            None => match self.signaling_state() {
                SignalingState::Stable
                | SignalingState::HaveLocalOffer
                | SignalingState::HaveRemotePranswer => self.create_offer()?,
                _ => self.create_answer()?,
            },
        };
        let before = self.signaling_state();
        let sdp = parse(&description)?;
        let mut state = self.negotiation.jsep.clone();
        let applied = jsep::apply_local(&mut state, description.kind, &sdp)?;
        self.negotiation.jsep = state;
        self.tell_signaling(before);
        if description.kind != SdpType::Rollback {
            self.decide_ice_role(description.kind == SdpType::Offer);
            self.start_gathering(now);
        }
        let remote = match description.kind {
            SdpType::Answer | SdpType::Pranswer => self.negotiation.pending_remote.take(),
            _ => None,
        };
        self.apply(now, applied, remote);
        self.pump(now);
        Ok(self.local_description().unwrap_or(description))
    }

    /// Applies a remote description.
    ///
    /// # Errors
    /// When it does not fit the state or is malformed; the connection is as it was.
    pub fn set_remote_description(
        &mut self,
        now: Instant,
        description: SessionDescription,
    ) -> Result<(), DescriptionError> {
        self.check_open()?;
        let now = self.advance(now);
        let before = self.signaling_state();
        let sdp = parse(&description)?;
        let mut state = self.negotiation.jsep.clone();
        let mut applied = jsep::apply_remote(&mut state, description.kind, &sdp)?;
        let remote = applied.transport.take().map(Remote::understand).transpose()?;
        self.negotiation.jsep = state;
        self.tell_signaling(before);
        match description.kind {
            SdpType::Offer => {
                self.decide_ice_role(false);
                if applied.ice_restart {
                    info!("the peer restarts ICE");
                    self.transport.ice.restart(now);
                }
                self.negotiation.pending_remote = remote;
                self.apply(now, applied, None);
            }
            SdpType::Rollback => {
                self.negotiation.pending_remote = None;
                self.apply(now, applied, None);
            }
            SdpType::Answer | SdpType::Pranswer => self.apply(now, applied, remote),
        }
        self.pump(now);
        Ok(())
    }

    /// Adds a candidate of the peer (webrtc-pc, section 4.4.2.3). An empty one ends the candidates.
    ///
    /// # Errors
    /// When it is no candidate, or belongs to no media section.
    pub fn add_ice_candidate(&mut self, now: Instant, init: CandidateInit) -> Result<(), AddCandidateError> {
        if self.is_closed() {
            return Err(AddCandidateError::Closed);
        }
        let now = self.advance(now);
        let Some((_, remote)) = self.negotiation.jsep.remote_description() else {
            return Err(AddCandidateError::NoRemoteDescription);
        };
        // No section's mid is empty; pion says that for "not given", and browsers take it so.
        let by_mid = init
            .sdp_mid
            .as_ref()
            .filter(|mid| !mid.is_empty())
            .map(|mid| remote.media.iter().any(|media| media.mid() == Some(mid)));
        let by_index = init
            .sdp_m_line_index
            .map(|index| usize::from(index) < remote.media.len());
        // "If sdpMid is not null ... If it does not match, reject" (webrtc-pc, section 4.4.2.3); an end of
        // candidates may name nothing.
        if !by_mid.or(by_index).unwrap_or(init.candidate.is_empty()) {
            return Err(AddCandidateError::NoSuchSection {
                mid: init.sdp_mid,
                index: init.sdp_m_line_index,
            });
        }
        if init.candidate.is_empty() {
            match &mut self.negotiation.pending_remote {
                Some(pending) => pending.end_of_candidates = true,
                None => self.transport.ice.end_of_remote_candidates(now),
            }
        } else {
            let candidate: Candidate =
                init.candidate
                    .parse()
                    .map_err(
                        |error: dunlin_ice::ParseCandidateError| AddCandidateError::Malformed {
                            candidate: init.candidate.clone(),
                            reason: error.to_string(),
                        },
                    )?;
            match &mut self.negotiation.pending_remote {
                Some(pending) => pending.candidates.push(candidate),
                None => self.add_remote_candidate(now, candidate),
            }
        }
        self.pump(now);
        Ok(())
    }

    /// The pending or else the current local description, with the candidates gathered so far.
    #[must_use]
    pub fn local_description(&self) -> Option<SessionDescription> {
        let (kind, sdp) = self.negotiation.jsep.local_description()?;
        let sdp = jsep::with_candidates(sdp, &self.local_transport());
        Some(SessionDescription {
            kind,
            sdp: sdp.to_string(),
        })
    }

    /// The pending or else the current remote description.
    #[must_use]
    pub fn remote_description(&self) -> Option<SessionDescription> {
        let (kind, sdp) = self.negotiation.jsep.remote_description()?;
        Some(SessionDescription {
            kind,
            sdp: sdp.to_string(),
        })
    }

    /// Takes new ICE credentials, which the next offer carries (webrtc-pc, section 4.4.3.2, `restartIce`).
    /// What flows goes on over the old path until the new one is there.
    pub fn restart_ice(&mut self, now: Instant) {
        if self.is_closed() {
            return;
        }
        let now = self.advance(now);
        self.transport.ice.restart(now);
        self.negotiation.jsep.set_restart_wanted();
        self.check_negotiation_needed();
        self.pump(now);
    }

    fn check_open(&self) -> Result<(), DescriptionError> {
        if self.is_closed() {
            Err(DescriptionError::Closed)
        } else {
            Ok(())
        }
    }

    fn local_transport(&self) -> LocalTransport {
        let ice = &self.transport.ice;
        let credentials = ice.local_credentials();
        LocalTransport {
            ufrag: credentials.ufrag().to_owned(),
            password: credentials.password().to_owned(),
            fingerprints: vec![self.negotiation.fingerprint.clone()],
            candidates: ice.local_candidates().map(ToString::to_string).collect(),
            end_of_candidates: self.gathering == IceGatheringState::Complete,
        }
    }

    fn tell_signaling(&mut self, before: SignalingState) {
        let state = self.signaling_state();
        if state != before {
            info!("signalling is {state}");
            self.events.push_back(Event::SignalingState(state));
        }
    }

    /// "The offerer takes the controlling role" (RFC 8445, section 6.1.1), at the first description.
    fn decide_ice_role(&mut self, offerer: bool) {
        if !self.negotiation.role_decided {
            self.negotiation.role_decided = true;
            let role = if offerer {
                dunlin_ice::Role::Controlling
            } else {
                dunlin_ice::Role::Controlled
            };
            self.transport.ice.set_role(role);
        }
    }

    fn start_gathering(&mut self, now: Instant) {
        if self.gathering != IceGatheringState::New {
            return;
        }
        self.gathering = IceGatheringState::Gathering;
        self.events.push_back(Event::IceGatheringState(self.gathering));
        for index in 0..self.negotiation.local_addresses.len() {
            let (address, transport) = self.negotiation.local_addresses[index];
            self.add_to_ice(now, address, transport);
        }
    }

    pub(crate) fn add_to_ice(&mut self, now: Instant, address: SocketAddr, transport: NetTransport) {
        if let Err(error) = self.transport.ice.add_local_address(now, address, transport) {
            debug!("the local address {address} is not used: {error}");
        }
    }

    /// Tells the owner of a local candidate; an empty one ends them.
    pub(crate) fn announce_candidate(&mut self, candidate: &str) {
        let (mid, index) = self.negotiation.jsep.bundle_tag().unwrap_or_default();
        self.events.push_back(Event::IceCandidate(CandidateInit {
            candidate: candidate.to_owned(),
            sdp_mid: Some(mid),
            sdp_m_line_index: u16::try_from(index).ok(),
            username_fragment: Some(self.local_ufrag().to_owned()),
        }));
    }

    fn add_remote_candidate(&mut self, now: Instant, candidate: Candidate) {
        if let Err(error) = self.transport.ice.add_remote_candidate(now, candidate) {
            debug!("a remote candidate is not used: {error}");
        }
    }

    /// Carries out what a description changed.
    fn apply(&mut self, now: Instant, applied: Applied, remote: Option<Remote>) {
        if let Some(remote) = remote {
            self.apply_remote_transport(now, remote, applied.dtls_role);
        }
        if let Some(data) = &applied.data
            && self.negotiation.sctp.is_none()
        {
            self.negotiation.sctp = Some(SctpParameters {
                local_port: SCTP_PORT,
                remote_port: data.remote_port,
                max_message_size: usize::try_from(data.max_message_size).unwrap_or(usize::MAX),
            });
            self.start_sctp(now);
        }
        if applied.data_rejected {
            self.channels.close_all(None, &mut self.events);
        }
        for TrackAdded { transceiver, streams } in applied.tracks_added {
            self.events.push_back(Event::Track { transceiver, streams });
        }
        for transceiver in applied.tracks_removed {
            self.events.push_back(Event::TrackEnded(transceiver));
        }
        if let Some(sections) = applied.media {
            if !sections.is_empty() {
                self.transport.want_srtp();
            }
            if let Some(media) = self.transport.media.get_mut() {
                self.tracks.apply(&sections, &self.negotiation.jsep, media);
            }
        }
        self.negotiation.needed_told = false;
        self.check_negotiation_needed();
    }

    fn apply_remote_transport(&mut self, now: Instant, remote: Remote, role: Option<DtlsRole>) {
        let ice = &mut self.transport.ice;
        if ice.remote_credentials() != Some(&remote.credentials) {
            // "If the remote agent is lite, the full agent is controlling" (RFC 8445, section 6.1.1).
            if remote.lite {
                ice.set_role(dunlin_ice::Role::Controlling);
            }
            ice.set_remote_renomination(remote.renomination);
            ice.set_remote_pacing(remote.pacing);
            ice.set_remote_credentials(remote.credentials, remote.lite);
        }
        for candidate in remote.candidates {
            self.add_remote_candidate(now, candidate);
        }
        if remote.end_of_candidates {
            self.transport.ice.end_of_remote_candidates(now);
        }
        if let Some(role) = role {
            let (role, parity) = match role {
                DtlsRole::Active => (Role::Client, Parity::Even),
                DtlsRole::Passive => (Role::Server, Parity::Odd),
            };
            self.channels.set_parity(parity, &mut self.events);
            let peer = PeerIdentity::Fingerprints(remote.fingerprints);
            self.transport.set_dtls_parameters(DtlsParameters { role, peer });
        }
    }

    /// Tells once per stable state that an offer would change something (webrtc-pc, section 4.7.3). Called by every
    /// command that may be the cause.
    pub(crate) fn check_negotiation_needed(&mut self) {
        if !self.channels.is_empty() {
            self.negotiation.jsep.set_data_wanted();
        }
        if self.negotiation.needed_told || self.signaling_state() != SignalingState::Stable {
            return;
        }
        if jsep::negotiation_needed(&self.negotiation.jsep) {
            self.negotiation.needed_told = true;
            self.events.push_back(Event::NegotiationNeeded);
        }
    }
}

impl Remote {
    /// Checks all that can be wrong before anything is changed.
    fn understand(transport: RemoteTransport) -> Result<Self, DescriptionError> {
        let credentials = Credentials::new(&transport.ufrag, &transport.password)
            .map_err(|error| DescriptionError::IceCredentials(error.to_string()))?;
        let mut refused = None;
        let mut fingerprints = Vec::new();
        for text in &transport.fingerprints {
            match text.parse::<Fingerprint>() {
                Ok(fingerprint) => fingerprints.push(fingerprint),
                // RFC 8122, section 5: a line with an unknown hash is ignored, if there is another.
                Err(error) => refused = Some(error.to_string()),
            }
        }
        if fingerprints.is_empty() {
            let reason = refused.unwrap_or_else(|| "there is none".to_owned());
            return Err(DescriptionError::Fingerprint(reason));
        }
        let mut candidates = Vec::new();
        for text in &transport.candidates {
            match text.parse() {
                Ok(candidate) => candidates.push(candidate),
                Err(error) => debug!("a candidate of the description is not used: {error}"),
            }
        }
        Ok(Self {
            credentials,
            lite: transport.ice_lite,
            renomination: transport.renomination,
            pacing: transport.ice_pacing.map(Duration::from_millis),
            fingerprints,
            candidates,
            end_of_candidates: transport.end_of_candidates,
        })
    }
}

fn parse(description: &SessionDescription) -> Result<dunlin_sdp::SessionDescription, DescriptionError> {
    if description.kind == SdpType::Rollback {
        return Ok(dunlin_sdp::SessionDescription::new(dunlin_sdp::Origin::default()));
    }
    Ok(dunlin_sdp::SessionDescription::parse(&description.sdp)?)
}
