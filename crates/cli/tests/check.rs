//! `dunlin check` as its users meet it.

#![allow(clippy::disallowed_methods)]

use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

fn check(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .arg("check")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_is_missing_is_said() {
    let (success, _, error) = check(&[]);
    assert!(
        !success && error.contains("name a server with --stun or --turn"),
        "{error}"
    );
    let (success, _, error) = check(&["--turn", "turn:127.0.0.1"]);
    assert!(!success && error.contains("--user"), "{error}");
    let (success, _, error) = check(&["--stun", "http://127.0.0.1"]);
    assert!(
        !success && error.contains("is no URL of a STUN or TURN server"),
        "{error}"
    );
}

/// Wrong port and silence, as a user meets them: each has its sentence within five seconds, and the exit says so.
#[test]
fn silence_and_a_wrong_port_have_sentences_within_five_seconds() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    let silent_tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let (silent, silent_tcp) = (
        silent
            .local_addr()
            .map(|address| format!("turn:{address}"))
            .unwrap(),
        silent_tcp
            .local_addr()
            .map(|address| format!("turn:{address}?transport=tcp"))
            .unwrap(),
    );
    let nobody = [format!("turn:{nobody}"), format!("turns:{nobody}?transport=udp")];
    let start = Instant::now();
    let (success, report, error) = check(&[
        "--turn",
        &silent,
        "--turn",
        &silent_tcp,
        "--turn",
        &nobody[0],
        "--turn",
        &nobody[1],
        "--user",
        "me",
        "--credential",
        "x",
    ]);
    assert!(start.elapsed() < Duration::from_secs(7), "{:?}", start.elapsed());
    for line in [
        format!(
            "{silent}: no answer yet: nothing came back in 5 s, which usually means that a firewall drops UDP"
        ),
        format!("{silent_tcp}: no answer yet: nothing came back in 5 s, but the connection is made"),
        format!("{}: nobody listens at this UDP port", nobody[0]),
        format!("{}: no connection to it: Connection refused", nobody[1]),
    ] {
        assert!(report.contains(&line), "{report}\nlacks {line}");
    }
    assert!(
        !success && error.contains("4 of 4 servers gave no address"),
        "{error}"
    );
}

#[test]
fn a_server_that_refuses_is_a_line_and_a_failure() {
    let refused = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let url = format!("turn:{refused}?transport=tcp");
    let (success, report, error) = check(&["--turn", &url, "--user", "me", "--credential", "secret"]);
    assert!(
        report.contains(&format!("{url}: no connection to it: Connection refused")),
        "{report}"
    );
    assert!(report.contains("candidates:") && !success);
    assert!(error.contains("1 of 1 servers gave no address"), "{error}");
}

/// TLS with a server that speaks something else: a sentence about that, and none about handshakes and messages.
#[test]
fn a_port_without_tls_is_told_as_such() {
    use std::io::{Read, Write};
    for answer in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("turns:{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _read = stream.read(&mut [0; 2000]);
            stream.write_all(answer).unwrap();
        });
        let (success, report, _) = check(&["--turn", &url, "--user", "me", "--credential", "secret"]);
        let sentence = match answer {
            [] => "the server ended the connection during the handshake: perhaps it does not speak TLS",
            _ => "what it answers is no TLS: another service listens at this port",
        };
        assert!(!success && report.contains(sentence), "{report}");
    }
}

/// As when `head` has read what it wants.
#[test]
fn a_reader_that_goes_is_no_reason_to_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .args(["check", "--stun", "stun:nowhere.invalid"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}
