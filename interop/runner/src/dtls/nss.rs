//! NSS's `tstclnt`, which is a DTLS client and, with `-P server`, a DTLS server; once with the distribution's own
//! libraries, once with those that come with Firefox.

use super::driver::{Close, Connected, Driver, LABEL, LENGTH};
use super::files::Files;
use super::program::Texts;
use super::setup::{ClientCertificate, Group, Key, Setup, Version};
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::process::Command;

pub const DRIVER: Driver = Driver {
    name: "nss",
    versions: &[Version::V12],
    chooses_port: false,
    remarks: &[
        "nss: Debian 12 has NSS 3.87, whose DTLS 1.3 calls itself 7F2B, draft 43; that is not FEFC of RFC 9147",
        "nss, nss-firefox: tstclnt as a server asks for no certificate",
    ],
    absent,
    command: |setup, files, address| command(setup, files, address, None),
    listening: |_, told| Some(told),
    connected,
    close: |_| Close::Cannot("tstclnt does not say goodbye at the end of its input"),
    echoes: |_| false,
};

pub const WITH_FIREFOX: Driver = Driver {
    name: "nss-firefox",
    versions: &[Version::V12, Version::V13],
    remarks: &["nss-firefox: tstclnt of the distribution on the libraries of Firefox"],
    command: |setup, files, address| command(setup, files, address, Some(firefox_libraries())),
    ..DRIVER
};

/// Where Firefox keeps its libraries.
fn firefox_libraries() -> PathBuf {
    std::env::var_os("DUNLIN_FIREFOX_LIBRARIES")
        .map_or_else(|| PathBuf::from("/usr/lib/firefox-esr"), PathBuf::from)
}

fn absent(setup: &Setup) -> Option<&'static str> {
    if setup.their_key == Key::Ed25519 || setup.our_key == Key::Ed25519 {
        return Some("NSS has no Ed25519 certificates");
    }
    if !setup.their_srtp.is_empty() {
        return Some("tstclnt cannot be told to use SRTP");
    }
    if setup.alpn {
        return Some("tstclnt cannot be told to use ALPN");
    }
    if setup.their_key_update {
        return Some("tstclnt cannot be told to change its keys");
    }
    if setup.legacy {
        return Some("tstclnt cannot be told to do without the extended master secret");
    }
    if setup.small {
        return Some("tstclnt cannot be told how large a datagram may be");
    }
    if setup.we_are_server() {
        return None;
    }
    if setup.cookie {
        return Some("tstclnt as a server asks for no cookie");
    }
    (setup.client == ClientCertificate::Withheld).then_some("tstclnt as a server asks for no certificate")
}

fn command(setup: &Setup, files: &Files, address: SocketAddr, libraries: Option<PathBuf>) -> Command {
    // Without a buffer even where it writes to a pipe.
    let mut command = Command::new("stdbuf");
    command.args(["-o0", "tstclnt", "-o"]);
    command.args(["-d", &format!("sql:{}", files.nss().display())]);
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
    command.args(["-P", if setup.we_are_server() { "client" } else { "server" }]);
    command.args([
        "-V",
        match setup.version {
            Version::V12 => "tls1.2:tls1.2",
            Version::V13 => "tls1.2:tls1.3",
        },
    ]);
    command.args(["-x", &format!("{LABEL}:{LENGTH}")]);
    if setup.they_show() {
        command.args(["-n", setup.their_key.name()]);
    }
    if !setup.their_groups.is_empty() {
        let name = |group: &Group| match group {
            Group::X25519Mlkem768 | Group::X25519 => "x25519",
            Group::P256 => "P256",
            Group::P384 => "P384",
            Group::P521 => "P521",
        };
        let names: Vec<&str> = setup.their_groups.iter().map(name).collect();
        command.args(["-I", &names.join(",")]);
    }
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    // It keeps its cache of sessions where it runs.
    command.current_dir(files.folder());
    command
}

/// Lines of hexadecimal digits with colons, under a heading.
fn connected(setup: &Setup, texts: &Texts) -> Option<Connected> {
    // In 1.2 NSS exports nothing where the suite goes with SHA-384 (bug 1312976 of Mozilla).
    if setup.version == Version::V12 && setup.suite.is_some_and(|suite| suite.contains("AES_256")) {
        return texts.err.contains("stateless resumes").then(Connected::default);
    }
    let (_, block) = texts.out.split_once("Keying Material:\n        ")?;
    let digits: String = block
        .chars()
        .filter(|c| c.is_ascii_hexdigit())
        .take(2 * LENGTH)
        .collect();
    (digits.len() == 2 * LENGTH).then(|| Connected {
        exported: Some(digits.to_uppercase()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::setup::Role;

    #[test]
    fn keying_material_is_read_once_it_is_whole() {
        let mut texts = Texts::default();
        texts.out = "Exported Keying Material:\n    Label: \"EXTRACTOR-dtls_srtp\"\n    Length: 32\n    Keying Material:\n        e1:5f:8f:9d:fd:76:0f:1b:37:8f:e3:e9:40:f3:fd:10:\n".to_owned();
        let setup = Setup::new(Version::V12, Role::Client);
        assert_eq!(connected(&setup, &texts), None);
        texts
            .out
            .push_str("        f5:8e:0d:d3:03:57:e9:2c:a7:12:1c:ad:3a:d2:0f:34\n");
        let exported = "E15F8F9DFD760F1B378FE3E940F3FD10F58E0DD30357E92CA7121CAD3AD20F34";
        assert_eq!(
            connected(&setup, &texts).and_then(|c| c.exported).as_deref(),
            Some(exported)
        );
    }
}
