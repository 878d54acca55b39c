//! sctp-proto (str0m's) and rtc-sctp (webrtc-rs's): the same design with small differences in every call.

use super::{Engine, PACKET, QUEUE};
use bytes::Bytes;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// The largest message each may send and take.
const MESSAGE: u32 = 1 << 20;
/// Packets of one turn at most.
const BATCH: usize = 64;

fn peer() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 5000).into()
}

/// An end of either: the endpoint, its one association, and packets that wait.
macro_rules! end {
    ($end:ident, $library:ident) => {
        #[allow(missing_debug_implementations)]
        pub struct $end {
            endpoint: $library::Endpoint,
            association: Option<($library::AssociationHandle, $library::Association)>,
            waiting: std::collections::VecDeque<Bytes>,
            buffer: Vec<u8>,
            received: u64,
            opened: bool,
        }

        impl $end {
            fn new(endpoint: $library::Endpoint) -> Self {
                Self {
                    endpoint,
                    association: None,
                    waiting: std::collections::VecDeque::new(),
                    buffer: vec![0; MESSAGE as usize],
                    received: 0,
                    opened: false,
                }
            }

            /// Takes what has come, and hands over what the two halves have for each other.
            fn settle(&mut self) {
                let Some((handle, association)) = &mut self.association else {
                    return;
                };
                while association.poll().is_some() {}
                while association.accept_stream().is_some() {}
                if let Ok(mut stream) = association.stream(1) {
                    while let Ok(Some(chunks)) = stream.read_sctp() {
                        self.received += chunks.read(&mut self.buffer).unwrap_or(0) as u64;
                    }
                }
                while let Some(event) = association.poll_endpoint_event() {
                    self.endpoint.handle_event(*handle, event);
                }
            }
        }

        impl Engine for $end {
            fn connect(&mut self, now: Instant) {
                self.association = self.begin(now);
            }

            fn send(&mut self, now: Instant, message: &Bytes) -> bool {
                let Some((_, association)) = &mut self.association else {
                    return false;
                };
                if association.is_handshaking() {
                    return false;
                }
                if !self.opened {
                    let binary = $library::PayloadProtocolIdentifier::Binary;
                    self.opened = association.open_stream(1, binary).is_ok();
                }
                let Ok(mut stream) = association.stream(1) else {
                    return false;
                };
                let fits = stream
                    .buffered_amount()
                    .is_ok_and(|waiting| waiting + message.len() <= QUEUE);
                fits && Self::write(&mut stream, now, message)
            }

            fn output(&mut self, now: Instant, packets: &mut Vec<Bytes>) {
                if let Some((_, association)) = &mut self.association {
                    while self.waiting.len() < BATCH
                        && let Some(transmit) = association.poll_transmit(now)
                    {
                        if let $library::Payload::RawEncode(all) = Self::payload(transmit) {
                            self.waiting.extend(all);
                        }
                    }
                }
                let count = self.waiting.len().min(BATCH);
                packets.extend(self.waiting.drain(..count));
                self.settle();
            }

            fn input(&mut self, now: Instant, packet: Bytes) {
                match self.handle(now, packet) {
                    Some((handle, $library::DatagramEvent::NewAssociation(association))) => {
                        self.association = Some((handle, association));
                    }
                    Some((_, $library::DatagramEvent::AssociationEvent(event))) => {
                        if let Some((_, association)) = &mut self.association {
                            association.handle_event(event);
                        }
                    }
                    _ => {}
                }
            }

            fn received(&mut self) -> u64 {
                self.settle();
                std::mem::take(&mut self.received)
            }

            fn timeout(&mut self) -> Option<Instant> {
                self.association
                    .as_mut()
                    .and_then(|(_, association)| association.poll_timeout())
            }

            fn handle_timeout(&mut self, now: Instant) {
                if let Some((_, association)) = &mut self.association {
                    association.handle_timeout(now);
                }
            }
        }
    };
}

end!(Proto, sctp_proto);
end!(Rtc, rtc_sctp);

/// What their own sizes call the payload leaves out the headers of UDP and IPv4.
const PAYLOAD: u32 = (PACKET as u32 - 28) & !3;

pub fn sctp_proto() -> [Proto; 2] {
    let transport = || {
        sctp_proto::TransportConfig::default()
            .with_max_send_message_size(MESSAGE)
            .with_max_receive_message_size(MESSAGE)
    };
    [(); 2].map(|()| {
        let mut config = sctp_proto::EndpointConfig::new();
        config.max_payload_size(PAYLOAD);
        let mut server = sctp_proto::ServerConfig::new();
        server.transport = Arc::new(transport());
        Proto::new(sctp_proto::Endpoint::new(config.into(), Some(server.into())))
    })
}

impl Proto {
    fn begin(&mut self, _: Instant) -> Option<(sctp_proto::AssociationHandle, sctp_proto::Association)> {
        let mut client = sctp_proto::ClientConfig::new();
        client.transport = Arc::new(
            sctp_proto::TransportConfig::default()
                .with_max_send_message_size(MESSAGE)
                .with_max_receive_message_size(MESSAGE),
        );
        self.endpoint.connect(client, peer()).ok()
    }

    fn handle(
        &mut self,
        now: Instant,
        packet: Bytes,
    ) -> Option<(sctp_proto::AssociationHandle, sctp_proto::DatagramEvent)> {
        self.endpoint.handle(now, peer(), None, None, packet)
    }

    fn write(stream: &mut sctp_proto::Stream<'_>, _: Instant, message: &Bytes) -> bool {
        let binary = sctp_proto::PayloadProtocolIdentifier::Binary;
        stream.write_sctp(message, binary).is_ok()
    }

    fn payload(transmit: sctp_proto::Transmit) -> sctp_proto::Payload {
        transmit.payload
    }
}

pub fn rtc_sctp() -> [Rtc; 2] {
    let transport = || rtc_sctp::TransportConfig::default().with_max_message_size(MESSAGE);
    [(); 2].map(|()| {
        let mut config = rtc_sctp::EndpointConfig::new();
        config.max_payload_size(PAYLOAD);
        let server = rtc_sctp::ServerConfig::new(transport());
        let endpoint =
            rtc_sctp::Endpoint::new(peer(), Default::default(), config.into(), Some(server.into()));
        Rtc::new(endpoint)
    })
}

impl Rtc {
    fn begin(&mut self, now: Instant) -> Option<(rtc_sctp::AssociationHandle, rtc_sctp::Association)> {
        let transport = rtc_sctp::TransportConfig::default().with_max_message_size(MESSAGE);
        let client = rtc_sctp::ClientConfig::new(transport);
        self.endpoint.connect(now, client, peer()).ok()
    }

    fn handle(
        &mut self,
        now: Instant,
        packet: Bytes,
    ) -> Option<(rtc_sctp::AssociationHandle, rtc_sctp::DatagramEvent)> {
        self.endpoint.handle(now, peer(), None, packet)
    }

    fn write(stream: &mut rtc_sctp::Stream<'_>, now: Instant, message: &Bytes) -> bool {
        let binary = rtc_sctp::PayloadProtocolIdentifier::Binary;
        stream.write_sctp(now, message, binary).is_ok()
    }

    fn payload(transmit: rtc_shared::TransportMessage<rtc_sctp::Payload>) -> rtc_sctp::Payload {
        transmit.message
    }
}
