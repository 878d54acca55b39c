//! A DTLS handshake and some data over a network that drops, repeats, cuts and changes datagrams. Whatever
//! happens: no panic, no busy loop, and data that arrives is data that was sent.
#![no_main]

use bytes::BytesMut;
use dunlin_dtls::{Certificate, Config, Connection, Event, PeerIdentity, Role};
use dunlin_fuzz::{Dice, carry};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const HELLO: &[u8] = b"hello";

fn connection(role: Role, now: Instant) -> Connection {
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    let certificate = CERTIFICATE.get_or_init(|| Certificate::generate().expect("a certificate")).clone();
    let mut config = Config::new(role, certificate, PeerIdentity::AnyCertificate);
    config.srtp_profiles = vec![7, 1];
    Connection::new(config, [role as u8; 32], now)
}

fuzz_target!(|data: &[u8]| {
    let mut dice = Dice::new(data);
    let mut now = Instant::now();
    let mut ends = [connection(Role::Client, now), connection(Role::Server, now)];
    let mut out = Vec::new();
    for _round in 0..200 {
        let mut moved = false;
        for from in [0, 1] {
            loop {
                out.clear();
                if !ends[from].poll_transmit(now, &mut out) {
                    break;
                }
                moved = true;
                assert!(out.len() <= 1300, "a datagram of {} bytes", out.len());
                let to = &mut ends[1 - from];
                carry(&mut dice, &out, |bytes| to.handle_datagram(now, BytesMut::from(bytes)));
            }
            while let Some(event) = ends[from].poll_event() {
                match event {
                    Event::Connected => {
                        let _ = ends[from].seal(&mut out, |out| {
                            out.extend_from_slice(HELLO);
                            true
                        });
                    }
                    Event::Data(bytes) => assert_eq!(&bytes[..], HELLO),
                    _ => {}
                }
            }
        }
        if !moved {
            let next = ends.iter().filter_map(Connection::poll_timeout).min();
            let Some(next) = next else { return };
            now = next.max(now + Duration::from_millis(1));
            for end in &mut ends {
                end.handle_timeout(now);
            }
        }
    }
});
