//! A program that speaks the protocol on standard input and output, as a session.

use crate::session::{Log, Request, Session};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};

type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Result<Value, String>>>>>;

/// Starts a program. The sender (or its drop) kills it.
pub fn start(
    mut command: Command,
    name: &str,
    trace: bool,
) -> Result<(Session, oneshot::Sender<()>), String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|error| format!("{name} could not be started: {error} (`cargo xtask setup` makes it)"))?;
    let (Some(input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("the program has no pipes".to_owned());
    };
    let (session, requests, log) = Session::new(name, trace);
    let (end, ended) = oneshot::channel::<()>();
    let waiting = Waiting::default();
    tokio::spawn(complain(errors, log.clone()));
    tokio::spawn(read(output, waiting.clone(), log));
    tokio::spawn(serve(input, waiting, requests));
    tokio::spawn(async move {
        let _ = ended.await;
        let _ = child.kill().await;
    });
    Ok((session, end))
}

async fn serve(mut input: ChildStdin, waiting: Waiting, mut requests: mpsc::UnboundedReceiver<Request>) {
    let mut next = 0;
    while let Some(Request { mut command, reply }) = requests.recv().await {
        next += 1;
        command["request"] = json!(next);
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(next, reply);
        let line = format!("{command}\n");
        if input.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(output: ChildStdout, waiting: Waiting, log: Log) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let Some(id) = message["reply"].as_u64() else {
            log.push(message);
            continue;
        };
        let reply = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let result = match message.get("error") {
            Some(error) => Err(error.as_str().unwrap_or("?").to_owned()),
            None => Ok(message["ok"].clone()),
        };
        if let Some(reply) = reply {
            let _ = reply.send(result);
        }
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// What the program says on standard error belongs in the report.
async fn complain(errors: ChildStderr, log: Log) {
    let mut lines = BufReader::new(errors).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.push(json!({"event": "failure", "reason": line}));
    }
}
