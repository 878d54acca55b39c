//! Descriptions from anybody, set on a connection: an error leaves the connection as it was.
#![no_main]

use dunlin_peerconnection::{Config, PeerConnection, SdpType, SessionDescription};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use std::time::Instant;

fuzz_target!(|text: &str| {
    static CERTIFICATE: OnceLock<dunlin_peerconnection::Certificate> = OnceLock::new();
    let generate = || dunlin_peerconnection::Certificate::generate().expect("a certificate");
    let mut config = Config::default();
    config.certificate = Some(CERTIFICATE.get_or_init(generate).clone());
    let now = Instant::now();
    let mut connection = PeerConnection::new(config, [1; 32], now);
    let before = connection.signaling_state();
    let offer = SessionDescription { kind: SdpType::Offer, sdp: text.to_owned() };
    match connection.set_remote_description(now, offer) {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(connection.signaling_state(), before);
            assert!(connection.remote_description().is_none());
        }
        Ok(()) => drop(connection.set_local_description(now, None)),
    }
});
