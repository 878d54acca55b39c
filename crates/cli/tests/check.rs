//! `dunlin check` as its users meet it.

use std::process::Command;

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
