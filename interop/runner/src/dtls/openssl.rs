//! OpenSSL's `s_client` and `s_server`: DTLS 1.2.

use super::driver::{Close, Connected, Driver, LABEL, LENGTH, after};
use super::files::Files;
use super::program::Texts;
use super::setup::{ClientCertificate, Group, Key, Role, Setup, Version};
use std::net::SocketAddr;
use tokio::process::Command;

pub const DRIVER: Driver = Driver {
    name: "openssl",
    versions: &[Version::V12],
    chooses_port: true,
    remarks: &["openssl: no released OpenSSL has DTLS 1.3"],
    absent,
    command,
    listening,
    connected,
    close: |role| match role {
        Role::Client => Close::Line("Q"),
        Role::Server => Close::Cannot("s_server closes its socket before it could say goodbye"),
    },
    echoes: |_| false,
};

fn absent(setup: &Setup) -> Option<&'static str> {
    if setup.legacy {
        return Some("s_client and s_server cannot be told to do without the extended master secret");
    }
    // Not even its own client can talk to such a server; in TLS 1.2 it can.
    (setup.we_are_client() && setup.their_key == Key::Ed25519)
        .then_some("OpenSSL 3.0 finds no cipher suite for an Ed25519 certificate of a DTLS server")
}

fn command(setup: &Setup, files: &Files, address: SocketAddr) -> Command {
    let mut command = Command::new("openssl");
    if setup.we_are_server() {
        command.args(["s_client", "-dtls1_2", "-connect", &address.to_string()]);
        if setup.alpn {
            command.args(["-alpn", "webrtc"]);
        }
    } else {
        command.args(["s_server", "-dtls1_2", "-accept", &address.to_string()]);
        match setup.client {
            ClientCertificate::Shown => command.args(["-Verify", "1"]),
            ClientCertificate::Withheld => command.args(["-verify", "1"]),
            ClientCertificate::Unasked => &mut command,
        };
        if setup.cookie {
            command.arg("-listen");
        }
        if setup.alpn {
            command.args(["-alpn", "webrtc"]);
        }
    }
    if setup.they_show() {
        command.arg("-cert").arg(files.certificate_file(setup.their_key));
        command.arg("-key").arg(files.key_file(setup.their_key));
    }
    if !setup.their_groups.is_empty() {
        command.arg("-groups").arg(names(setup.their_groups).join(":"));
    }
    if !setup.their_srtp.is_empty() {
        let names: Vec<&str> = setup.their_srtp.iter().map(|profile| srtp(*profile)).collect();
        command.args(["-use_srtp", &names.join(":")]);
    }
    if setup.small {
        command.args(["-mtu", "300"]);
    }
    command.args(["-keymatexport", LABEL, "-keymatexportlen", &LENGTH.to_string()]);
    command
}

fn names(groups: &[Group]) -> Vec<&'static str> {
    let name = |group: &Group| match group {
        Group::X25519Mlkem768 => "X25519MLKEM768",
        Group::X25519 => "X25519",
        Group::P256 => "P-256",
        Group::P384 => "P-384",
        Group::P521 => "P-521",
    };
    groups.iter().map(name).collect()
}

fn srtp(profile: u16) -> &'static str {
    match profile {
        8 => "SRTP_AEAD_AES_256_GCM",
        7 => "SRTP_AEAD_AES_128_GCM",
        _ => "SRTP_AES128_CM_SHA1_80",
    }
}

/// `ACCEPT 127.0.0.1:40000`.
fn listening(texts: &Texts, _: SocketAddr) -> Option<SocketAddr> {
    after(&texts.out, "ACCEPT ")?.parse().ok()
}

fn connected(_: &Setup, texts: &Texts) -> Option<Connected> {
    let exported = after(&texts.out, "Keying material: ")?;
    Some(Connected {
        exported: Some(exported.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_where_it_listens() {
        let mut texts = Texts::default();
        texts.out = "Using default temp DH parameters\nACCEPT 127.0.0.1:35094\n".to_owned();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!(
            listening(&texts, nowhere),
            Some(SocketAddr::from(([127, 0, 0, 1], 35094)))
        );
        let setup = Setup::new(Version::V12, Role::Client);
        assert_eq!(connected(&setup, &texts), None);
    }
}
