//! What can happen after the handshake of DTLS 1.3: new keys (RFC 9147, section 8), new connection IDs (section 9), and
//! tickets, which this crate has no use for.

use super::Negotiated;
use super::keys::{Directions, Secret};
use crate::close::HandshakeError;
use crate::config::Role;
use crate::flight::Flight;
use crate::fragment::HandshakeMessage;
use crate::handshake::Context;
use crate::message::new_connection_id::{NewConnectionId, parse_request};
use crate::message::{HandshakeType, key_update};
use crate::record::{Opener, Records, Sealer};
use crate::suite::CipherSuite;

/// > sending implementations MUST NOT allow the epoch to exceed 2^48-1 (RFC 9147, section 8)
const MAX_EPOCH: u64 = (1 << 48) - 1;
/// Connection IDs of the peer that are kept for later.
const MAX_SPARE_CIDS: usize = 4;

/// The secrets of a connection, and what of ours waits for an acknowledgement.
#[derive(Debug)]
pub(crate) struct Live {
    role: Role,
    suite: CipherSuite,
    pub(crate) exporter: Secret,
    /// The traffic secret of the epoch that we send in.
    pub(crate) sending: Secret,
    /// The traffic secret of the newest epoch that we receive in.
    pub(crate) receiving: Secret,
    /// The number of our KeyUpdate that is out.
    update: Option<u16>,
    /// The number of our NewConnectionId that is out.
    new_cid: Option<u16>,
    spare_cids: Vec<Vec<u8>>,
}

impl Live {
    pub(crate) fn new(
        role: Role,
        negotiated: &Negotiated,
        application: Directions,
        exporter: Secret,
        cx: &mut Context<'_>,
    ) -> Self {
        let random = &negotiated.client_random;
        cx.log_key("CLIENT_TRAFFIC_SECRET_0", random, application.client.as_bytes());
        cx.log_key("SERVER_TRAFFIC_SECRET_0", random, application.server.as_bytes());
        cx.log_key("EXPORTER_SECRET", random, exporter.as_bytes());
        let (sending, receiving) = match role {
            Role::Client => (application.client, application.server),
            Role::Server => (application.server, application.client),
        };
        Self {
            role,
            suite: negotiated.suite,
            exporter,
            sending,
            receiving,
            update: None,
            new_cid: None,
            spare_cids: Vec::new(),
        }
    }

    /// Whether a KeyUpdate of ours waits for its acknowledgement.
    pub(crate) fn is_updating(&self) -> bool {
        self.update.is_some()
    }

    /// Whether a NewConnectionId of ours waits for its acknowledgement.
    pub(crate) fn is_changing_cid(&self) -> bool {
        self.new_cid.is_some()
    }

    /// Tells the peer that our keys change, and perhaps that its own should, too. They do when it has said that it
    /// knows.
    pub(crate) fn update_keys(&mut self, request_peer: bool, cx: &mut Context<'_>) {
        let epoch = cx.records.current;
        if self.update.is_some() || epoch >= MAX_EPOCH {
            return;
        }
        let body = key_update::write(request_peer);
        self.update = Some(
            cx.flight
                .send_one(cx.now, epoch, HandshakeType::KEY_UPDATE, &body),
        );
        cx.stats.key_updates_sent += 1;
    }

    /// Tells the peer the connection ID to use from now on.
    pub(crate) fn send_cid(&mut self, cid: &[u8], cx: &mut Context<'_>) {
        let mut body = Vec::new();
        NewConnectionId {
            cids: vec![cid],
            immediate: true,
        }
        .write(&mut body);
        self.push_cid_message(&body, cx);
    }

    fn push_cid_message(&mut self, body: &[u8], cx: &mut Context<'_>) {
        let epoch = cx.records.current;
        self.new_cid = Some(
            cx.flight
                .send_one(cx.now, epoch, HandshakeType::NEW_CONNECTION_ID, body),
        );
    }

    /// The peer acknowledged something.
    ///
    /// > implementations MUST NOT send records with the new keys or send a new KeyUpdate until the previous KeyUpdate
    /// > has been acknowledged (RFC 9147, section 8)
    pub(crate) fn on_acked(&mut self, flight: &Flight, records: &mut Records) -> Result<(), HandshakeError> {
        if self.update.take_if(|number| flight.has_acked(*number)).is_some() {
            let epoch = records.current + 1;
            self.sending = self.sending.next();
            records.add_sealer(epoch, Sealer::V13(self.sending.sealer(self.suite)?));
            records.current = epoch;
        }
        self.new_cid.take_if(|number| flight.has_acked(*number));
        Ok(())
    }

    /// A message of the peer.
    pub(crate) fn handle(
        &mut self,
        message: &HandshakeMessage,
        cx: &mut Context<'_>,
    ) -> Result<(), HandshakeError> {
        match (message.kind, self.role) {
            // "The client MAY use this PSK for future handshakes": it does not.
            (HandshakeType::NEW_SESSION_TICKET, Role::Client) => Ok(()),
            (HandshakeType::KEY_UPDATE, _) => self.peer_updates(message, cx),
            (HandshakeType::NEW_CONNECTION_ID, _) => self.peer_renames(message, cx),
            (HandshakeType::REQUEST_CONNECTION_ID, _) => self.peer_requests(message, cx),
            (kind, _) => Err(HandshakeError::UnexpectedMessage {
                expected: "application data",
                actual: kind.name(),
            }),
        }
    }

    fn peer_updates(
        &mut self,
        message: &HandshakeMessage,
        cx: &mut Context<'_>,
    ) -> Result<(), HandshakeError> {
        let requested = key_update::parse(&message.body)
            .map_err(|_| HandshakeError::IllegalParameter("a KeyUpdate that neither asks nor does not"))?;
        let epoch = cx.records.newest_open_epoch() + 1;
        self.receiving = self.receiving.next();
        cx.records
            .add_opener(epoch, Opener::V13(self.receiving.opener(self.suite)?));
        // Two epochs with the same low bits are one too many; the one before the last is long out of use.
        cx.records.retire_openers(epoch.saturating_sub(2));
        cx.stats.key_updates_received += 1;
        if requested {
            self.update_keys(false, cx);
        }
        Ok(())
    }

    /// > If an implementation receives these messages when CIDs were not negotiated, it MUST abort the connection with
    /// > an "unexpected_message" alert. (RFC 9147, section 9)
    fn refuse_without_cid(message: &HandshakeMessage, negotiated: bool) -> Result<(), HandshakeError> {
        if negotiated {
            return Ok(());
        }
        Err(HandshakeError::UnexpectedMessage {
            expected: "application data",
            actual: message.kind.name(),
        })
    }

    fn peer_renames(
        &mut self,
        message: &HandshakeMessage,
        cx: &mut Context<'_>,
    ) -> Result<(), HandshakeError> {
        Self::refuse_without_cid(message, !cx.records.peer_cid().is_empty())?;
        let new =
            NewConnectionId::parse(&message.body).map_err(HandshakeError::malformed("NewConnectionId"))?;
        let mut cids = new.cids.into_iter();
        if new.immediate {
            let first = cids.next().filter(|cid| !cid.is_empty());
            let first = first.ok_or(HandshakeError::IllegalParameter(
                "no connection ID to use at once",
            ))?;
            cx.records.set_peer_cid(first);
            self.spare_cids.clear();
        }
        let room = MAX_SPARE_CIDS - self.spare_cids.len();
        self.spare_cids.extend(cids.take(room).map(<[u8]>::to_vec));
        Ok(())
    }

    /// > An endpoint MAY handle requests which it considers excessive by responding with a NewConnectionId message
    /// > containing fewer than num_cids CIDs, including no CIDs at all. (RFC 9147, section 9)
    ///
    /// Whoever drives the connection chooses its connection IDs; more than that one are never promised.
    fn peer_requests(
        &mut self,
        message: &HandshakeMessage,
        cx: &mut Context<'_>,
    ) -> Result<(), HandshakeError> {
        Self::refuse_without_cid(message, !cx.records.own_cid().is_empty())?;
        parse_request(&message.body).map_err(HandshakeError::malformed("RequestConnectionId"))?;
        if self.new_cid.is_none() {
            let mut body = Vec::new();
            NewConnectionId {
                cids: Vec::new(),
                immediate: false,
            }
            .write(&mut body);
            self.push_cid_message(&body, cx);
        }
        Ok(())
    }

    /// Takes a connection ID of the peer that was not used yet, for a new path.
    pub(crate) fn take_spare_cid(&mut self) -> Option<Vec<u8>> {
        if self.spare_cids.is_empty() {
            None
        } else {
            Some(self.spare_cids.remove(0))
        }
    }
}
