//! GnuTLS's `gnutls-cli` and `gnutls-serv`: DTLS 1.2.

use super::driver::{Close, Connected, Driver, LABEL, LENGTH, after};
use super::files::Files;
use super::program::Texts;
use super::setup::{ClientCertificate, Group, Role, Setup, Version};
use std::net::SocketAddr;
use tokio::process::Command;

pub const DRIVER: Driver = Driver {
    name: "gnutls",
    versions: &[Version::V12],
    chooses_port: false,
    remarks: &[
        "gnutls: no GnuTLS has DTLS 1.3",
        "gnutls: gnutls-serv sends nothing of its own, it echoes, and prints no keying material",
    ],
    absent,
    command,
    listening,
    connected,
    close: |role| match role {
        Role::Client => Close::EndOfInput,
        Role::Server => Close::Cannot("gnutls-serv never closes a DTLS connection"),
    },
    echoes: |setup| setup.we_are_client(),
};

fn absent(setup: &Setup) -> Option<&'static str> {
    setup
        .their_srtp
        .iter()
        .any(|profile| *profile != 1)
        .then_some("GnuTLS has no AEAD profiles for SRTP")
}

fn command(setup: &Setup, files: &Files, address: SocketAddr) -> Command {
    // Line by line even where it writes to a pipe.
    let mut command = Command::new("stdbuf");
    command.arg("-oL");
    if setup.we_are_server() {
        command.args(["gnutls-cli", "--udp", "--insecure", &address.ip().to_string()]);
    } else {
        command.args(["gnutls-serv", "--udp", "--echo"]);
        match setup.client {
            ClientCertificate::Shown => command.arg("--require-client-cert"),
            ClientCertificate::Withheld => &mut command,
            ClientCertificate::Unasked => command.arg("--disable-client-cert"),
        };
        if !setup.cookie {
            command.arg("--nocookie");
        }
    }
    command.args(["--port", &address.port().to_string()]);
    if setup.they_show() {
        command
            .arg("--x509certfile")
            .arg(files.certificate_file(setup.their_key))
            .arg("--x509keyfile")
            .arg(files.key_file(setup.their_key));
    }
    command.args(["--priority", &priority(setup)]);
    if !setup.their_srtp.is_empty() {
        command.args(["--srtp-profiles", "SRTP_AES128_CM_HMAC_SHA1_80"]);
    }
    if setup.alpn {
        command.args(["--alpn", "webrtc"]);
    }
    if setup.small {
        command.args(["--mtu", "300"]);
    }
    command.args(["--keymatexport", LABEL, "--keymatexportsize", &LENGTH.to_string()]);
    command
}

fn priority(setup: &Setup) -> String {
    let mut priority = "NORMAL".to_owned();
    if !setup.their_groups.is_empty() {
        priority.push_str(":-GROUP-ALL");
    }
    for group in setup.their_groups {
        priority.push_str(match group {
            Group::X25519Mlkem768 | Group::X25519 => ":+GROUP-X25519",
            Group::P256 => ":+GROUP-SECP256R1",
            Group::P384 => ":+GROUP-SECP384R1",
            Group::P521 => ":+GROUP-SECP521R1",
        });
    }
    if setup.legacy {
        priority.push_str(":%NO_SESSION_HASH");
    }
    priority
}

fn listening(texts: &Texts, told: SocketAddr) -> Option<SocketAddr> {
    texts.out.contains("Waiting for connection").then_some(told)
}

/// The client prints everything, the server that there is somebody.
fn connected(_: &Setup, texts: &Texts) -> Option<Connected> {
    if texts.out.contains("Handshake was completed") {
        let exported = after(&texts.out, "- Key material: ").map(str::to_uppercase);
        return Some(Connected { exported });
    }
    texts.out.contains("Accepted connection").then(Connected::default)
}
