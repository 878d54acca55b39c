//! Protected packets from anybody (RFC 3711, 7714): refused, never a panic; and our own, changed on the way.
#![no_main]

use bytes::BytesMut;
use dunlin_fuzz::Dice;
use dunlin_srtp::{Profile, Role, Session};
use libfuzzer_sys::fuzz_target;

const PROFILES: [Profile; 4] = [
    Profile::Aes128CmSha1_80,
    Profile::Aes128CmSha1_32,
    Profile::AeadAes128Gcm,
    Profile::AeadAes256Gcm,
];

fuzz_target!(|data: &[u8]| {
    let mut dice = Dice::new(data);
    let profile = PROFILES[usize::from(dice.byte().unwrap_or(0) & 3)];
    let material = vec![7; profile.keying_material_len()];
    let mut client = Session::new(profile, &material, Role::Client).expect("the right length");
    let mut server = Session::new(profile, &material, Role::Server).expect("the right length");
    while let Some(kind) = dice.byte() {
        let length = usize::from(dice.byte().unwrap_or(0)) * 4;
        let mut packet = dice.bytes(length).to_vec();
        let rtcp = kind & 1 == 1;
        if kind & 2 == 2 {
            let done = if rtcp { client.protect_rtcp(&mut packet, 0) } else { client.protect_rtp(&mut packet, 0) };
            if done.is_err() {
                continue;
            }
            if let (true, Some(at)) = (kind & 4 == 4, dice.short()) {
                let at = usize::from(at) % packet.len().max(1);
                if let Some(byte) = packet.get_mut(at) {
                    *byte ^= 0x10;
                }
            }
        }
        let mut arrived = BytesMut::from(&packet[..]);
        if rtcp {
            let _ = server.unprotect_rtcp(&mut arrived);
        } else {
            let _ = server.unprotect_rtp(&mut arrived);
        }
    }
});
