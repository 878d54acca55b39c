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

#[cfg(unix)]
#[test]
fn sigterm_drains_and_a_server_without_allocations_ends_at_once() {
    let program = Program::start(&[&USABLE[..], &["--no-tcp"]].concat(), 1);
    answers_stun(&program.at["udp"]);
    program.signal("-TERM");
    assert!(program.ended().success());
}

/// A certificate for `localhost`, and its key.
#[cfg(unix)]
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
