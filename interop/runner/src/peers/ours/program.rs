//! Our own peer as a program on standard input and output, as the others are: where it has to live in a network namespace
//! of its own.

use crate::session::{Request, Session};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::sync::oneshot;

/// Serves until the input ends.
pub async fn run() {
    let (session, _end) = super::start("dunlin", false);
    tokio::spawn(tell(session.clone()));
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(command) = serde_json::from_str::<Value>(&line) else {
            eprintln!("not JSON: {line}");
            continue;
        };
        let number = command["request"].clone();
        let (reply, answer) = oneshot::channel();
        session.request(Request { command, reply });
        tokio::spawn(async move {
            match answer.await {
                Ok(Ok(value)) => println!("{}", json!({"reply": number, "ok": value})),
                Ok(Err(reason)) => println!("{}", json!({"reply": number, "error": reason})),
                Err(_) => println!("{}", json!({"reply": number, "error": "the peer has ended"})),
            }
        });
    }
}

/// Prints every event.
async fn tell(session: Session) {
    let mut index = 0;
    loop {
        println!("{}", session.event_at(index).await);
        index += 1;
    }
}
