//! `dunlin nat` as its users meet it.

use std::process::Command;

fn nat(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    let output = command.arg("nat").args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_is_wrong_is_told_at_once() {
    // An address for documentation (RFC 5737), and a name without an address (RFC 6761).
    let said = nat(&["127.0.0.1", "--from", "192.0.2.77"]);
    assert!(said.contains("this host has no address 192.0.2.77"), "{said}");
    let said = nat(&["nowhere.invalid"]);
    assert!(
        said.contains("\"nowhere.invalid\" is not the name of a server"),
        "{said}"
    );
    let said = nat(&["127.0.0.1", "--from", "::1"]);
    assert!(said.contains("no address of the family of ::1"), "{said}");
    let said = nat(&["stuns:127.0.0.1"]);
    assert!(said.contains("can only be seen over UDP"), "{said}");
}

/// As when `head` has read what it wants.
#[test]
fn a_reader_that_goes_is_no_reason_to_panic() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.args(["nat", "127.0.0.1", "--from", "192.0.2.77"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(std::process::Stdio::piped());
    let output = output.spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("this host has no address") && !said.contains("panicked"),
        "{said}"
    );
}
