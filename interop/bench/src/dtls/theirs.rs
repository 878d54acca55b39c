//! The same handshake by dimpl, the fastest DTLS library we know of besides this one.

use super::Traffic;
use dimpl::certificate::{CertificateError, generate_self_signed_certificate};
use dimpl::{Config, Dtls, DtlsCertificate, Output};
use std::sync::Arc;
use std::time::Instant;

/// What both ends are made from.
#[derive(Debug)]
pub struct Setup {
    certificates: [DtlsCertificate; 2],
    config: Arc<Config>,
    v13: bool,
}

pub fn setup(v13: bool) -> Result<Setup, String> {
    let text = |error: CertificateError| error.to_string();
    let certificate = || generate_self_signed_certificate().map_err(text);
    let config = Config::builder().use_server_cookie(false).build();
    Ok(Setup {
        certificates: [certificate()?, certificate()?],
        config: Arc::new(config.map_err(|error| error.to_string())?),
        v13,
    })
}

/// A handshake to its end, and what it took.
pub fn pair(setup: &Setup, now: Instant) -> Result<Traffic, String> {
    let text = |error: dimpl::Error| error.to_string();
    let end = |certificate: &DtlsCertificate, client: bool| {
        let (config, certificate) = (setup.config.clone(), certificate.clone());
        let mut end = if setup.v13 {
            Dtls::new_13(config, certificate, now)
        } else {
            Dtls::new_12(config, certificate, now)
        };
        end.set_active(client);
        end.handle_timeout(now).map(|()| end)
    };
    let [client, server] = &setup.certificates;
    let mut ends = [
        (end(client, true).map_err(text)?, false),
        (end(server, false).map_err(text)?, false),
    ];
    let mut traffic = Traffic::default();
    let mut buffer = vec![0; 4096];
    loop {
        let before = traffic.datagrams;
        for from in 0..2 {
            let datagrams = drain(&mut ends[from], &mut buffer);
            for datagram in datagrams {
                traffic.datagrams += 1;
                traffic.bytes += datagram.len();
                ends[1 - from].0.handle_packet(&datagram).map_err(text)?;
            }
        }
        if before == traffic.datagrams {
            break;
        }
    }
    if ends.iter().all(|end| end.1) {
        Ok(traffic)
    } else {
        Err("dimpl did not connect".to_owned())
    }
}

/// What an end wants to send now.
fn drain(end: &mut (Dtls, bool), buffer: &mut [u8]) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    loop {
        match end.0.poll_output(buffer) {
            Output::Packet(datagram) => datagrams.push(datagram.to_vec()),
            Output::Timeout(_) => return datagrams,
            Output::Connected => end.1 = true,
            _ => {}
        }
    }
}
