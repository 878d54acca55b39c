//! The one transport of a BUNDLE: ICE below, DTLS on it, SRTP and SCTP keyed by DTLS, media beside them.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use dunlin_dtls::{Certificate, CloseReason, Connection, PeerIdentity, Role};
use dunlin_ice::Agent;
use dunlin_net::{Ecn, Path, Transmit};
use dunlin_rtp::Packet;
use dunlin_sctp::Association;
use log::{debug, info, warn};

use crate::config::Config;
use crate::demux::{Class, classify};
use crate::media_session::MediaSession;
use crate::state::DtlsState;

/// The exporter label of RFC 5764, section 4.2.
const SRTP_EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// What DTLS needs to know from the descriptions before it can start.
#[derive(Debug, Clone)]
pub(crate) struct DtlsParameters {
    /// Who opens the handshake.
    pub(crate) role: Role,
    /// Whose certificate is accepted.
    pub(crate) peer: PeerIdentity,
}

/// What happened below.
#[derive(Debug)]
pub(crate) enum TransportEvent {
    Ice(dunlin_ice::Event),
    Dtls(DtlsState),
    /// The keys are there; SCTP may start.
    Secured,
    DtlsClosed(CloseReason),
    Media(dunlin_media::Event),
}

/// Datagrams that were dropped here, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportDrops {
    /// Neither DTLS nor SRTP by the first byte (RFC 9443).
    pub unknown_protocol: u64,
    /// DTLS before the descriptions were known, beyond `Config::max_early_datagrams`.
    pub early_dtls: u64,
    /// SCTP before the data section was negotiated, beyond `Config::max_early_datagrams`.
    pub early_sctp: u64,
    /// SRTP or SRTCP before the handshake was done.
    pub early_srtp: u64,
    /// SRTP or SRTCP that did not authenticate, was replayed or malformed.
    pub srtp_rejected: u64,
}

#[derive(Debug)]
enum DtlsStage {
    /// The descriptions or the path are missing; what the peer sent early is kept.
    Waiting {
        early: VecDeque<BytesMut>,
    },
    Running(Box<Connection>),
    Ended,
}

pub(crate) struct Transport {
    pub(crate) ice: Agent,
    pub(crate) sctp: Option<Association>,
    pub(crate) media: MediaSession,
    dtls: DtlsStage,
    dtls_state: DtlsState,
    parameters: Option<DtlsParameters>,
    /// A connection without media needs none, and its ciphers cost 9 kB.
    srtp: Option<Box<dunlin_srtp::Session>>,
    wants_srtp: bool,
    /// What came for the association before it was there.
    early_sctp: VecDeque<Bytes>,
    pub(crate) drops: TransportDrops,
    certificate: Certificate,
    srtp_profiles: Vec<u16>,
    max_datagram: usize,
    max_path_datagram: usize,
    /// What ICE adds to a datagram, as the layers above know it.
    ice_overhead: usize,
    max_early: usize,
    /// The datagram at hand came with a router's mark.
    marked: bool,
    /// When the layers beside the association last had nothing to send, and nothing has come in since.
    quiet_at: Option<Instant>,
    seed: [u8; 32],
}

impl Transport {
    pub(crate) fn new(
        config: &Config,
        certificate: Certificate,
        ice: Agent,
        media: MediaSession,
        seed: [u8; 32],
    ) -> Self {
        Self {
            ice,
            sctp: None,
            media,
            dtls: DtlsStage::Waiting {
                early: VecDeque::new(),
            },
            dtls_state: DtlsState::New,
            parameters: None,
            srtp: None,
            wants_srtp: false,
            early_sctp: VecDeque::new(),
            drops: TransportDrops::default(),
            certificate,
            srtp_profiles: config.srtp_profiles.clone(),
            max_datagram: config.max_datagram,
            max_path_datagram: config.max_path_datagram,
            ice_overhead: 0,
            max_early: config.max_early_datagrams,
            marked: false,
            quiet_at: None,
            seed,
        }
    }

    pub(crate) fn dtls_state(&self) -> DtlsState {
        self.dtls_state
    }

    pub(crate) fn dtls(&self) -> Option<&Connection> {
        match &self.dtls {
            DtlsStage::Running(dtls) => Some(dtls),
            _ => None,
        }
    }

    /// Who opens the handshake, once the descriptions say so.
    pub(crate) fn dtls_role(&self) -> Option<Role> {
        self.parameters.as_ref().map(|parameters| parameters.role)
    }

    pub(crate) fn is_secured(&self) -> bool {
        self.dtls_state == DtlsState::Connected
    }

    /// The SRTP profile in use, once keys are agreed.
    pub(crate) fn srtp_profile(&self) -> Option<dunlin_srtp::Profile> {
        self.srtp.as_ref().map(|srtp| srtp.profile())
    }

    /// The descriptions say who opens the handshake and whose certificate is right.
    pub(crate) fn set_dtls_parameters(&mut self, parameters: DtlsParameters) {
        if self.parameters.is_none() {
            self.parameters = Some(parameters);
        }
    }

    /// Bytes of SCTP that fit one datagram.
    pub(crate) fn sctp_datagram(&self) -> usize {
        self.sctp_room(self.max_datagram)
    }

    /// Bytes of SCTP in the largest datagram to look for on the path.
    pub(crate) fn sctp_path_datagram(&self) -> usize {
        self.sctp_room(self.max_path_datagram)
    }

    fn sctp_room(&self, datagram: usize) -> usize {
        let dtls = self.dtls().map_or(0, Connection::overhead);
        datagram.saturating_sub(self.ice.path_mtu_overhead() + dtls)
    }

    /// The marks that routers set concern the association alone, which learns of them in the next [`pump`](Self::pump).
    pub(crate) fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut, ecn: Ecn) {
        self.quiet_at = None;
        self.marked = ecn == Ecn::Ce;
        let Some(mut data) = self.ice.handle_datagram(now, path, data) else {
            return;
        };
        match classify(&data) {
            Class::Dtls => self.handle_dtls(now, data),
            Class::Rtp => {
                let (Some(srtp), Some(media)) = (&mut self.srtp, self.media.get_mut()) else {
                    self.drops.early_srtp += 1;
                    return;
                };
                match srtp.unprotect_rtp(&mut data) {
                    Ok(header) => media.handle_rtp(
                        now,
                        Packet {
                            header,
                            data: data.freeze(),
                        },
                    ),
                    Err(reject) => {
                        debug!("dropped an SRTP packet: {reject}");
                        self.drops.srtp_rejected += 1;
                    }
                }
            }
            Class::Rtcp => {
                let (Some(srtp), Some(media)) = (&mut self.srtp, self.media.get_mut()) else {
                    self.drops.early_srtp += 1;
                    return;
                };
                match srtp.unprotect_rtcp(&mut data) {
                    Ok(()) => media.handle_rtcp(now, &data),
                    Err(reject) => {
                        debug!("dropped an SRTCP packet: {reject}");
                        self.drops.srtp_rejected += 1;
                    }
                }
            }
            Class::Unknown => {
                debug!(
                    "dropped a datagram of {} bytes: neither DTLS nor SRTP",
                    data.len()
                );
                self.drops.unknown_protocol += 1;
            }
        }
    }

    fn handle_dtls(&mut self, now: Instant, data: BytesMut) {
        match &mut self.dtls {
            DtlsStage::Running(dtls) => dtls.handle_datagram(now, data),
            DtlsStage::Waiting { early } if early.len() < self.max_early => early.push_back(data),
            DtlsStage::Waiting { .. } => self.drops.early_dtls += 1,
            DtlsStage::Ended => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.quiet_at = None;
        self.ice.handle_timeout(now);
        if let DtlsStage::Running(dtls) = &mut self.dtls {
            dtls.handle_timeout(now);
        }
        if let Some(sctp) = &mut self.sctp {
            sctp.handle_timeout(now);
        }
        if let Some(media) = self.media.get_mut() {
            if let Some(round_trip) = self.ice.rtt() {
                media.set_round_trip(round_trip);
            }
            media.handle_timeout(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let ice = self.ice.poll_timeout();
        // Without a path nothing above ICE can act: its due output would only spin the driver.
        if self.ice.selected_path().is_none() {
            return ice;
        }
        let dtls = self.dtls().and_then(Connection::poll_timeout);
        let sctp = self.sctp.as_ref().and_then(Association::poll_timeout);
        let media = self.media.get().filter(|_| self.srtp.is_some());
        let media = media.and_then(dunlin_media::Session::poll_timeout);
        [ice, dtls, sctp, media].into_iter().flatten().min()
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        // In the middle of a burst the others are not asked again for each packet, but once more before it ends: a command
        // may have given them something.
        if self.quiet_at == Some(now)
            && let Some(transmit) = self.send_sctp(now, out)
        {
            return Some(transmit);
        }
        if let Some(transmit) = self.ice.poll_transmit(now, out) {
            return Some(transmit);
        }
        let DtlsStage::Running(dtls) = &mut self.dtls else {
            return None;
        };
        if let Some(transmit) = self.ice.send(out, |out| dtls.poll_transmit(now, out)) {
            return Some(transmit);
        }
        if let (Some(srtp), Some(media)) = (&mut self.srtp, self.media.get_mut()) {
            let sent = self.ice.send(out, |out| {
                let start = out.len();
                media.poll_rtcp(now, out)
                    && protected(out, start, |out| srtp.protect_rtcp(out, start).is_ok())
            });
            if sent.is_some() {
                return sent;
            }
            let sent = self.ice.send(out, |out| {
                let start = out.len();
                media.poll_rtp(now, out) && protected(out, start, |out| srtp.protect_rtp(out, start).is_ok())
            });
            if sent.is_some() {
                return sent;
            }
        }
        self.quiet_at = Some(now);
        self.send_sctp(now, out)
    }

    fn send_sctp(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let (DtlsStage::Running(dtls), Some(sctp)) = (&mut self.dtls, &mut self.sctp) else {
            return None;
        };
        let mut transmit = self
            .ice
            .send(out, |out| dtls.seal(out, |out| sctp.poll_transmit(now, out)))?;
        if sctp.ecn_capable() && transmit.path.transport == dunlin_net::Transport::Udp {
            transmit.ecn = Ecn::Ect0;
        }
        Some(transmit)
    }

    /// Whether ECN marks get through to the peer: a TCP connection ends them, and a relay, which is a host of its own.
    fn carries_marks(&self) -> bool {
        let path = self.ice.selected_path();
        path.is_some_and(|path| path.transport == dunlin_net::Transport::Udp)
            && self.ice.path_mtu_overhead() == 0
    }

    /// Moves what the layers have for each other, and collects what the connection must know.
    pub(crate) fn pump(&mut self, now: Instant, events: &mut VecDeque<TransportEvent>) {
        let mut ready = false;
        let mut another_path = false;
        while let Some(event) = self.ice.poll_event() {
            another_path |= matches!(event, dunlin_ice::Event::SelectedPath(_));
            ready |= matches!(
                event,
                dunlin_ice::Event::SelectedPath(_) | dunlin_ice::Event::State(dunlin_ice::State::Completed)
            );
            events.push_back(TransportEvent::Ice(event));
        }
        self.fit_to_path();
        let carries_marks = self.carries_marks();
        if let Some(sctp) = &mut self.sctp {
            sctp.set_marks_carried(carries_marks);
        }
        if another_path {
            let room = self.sctp_path_datagram();
            if let Some(sctp) = &mut self.sctp {
                sctp.handle_path_change(now, room);
            }
        }
        // A controlling peer that nominates late (Firefox, libnice) drops our ClientHello until it has nominated.
        if ready && let DtlsStage::Running(dtls) = &mut self.dtls {
            dtls.handle_path_ready(now);
        }
        self.start_dtls(now, events);
        self.pump_dtls(now, events);
        self.marked = false;
        while let Some(event) = self.media.get_mut().and_then(dunlin_media::Session::poll_event) {
            events.push_back(TransportEvent::Media(event));
        }
    }

    /// A relay puts framing round what it carries: so much less fits into a datagram.
    fn fit_to_path(&mut self) {
        let overhead = self.ice.path_mtu_overhead();
        if overhead == self.ice_overhead {
            return;
        }
        self.ice_overhead = overhead;
        let room = self.max_datagram.saturating_sub(overhead);
        if let DtlsStage::Running(dtls) = &mut self.dtls {
            dtls.set_max_datagram(room);
        }
        let sctp_room = self.sctp_datagram();
        if let Some(sctp) = &mut self.sctp {
            sctp.set_max_datagram(sctp_room);
        }
        if let (Some(srtp), Some(media)) = (&self.srtp, self.media.get_mut()) {
            media.set_max_datagram(room.saturating_sub(srtp.overhead_rtp()));
        }
    }

    fn start_dtls(&mut self, now: Instant, events: &mut VecDeque<TransportEvent>) {
        let (DtlsStage::Waiting { early }, Some(parameters)) = (&mut self.dtls, &self.parameters) else {
            return;
        };
        if self.ice.selected_path().is_none() {
            return;
        }
        let early = std::mem::take(early);
        let mut config =
            dunlin_dtls::Config::new(parameters.role, self.certificate.clone(), parameters.peer.clone());
        config.srtp_profiles = self.srtp_profiles.clone();
        config.max_datagram = self.max_datagram - self.ice.path_mtu_overhead();
        info!("DTLS begins as {:?}", parameters.role);
        let mut dtls = Box::new(Connection::new(config, self.seed, now));
        if let Some(round_trip) = self.ice.rtt() {
            dtls.set_round_trip(round_trip);
        }
        for datagram in early {
            dtls.handle_datagram(now, datagram);
        }
        self.dtls = DtlsStage::Running(dtls);
        self.set_dtls_state(DtlsState::Connecting, events);
    }

    fn set_dtls_state(&mut self, state: DtlsState, events: &mut VecDeque<TransportEvent>) {
        if self.dtls_state != state {
            self.dtls_state = state;
            events.push_back(TransportEvent::Dtls(state));
        }
    }

    fn pump_dtls(&mut self, now: Instant, events: &mut VecDeque<TransportEvent>) {
        loop {
            let DtlsStage::Running(dtls) = &mut self.dtls else {
                return;
            };
            let Some(event) = dtls.poll_event() else { return };
            match event {
                dunlin_dtls::Event::Connected => {
                    if self.wants_srtp {
                        self.start_srtp();
                    }
                    self.set_dtls_state(DtlsState::Connected, events);
                    events.push_back(TransportEvent::Secured);
                }
                dunlin_dtls::Event::Data(data) => self.handle_sctp(now, data),
                dunlin_dtls::Event::Closed(reason) => {
                    // What rides on the keys ends with them: a DTLS 1.3 client may have begun before the server
                    // refused its certificate.
                    self.sctp = None;
                    self.srtp = None;
                    let graceful = matches!(reason, CloseReason::Peer | CloseReason::Local);
                    self.set_dtls_state(
                        if graceful {
                            DtlsState::Closed
                        } else {
                            DtlsState::Failed
                        },
                        events,
                    );
                    events.push_back(TransportEvent::DtlsClosed(reason));
                }
                _ => {}
            }
        }
    }

    fn handle_sctp(&mut self, now: Instant, data: Bytes) {
        match &mut self.sctp {
            Some(sctp) if self.marked => sctp.handle_marked_datagram(now, data),
            Some(sctp) => sctp.handle_datagram(now, data),
            None if self.early_sctp.len() < self.max_early => self.early_sctp.push_back(data),
            None => self.drops.early_sctp += 1,
        }
    }

    /// Starts the data transport, with what came for it too early.
    pub(crate) fn start_sctp(&mut self, now: Instant, mut sctp: Association) {
        sctp.set_marks_carried(self.carries_marks());
        sctp.connect(now);
        for packet in self.early_sctp.drain(..) {
            sctp.handle_datagram(now, packet);
        }
        self.sctp = Some(sctp);
    }

    /// There is media to send or to receive.
    pub(crate) fn want_srtp(&mut self) {
        self.media.want();
        if !std::mem::replace(&mut self.wants_srtp, true) && self.is_secured() {
            self.start_srtp();
        }
    }

    /// Keys SRTP with what DTLS exports (RFC 5764, section 4.2).
    fn start_srtp(&mut self) {
        let DtlsStage::Running(dtls) = &self.dtls else {
            return;
        };
        let Some(profile) = dtls.srtp_profile() else {
            return;
        };
        let Ok(profile) = dunlin_srtp::Profile::try_from(profile) else {
            return;
        };
        let mut keys = vec![0; profile.keying_material_len()];
        if let Err(error) = dtls.export(SRTP_EXPORTER_LABEL, None, &mut keys) {
            warn!("SRTP keys cannot be exported: {error}");
            return;
        }
        let role = match self.parameters.as_ref().map(|parameters| parameters.role) {
            Some(Role::Server) => dunlin_srtp::Role::Server,
            _ => dunlin_srtp::Role::Client,
        };
        match dunlin_srtp::Session::new(profile, &keys, role) {
            Ok(session) => {
                let overhead = self.ice.path_mtu_overhead() + session.overhead_rtp();
                self.media.want().set_max_datagram(self.max_datagram - overhead);
                self.srtp = Some(Box::new(session));
            }
            Err(error) => warn!("SRTP cannot start: {error}"),
        }
    }

    /// Says goodbye on every layer; `poll_transmit` has the last datagrams.
    pub(crate) fn close(&mut self, now: Instant) {
        if let Some(sctp) = &mut self.sctp {
            sctp.abort(now, "closed");
        }
        if let Some(media) = self.media.get_mut() {
            media.close(now);
        }
        if let DtlsStage::Running(dtls) = &mut self.dtls {
            dtls.close(now);
        }
    }

    /// Nothing is sent or waited for any more.
    pub(crate) fn end(&mut self) {
        self.dtls = DtlsStage::Ended;
        self.sctp = None;
        self.srtp = None;
        self.ice.close();
    }
}

/// Keeps what `protect` made, or takes back what was written when it could not.
fn protected(out: &mut Vec<u8>, start: usize, protect: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
    let done = protect(out);
    if !done {
        warn!("a packet was not sent: its SRTP key is used up");
        out.truncate(start);
    }
    done
}
