//! `dunlin turn` as its operators meet it: options, the configuration file, metrics, signals, and mistakes.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

/// The smallest server that anybody can use.
const USABLE: [&str; 4] = ["--user", "alice:secret", "--udp", "127.0.0.1:0"];

/// The running program; it ends with the test.
struct Program {
    child: Child,
    /// Where each transport, and `metrics`, is.
    at: HashMap<String, String>,
}

impl Program {
    /// Starts it and reads `lines` lines of what it says.
    fn start(arguments: &[&str], lines: usize) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dunlin"))
            .arg("turn")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut at = HashMap::new();
        let said = BufReader::new(child.stdout.as_mut().unwrap());
        for line in said.lines().take(lines) {
            let line = line.unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                [.., "on", transport, address] => at.insert(transport.to_owned(), address.to_owned()),
                [.., "at", url] => at.insert("metrics".to_owned(), url.to_owned()),
                _ => panic!("{line:?}"),
            };
        }
        Self { child, at }
    }

    /// The body of a page, and the status line.
    fn get(&self, path: &str) -> (String, String) {
        let address = self.at["metrics"]
            .trim_start_matches("http://")
            .trim_end_matches("/metrics");
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end, which is a failure, and answers what it says about it.
fn failure(arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .arg("turn")
        .args(arguments)
        .output()
        .unwrap();
    assert!(!status.success());
    String::from_utf8(stderr).unwrap()
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A Binding request is answered with a success.
fn answers_stun(address: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = [
        0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
    ];
    socket.send_to(&request, address).unwrap();
    let mut answer = [0; 200];
    let len = socket.recv(&mut answer).unwrap();
    assert_eq!((&answer[..2], &answer[4..20]), (&[1, 1][..], &request[4..]));
    assert!(len > 20);
}

#[test]
fn the_file_and_the_command_line_say_the_same_things() {
    let path = file(
        "turn.toml",
        "udp = [\"127.0.0.1:0\"]\nno-tcp = true\nrealm = \"example.org\"\nuser = [\"alice:secret\"]\n\
         shared-secret = [\"one\", \"two\"]\nuser-quota = 3\nmax-bps = 125000\nlog = \"warn\"\n\
         deny-peer = [\"198.51.100.0/24\"]\nmetrics = \"127.0.0.1:0\"\n",
    );
    let program = Program::start(&["--config", path.to_str().unwrap()], 2);
    answers_stun(&program.at["udp"]);
    let (status, page) = program.get("/metrics");
    assert!(status.contains("200"), "{status}");
    assert!(page.contains("dunlin_turn_bindings_total 1\n"), "{page}");
    assert!(page.contains("# TYPE dunlin_turn_allocations gauge\n"), "{page}");
    assert!(program.get("/healthz").0.contains("200"));
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let path = file("unknown.toml", "realm = \"example.org\"\nrealms = 1\n");
    let said = failure(&["--config", path.to_str().unwrap()]);
    assert!(said.contains("unknown.toml") && said.contains("line 2"), "{said}");
    assert!(said.contains("unknown field `realms`"), "{said}");
    let path = file("level.toml", "log = \"loud\"\n");
    let said = failure(&["--config", path.to_str().unwrap()]);
    assert!(
        said.contains("line 1") && said.contains("is not off, error"),
        "{said}"
    );
}

#[test]
fn mistakes_get_a_sentence() {
    assert!(failure(&[]).contains("nobody could use this server"));
    assert!(failure(&["--user", "alice"]).contains("write the name, a colon and the password"));
    assert!(failure(&["--config", "/nowhere/turn.toml"]).contains("/nowhere/turn.toml cannot be read"));
    assert!(failure(&[&USABLE[..], &["--cert", "x"]].concat()).contains("needs its key"));
    let external = ["--external-ip", "public", "--no-tcp"];
    assert!(failure(&[&USABLE[..], &external].concat()).contains("is no external address"));
    let external = ["--external-ip", "203.0.113.5/203.0.113.6", "--no-tcp"];
    assert!(failure(&[&USABLE[..], &external].concat()).contains("not among the relay addresses"));
    let ports = ["--min-port", "5000", "--max-port", "4000", "--no-tcp"];
    assert!(failure(&[&USABLE[..], &ports].concat()).contains("5000 to 4000 is none"));
    let nowhere = ["--user", "alice:secret", "--no-udp", "--no-tcp"];
    assert!(failure(&nowhere).contains("there is nothing to listen on"));
    // An address for documentation (RFC 5737).
    let elsewhere = ["--user", "alice:secret", "--no-tcp", "--udp", "192.0.2.77:3478"];
    assert!(failure(&elsewhere).contains("no address 192.0.2.77, so udp cannot be listened on there"));
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = failure(&[
        "--user",
        "alice:secret",
        "--no-tcp",
        "--workers",
        "1",
        "--udp",
        &address,
    ]);
    assert!(
        said.contains(&format!("udp on {address} is in use by another program")),
        "{said}"
    );
}

#[test]
fn what_nobody_can_mean_is_told_before_anything_is_opened() {
    let said = |more: &[&str]| failure(&[&USABLE[..], &["--no-tcp"], more].concat());
    // In turnserver.conf, 0 is "no limit".
    assert!(said(&["--user-quota", "0"]).contains("user-quota = 0 is too small: 1 is the least"));
    assert!(said(&["--total-quota", "0"]).contains("total-quota = 0 is too small"));
    assert!(said(&["--max-bps", "0"]).contains("max-bps = 0 is too small: 1500 is the least"));
    assert!(said(&["--nonce-seconds", "0"]).contains("nonce-seconds = 0 is too small"));
    assert!(said(&["--nonce-seconds", "100000"]).contains("too large: 86400 is the most"));
    assert!(said(&["--default-lifetime", "0"]).contains("default-lifetime = 0 is too small"));
    assert!(said(&["--max-lifetime", "4294967296"]).contains("too large: 4294967295 is the most"));
    assert!(said(&["--workers", "5000"]).contains("workers = 5000 is too large: 1024 is the most"));
    assert!(said(&["--max-connections", "0"]).contains("max-connections = 0 is too small"));
    let lifetimes = ["--default-lifetime", "900", "--max-lifetime", "600"];
    assert!(said(&lifetimes).contains("default-lifetime = 900 is longer than max-lifetime = 600"));
    assert!(said(&["--realm", ""]).contains("realm takes 1 to 127 characters"));
    assert!(said(&["--software", &"x".repeat(128)]).contains("software takes 1 to 127 characters"));
    assert!(said(&["--user", "bob:"]).contains("the user \"bob\" has no password"));
    assert!(said(&["--user", "alice:other"]).contains("the user \"alice\" is given twice"));
    let secret = said(&["--user", "a-password-without-name"]);
    assert!(
        secret.contains("write the name, a colon") && !secret.contains("a-password"),
        "{secret}"
    );
    assert!(said(&["--shared-secret", ""]).contains("is empty"));
    let empty = file("empty-secret", "\n");
    let empty = empty.to_str().unwrap();
    assert!(said(&["--shared-secret-file", empty]).contains("the first line of"));
    let neither = ["--stun-only", "--no-stun"];
    assert!(said(&neither).contains("stun-only and no-stun contradict each other"));
    let discovery = ["--nat-discovery", "127.0.0.1:5", "--nat-discovery", "127.0.0.2:6"];
    assert!(said(&[&discovery[..], &["--no-stun"]].concat()).contains("nat-discovery and no-stun"));
    assert!(said(&["--alternate-server", "192.0.2.1:0"]).contains("write its address and port"));
    assert!(said(&["--external-ip", "2001:db8::1"]).contains("no relay address of its IP version"));
    let twice = ["--external-ip", "203.0.113.1", "--external-ip", "203.0.113.2"];
    assert!(said(&twice).contains("127.0.0.1 has two external addresses"));
    let level = said(&["--log", "loud"]);
    assert!(level.contains("off, error, warn, info, debug, trace"), "{level}");
}

/// The kernel lets the threads of one server share a port, and would let two servers.
#[test]
fn a_second_server_does_not_share_the_port_of_the_first() {
    for (transport, other) in [("udp", "--no-tcp"), ("tcp", "--no-udp")] {
        let option = format!("--{transport}");
        let options = ["--user", "alice:secret", "--workers", "2", other];
        let first = Program::start(&[&options[..], &[&option, "127.0.0.1:0"]].concat(), 1);
        let address = &first.at[transport];
        let said = failure(&[&options[..], &[&option, address]].concat());
        assert!(
            said.contains(&format!("{transport} on {address} is in use by another program")),
            "{said}"
        );
    }
}

#[cfg(unix)]
#[test]
fn sigterm_drains_and_a_server_without_allocations_ends_at_once() {
    let program = Program::start(&[&USABLE[..], &["--no-tcp"]].concat(), 1);
    answers_stun(&program.at["udp"]);
    program.signal("-TERM");
    assert!(program.ended().success());
}

#[cfg(unix)]
#[test]
fn keys_that_do_not_fit_are_told_from_files_that_hold_none() {
    let (one, other) = (certificate(), certificate());
    let (cert, key) = (file("one-cert.pem", &one.0), file("other-key.pem", &other.1));
    let [cert, key] = [cert.to_str().unwrap(), key.to_str().unwrap()];
    let said = |cert: &str, key: &str| {
        let options = [
            "--no-tcp",
            "--no-dtls",
            "--tls",
            "127.0.0.1:0",
            "--cert",
            cert,
            "--key",
            key,
        ];
        failure(&[&USABLE[..], &options].concat())
    };
    let wrong = said(cert, key);
    assert!(
        wrong.contains("the key is that of another certificate"),
        "{wrong}"
    );
    let none = said(cert, cert);
    assert!(none.contains("there is no key in its file"), "{none}");
    let none = said(key, key);
    assert!(none.contains("there is no certificate in the file"), "{none}");
}

/// A certificate for `localhost`, and its key.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// Whether `dunlin check` gets an address by TLS from a server there, trusting this certificate alone.
#[cfg(unix)]
fn trusts(roots: &std::path::Path, address: &str) -> bool {
    let port = address.rsplit_once(':').unwrap().1;
    let url = format!("turns:localhost:{port}");
    let mut check = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    check.args([
        "check",
        "--turn",
        &url,
        "--user",
        "alice",
        "--credential",
        "secret",
    ]);
    check.arg("--roots").arg(roots);
    check.output().unwrap().status.success()
}

#[cfg(unix)]
#[test]
fn sighup_has_the_certificate_read_again_and_keeps_the_old_one_if_the_new_one_is_none() {
    let (first, second) = (certificate(), certificate());
    let (cert, key) = (
        file("renewed-cert.pem", &first.0),
        file("renewed-key.pem", &first.1),
    );
    let old = file("old-cert.pem", &first.0);
    let files = [cert.to_str().unwrap(), key.to_str().unwrap()];
    let options = [
        "--tls",
        "127.0.0.1:0",
        "--no-tcp",
        "--no-dtls",
        "--cert",
        files[0],
        "--key",
        files[1],
    ];
    let program = Program::start(&[&USABLE[..], &options, &["--allow-loopback-peers"]].concat(), 2);
    let address = &program.at["tls"];
    assert!(trusts(&cert, address));
    std::fs::write(&cert, "no certificate").unwrap();
    program.signal("-HUP");
    assert!(trusts(&old, address));
    std::fs::write(&cert, &second.0).unwrap();
    std::fs::write(&key, &second.1).unwrap();
    program.signal("-HUP");
    // It is at work while it reads.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !trusts(&cert, address) {
        assert!(
            std::time::Instant::now() < deadline,
            "the new certificate is not shown"
        );
    }
    assert!(!trusts(&old, address));
    program.signal("-TERM");
    assert!(program.ended().success());
}

#[cfg(unix)]
#[test]
fn interrupting_ends_at_once() {
    let program = Program::start(&[&USABLE[..], &["--no-tcp"]].concat(), 1);
    program.signal("-INT");
    assert!(program.ended().success());
}

#[test]
fn help_lists_what_an_operator_needs() {
    let Output { status, stdout, .. } = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .args(["turn", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(stdout).unwrap();
    assert!(status.success());
    for option in [
        "--shared-secret",
        "--external-ip",
        "--drain-seconds",
        "--metrics",
        "--deny-peer",
    ] {
        assert!(help.contains(option), "{option} is not in\n{help}");
    }
}
