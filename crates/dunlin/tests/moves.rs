//! A host that changes networks: an address vanishes, and the connection goes on over another within two seconds.
//!
//! It runs in a network namespace of its own, on Linux, and fails where none may be made:
//! `cargo test -p dunlin --test moves -- --ignored an_address`.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "it runs other programs and measures real time"
)]

mod common;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::{echo, soon, trickle};
use dunlin::{Config, DataChannelInit, Event, Message, PeerConnection};

/// Set where the namespace is.
const INSIDE: &str = "DUNLIN_TEST_NAMESPACE";

fn run(program: &str, arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(program).args(arguments).output()
}

#[test]
#[ignore = "ten seconds of real time, in a network namespace; `keeping.rs` of dunlin-ice has it in virtual time"]
fn an_address_that_vanishes_moves_the_connection_within_two_seconds() {
    let namespace = ["--user", "--map-root-user", "--net"];
    let up = [&namespace[..], &["ip", "link", "set", "lo", "up"]].concat();
    let can = run("unshare", &up).unwrap();
    assert!(can.status.success(), "no network namespace can be made here");
    let this = std::env::current_exe().unwrap();
    let inner = [
        this.to_str().unwrap(),
        "--exact",
        "inside_the_namespace",
        "--ignored",
        "--nocapture",
    ];
    let output = Command::new("unshare")
        .args([&namespace[..], &inner].concat())
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[tokio::test]
#[ignore = "the other test runs it in a namespace"]
async fn inside_the_namespace() {
    // It changes the addresses of the loopback interface, and is not to do so on somebody's machine.
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let _ = env_logger::builder().is_test(false).try_init();
    let ip = |arguments: &[&str]| assert!(run("ip", arguments).unwrap().status.success(), "{arguments:?}");
    ip(&["link", "set", "lo", "up"]);
    for address in ["10.7.0.1/32", "10.7.0.2/32", "10.7.0.3/32"] {
        ip(&["addr", "add", address, "dev", "lo"]);
    }
    let mut moves = Vec::new();
    for controlling_loses in [true, false] {
        // Alice has all addresses, Bob one that stays.
        let mut stays = Config::default();
        stays.sockets = dunlin::EndpointConfig::at("10.7.0.3:0".parse().unwrap());
        let (alice, alice_events) = PeerConnection::bind(Config::default()).await.unwrap();
        let (bob, bob_events) = PeerConnection::bind(stays).await.unwrap();
        let (mut alice_events, mut bob_events) = (trickle(alice_events, &bob), trickle(bob_events, &alice));
        let mut channel = alice
            .create_data_channel("x", DataChannelInit::default())
            .unwrap();
        let (offerer, answerer) = if controlling_loses {
            (&alice, &bob)
        } else {
            (&bob, &alice)
        };
        if !controlling_loses {
            // The offer needs a data section.
            drop(bob.create_data_channel("y", DataChannelInit::default()).unwrap());
        }
        answerer
            .set_remote_description(offerer.set_local_description().unwrap())
            .unwrap();
        offerer
            .set_remote_description(answerer.set_local_description().unwrap())
            .unwrap();
        tokio::spawn(async move {
            while let Some(event) = bob_events.recv().await {
                if let Event::DataChannel(channel) = event {
                    echo(channel);
                }
            }
        });
        tokio::spawn(async move { while alice_events.recv().await.is_some() {} });
        soon("alice to connect", alice.connected()).await.unwrap();
        channel.send("before").await.unwrap();
        assert_eq!(
            soon("the echo", channel.recv()).await.unwrap(),
            Some(Message::from("before"))
        );
        // Until the pairs that were not chosen are gone.
        let old = alice.selected_path().unwrap().local.ip();
        let settled = Instant::now() + Duration::from_secs(4);
        while Instant::now() < settled {
            channel.send("on and on").await.unwrap();
            soon("the echo", channel.recv()).await.unwrap();
        }
        let old = match alice.selected_path() {
            Some(path) => path.local.ip(),
            None => old,
        };
        let began = Instant::now();
        ip(&["addr", "del", &format!("{old}/32"), "dev", "lo"]);
        channel.send("after").await.unwrap();
        assert_eq!(
            soon("the echo", channel.recv()).await.unwrap(),
            Some(Message::from("after"))
        );
        moves.push((controlling_loses, began.elapsed()));
        assert_ne!(alice.selected_path().map(|path| path.local.ip()), Some(old));
        ip(&["addr", "add", &format!("{old}/32"), "dev", "lo"]);
        alice.close();
    }
    eprintln!("{moves:?}");
    assert!(
        moves.iter().all(|(_, time)| *time < Duration::from_secs(3)),
        "{moves:?}"
    );
}
