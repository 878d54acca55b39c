//! The README's echo program is the example `echo`, and it echoes.

mod common;

#[allow(dead_code, unreachable_pub)]
#[path = "../examples/echo.rs"]
mod program;

use common::soon;
use dunlin::{Config, DataChannelInit, Message, PeerConnection};

#[test]
fn the_readme_shows_the_example() {
    let readme = include_str!("../../../README.md");
    let shown = readme
        .split_once("<!-- echo -->\n```rust\n")
        .unwrap()
        .1
        .split_once("\n```")
        .unwrap()
        .0;
    let example = include_str!("../examples/echo.rs");
    let program: Vec<&str> = example
        .lines()
        .filter(|line| !line.starts_with("//!") && !line.starts_with("#!["))
        .collect();
    assert_eq!(shown, program.join("\n"), "README.md and examples/echo.rs differ");
}

#[tokio::test]
async fn the_readme_program_sends_back_what_it_gets() {
    let (pc, _events) = PeerConnection::bind(Config::default()).await.unwrap();
    let mut channel = pc
        .create_data_channel("chat", DataChannelInit::default())
        .unwrap();
    pc.set_local_description().unwrap();
    soon("gathering", pc.gathered()).await.unwrap();
    let offer = pc.local_description().unwrap().to_string();
    let answer = soon("the answer", program::answer(&offer)).await.unwrap();
    pc.set_remote_description(answer.parse().unwrap()).unwrap();
    channel.send("Is this thing on?").await.unwrap();
    assert_eq!(
        soon("echo", channel.recv()).await.unwrap(),
        Some(Message::from("Is this thing on?"))
    );
}
