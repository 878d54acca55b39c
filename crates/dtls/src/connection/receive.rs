//! What the connection does with a datagram: records, then fragments, then messages.

use bytes::{Buf, BytesMut};
use log::{debug, info, trace};

use super::{Connection, Doubt, Event, State};
use crate::alert::{Alert, AlertDescription};
use crate::close::{CloseReason, HandshakeError};
use crate::codec::Reader;
use crate::config::Role;
use crate::fragment::{Fragment, HandshakeMessage, Pushed};
use crate::message::HandshakeType;
use crate::record::cipher::{EPOCH, OpenError};
use crate::record::header::{ContentType, HEADER_LEN, HeaderError, RecordHeader};
use crate::v12::{Context, Established, Handshake, Step};

/// Alerts that wait for `poll_transmit`.
const MAX_ALERTS: usize = 4;

impl Connection {
    pub(super) fn receive_datagram(&mut self, mut data: BytesMut) {
        while !data.is_empty() && !self.is_closed() {
            match RecordHeader::parse(&data) {
                Ok(header) => {
                    let len = HEADER_LEN + header.len;
                    let record = if len == data.len() {
                        std::mem::take(&mut data)
                    } else {
                        data.split_to(len)
                    };
                    self.receive_record(&header, record);
                }
                // "In general, invalid records SHOULD be silently discarded" (RFC 6347, section 4.1.2.7)
                Err(HeaderError::Malformed) => {
                    debug!("drop {} bytes that are no record", data.len());
                    self.stats.drops.malformed_record += 1;
                    break;
                }
                Err(HeaderError::Unexpected(len)) => {
                    debug!("drop a record of {len} bytes of another kind or version");
                    self.stats.drops.unexpected_record += 1;
                    data.advance(len);
                }
            }
        }
        // Set when keys come, and when the handshake is done: twice at most.
        while std::mem::take(&mut self.retry_early) && !self.is_closed() {
            for record in std::mem::take(&mut self.early) {
                if let Ok(header) = RecordHeader::parse(&record) {
                    self.receive_record(&header, record);
                }
            }
        }
    }

    fn receive_record(&mut self, header: &RecordHeader, mut record: BytesMut) {
        trace!(
            "record {:?} {}/{} {} bytes",
            header.content_type, header.epoch, header.sequence, header.len
        );
        match header.epoch {
            0 => {
                record.advance(HEADER_LEN);
                self.receive_plain(header, &record);
            }
            EPOCH => self.receive_protected(header, record),
            _ => self.stats.drops.unexpected_record += 1,
        }
    }

    /// A record that anybody can have written.
    fn receive_plain(&mut self, header: &RecordHeader, content: &[u8]) {
        match (header.content_type, &self.state) {
            // The epoch of the records after it says the same.
            (ContentType::ChangeCipherSpec, _) => {}
            (ContentType::Alert, _) => self.receive_plain_alert(content),
            (ContentType::Handshake, State::Handshake(_)) => self.receive_fragments(header, content),
            // The peer repeats a flight; if ours was lost, its Finished comes along and is answered.
            (ContentType::Handshake, _) => self.stats.drops.repeated_message += 1,
            (ContentType::ApplicationData, _) => self.stats.drops.unexpected_record += 1,
        }
    }

    /// THREATS 3: an alert without protection is doubted during the handshake, and ignored after it.
    fn receive_plain_alert(&mut self, content: &[u8]) {
        let Some(alert) = Alert::parse(content) else {
            self.stats.drops.malformed_alert += 1;
            return;
        };
        self.stats.drops.unauthenticated_alert += 1;
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
        let at = self.now.checked_add(self.config.doubt);
        self.doubt.get_or_insert(Doubt { at, reason, alert });
    }

    fn receive_protected(&mut self, header: &RecordHeader, mut record: BytesMut) {
        let connected = matches!(self.state, State::Connected(_));
        let is_data = header.content_type == ContentType::ApplicationData;
        let Some(opener) = self.records.opener.as_mut().filter(|_| connected || !is_data) else {
            // "Implementations MUST either discard or buffer all application data packets for the new epoch until
            // they have received the Finished message for that epoch." (RFC 6347, section 4.2.4)
            self.keep_early(&record);
            return;
        };
        match opener.open(header, &mut record) {
            Ok(()) => {}
            Err(OpenError::Replayed) => {
                self.stats.drops.replayed += 1;
                return;
            }
            Err(OpenError::Unauthentic) => {
                debug!("drop a record that does not authenticate");
                self.stats.drops.unauthentic += 1;
                return;
            }
        }
        match header.content_type {
            ContentType::ApplicationData => self.receive_data(record),
            ContentType::Handshake if connected => self.receive_after_handshake(&record),
            ContentType::Handshake => self.receive_fragments(header, &record),
            ContentType::Alert => self.receive_alert(&record),
            ContentType::ChangeCipherSpec => self.stats.drops.unexpected_record += 1,
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
            self.stats.drops.early_overflow += 1;
        }
    }

    fn receive_data(&mut self, record: BytesMut) {
        if self.events.len() >= self.config.max_events {
            self.stats.drops.queue_full += 1;
            return;
        }
        self.stats.data_received += 1;
        self.events.push_back(Event::Data(record.freeze()));
    }

    /// An alert that the peer did send.
    fn receive_alert(&mut self, content: &[u8]) {
        let Some(alert) = Alert::parse(content) else {
            self.stats.drops.malformed_alert += 1;
            return;
        };
        match alert {
            // "The other party MUST respond with a close_notify alert of its own and close down the connection
            // immediately, discarding any pending writes." (RFC 5246, section 7.2.1)
            Alert {
                description: AlertDescription::CLOSE_NOTIFY,
                ..
            } => {
                self.flight.clear();
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

    fn receive_fragments(&mut self, header: &RecordHeader, content: &[u8]) {
        let mut reader = Reader::new(content);
        loop {
            let Ok(fragment) = Fragment::read(&mut reader) else {
                self.stats.drops.unexpected_fragment += 1;
                return;
            };
            self.receive_fragment(header, &fragment);
            if reader.is_empty() || !matches!(self.state, State::Handshake(_)) {
                return;
            }
        }
    }

    fn receive_fragment(&mut self, header: &RecordHeader, fragment: &Fragment<'_>) {
        let drops = &mut self.stats.drops;
        match self.reassembler.push(header.epoch, fragment) {
            Pushed::Kept => {}
            Pushed::KeptAgainstOthers => drops.contradicting_fragment += 1,
            Pushed::NotDue => drops.unexpected_fragment += 1,
            Pushed::Oversized => drops.oversized_fragment += 1,
            Pushed::Repeated => {
                drops.repeated_message += 1;
                if fragment.is_end() && self.flight.on_repeated(self.now, fragment.message_seq) {
                    debug!("the peer repeats its flight: ours goes out again");
                    self.stats.retransmissions += 1;
                }
                return;
            }
        }
        while let State::Handshake(handshake) = &self.state {
            let Some(message) = self.reassembler.pop(handshake.epoch()) else {
                return;
            };
            let State::Handshake(handshake) = std::mem::replace(&mut self.state, State::Closed) else {
                return;
            };
            self.receive_message(*handshake, &message, header.sequence);
        }
    }

    fn receive_message(&mut self, handshake: Handshake, message: &HandshakeMessage, record_sequence: u64) {
        debug!("received {} ({} bytes)", message.kind.name(), message.body.len());
        let had_keys = self.records.opener.is_some();
        let step = handshake.handle(
            message,
            &mut Context {
                now: self.now,
                config: &self.config,
                rng: &mut self.rng,
                flight: &mut self.flight,
                records: &mut self.records,
                stats: &mut self.stats,
                record_sequence,
            },
        );
        match step {
            Ok(Step::Continue(next)) => {
                self.doubt = None;
                self.retry_early |= !had_keys && self.records.opener.is_some();
                self.state = State::Handshake(Box::new(next));
            }
            Ok(Step::Refused(same, error)) => {
                info!("a ClientHello is refused: {error}");
                self.stats.drops.refused_hello += 1;
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
        let negotiated = &established.negotiated;
        info!(
            "connected: DTLS 1.2, {}, {:?}",
            negotiated.suite.name(),
            established.group
        );
        self.state = State::Connected(established);
        self.deadline = None;
        self.doubt = None;
        self.reassembler.expect_again(0);
        self.retry_early = true;
        self.events.push_back(Event::Connected);
    }

    /// A handshake message of the peer, when the handshake is over.
    fn receive_after_handshake(&mut self, content: &[u8]) {
        let State::Connected(established) = &self.state else {
            return;
        };
        let Ok(fragment) = Fragment::read(&mut Reader::new(content)) else {
            self.stats.drops.unexpected_fragment += 1;
            return;
        };
        match (fragment.kind, self.config.role) {
            // "the node that transmits the last flight [...] MUST respond to a retransmit of the peer's last
            // flight with a retransmit of the last flight" (RFC 6347, section 4.2.4). The client has cleared its.
            (HandshakeType::FINISHED, _) if fragment.message_seq == established.peer_finished => {
                self.stats.drops.repeated_message += 1;
                if fragment.is_end() && self.flight.on_repeated(self.now, fragment.message_seq) {
                    self.stats.retransmissions += 1;
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
            _ => self.stats.drops.unexpected_fragment += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::fragment::put_header;
    use crate::{Certificate, Config, PeerIdentity};

    #[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
    fn connected() -> (Connection, Connection, Instant) {
        let now = Instant::now();
        let make = |role| {
            let config = Config::new(
                role,
                Certificate::generate().unwrap(),
                PeerIdentity::AnyCertificate,
            );
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
        let start = from.records.begin(EPOCH, content_type, &mut out).unwrap();
        out.extend_from_slice(content);
        from.records.finish(EPOCH, content_type, &mut out, start);
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
        let sealer = client.records.sealer.as_mut().unwrap();
        sealer.skip_to(crate::record::header::MAX_SEQUENCE);
        assert!(client.seal(&mut Vec::new(), |_| true));
        assert!(!client.seal(&mut Vec::new(), |_| true));
        assert_eq!(
            client.poll_event(),
            Some(Event::Closed(CloseReason::RecordNumbersExhausted))
        );
        assert_eq!(client.poll_timeout(), None);
    }
}
