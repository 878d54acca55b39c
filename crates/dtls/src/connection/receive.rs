//! What the connection does with a datagram: records, then fragments, then messages.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use log::{debug, info, trace};

use super::{Connection, Doubt, Event, State};
use crate::acks;
use crate::alert::{Alert, AlertDescription};
use crate::close::{CloseReason, HandshakeError};
use crate::codec::Reader;
use crate::config::{ClientAddress, Role};
use crate::flight::Acked;
use crate::fragment::{Fragment, HandshakeMessage, Pushed};
use crate::handshake::{Established, Handshake, Secrets, Step};
use crate::message::HandshakeType;
use crate::record::header::{ContentType, HeaderError, RecordHeader};
use crate::record::unified::UnifiedHeader;
use crate::record::{OpenError, RecordNumber};
use crate::v13::APPLICATION_EPOCH;
use crate::version::Version;

/// Alerts that wait for `poll_transmit`.
const MAX_ALERTS: usize = 4;
/// Cookies that a client may have been asked for by another connection of the same server.
const MAX_COOKIES: u16 = 3;
/// > for at least twice the default MSL [...], when in the FINISHED state, the server MUST respond to retransmission of
/// > the client's final flight with a retransmit of its ACK. (RFC 9147, section 5.8.1; MSL: 2 minutes, RFC 9293)
const LINGER: Duration = Duration::from_secs(240);

impl Connection {
    pub(super) fn receive_datagram(&mut self, mut data: BytesMut) {
        while !data.is_empty() && !self.is_closed() {
            let parsed = if UnifiedHeader::is_announced_by(data[0]) {
                self.take_unified(&mut data)
            } else {
                self.take_plain(&mut data)
            };
            // "In general, invalid records SHOULD be silently discarded" (RFC 6347, section 4.1.2.7)
            match parsed {
                Ok(()) => {}
                Err(HeaderError::Malformed) => {
                    debug!("drop {} bytes that are no record", data.len());
                    self.core.stats.drops.malformed_record += 1;
                    break;
                }
                Err(HeaderError::Unexpected(len)) => {
                    debug!("drop a record of {len} bytes of another kind or version");
                    self.core.stats.drops.unexpected_record += 1;
                    data.advance(len.min(data.len()));
                }
            }
        }
        self.look_at_early();
    }

    /// Records that came too early may not be any more: when keys came, and when the handshake is done.
    pub(super) fn look_at_early(&mut self) {
        while std::mem::take(&mut self.retry_early) && !self.is_closed() {
            for mut record in std::mem::take(&mut self.early) {
                if record
                    .first()
                    .copied()
                    .is_some_and(UnifiedHeader::is_announced_by)
                {
                    let _ = self.take_unified(&mut record);
                } else {
                    let _ = self.take_plain(&mut record);
                }
            }
        }
    }

    /// Bytes of the connection ID in records that we get.
    fn cid_len(&self) -> usize {
        match &self.state {
            // Records may overtake the ServerHello that agrees to it.
            State::Handshake(handshake) if matches!(**handshake, Handshake::Offered(_)) => {
                self.config.connection_id.as_ref().map_or(0, Vec::len)
            }
            _ => self.core.records.own_cid().len(),
        }
    }

    /// Takes a record of DTLS 1.2, or without protection, from the front of `data`.
    fn take_plain(&mut self, data: &mut BytesMut) -> Result<(), HeaderError> {
        let header = RecordHeader::parse(data, self.cid_len())?;
        let mut record = split(data, header.header_len() + header.len);
        trace!(
            "record {:?} {}/{} {} bytes",
            header.content_type, header.epoch, header.sequence, header.len
        );
        match header.epoch {
            0 if header.content_type == ContentType::Tls12Cid => {
                self.core.stats.drops.unexpected_record += 1;
            }
            0 => {
                record.advance(header.header_len());
                let epoch = 0;
                let sequence = header.sequence;
                self.receive_plain(header.content_type, RecordNumber { epoch, sequence }, &record);
            }
            1 if self.negotiated_version() != Some(Version::Dtls13) => {
                self.receive_protected(&header, record)
            }
            _ => self.core.stats.drops.unexpected_record += 1,
        }
        Ok(())
    }

    /// Takes a protected record of DTLS 1.3 from the front of `data`.
    fn take_unified(&mut self, data: &mut BytesMut) -> Result<(), HeaderError> {
        if !self.may_speak_13() {
            return Err(HeaderError::Unexpected(data.len()));
        }
        let header = UnifiedHeader::parse(data, self.cid_len())?;
        let record = split(data, header.header_len + header.len);
        trace!(
            "record of epoch ..{:02b}, {} bytes",
            header.epoch_bits, header.len
        );
        self.receive_unified(&header, record);
        Ok(())
    }

    /// Whether protected records of DTLS 1.3 make sense: that is the version, or it may still become it.
    fn may_speak_13(&self) -> bool {
        match &self.state {
            State::Handshake(handshake) if matches!(**handshake, Handshake::Offered(_)) => {
                self.config.allows(Version::Dtls13)
            }
            _ => self.negotiated_version() == Some(Version::Dtls13),
        }
    }

    /// A record that anybody can have written.
    fn receive_plain(&mut self, content_type: ContentType, number: RecordNumber, content: &[u8]) {
        match (content_type, &self.state) {
            // The epoch of the records after it says the same.
            (ContentType::ChangeCipherSpec, _) => {}
            (ContentType::Alert, _) => self.receive_plain_alert(content),
            (ContentType::Ack, State::Handshake(_)) => self.receive_ack(0, content),
            (ContentType::Handshake, State::Handshake(_)) => self.receive_fragments(number, content),
            // The peer repeats a flight; if ours was lost, its Finished comes along and is answered.
            (ContentType::Handshake, _) => self.core.stats.drops.repeated_message += 1,
            _ => self.core.stats.drops.unexpected_record += 1,
        }
    }

    /// THREATS 3: an alert without protection is doubted during the handshake, and ignored after it.
    fn receive_plain_alert(&mut self, content: &[u8]) {
        let Some(alert) = Alert::parse(content) else {
            self.core.stats.drops.malformed_alert += 1;
            return;
        };
        self.core.stats.drops.unauthenticated_alert += 1;
        let State::Handshake(handshake) = &self.state else {
            return;
        };
        debug!(
            "an unprotected alert {} while waiting for {}",
            alert.description,
            handshake.waiting_for().name()
        );
        // A server that nobody has greeted has nothing that an alert could be about.
        if alert.is_final() && handshake.waiting_for() != HandshakeType::CLIENT_HELLO {
            let reason = match alert.description {
                AlertDescription::CLOSE_NOTIFY => CloseReason::Peer,
                description => CloseReason::PeerAlert(description),
            };
            self.doubt(reason, None);
        }
    }

    fn doubt(&mut self, reason: CloseReason, alert: Option<AlertDescription>) {
        let at = self.core.now.checked_add(self.config.doubt);
        self.doubt.get_or_insert(Doubt { at, reason, alert });
    }

    /// A protected record of DTLS 1.2.
    fn receive_protected(&mut self, header: &RecordHeader, mut record: BytesMut) {
        let connected = matches!(self.state, State::Connected(_));
        // With a connection ID the type is inside.
        let may_be_data =
            header.content_type != ContentType::Handshake && header.content_type != ContentType::Alert;
        if !self.core.records.can_open(1) || may_be_data && !connected {
            // "Implementations MUST either discard or buffer all application data packets for the new epoch until
            // they have received the Finished message for that epoch." (RFC 6347, section 4.2.4)
            let inside = header.content_type == ContentType::Tls12Cid && self.core.records.can_open(1);
            if !inside {
                self.keep_early(&record);
                return;
            }
        }
        let number = RecordNumber {
            epoch: 1,
            sequence: header.sequence,
        };
        match self.core.records.open12(header, &mut record) {
            None => self.core.stats.drops.unexpected_record += 1,
            Some(Err(error)) => self.count_unopened(error),
            Some(Ok(ContentType::ApplicationData)) if connected => self.receive_data(record),
            Some(Ok(ContentType::Handshake)) if connected => self.receive_after_handshake(&record),
            Some(Ok(ContentType::Handshake)) => self.receive_fragments(number, &record),
            Some(Ok(ContentType::Alert)) => self.receive_alert(&record),
            Some(Ok(_)) => self.core.stats.drops.unexpected_record += 1,
        }
    }

    /// A protected record of DTLS 1.3.
    fn receive_unified(&mut self, header: &UnifiedHeader, mut record: BytesMut) {
        let connected = matches!(self.state, State::Connected(_));
        let (content_type, number) = match self.core.records.open13(header, &mut record) {
            None if connected => {
                self.core.stats.drops.unexpected_record += 1;
                return;
            }
            None => {
                self.keep_early(&record);
                if self.config.role == Role::Client {
                    self.core.acks.unreadable(self.core.now);
                }
                return;
            }
            Some(Err(error)) => return self.count_unopened(error),
            Some(Ok(opened)) => opened,
        };
        if self.config.role == Role::Server {
            self.core.address_proved = true;
        }
        // "receivers MUST retain the pre-update keying material until receipt and successful decryption of a message
        // using the new keys" (RFC 9147, section 8); one epoch more, for what was overtaken.
        if number.epoch > APPLICATION_EPOCH && number.epoch == self.core.records.newest_open_epoch() {
            self.core.records.retire_openers(number.epoch - 1);
        }
        match content_type {
            ContentType::ApplicationData if number.epoch >= APPLICATION_EPOCH => self.receive_data(record),
            ContentType::Handshake => self.receive_fragments(number, &record),
            ContentType::Alert => self.receive_alert(&record),
            ContentType::Ack => self.receive_ack(number.epoch, &record),
            _ => self.core.stats.drops.unexpected_record += 1,
        }
    }

    fn count_unopened(&mut self, error: OpenError) {
        let drops = &mut self.core.stats.drops;
        match error {
            OpenError::Replayed => drops.replayed += 1,
            OpenError::NoContent => drops.unexpected_record += 1,
            OpenError::Unauthentic => {
                debug!("drop a record that does not authenticate");
                drops.unauthentic += 1;
                self.limit_forgeries();
            }
        }
    }

    /// > If the number of packets that fail authentication exceeds a limit that is specific to the AEAD in use, an
    /// > implementation SHOULD immediately close the connection. Implementations SHOULD initiate a key update with
    /// > update_requested before reaching this limit. (RFC 9147, section 4.5.3)
    fn limit_forgeries(&mut self) {
        let (failures, max) = (self.core.records.failures(), self.config.max_forgeries);
        if failures >= max {
            self.fail(
                CloseReason::TooManyForgeries(failures),
                Some(AlertDescription::BAD_RECORD_MAC),
            );
        } else if failures == max / 2 {
            self.start_key_update(true);
        }
    }

    /// Keeps a copy, so that a short record does not hold on to the long buffer that it came in.
    fn keep_early(&mut self, record: &[u8]) {
        let held: usize = self.early.iter().map(BytesMut::len).sum();
        let fits = held + record.len() <= self.config.max_reassembly;
        if fits && self.early.len() < self.config.max_early_records {
            self.early.push_back(BytesMut::from(record));
        } else {
            debug!("drop a record that came too early");
            self.core.stats.drops.early_overflow += 1;
        }
    }

    fn receive_data(&mut self, record: BytesMut) {
        // "A TLS endpoint that receives a record larger than its advertised limit MUST generate a fatal
        // "record_overflow" alert"; and of DTLS it says "SHOULD discard" (RFC 8449, section 4).
        if record.len() > self.core.records.max_content.received {
            self.core.stats.drops.unexpected_record += 1;
            return;
        }
        if self.core.events.len() >= self.config.max_events {
            self.core.stats.drops.queue_full += 1;
            return;
        }
        self.core.stats.data_received += 1;
        self.core.events.push_back(Event::Data(record.freeze()));
    }

    /// An alert that the peer did send.
    fn receive_alert(&mut self, content: &[u8]) {
        let Some(alert) = Alert::parse(content) else {
            self.core.stats.drops.malformed_alert += 1;
            return;
        };
        match alert {
            // "The other party MUST respond with a close_notify alert of its own and close down the connection
            // immediately, discarding any pending writes." (RFC 5246, section 7.2.1)
            Alert {
                description: AlertDescription::CLOSE_NOTIFY,
                ..
            } => {
                self.core.flight.clear();
                self.end(
                    CloseReason::Peer,
                    Some(Alert::warning(AlertDescription::CLOSE_NOTIFY)),
                );
            }
            Alert {
                fatal: true,
                description,
            } => self.fail(CloseReason::PeerAlert(description), None),
            Alert { description, .. } => debug!("the peer warns: {description}"),
        }
    }

    /// What the peer has of our flight.
    ///
    /// > During the handshake, ACK records MUST be sent with an epoch which is equal to or higher than the record which
    /// > is being acknowledged. [...] After the handshake, implementations MUST use the highest available sending
    /// > epoch. (RFC 9147, section 7)
    ///
    /// In a lower epoch anybody can have written about what nobody can have read; the two directions change their keys
    /// each for itself.
    fn receive_ack(&mut self, epoch: u64, content: &[u8]) {
        let Ok(numbers) = acks::parse(content) else {
            self.core.stats.drops.bad_ack += 1;
            return;
        };
        let above = |number: &RecordNumber| number.epoch > epoch && epoch < APPLICATION_EPOCH;
        if !self.may_speak_13() || numbers.iter().any(above) {
            self.core.stats.drops.bad_ack += 1;
            return;
        }
        self.core.stats.acks_received += 1;
        let acked = self.core.flight.on_ack(self.core.now, numbers.into_iter());
        if acked == Acked::Partly {
            self.core.stats.retransmissions += 1;
        }
        let State::Connected(established) = &mut self.state else {
            return;
        };
        let Secrets::V13(live) = &mut established.secrets else {
            return;
        };
        if let Err(error) = live.on_acked(&self.core.flight, &mut self.core.records) {
            return self.fail(error.into(), Some(AlertDescription::INTERNAL_ERROR));
        }
        if acked == Acked::All {
            self.core.flight.answered(self.core.now);
            self.core.records.retire_sealers(self.core.records.current);
            // The peer has all of our handshake, so it will not repeat its own.
            if self.config.role == Role::Client {
                self.core.records.retire_openers(APPLICATION_EPOCH);
            }
        }
    }

    fn receive_fragments(&mut self, number: RecordNumber, content: &[u8]) {
        let mut reader = Reader::new(content);
        loop {
            let Ok(fragment) = Fragment::read(&mut reader) else {
                self.core.stats.drops.unexpected_fragment += 1;
                break;
            };
            self.receive_fragment(number, &fragment);
            if reader.is_empty() || self.is_closed() {
                break;
            }
        }
        self.time_ack();
    }

    /// What is there of a flight is to be acknowledged if the rest does not come soon.
    fn time_ack(&mut self) {
        let in_handshake = matches!(self.state, State::Handshake(_));
        if in_handshake && self.negotiated_version() == Some(Version::Dtls13) && self.core.acks.has_unnamed()
        {
            let timeout = self.core.flight.initial_timeout();
            self.core.acks.partial(self.core.now, timeout);
        }
    }

    /// A server that asks for a cookie may be told what another connection asked for: the client counts on.
    fn begin_at(&mut self, message_seq: u16) {
        let listens = matches!(&self.state, State::Handshake(handshake) if matches!(**handshake, Handshake::Listening(_)));
        let wants_cookie = matches!(self.config.client_address, ClientAddress::Cookie { .. });
        if listens && wants_cookie && message_seq <= MAX_COOKIES && self.core.flight.is_empty() {
            self.reassembler.begin_at(message_seq);
        }
    }

    fn receive_fragment(&mut self, number: RecordNumber, fragment: &Fragment<'_>) {
        self.begin_at(fragment.message_seq);
        let next = self.reassembler.is_next_piece(fragment);
        // Whose KeyUpdate is acknowledged, uses the new keys: with a message before it missing, nobody here has them.
        let waits = matches!(self.state, State::Connected(_)) && !self.reassembler.is_due(fragment);
        let acks_matter = self.may_speak_13() && !waits;
        let drops = &mut self.core.stats.drops;
        match self.reassembler.push(number.epoch, fragment) {
            Pushed::Kept => {}
            Pushed::KeptAgainstOthers => drops.contradicting_fragment += 1,
            Pushed::NotDue => {
                drops.unexpected_fragment += 1;
                return;
            }
            Pushed::Oversized => {
                drops.oversized_fragment += 1;
                return;
            }
            Pushed::Repeated => {
                drops.repeated_message += 1;
                self.receive_repeated(number, fragment);
                return;
            }
        }
        if acks_matter {
            self.core.acks.add(number);
            if !next {
                self.core.acks.out_of_order(self.core.now);
            }
        }
        self.receive_messages_of(number.sequence);
    }

    /// A message that came before comes again.
    fn receive_repeated(&mut self, number: RecordNumber, fragment: &Fragment<'_>) {
        if fragment.is_end() && self.core.flight.on_repeated(self.core.now, fragment.message_seq) {
            debug!("the peer repeats its flight: ours goes out again");
            self.core.stats.retransmissions += 1;
        }
        // "This includes records containing messages which are discarded because a previous copy has been received."
        // (RFC 9147, section 7); and the client's last flight, whose ACK was lost (section 5.8.1).
        let connected = matches!(self.state, State::Connected(_));
        if connected && number.epoch >= 2 && !self.core.flight.answers(fragment.message_seq) {
            self.core.acks.add(number);
            self.core.acks.now(self.core.now);
        } else if !connected && self.may_speak_13() && !self.core.flight.answers(fragment.message_seq) {
            self.core.acks.add(number);
        }
    }

    /// Goes on with the messages that are whole.
    pub(super) fn receive_messages(&mut self) {
        self.receive_messages_of(0);
    }

    fn receive_messages_of(&mut self, record_sequence: u64) {
        while !self.core.asks {
            let state = std::mem::replace(&mut self.state, State::Closed);
            match state {
                State::Handshake(handshake) => {
                    let Some(message) = self.reassembler.pop(handshake.epochs()) else {
                        self.state = State::Handshake(handshake);
                        return;
                    };
                    self.receive_message(*handshake, &message, record_sequence);
                }
                State::Connected(established) => {
                    self.state = State::Connected(established);
                    let Some(message) = self.reassembler.pop(APPLICATION_EPOCH..=u64::MAX) else {
                        return;
                    };
                    self.receive_post_handshake(&message);
                }
                State::Closed => return,
            }
            if self.is_closed() {
                return;
            }
        }
    }

    fn receive_message(&mut self, handshake: Handshake, message: &HandshakeMessage, record_sequence: u64) {
        debug!("received {} ({} bytes)", message.kind.name(), message.body.len());
        let keys_before = self.core.records.newest_open_epoch();
        let context = &mut self.core.context(&self.config, record_sequence);
        match handshake.handle(message, context) {
            Ok(Step::Continue(next)) => {
                self.doubt = None;
                self.retry_early |= self.core.records.newest_open_epoch() > keys_before;
                if next.version() == Some(Version::Dtls12) {
                    self.core.acks.clear();
                }
                if self.core.asks {
                    // What it answers has arrived, and the answer to it takes as long as the caller does.
                    self.core.flight.stop_timer();
                }
                self.state = State::Handshake(Box::new(next));
            }
            Ok(Step::Refused(same, error)) => {
                info!("a ClientHello is refused: {error}");
                self.core.stats.drops.refused_hello += 1;
                self.state = State::Handshake(Box::new(same));
                self.reassembler.expect_again(message.message_seq);
                self.doubt_hello(error);
            }
            Ok(Step::Done(established)) => self.connected(established),
            Err(error) => {
                let alert = error.alert();
                self.fail(error.into(), Some(alert));
            }
        }
    }

    /// THREATS 3: a ClientHello that nobody can answer must not end a connection that somebody else is about to
    /// make. If nothing better comes, it does, with an alert.
    fn doubt_hello(&mut self, error: HandshakeError) {
        let alert = error.alert();
        self.doubt(error.into(), Some(alert));
    }

    fn connected(&mut self, established: Box<Established>) {
        let version = established.version();
        info!(
            "connected: {version}, {}, {:?}",
            established.suite.name(),
            established.group
        );
        self.state = State::Connected(established);
        self.deadline = None;
        self.doubt = None;
        self.retry_early = true;
        self.core.address_proved = true;
        if version == Version::Dtls12 {
            self.reassembler.expect_again(0);
            self.core.acks.clear();
        } else if self.config.role == Role::Server {
            self.linger = self.core.now.checked_add(LINGER);
        }
        self.core.events.push_back(Event::Connected);
    }

    /// A whole handshake message of DTLS 1.3 when the handshake is over. It is acknowledged: nothing else answers it.
    fn receive_post_handshake(&mut self, message: &HandshakeMessage) {
        debug!("received {} ({} bytes)", message.kind.name(), message.body.len());
        let State::Connected(established) = &mut self.state else {
            return;
        };
        let Secrets::V13(live) = &mut established.secrets else {
            return;
        };
        self.core.acks.now(self.core.now);
        if let Err(error) = live.handle(message, &mut self.core.context(&self.config, 0)) {
            let alert = error.alert();
            self.fail(error.into(), Some(alert));
        }
    }

    /// A handshake message of a DTLS 1.2 peer, when the handshake is over.
    fn receive_after_handshake(&mut self, content: &[u8]) {
        let State::Connected(established) = &self.state else {
            return;
        };
        let Ok(fragment) = Fragment::read(&mut Reader::new(content)) else {
            self.core.stats.drops.unexpected_fragment += 1;
            return;
        };
        match (fragment.kind, self.config.role) {
            // "the node that transmits the last flight [...] MUST respond to a retransmit of the peer's last
            // flight with a retransmit of the last flight" (RFC 6347, section 4.2.4). The client has cleared its.
            (HandshakeType::FINISHED, _) if fragment.message_seq == established.peer_finished => {
                self.core.stats.drops.repeated_message += 1;
                if fragment.is_end() && self.core.flight.on_repeated(self.core.now, fragment.message_seq) {
                    self.core.stats.retransmissions += 1;
                }
            }
            // "If the client does not wish to renegotiate a session, [it may] respond with a no_renegotiation
            // alert" (after RFC 5246, section 7.4.1.1); RFC 8827, section 6.5: there is no renegotiation.
            (HandshakeType::HELLO_REQUEST, Role::Client) | (HandshakeType::CLIENT_HELLO, Role::Server) => {
                let alert = Alert::warning(AlertDescription::NO_RENEGOTIATION);
                if self.alerts.len() < MAX_ALERTS && !self.alerts.contains(&alert) {
                    self.alerts.push_back(alert);
                }
            }
            _ => self.core.stats.drops.unexpected_fragment += 1,
        }
    }
}

/// The first `len` bytes, without copying them.
fn split(data: &mut BytesMut, len: usize) -> BytesMut {
    if len == data.len() {
        std::mem::take(data)
    } else {
        data.split_to(len)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::fragment::put_header;
    use crate::record::Sealer;
    use crate::{Certificate, Config, PeerIdentity};

    const EPOCH: u64 = 1;

    #[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
    fn connected_in(version: Version) -> (Connection, Connection, Instant) {
        let now = Instant::now();
        let make = |role| {
            let mut config = Config::new(
                role,
                Certificate::generate().unwrap(),
                PeerIdentity::AnyCertificate,
            );
            (config.min_version, config.max_version) = (version, version);
            Connection::new(config, [0; 32], now)
        };
        let (mut client, mut server) = (make(Role::Client), make(Role::Server));
        for _ in 0..2 {
            deliver(&mut client, &mut server, now);
            deliver(&mut server, &mut client, now);
        }
        for side in [&mut client, &mut server] {
            assert_eq!(side.poll_event(), Some(Event::Connected));
        }
        (client, server, now)
    }

    fn connected() -> (Connection, Connection, Instant) {
        connected_in(Version::Dtls12)
    }

    fn deliver(from: &mut Connection, to: &mut Connection, now: Instant) -> usize {
        let mut count = 0;
        let mut out = Vec::new();
        while from.poll_transmit(now, &mut out) {
            to.handle_datagram(now, BytesMut::from(&out[..]));
            out.clear();
            count += 1;
        }
        count
    }

    /// A record of epoch 1 with any content.
    fn record(from: &mut Connection, content_type: ContentType, content: &[u8]) -> BytesMut {
        let mut out = Vec::new();
        let start = from.core.records.begin(EPOCH, content_type, &mut out).unwrap();
        out.extend_from_slice(content);
        from.core.records.finish(EPOCH, content_type, &mut out, start);
        BytesMut::from(&out[..])
    }

    fn message(kind: HandshakeType, message_seq: u16, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_header(&mut out, kind, body.len(), message_seq, 0, body.len());
        out.extend_from_slice(body);
        out
    }

    /// RFC 8827, section 6.5: "renegotiation MUST NOT be supported".
    #[test]
    fn renegotiation_is_declined_with_a_warning_and_the_connection_goes_on() {
        for role in [Role::Client, Role::Server] {
            let (client, server, now) = connected();
            let (mut us, mut peer, kind) = match role {
                Role::Client => (client, server, HandshakeType::HELLO_REQUEST),
                Role::Server => (server, client, HandshakeType::CLIENT_HELLO),
            };
            for _ in 0..10 {
                let asks = record(&mut peer, ContentType::Handshake, &message(kind, 0, &[]));
                us.handle_datagram(now, asks);
            }
            assert_eq!(us.alerts, [Alert::warning(AlertDescription::NO_RENEGOTIATION)]);
            assert_eq!(deliver(&mut us, &mut peer, now), 1);
            assert_eq!(
                peer.stats().drops,
                Default::default(),
                "the warning was understood"
            );
            assert!(us.is_connected() && peer.is_connected());
            assert_eq!((us.poll_event(), peer.poll_event()), (None, None));
        }
    }

    #[test]
    fn the_last_flight_goes_out_again_for_a_repeated_finished_and_for_nothing_else() {
        let (mut client, mut server, now) = connected();
        let State::Connected(established) = &server.state else {
            panic!()
        };
        let finished = established.peer_finished;
        let later = now + Duration::from_secs(1);
        for (kind, message_seq, expected) in [
            (HandshakeType::FINISHED, finished - 1, 0),
            (HandshakeType::CERTIFICATE, finished, 0),
            (HandshakeType::FINISHED, finished, 1),
        ] {
            let repeated = record(
                &mut client,
                ContentType::Handshake,
                &message(kind, message_seq, &[0; 12]),
            );
            server.handle_datagram(later, repeated);
            assert_eq!(
                deliver(&mut server, &mut client, later),
                expected,
                "{kind:?} {message_seq}"
            );
        }
        // The client never answers with its last flight: that would go on for ever.
        let State::Connected(established) = &client.state else {
            panic!()
        };
        let message = message(HandshakeType::FINISHED, established.peer_finished, &[0; 12]);
        let repeated = record(&mut server, ContentType::Handshake, &message);
        client.handle_datagram(later, repeated);
        assert_eq!(deliver(&mut client, &mut server, later), 0);
    }

    #[test]
    fn authenticated_alerts_count_and_malformed_ones_do_not() {
        let (mut client, mut server, now) = connected();
        for content in [&[][..], &[2], &[3, 40], &[2, 40, 0]] {
            let alert = record(&mut client, ContentType::Alert, content);
            server.handle_datagram(now, alert);
        }
        assert_eq!(server.stats().drops.malformed_alert, 4);
        let warning = record(&mut client, ContentType::Alert, &[1, 90]);
        server.handle_datagram(now, warning);
        assert!(server.is_connected());
        let fatal = record(&mut client, ContentType::Alert, &[2, 49]);
        server.handle_datagram(now, fatal);
        let reason = CloseReason::PeerAlert(AlertDescription(49));
        assert_eq!(server.poll_event(), Some(Event::Closed(reason)));
        assert_eq!(
            deliver(&mut server, &mut client, now),
            0,
            "a fatal alert is not answered"
        );
    }

    #[test]
    fn a_connection_without_record_numbers_left_ends() {
        let (mut client, ..) = connected();
        let Sealer::V12(sealer) = client.core.records.newest_sealer() else {
            panic!()
        };
        sealer.skip_to(crate::record::header::MAX_SEQUENCE);
        assert!(client.seal(&mut Vec::new(), |_| true));
        assert!(!client.seal(&mut Vec::new(), |_| true));
        assert_eq!(
            client.poll_event(),
            Some(Event::Closed(CloseReason::RecordNumbersExhausted))
        );
        assert_eq!(client.poll_timeout(), None);
    }

    /// > sending implementations MUST NOT allow the epoch to exceed 2^48-1. [...] if the sequence number [...] would wrap
    /// > [...] MUST [...] terminate (after RFC 9147, sections 4.2.1 and 8)
    #[test]
    fn in_dtls_1_3_too_the_last_number_of_the_last_epoch_ends_the_connection() {
        let (mut client, _, now) = connected_in(Version::Dtls13);
        let Sealer::V13(sealer) = client.core.records.newest_sealer() else {
            panic!()
        };
        sealer.skip_to(crate::record::header::MAX_SEQUENCE);
        let (_, last) = client.core.records.take_newest_sealer();
        client.core.records.add_sealer((1 << 48) - 1, last);
        client.core.records.current = (1 << 48) - 1;
        assert!(client.seal(&mut Vec::new(), |_| true));
        assert_eq!(client.stats().key_updates_sent, 0, "there is no epoch left");
        assert_eq!(client.update_keys(now, false), Ok(()), "nothing to do about it");
        assert!(!client.seal(&mut Vec::new(), |_| true));
        assert_eq!(
            client.poll_event(),
            Some(Event::Closed(CloseReason::RecordNumbersExhausted))
        );
    }
}
