//! Handshake messages into a client and a server, of either version, at every state: those of a true peer, changed,
//! doubled, left out, with others between, under the peer's own keys in DTLS 1.3. Whatever comes: no panic, no busy
//! loop, and no two ends with different keys.
#![no_main]

#[allow(dead_code, reason = "tests use the rest")]
#[path = "../../crates/dtls/tests/common/analyser.rs"]
mod analyser;

use analyser::{Analyser, HANDSHAKE, plain};
use bytes::BytesMut;
use dunlin_dtls::{Certificate, ClientAuth, Config, Connection, Event, Group, PeerIdentity, Role, Version};
use dunlin_fuzz::Dice;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

fn connection(role: Role, shape: u8, now: Instant) -> Connection {
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    let certificate = CERTIFICATE.get_or_init(|| Certificate::generate().expect("a certificate")).clone();
    let mut config = Config::new(role, certificate, PeerIdentity::AnyCertificate);
    config.groups = vec![Group::X25519, Group::P256];
    if role == Role::Server && shape & 4 != 0 {
        config.groups = vec![Group::P256];
    }
    if role == Role::Client {
        (config.min_version, config.max_version) = match shape & 3 {
            0 => (Version::Dtls12, Version::Dtls12),
            1 => (Version::Dtls13, Version::Dtls13),
            _ => (Version::Dtls12, Version::Dtls13),
        };
    }
    if shape & 8 != 0 {
        config.client_auth = ClientAuth::Optional;
    }
    if shape & 16 != 0 {
        config.connection_id = Some(Vec::new());
    }
    config.srtp_profiles = vec![7, 1];
    config.alpn = vec![b"webrtc".to_vec()];
    config.key_log = true;
    Connection::new(config, [role as u8; 32], now)
}

/// The messages of a record after the input had its way with them. Lengths are put right, mostly, so that the bodies are
/// read.
fn rewritten(dice: &mut Dice<'_>, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = content;
    while rest.len() >= 12 {
        let len = usize::from(u16::from_be_bytes([rest[10], rest[11]])).min(rest.len() - 12);
        let (message, behind) = rest.split_at(12 + len);
        rest = behind;
        let (mut header, mut body) = (message[..12].to_vec(), message[12..].to_vec());
        let whole = header[6..9] == [0, 0, 0] && header[1..4] == header[9..12];
        match dice.byte().unwrap_or(0) % 12 {
            0..=4 => {}
            5 => continue,
            6 => {
                let at = usize::from(dice.short().unwrap_or(0)) % body.len().max(1);
                let count = usize::from(dice.byte().unwrap_or(1) % 8);
                body.iter_mut().skip(at).zip(dice.bytes(count)).for_each(|(byte, new)| *byte = *new);
            }
            7 => body.truncate(usize::from(dice.short().unwrap_or(0)) % (body.len() + 1)),
            8 => {
                let at = usize::from(dice.short().unwrap_or(0)) % (body.len() + 1);
                let count = usize::from(dice.byte().unwrap_or(0) % 40);
                body.splice(at..at, dice.bytes(count).iter().copied());
            }
            9 => header[0] = dice.byte().unwrap_or(0) % 26,
            10 => header[5] = dice.byte().unwrap_or(0) % 8,
            _ => {
                // One of its own first, in the same place.
                let count = usize::from(dice.byte().unwrap_or(0));
                let own = dice.bytes(count);
                out.extend_from_slice(&analyser::message(dice.byte().unwrap_or(0) % 26, u16::from(header[5]), own));
            }
        }
        if whole {
            let len = (body.len() as u32).to_be_bytes();
            header[1..4].copy_from_slice(&len[1..]);
            header[9..12].copy_from_slice(&len[1..]);
        }
        out.extend_from_slice(&header);
        out.extend_from_slice(&body);
    }
    out
}

/// A datagram of a true end with its handshake records rewritten.
fn retold(dice: &mut Dice<'_>, from: Role, analyser: &Analyser, datagram: &[u8]) -> Vec<u8> {
    let readable = datagram.first().is_some_and(|first| *first >> 5 == 1 || *first == HANDSHAKE);
    let protected_12 = datagram.len() > 4 && datagram[0] >> 5 != 1 && datagram[4] != 0;
    if !readable || protected_12 || datagram.windows(5).any(|bytes| bytes[..3] == [20, 0xFE, 0xFD]) {
        return datagram.to_vec();
    }
    // A hello that was rewritten may have led to another suite than the analyser's.
    let Some(records) = analyser.try_open(from, datagram) else {
        return datagram.to_vec();
    };
    let mut out = Vec::new();
    for record in records {
        let content = match record.kind {
            HANDSHAKE => rewritten(dice, &record.content),
            _ => record.content.clone(),
        };
        out.extend(match record.epoch {
            0 => plain(record.kind, record.sequence as u8, &content),
            epoch => analyser.seal(from, (epoch, record.sequence), &[], record.kind, &content),
        });
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let mut dice = Dice::new(data);
    let shape = dice.byte().unwrap_or(0);
    // The one of the two that hears lies.
    let victim = usize::from(shape >> 7);
    let mut now = Instant::now();
    let mut ends = [Role::Client, Role::Server].map(|role| connection(role, shape, now));
    let mut log: [Vec<Event>; 2] = Default::default();
    for _ in 0..12 {
        for from in [0, 1] {
            let mut out = Vec::new();
            let mut count = 0;
            while ends[from].poll_transmit(now, &mut out) {
                count += 1;
                assert!(count < 100, "a busy loop");
                while let Some(event) = ends[from].poll_event() {
                    log[from].push(event);
                }
                let datagram = std::mem::take(&mut out);
                let to = 1 - from;
                let role = if from == 0 { Role::Client } else { Role::Server };
                let told = match to == victim {
                    true => retold(&mut dice, role, &Analyser::new(&log[from]), &datagram),
                    false => datagram,
                };
                ends[to].handle_datagram(now, BytesMut::from(&told[..]));
            }
            assert!(ends[from].poll_timeout().is_none_or(|at| at > now), "drained, and still due");
        }
        if ends.iter().all(|end| end.is_connected()) {
            let [mut ours, mut theirs] = [[0; 32], [1; 32]];
            assert_eq!(ends[0].export("fuzz", None, &mut ours), Ok(()));
            assert_eq!(ends[1].export("fuzz", None, &mut theirs), Ok(()));
            assert_eq!(ours, theirs);
        }
        let next = ends.iter().filter_map(Connection::poll_timeout).min();
        now = next.unwrap_or(now).max(now + Duration::from_millis(1));
        ends.iter_mut().for_each(|end| end.handle_timeout(now));
    }
});
