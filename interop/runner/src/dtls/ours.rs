//! Our own end: the example program `dtls_peer` of the crate dunlin-dtls.

use super::driver::LABEL;
use super::files::Files;
use super::program::Texts;
use super::setup::{ClientCertificate, Role, Setup};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::process::Command;

/// What it says of its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    pub version: String,
    pub suite: String,
    pub group: String,
    pub srtp: Option<u64>,
    pub alpn: Option<String>,
    pub exported: String,
}

/// The program: `DUNLIN_DTLS_PEER`, else beside this one, where cargo puts examples.
fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("DUNLIN_DTLS_PEER") {
        return PathBuf::from(path);
    }
    let here = std::env::current_exe().unwrap_or_default();
    here.with_file_name("examples").join("dtls_peer")
}

/// Starts it; as a server it listens on the address, as a client it goes there.
pub fn command(setup: &Setup, files: &Files, address: SocketAddr) -> Command {
    let mut command = Command::new(program());
    command.args([
        &setup.we.to_string(),
        &address.to_string(),
        "--json",
        "--export",
        LABEL,
    ]);
    if setup.only_version {
        command.args(["--version", &setup.version.to_string()]);
    }
    if !setup.our_groups.is_empty() {
        let names: Vec<&str> = setup.our_groups.iter().map(|group| group.name()).collect();
        command.args(["--groups", &names.join(",")]);
    }
    if let Some(suite) = setup.suite {
        command.args(["--suites", suite]);
    }
    if !setup.our_srtp.is_empty() {
        let profiles: Vec<String> = setup.our_srtp.iter().map(u16::to_string).collect();
        command.args(["--srtp", &profiles.join(",")]);
    }
    if setup.our_file {
        command
            .arg("--cert-file")
            .arg(files.certificate_file(setup.our_key));
        command.arg("--key-file").arg(files.key_file(setup.our_key));
    } else {
        command.args(["--cert", setup.our_key.name()]);
    }
    match (setup.we, setup.client) {
        (Role::Client, ClientCertificate::Withheld) => command.arg("--no-cert"),
        (Role::Client, _) => &mut command,
        (Role::Server, ClientCertificate::Shown) => command.args(["--client-auth", "required"]),
        (Role::Server, ClientCertificate::Withheld) => command.args(["--client-auth", "optional"]),
        (Role::Server, ClientCertificate::Unasked) => command.args(["--client-auth", "off"]),
    };
    if setup.they_show() {
        command.args(["--fingerprint", &fingerprint(setup, files)]);
    }
    if setup.small {
        command.args(["--mtu", "300"]);
    }
    if setup.alpn {
        command.args(["--alpn", "webrtc"]);
    }
    if setup.cid {
        command.args(["--cid", "0A0B"]);
    }
    let flags = [
        (setup.cookie && setup.we_are_server(), "--cookie"),
        (setup.legacy, "--legacy"),
        (setup.key_update, "--key-update"),
    ];
    command.args(flags.iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag));
    command
}

/// The fingerprint we expect; a forged one differs in its first byte.
fn fingerprint(setup: &Setup, files: &Files) -> String {
    let right = files.fingerprint(setup.their_key);
    if !setup.forged {
        return right;
    }
    let (name, value) = right.split_once(' ').unwrap_or_default();
    let first = if value.starts_with("00") { "FF" } else { "00" };
    format!("{name} {first}{}", value.get(2..).unwrap_or_default())
}

/// The events so far.
fn events(texts: &Texts) -> impl Iterator<Item = Value> {
    texts
        .err
        .lines()
        .filter(|line| line.starts_with('{'))
        .filter_map(|line| serde_json::from_str(line).ok())
}

fn event(texts: &Texts, name: &str) -> Option<Value> {
    events(texts).find(|event| event["event"] == name)
}

/// Where it listens.
pub fn listening(texts: &Texts) -> Option<SocketAddr> {
    event(texts, "listening")?["address"].as_str()?.parse().ok()
}

/// What came of the handshake: the connection, or the reason why there is none.
pub fn connected(texts: &Texts) -> Option<Result<Connected, String>> {
    let Some(event) = event(texts, "connected") else {
        return closed(texts).map(Err);
    };
    let exported = super::driver::after(&texts.err, "exported: ")?;
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    Some(Ok(Connected {
        version: text("version"),
        suite: text("suite"),
        group: text("group"),
        srtp: event["srtp"].as_u64(),
        alpn: event["alpn"].as_str().map(str::to_owned),
        exported: exported.to_uppercase(),
    }))
}

/// Why the connection ended.
pub fn closed(texts: &Texts) -> Option<String> {
    let event = event(texts, "closed")?;
    Some(event["reason"].as_str().unwrap_or("?").to_owned())
}

/// One of the counters that come with the end of the connection.
pub fn counter(texts: &Texts, name: &str) -> Option<u64> {
    event(texts, "closed")?["stats"][name].as_u64()
}
