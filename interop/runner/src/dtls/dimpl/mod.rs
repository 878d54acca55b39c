//! The crate dimpl, DTLS 1.2 and 1.3, as a program of its own: this one, started again.

pub mod program;

use super::driver::{Close, Connected, Driver, after};
use super::files::Files;
use super::program::Texts;
use super::setup::{ClientCertificate, Group, Key, Setup, Version};
use std::net::SocketAddr;
use tokio::process::Command;

pub const DRIVER: Driver = Driver {
    name: "dimpl",
    versions: &[Version::V12, Version::V13],
    chooses_port: true,
    remarks: &[
        "dimpl: gives out no keying material but that of SRTP, whose length in 1.3 is part of it: compared in 1.2",
    ],
    absent,
    command,
    listening: |texts, _| after(&texts.err, "listening on ")?.parse().ok(),
    connected,
    close: |_| Close::EndOfInput,
    echoes: |_| false,
};

fn absent(setup: &Setup) -> Option<&'static str> {
    let unknown = |key: Key| !matches!(key, Key::P256 | Key::P384);
    let beyond = |groups: &[Group]| {
        groups
            .iter()
            .any(|group| matches!(group, Group::X25519Mlkem768 | Group::P521))
    };
    if beyond(setup.our_groups) || beyond(setup.their_groups) {
        return Some("dimpl 0.9 has X25519, P-256 and P-384, neither X25519MLKEM768 nor P-521");
    }
    if unknown(setup.our_key) || unknown(setup.their_key) {
        return Some("dimpl 0.9 has ECDSA certificates with P-256 and P-384 only");
    }
    if setup.client == ClientCertificate::Withheld {
        return Some("dimpl as a client always has a certificate, as a server demands one or asks for none");
    }
    if !setup.our_srtp.is_empty() && setup.their_srtp.is_empty() {
        return Some("dimpl always takes use_srtp");
    }
    if setup.alpn {
        return Some("dimpl 0.9 has no ALPN");
    }
    setup.legacy.then_some("dimpl demands the extended master secret")
}

fn command(setup: &Setup, files: &Files, address: SocketAddr) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_default());
    let role = if setup.we_are_server() { "client" } else { "server" };
    command.args(["dimpl-peer", role, &address.to_string()]);
    command.args(["--version", &setup.version.to_string()]);
    command.arg("--certificate").arg(files.der(setup.their_key));
    command.arg("--key").arg(files.key_der(setup.their_key));
    for group in setup.their_groups {
        // RFC 8446, section 4.2.7.
        let number = match group {
            Group::X25519 => "29",
            Group::P384 => "24",
            _ => "23",
        };
        command.args(["--group", number]);
    }
    let flags = [
        (setup.cookie, "--cookie"),
        (setup.client == ClientCertificate::Unasked, "--ask-nothing"),
        (setup.small, "--small"),
        (setup.their_key_update, "--update-keys"),
    ];
    command.args(flags.iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag));
    command
}

fn connected(_: &Setup, texts: &Texts) -> Option<Connected> {
    let exported = after(&texts.err, "connected, exported ")?;
    Some(Connected {
        exported: (exported != "nothing").then(|| exported.to_owned()),
    })
}
