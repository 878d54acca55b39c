//! ClientHellos of real peers, as captured (one datagram a line, in hexadecimal), answered by our server.

mod common;

use bytes::BytesMut;
use common::{configs_of, epoch};
use dunlin_dtls::{Connection, Version};

const CAPTURES: [(&str, &str, u16); 10] = [
    ("aiortc", include_str!("data/aiortc.hex"), 0xC02B),
    ("Chromium 156", include_str!("data/chromium156.hex"), 0xC02B),
    (
        "Chromium 156 without X25519MLKEM768",
        include_str!("data/chromium156-nopqc.hex"),
        0xC02B,
    ),
    ("Firefox 153", include_str!("data/firefox153.hex"), 0xC02B),
    (
        "Firefox 153, DTLS 1.2 only",
        include_str!("data/firefox153-dtls12.hex"),
        0xC02B,
    ),
    ("GStreamer 1.22", include_str!("data/gstreamer.hex"), 0xC02B),
    ("libdatachannel", include_str!("data/libdatachannel.hex"), 0xC02B),
    ("libwebrtc M106", include_str!("data/libwebrtc-m106.hex"), 0xC02B),
    ("pion 3", include_str!("data/pion3.hex"), 0xC02B),
    ("werift", include_str!("data/werift.hex"), 0xC02B),
];

fn datagrams(hex: &str) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.lines()
        .map(|line| line.as_bytes().chunks(2).map(byte).collect())
        .collect()
}

/// The body of the ServerHello that the server sends in answer to `datagrams`.
fn answer(datagrams: &[Vec<u8>]) -> Option<Vec<u8>> {
    let now = epoch();
    let (_, mut config) = configs_of(Version::Dtls12);
    config.srtp_profiles = vec![7, 1];
    let mut server = Connection::new(config, [1; 32], now);
    for datagram in datagrams {
        server.handle_datagram(now, BytesMut::from(&datagram[..]));
    }
    assert_eq!(server.stats().drops.total(), 0, "{:?}", server.stats());
    let mut out = Vec::new();
    assert_eq!(server.poll_transmit(now, &mut out), !out.is_empty());
    // Record header 13, handshake header 12.
    (out.len() > 25 && out[0] == 22 && out[13] == 2).then(|| {
        let len = usize::from(u16::from_be_bytes([out[15], out[16]]));
        out[25..25 + len].to_vec()
    })
}

#[test]
fn every_captured_client_hello_is_answered_with_dtls_1_2() {
    for (name, hex, suite) in CAPTURES {
        let hello = answer(&datagrams(hex)).unwrap_or_else(|| panic!("{name}: no ServerHello"));
        assert_eq!(hello[..2], [0xFE, 0xFD], "{name}");
        assert_eq!(hello[34], 0, "{name}: no session");
        assert_eq!(hello[35..37], suite.to_be_bytes(), "{name}");
        // extended_master_secret is among the extensions: 00 17 00 00
        assert!(
            hello[40..].windows(4).any(|window| window == [0, 23, 0, 0]),
            "{name}"
        );
        // and use_srtp with one profile and no MKI: 00 0E 00 05 00 02 00 xx 00
        assert!(
            hello[40..]
                .windows(7)
                .any(|window| window == [0, 14, 0, 5, 0, 2, 0]),
            "{name}"
        );
    }
}

#[test]
fn threat_4_a_post_quantum_client_hello_in_two_datagrams_comes_in_any_order_and_more_than_once() {
    for (name, hex, _) in CAPTURES {
        let datagrams = datagrams(hex);
        let [first, second] = &datagrams[..] else { continue };
        assert!(
            answer(&[second.clone(), first.clone()]).is_some(),
            "{name} reversed"
        );
        assert!(
            answer(&[second.clone(), second.clone(), first.clone()]).is_some(),
            "{name} repeated"
        );
        assert!(answer(&[first.clone(), first.clone()]).is_none(), "{name} half");
        assert!(
            answer(&[[&first[..], second].concat()]).is_some(),
            "{name} in one datagram"
        );
    }
}

/// Each captured hello cut into records of every size, backwards.
#[test]
fn threat_4_fragments_of_every_size_are_put_together() {
    for (name, hex, _) in CAPTURES {
        let mut body = Vec::new();
        for datagram in datagrams(hex) {
            body.extend_from_slice(&datagram[25..]);
        }
        for size in (1..=32).chain([100, 255, 256, 700, 1400]) {
            let mut cut: Vec<Vec<u8>> = Vec::new();
            for (index, piece) in body.chunks(size).enumerate() {
                let mut datagram = vec![22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0];
                datagram.extend_from_slice(&(index as u16).to_be_bytes());
                datagram.extend_from_slice(&(12 + piece.len() as u16).to_be_bytes());
                datagram.push(1);
                datagram.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
                datagram.extend_from_slice(&[0, 0]);
                datagram.extend_from_slice(&((index * size) as u32).to_be_bytes()[1..]);
                datagram.extend_from_slice(&(piece.len() as u32).to_be_bytes()[1..]);
                datagram.extend_from_slice(piece);
                cut.push(datagram);
            }
            cut.reverse();
            assert!(answer(&cut).is_some(), "{name} in pieces of {size}");
        }
    }
}
