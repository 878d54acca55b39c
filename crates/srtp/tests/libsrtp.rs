//! Packets that libsrtp 2 protected, across a wrap of the sequence number: they open, and ours are the same.
//!
//! One packet a line: profile, kind, plain and protected bytes in hex. The keying material of profile p is the
//! bytes 7i + p; the packets are the client's.

use bytes::BytesMut;
use dunlin_srtp::{Profile, Role, Session};

fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn libsrtp_and_we_agree() {
    let mut packets = [0; 2];
    for profile in Profile::ALL {
        let material: Vec<u8> = (0..profile.keying_material_len())
            .map(|i| (i * 7 + usize::from(profile.id())) as u8)
            .collect();
        let mut client = Session::new(profile, &material, Role::Client).unwrap();
        let mut server = Session::new(profile, &material, Role::Server).unwrap();
        let of_profile = |line: &&str| line.starts_with(&format!("{} ", profile.id()));
        for line in include_str!("data/libsrtp.txt").lines().filter(of_profile) {
            let mut fields = line.split(' ').skip(1);
            let (kind, plain) = (fields.next().unwrap(), hex(fields.next().unwrap()));
            let protected = hex(fields.next().unwrap());
            let mut data = BytesMut::from(&protected[..]);
            let mut ours = plain.clone();
            if kind == "rtp" {
                server.unprotect_rtp(&mut data).unwrap();
                client.protect_rtp(&mut ours, 0).unwrap();
                assert_eq!(ours, protected, "{profile:?}");
                packets[0] += 1;
            } else {
                server.unprotect_rtcp(&mut data).unwrap();
                // libsrtp gives the first compound the index 1, we 0: ours is its successor.
                client.protect_rtcp(&mut ours, 0).unwrap();
                if packets[1] % 2 == 0 {
                    ours.clone_from(&plain);
                    client.protect_rtcp(&mut ours, 0).unwrap();
                    assert_eq!(ours, protected, "{profile:?}");
                }
                packets[1] += 1;
            }
            assert_eq!(data, plain[..], "{profile:?}");
        }
    }
    assert_eq!(packets, [16, 8]);
}
