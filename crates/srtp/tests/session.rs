//! Two sessions against each other: loss, reordering and wraps; hostile packets; no allocation per packet.

use bytes::BytesMut;
use dunlin_srtp::{Config, Profile, ProtectError, Reject, Role, Session};
use proptest::prelude::*;

fn pair(profile: Profile) -> (Session, Session) {
    let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
    let session = |role| Session::new(profile, &material, role).unwrap();
    (session(Role::Client), session(Role::Server))
}

fn packet(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80, 96];
    out.extend(sequence.to_be_bytes());
    out.extend(7u32.to_be_bytes());
    out.extend(ssrc.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

fn protected(session: &mut Session, ssrc: u32, sequence: u16) -> BytesMut {
    let mut out = packet(ssrc, sequence, b"some media");
    session.protect_rtp(&mut out, 0).unwrap();
    BytesMut::from(&out[..])
}

#[test]
fn both_directions_of_every_profile() {
    for profile in Profile::ALL {
        let (mut client, mut server) = pair(profile);
        for (from, to) in [(0, 1), (1, 0)] {
            let ends = [&mut client, &mut server];
            let plain = packet(5, 9, b"payload");
            let mut out = plain.clone();
            ends[from].protect_rtp(&mut out, 0).unwrap();
            assert_eq!(out.len(), plain.len() + profile.overhead_rtp());
            assert_ne!(out[12..19], plain[12..]);
            let mut data = BytesMut::from(&out[..]);
            let header = ends[to].unprotect_rtp(&mut data).unwrap();
            assert_eq!((header.ssrc.0, header.sequence.0), (5, 9));
            assert_eq!(data, plain[..]);
            assert_eq!(
                ends[to].unprotect_rtp(&mut BytesMut::from(&out[..])),
                Err(Reject::Replayed)
            );

            let plain = [
                &[0x80, 201, 0, 1, 0, 0, 0, from as u8][..],
                &[0x81, 206, 0, 2, 0, 0, 0, 7, 0, 0, 0, 5],
            ]
            .concat();
            let mut out = plain.clone();
            ends[from].protect_rtcp(&mut out, 0).unwrap();
            assert_eq!(out.len(), plain.len() + profile.overhead_rtcp());
            let mut data = BytesMut::from(&out[..]);
            ends[to].unprotect_rtcp(&mut data).unwrap();
            assert_eq!(data, plain[..]);
            assert_eq!(
                ends[to].unprotect_rtcp(&mut BytesMut::from(&out[..])),
                Err(Reject::Replayed)
            );
            assert_eq!(
                ends[from].unprotect_rtcp(&mut BytesMut::from(&out[..])),
                Err(Reject::Unauthentic)
            );
        }
    }
}

#[test]
fn keying_material_of_another_length_is_refused() {
    assert!(Session::new(Profile::AeadAes128Gcm, &[0; 60], Role::Client).is_err());
}

/// THREATS 7: packets of unknown SSRCs with bad tags leave nothing behind.
#[test]
fn an_unauthentic_flood_makes_no_contexts() {
    for profile in Profile::ALL {
        let (mut client, mut server) = pair(profile);
        for ssrc in 0..2000 {
            let mut forged = BytesMut::from(&packet(ssrc, ssrc as u16, &[1; 40])[..]);
            assert_eq!(server.unprotect_rtp(&mut forged), Err(Reject::Unauthentic));
            let mut forged =
                BytesMut::from(&[&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes(), &[0; 40]].concat()[..]);
            assert_eq!(server.unprotect_rtcp(&mut forged), Err(Reject::Unauthentic));
        }
        assert_eq!(server.inbound_streams(), 0);
        assert_eq!(server.drops().unauthentic, 4000);
        server.unprotect_rtp(&mut protected(&mut client, 1, 1)).unwrap();
        assert_eq!(server.inbound_streams(), 1);
    }
}

#[test]
fn authentic_streams_are_bounded_too() {
    let profile = Profile::AeadAes128Gcm;
    let material = vec![3; profile.keying_material_len()];
    let mut client = Session::new(profile, &material, Role::Client).unwrap();
    let mut config = Config::default();
    config.max_streams = 3;
    let mut server = Session::with_config(&config, profile, &material, Role::Server).unwrap();
    for ssrc in 0..3 {
        server
            .unprotect_rtp(&mut protected(&mut client, ssrc, 1))
            .unwrap();
    }
    assert_eq!(
        server.unprotect_rtp(&mut protected(&mut client, 9, 1)),
        Err(Reject::TooManyStreams)
    );
    assert_eq!(server.drops().too_many_streams, 1);
    server.unprotect_rtp(&mut protected(&mut client, 2, 2)).unwrap();
}

/// A forged packet far ahead must not move the estimate of the rollover counter.
#[test]
fn state_changes_only_after_authentication() {
    for profile in Profile::ALL {
        let (mut client, mut server) = pair(profile);
        server
            .unprotect_rtp(&mut protected(&mut client, 1, 65_000))
            .unwrap();
        for sequence in [65_500, 0, 30_000, 32_231, 65_000u16.wrapping_add(32_767)] {
            let mut forged = BytesMut::from(&packet(1, sequence, &[0; 50])[..]);
            assert_eq!(server.unprotect_rtp(&mut forged), Err(Reject::Unauthentic));
        }
        server
            .unprotect_rtp(&mut protected(&mut client, 1, 65_001))
            .unwrap();
        let mut tampered = protected(&mut client, 1, 65_002);
        let good = tampered.clone();
        tampered[15] ^= 1;
        assert_eq!(server.unprotect_rtp(&mut tampered), Err(Reject::Unauthentic));
        server.unprotect_rtp(&mut good.clone()).unwrap();
    }
}

/// THREATS 8: a stream that begins just before the wrap, whose packets up to the wrap are lost or late.
#[test]
fn a_stream_may_wrap_before_its_first_packet_arrives() {
    for profile in Profile::ALL {
        for lost in 1..20u16 {
            let (mut client, mut server) = pair(profile);
            let mut sent: Vec<BytesMut> = (0..40)
                .map(|i| protected(&mut client, 1, 65_526u16.wrapping_add(i)))
                .collect();
            let mut late = sent.drain(..usize::from(lost)).collect::<Vec<_>>();
            for (i, data) in sent.iter_mut().enumerate() {
                assert!(
                    server.unprotect_rtp(data).is_ok(),
                    "{profile:?}: {lost} lost, then {i}"
                );
            }
            for (i, data) in late.iter_mut().enumerate() {
                assert!(
                    server.unprotect_rtp(data).is_ok(),
                    "{profile:?}: {lost} late, {i}"
                );
            }
        }
    }
}

#[test]
fn packets_before_the_window_are_too_old() {
    let (mut client, mut server) = pair(Profile::Aes128CmSha1_80);
    let mut old = protected(&mut client, 1, 100);
    protected(&mut client, 1, 101);
    server
        .unprotect_rtp(&mut protected(&mut client, 1, 1124))
        .unwrap();
    assert_eq!(server.unprotect_rtp(&mut old), Err(Reject::TooOld));
}

/// THREATS 9: packets of every length, with plausible and implausible first bytes.
#[test]
fn every_length_up_to_64() {
    for profile in Profile::ALL {
        let (_, mut server) = pair(profile);
        for first in [0x80, 0x90, 0xb0, 0x8f, 0x9f, 0xbf, 0x00, 0xff] {
            for len in 0..=64 {
                for fill in [0, 1, 0xff] {
                    let mut data = vec![fill; len];
                    if let Some(byte) = data.first_mut() {
                        *byte = first;
                    }
                    assert!(server.unprotect_rtp(&mut BytesMut::from(&data[..])).is_err());
                    assert!(server.unprotect_rtcp(&mut BytesMut::from(&data[..])).is_err());
                }
            }
        }
        assert_eq!(server.inbound_streams(), 0);
    }
}

#[test]
fn padding_that_lies_is_malformed_even_if_authentic() {
    let (mut client, mut server) = pair(Profile::AeadAes128Gcm);
    let mut out = packet(1, 1, &[1, 2, 9]);
    out[0] |= 0x20;
    client.protect_rtp(&mut out, 0).unwrap();
    assert_eq!(
        server.unprotect_rtp(&mut BytesMut::from(&out[..])),
        Err(Reject::Malformed)
    );
    assert_eq!(server.drops().malformed, 1);
}

#[test]
fn nothing_is_allocated_after_the_first_packet_of_a_stream() {
    for profile in Profile::ALL {
        let (mut client, mut server) = pair(profile);
        let mut out = Vec::with_capacity(2048);
        let mut data = BytesMut::with_capacity(2048);
        let mut exchange = |sequence: u16| {
            out.clear();
            out.extend_from_slice(&[
                0x80,
                96,
                (sequence >> 8) as u8,
                sequence as u8,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                1,
            ]);
            out.resize(1200, 5);
            client.protect_rtp(&mut out, 0).unwrap();
            data.clear();
            data.extend_from_slice(&out);
            server.unprotect_rtp(&mut data).unwrap();
            out.clear();
            out.extend_from_slice(&[0x80, 201, 0, 1, 0, 0, 0, 1]);
            server.protect_rtcp(&mut out, 0).unwrap();
            data.clear();
            data.extend_from_slice(&out);
            client.unprotect_rtcp(&mut data).unwrap();
        };
        exchange(1);
        let counted = allocation_counter::measure(|| (2..1000).for_each(&mut exchange));
        assert_eq!(counted.count_total, 0, "{profile:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// THREATS 8: whatever is lost, repeated or reordered by less than the window, around several wraps: each
    /// packet is accepted exactly once, and none but these.
    #[test]
    fn model_of_loss_and_reordering_around_wraps(
        first in prop_oneof_sequence(),
        steps in prop::collection::vec((1..3000u64, -900..900i64), 30..120),
        profile in (0..4usize).prop_map(|i| Profile::ALL[i]),
    ) {
        let (mut client, mut server) = pair(profile);
        let mut newest = u64::from(first);
        let mut arrivals: Vec<(i64, u64, BytesMut)> = Vec::new();
        arrivals.push((i64::MIN, newest, protected(&mut client, 1, newest as u16)));
        for (step, shift) in steps {
            newest += step;
            arrivals.push((newest as i64 + shift, newest, protected(&mut client, 1, newest as u16)));
        }
        arrivals.sort_by_key(|(at, ..)| *at);
        let mut highest = 0;
        for (_, index, data) in &arrivals {
            let expected_old = *index + 1024 <= highest;
            let result = server.unprotect_rtp(&mut data.clone());
            prop_assert_eq!(result.is_ok(), !expected_old, "{} after {}: {:?}", index, highest, result);
            if result.is_ok() {
                highest = highest.max(*index);
                prop_assert_eq!(server.unprotect_rtp(&mut data.clone()), Err(Reject::Replayed));
            }
        }
    }
}

fn prop_oneof_sequence() -> impl Strategy<Value = u16> {
    (0..3u8, any::<u16>()).prop_map(|(kind, sequence)| match kind {
        0 => 65_535 - sequence % 40,
        1 => 32_768 - 20 + sequence % 40,
        _ => sequence,
    })
}

#[test]
fn a_sender_may_jump_but_not_before_its_beginning() {
    let (mut client, mut server) = pair(Profile::AeadAes256Gcm);
    server.unprotect_rtp(&mut protected(&mut client, 1, 5)).unwrap();
    let mut before = packet(1, 65_535, b"x");
    assert_eq!(client.protect_rtp(&mut before, 0), Err(ProtectError::IndexRange));
    server
        .unprotect_rtp(&mut protected(&mut client, 1, 32_000))
        .unwrap();
    server
        .unprotect_rtp(&mut protected(&mut client, 1, 64_000))
        .unwrap();
    server
        .unprotect_rtp(&mut protected(&mut client, 1, 30_000))
        .unwrap();
}
