//! The error paths of a server, rule by rule: permissions, channels, data and ICMP (RFC 8656, sections 9 to 12).

mod raw;
mod world;

use dunlin_net::Transport;
use dunlin_stun::{Class, Message, Method, Writer, attribute};
use dunlin_turn::ChannelNumber;
use dunlin_turn::attribute::{DontFragment, Icmp};
use dunlin_turn::server::{HEADROOM, TAILROOM};
use raw::{Fate, PEER, PEER6, Raw, Write, bind, dual, home, peer, udp};
use world::{at, path, server_config};

/// RFC 8656, section 10.2. It is all or nothing.
#[test]
fn create_permission_requests() {
    let mut config = server_config();
    config.max_permissions = 2;
    let mut raw = Raw::allocated(config, &udp);
    let broken = |w: &mut Writer<'_>| _ = w.attribute(attribute::XOR_PEER_ADDRESS, &[0, 1, 2]);
    let cases: [(&str, Write<'_>, u16); 7] = [
        ("nobody", &|_| {}, 400),
        ("a malformed address", &broken, 400),
        (
            "an address and a malformed one",
            &|w| {
                peer(w, PEER);
                broken(w);
            },
            400,
        ),
        // "The message is checked for validity" first.
        (
            "a forbidden address and a malformed one",
            &|w| {
                peer(w, "127.0.0.1:1");
                broken(w);
            },
            400,
        ),
        (
            "both families",
            &|w| {
                peer(w, PEER);
                peer(w, PEER6);
            },
            443,
        ),
        (
            "a forbidden address",
            &|w| {
                peer(w, PEER);
                peer(w, "169.254.169.254:80");
            },
            403,
        ),
        (
            "too many",
            &|w| {
                ["198.51.100.7:1", "198.51.100.8:1", "198.51.100.9:1"]
                    .iter()
                    .for_each(|to| peer(w, to))
            },
            508,
        ),
    ];
    for (what, write, code) in cases {
        assert_eq!(
            raw.ask(home(), Method::CREATE_PERMISSION, write).code,
            Some(code),
            "{what}"
        );
        let sent = raw.send(&|w| {
            peer(w, PEER);
            w.data(b"x");
        });
        assert_eq!(sent, Fate::NoPermission, "{what}");
    }
    // "The port portion of each attribute is ignored".
    assert_eq!(
        raw.ask(home(), Method::CREATE_PERMISSION, &|w| peer(w, "198.51.100.7:0"))
            .code,
        None
    );
    let sent = raw.send(&|w| {
        peer(w, PEER);
        w.data(b"x");
    });
    assert_eq!(sent, Fate::Forwarded(at(PEER), b"x".to_vec(), false));
}

/// RFC 8656, section 12.2.
#[test]
fn channel_bind_requests() {
    let mut raw = Raw::allocated(server_config(), &udp);
    let ask = |raw: &mut Raw, number, to: &str| {
        raw.ask(home(), Method::CHANNEL_BIND, &|w| bind(w, number, to))
            .code
    };
    assert_eq!(ask(&mut raw, 0x4000, PEER), None);
    let other = "198.51.100.7:7001";
    for (number, to, code) in [
        (0x0000, other, 400),
        (0x3fff, other, 400),
        (0x5000, other, 400),
        (0x7fff, other, 400),
        // "The channel number is not currently bound to a different transport address".
        (0x4000, other, 400),
        // "The transport address is not currently bound to a different channel number."
        (0x4001, PEER, 400),
        (0x4001, PEER6, 443),
        (0x4001, "10.0.0.1:1", 403),
        // A port of ours that is no relay.
        (0x4001, "203.0.113.1:22", 403),
    ] {
        assert_eq!(ask(&mut raw, number, to), Some(code), "{number:#x} {to}");
    }
    let halves: [Write<'_>; 3] = [&|w| ChannelNumber::MAX.write(w), &|w| peer(w, other), &|w| {
        w.attribute(attribute::CHANNEL_NUMBER, &[0x4f, 0xff]);
        peer(w, other);
    }];
    for half in halves {
        assert_eq!(raw.ask(home(), Method::CHANNEL_BIND, half).code, Some(400));
    }
    // "(same transport address is OK)": it is a refresh, of ten minutes.
    raw.wait(500);
    assert_eq!(raw.ask(home(), Method::REFRESH, &|_| {}).code, None);
    assert_eq!(ask(&mut raw, 0x4000, PEER), None);
    raw.wait(599);
    assert_eq!(raw.ask(home(), Method::REFRESH, &|_| {}).code, None);
    assert_eq!(ask(&mut raw, 0x4000, other), Some(400));
    assert!(matches!(raw.data(home(), &[0x40, 0, 0, 0]), Fate::Forwarded(..)));
    // "Once unbound, the channel number can be bound to a different transport address".
    raw.wait(1);
    assert_eq!(raw.data(home(), &[0x40, 0, 0, 0]), Fate::NoPermission);
    assert_eq!(ask(&mut raw, 0x4000, other), None);
    assert_eq!(ask(&mut raw, 0x4fff, PEER), None);
}

/// RFC 8656, sections 11.2 and 12.6, and RFC 8489, section 6.3.2: what is not right is dropped, without an answer, and counted
/// by reason.
#[test]
fn data_of_clients_that_goes_nowhere() {
    let mut config = server_config();
    config.max_permissions = 2;
    let mut raw = Raw::allocated(config, &udp);
    assert_eq!(
        raw.ask(home(), Method::CHANNEL_BIND, &|w| bind(w, 0x4000, PEER))
            .code,
        None
    );
    let ours = "203.0.113.1:22";
    assert_eq!(
        raw.ask(home(), Method::CREATE_PERMISSION, &|w| peer(w, ours))
            .code,
        None
    );
    let cases: [(&str, Write<'_>, Fate); 8] = [
        ("no data", &|w| peer(w, PEER), Fate::Malformed),
        ("no peer", &|w| _ = w.data(b"x"), Fate::Malformed),
        (
            "a malformed peer",
            &|w| _ = w.attribute(attribute::XOR_PEER_ADDRESS, &[0, 1]).data(b"x"),
            Fate::Malformed,
        ),
        (
            "an unknown attribute",
            &|w| {
                peer(w, PEER);
                w.attribute(0x7f00, b"").data(b"x");
            },
            Fate::Malformed,
        ),
        // "the server acts as if the DONT-FRAGMENT attribute is an unknown comprehension-required attribute".
        (
            "DONT-FRAGMENT, which the parent cannot",
            &|w| {
                peer(w, PEER);
                DontFragment.write(w);
                w.data(b"x");
            },
            Fate::Malformed,
        ),
        (
            "no permission",
            &|w| {
                peer(w, "198.51.100.9:9");
                w.data(b"x");
            },
            Fate::NoPermission,
        ),
        (
            "a port of ours that is no relay",
            &|w| {
                peer(w, ours);
                w.data(b"x");
            },
            Fate::Refused,
        ),
        // "the DATA attribute is allowed to contain zero bytes of data."
        (
            "no bytes",
            &|w| {
                peer(w, PEER);
                w.data(b"");
            },
            Fate::Forwarded(at(PEER), Vec::new(), false),
        ),
    ];
    for (what, write, fate) in cases {
        assert_eq!(raw.send(write), fate, "{what}");
    }
}

/// RFC 8656, section 12.6.
#[test]
fn channel_data_of_clients_that_goes_nowhere() {
    let mut raw = Raw::allocated(server_config(), &udp);
    assert_eq!(
        raw.ask(home(), Method::CHANNEL_BIND, &|w| bind(w, 0x4000, PEER))
            .code,
        None
    );
    let channel_data: [(&[u8], Fate); 7] = [
        (
            &[0x40, 0, 0, 2, 1, 2],
            Fate::Forwarded(at(PEER), vec![1, 2], false),
        ),
        (
            &[0x40, 0, 0, 2, 1, 2, 0, 0],
            Fate::Forwarded(at(PEER), vec![1, 2], false),
        ),
        (&[0x40, 0, 0, 0], Fate::Forwarded(at(PEER), Vec::new(), false)),
        // "too short to contain the claimed length".
        (&[0x40, 0, 0, 2, 1], Fate::Malformed),
        (&[0x40, 0, 0], Fate::Malformed),
        // "a channel that is not bound to any peer".
        (&[0x40, 1, 0, 0], Fate::NoPermission),
        // "a value in the reserved range (0x5000 through 0xFFFF)".
        (&[0x50, 0, 0, 0], Fate::Malformed),
    ];
    for (packet, fate) in channel_data {
        assert_eq!(raw.data(home(), packet), fate, "{packet:?}");
    }
    // From where there is no allocation.
    let elsewhere = path("192.0.2.1:5001", Transport::Udp);
    assert_eq!(raw.data(elsewhere, &[0x40, 0, 0, 0]), Fate::NoAllocation);
}

/// RFC 8656, section 11.2: where the parent can, the DF bit goes along.
#[test]
fn a_send_indication_with_the_df_bit() {
    let mut config = server_config();
    config.dont_fragment = true;
    let mut raw = Raw::allocated(config, &|w| {
        udp(w);
        DontFragment.write(w);
    });
    assert_eq!(
        raw.ask(home(), Method::CREATE_PERMISSION, &|w| peer(w, PEER))
            .code,
        None
    );
    let sent = raw.send(&|w| {
        peer(w, PEER);
        DontFragment.write(w);
        w.data(b"x");
    });
    assert_eq!(sent, Fate::Forwarded(at(PEER), b"x".to_vec(), true));
}

/// RFC 8656, section 9: "The Permission Lifetime MUST be 300 seconds"; section 11.2: "a Send indication never causes the server
/// to refresh the permission", nor does ChannelData (section 12.6), nor what peers send.
#[test]
fn a_permission_ends_after_three_hundred_seconds_of_traffic() {
    let mut raw = Raw::allocated(server_config(), &udp);
    let peer_sends = |raw: &mut Raw| {
        let mut buffer = [0; HEADROOM + TAILROOM];
        let (relay, now) = (raw.relays[0], raw.now);
        raw.server
            .handle_relay(now, relay, at(PEER), &mut buffer, HEADROOM..HEADROOM)
            .is_some()
    };
    assert!(!peer_sends(&mut raw), "uninvited");
    assert_eq!(
        raw.ask(home(), Method::CHANNEL_BIND, &|w| bind(w, 0x4000, PEER))
            .code,
        None
    );
    let send: Write<'_> = &|w| {
        peer(w, PEER);
        w.data(b"x");
    };
    for _ in 0..3 {
        raw.wait(99);
        assert!(matches!(raw.send(send), Fate::Forwarded(..)) && peer_sends(&mut raw));
        assert!(matches!(raw.data(home(), &[0x40, 0, 0, 0]), Fate::Forwarded(..)));
    }
    raw.wait(3);
    assert_eq!(raw.send(send), Fate::NoPermission);
    assert!(!peer_sends(&mut raw));
    assert_eq!(raw.server.stats().dropped_no_permission, 3);
}

/// RFC 8656, section 11.5, and section 18.13: "For other ICMPv6 types and ICMPv4 types and codes, the Error Data field MUST be
/// set to zero."
#[test]
fn icmp_errors_that_are_told() {
    let mut raw = Raw::allocated(server_config(), &dual);
    let both: Write<'_> = &|w| {
        peer(w, PEER);
        peer(w, PEER6);
    };
    assert_eq!(raw.ask(home(), Method::CREATE_PERMISSION, both).code, None);
    let cases = [
        (PEER, 3, 1, Some(0)),
        (PEER, 3, 4, Some(1400)),
        (PEER, 11, 0, Some(0)),
        (PEER, 8, 0, None),
        (PEER, 1, 0, None),
        (PEER6, 1, 4, Some(0)),
        (PEER6, 2, 0, Some(1400)),
        (PEER6, 3, 0, Some(0)),
        (PEER6, 11, 0, None),
        // Nobody permitted it.
        ("198.51.100.9:9", 3, 1, None),
    ];
    for (to, kind, code, told) in cases {
        let relay = raw.relays[usize::from(at(to).is_ipv6())];
        let (now, data) = (raw.now, 1400);
        raw.server
            .handle_icmp(now, relay, at(to), Icmp { kind, code, data });
        let mut out = Vec::new();
        let sent = raw.server.poll_transmit(now, &mut out).is_some();
        assert_eq!(sent, told.is_some(), "{to} {kind} {code}");
        if let Some(data) = told {
            let message = Message::parse(&out).unwrap();
            assert_eq!(
                (message.class(), message.method()),
                (Class::Indication, Method::DATA)
            );
            assert_eq!(message.xor_peer_address(), Some(at(to)));
            assert_eq!(Icmp::read(&message), Some(Icmp { kind, code, data }));
            assert_eq!(message.data(), None);
        }
    }
}
