//! Records into a connected end of DTLS: true ones whole, repeated, cut, changed and put together, and the input's own,
//! of both versions, with and without connection IDs. Whatever comes: nothing but what was sealed is heard, that once,
//! and the connection goes on.
#![no_main]

use bytes::BytesMut;
use dunlin_dtls::{Certificate, CipherSuite, Config, Connection, Event, Group, PeerIdentity, Role, Version};
use dunlin_fuzz::Dice;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use std::time::Instant;

fn connection(role: Role, shape: u8, now: Instant) -> Connection {
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    let certificate = CERTIFICATE
        .get_or_init(|| Certificate::generate().expect("a certificate"))
        .clone();
    let mut config = Config::new(role, certificate, PeerIdentity::AnyCertificate);
    config.groups = vec![Group::X25519, Group::P256];
    let suites = CipherSuite::ALL
        .into_iter()
        .filter(|suite| !suite.name().contains("_RSA_"));
    let of_version = match shape & 1 {
        0 => Version::Dtls12,
        _ => Version::Dtls13,
    };
    (config.min_version, config.max_version) = (of_version, of_version);
    let suites: Vec<_> = suites.filter(|suite| suite.version() == of_version).collect();
    config.cipher_suites = vec![suites[usize::from(shape >> 1) % suites.len()]];
    if shape & 0x40 != 0 {
        config.connection_id = Some(vec![0xC1; 3]);
    }
    if shape & 0x80 != 0 {
        config.record_size_limit = Some(100);
    }
    Connection::new(config, [role as u8; 32], now)
}

fn carry(from: &mut Connection, to: &mut Connection, now: Instant) {
    let mut out = Vec::new();
    while from.poll_transmit(now, &mut out) {
        to.handle_datagram(now, BytesMut::from(&out[..]));
        out.clear();
    }
}

fuzz_target!(|data: &[u8]| {
    let mut dice = Dice::new(data);
    let shape = dice.byte().unwrap_or(0);
    let now = Instant::now();
    let [mut us, mut peer] = [Role::Client, Role::Server].map(|role| connection(role, shape, now));
    for _ in 0..3 {
        carry(&mut us, &mut peer, now);
        carry(&mut peer, &mut us, now);
    }
    if dice.byte().unwrap_or(0) & 1 != 0 {
        std::mem::swap(&mut us, &mut peer);
    }
    assert!(us.is_connected() && peer.is_connected());
    while us.poll_event().is_some() {}

    let mut sealed: Vec<Vec<u8>> = Vec::new();
    let mut heard = Vec::new();
    while let Some(action) = dice.byte() {
        let mut record = Vec::new();
        let number = sealed.len() as u32;
        let written = peer.seal(&mut record, |out| {
            out.extend_from_slice(&number.to_be_bytes());
            true
        });
        assert!(written);
        sealed.push(record.clone());
        match action % 8 {
            0 => {}
            1 => {
                let old = usize::from(dice.byte().unwrap_or(0)) % sealed.len();
                record.extend_from_slice(&sealed[old]);
            }
            2 => {
                let at = usize::from(dice.byte().unwrap_or(0)) % record.len();
                record[at] ^= dice.byte().unwrap_or(1).max(1);
            }
            3 => record.truncate(usize::from(dice.byte().unwrap_or(0)) % record.len()),
            4 => record = dice.bytes(usize::from(action)).to_vec(),
            5 => {
                // The input's content behind a header that fits it.
                let len = usize::from(dice.byte().unwrap_or(0));
                let mut header = record[..3].to_vec();
                if record[0] >> 5 != 1 {
                    header = record[..11].to_vec();
                    header[10] = dice.byte().unwrap_or(0);
                }
                header.extend_from_slice(&(len as u16).to_be_bytes());
                let mut content = dice.bytes(len).to_vec();
                content.resize(len, 0);
                record = [header, content].concat();
            }
            6 => {
                let first = dice.byte().unwrap_or(0);
                record[0] = first;
            }
            _ => {
                if shape & 1 == 1 {
                    let _ = peer.update_keys(now, action & 8 != 0);
                    carry(&mut peer, &mut us, now);
                    carry(&mut us, &mut peer, now);
                    carry(&mut peer, &mut us, now);
                }
            }
        }
        us.handle_datagram(now, BytesMut::from(&record[..]));
        carry(&mut us, &mut peer, now);
        assert!(us.is_connected(), "{:?}", us.poll_event());
        while let Some(event) = us.poll_event() {
            let Event::Data(content) = event else {
                panic!("{event:?}")
            };
            let number = u32::from_be_bytes(content[..].try_into().expect("what was sealed"));
            assert!((number as usize) < sealed.len() && !heard.contains(&number));
            heard.push(number);
        }
    }
    assert!(us.poll_timeout().is_none_or(|at| at > now), "nothing is due");
});
