//! A session: one peer connection in one peer, as commands that are answered and a log of events.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// How long a peer may take over a command that does not measure anything.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

/// The runner's end of a session.
#[derive(Debug, Clone)]
pub struct Session {
    name: String,
    requests: mpsc::UnboundedSender<Request>,
    log: Log,
}

/// A command on its way to the peer.
#[derive(Debug)]
pub struct Request {
    pub command: Value,
    pub reply: oneshot::Sender<Result<Value, String>>,
}

/// Everything a session reported, oldest first. Readers keep their own place in it.
#[derive(Debug, Clone)]
pub struct Log {
    name: String,
    trace: bool,
    started: Instant,
    events: Arc<Mutex<Vec<Value>>>,
    length: Arc<watch::Sender<usize>>,
}

impl Log {
    fn new(name: &str, trace: bool) -> Self {
        Log {
            name: name.to_owned(),
            trace,
            started: Instant::now(),
            events: Arc::default(),
            length: Arc::new(watch::Sender::new(0)),
        }
    }

    fn events(&self) -> MutexGuard<'_, Vec<Value>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer reported something.
    pub fn push(&self, event: Value) {
        self.trace("<-", &event);
        let length = {
            let mut events = self.events();
            events.push(event);
            events.len()
        };
        self.length.send_replace(length);
    }

    fn trace(&self, arrow: &str, value: &Value) {
        if self.trace {
            let mut line = value.to_string();
            if line.len() > 1500 {
                line.truncate(
                    (0..=1500)
                        .rev()
                        .find(|at| line.is_char_boundary(*at))
                        .unwrap_or(0),
                );
                line.push('…');
            }
            eprintln!(
                "{:9.3} {} {arrow} {line}",
                self.started.elapsed().as_secs_f64(),
                self.name
            );
        }
    }

    fn get(&self, index: usize) -> Option<Value> {
        self.events().get(index).cloned()
    }
}

impl Session {
    /// A session and the two ends its peer serves: the commands to take and the log to fill.
    pub fn new(name: &str, trace: bool) -> (Session, mpsc::UnboundedReceiver<Request>, Log) {
        let (requests, receiver) = mpsc::unbounded_channel();
        let log = Log::new(name, trace);
        (
            Session {
                name: name.to_owned(),
                requests,
                log: log.clone(),
            },
            receiver,
            log,
        )
    }

    /// The name of the peer.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hands a command on as it is; its sender waits for the reply itself.
    pub fn request(&self, request: Request) {
        // A peer that is gone drops it, which is an answer too.
        let _ = self.requests.send(request);
    }

    /// Sends a command and waits for the reply; `arguments` is an object.
    pub async fn command(&self, name: &str, arguments: Value) -> Result<Value, String> {
        self.command_within(COMMAND_TIMEOUT, name, arguments).await
    }

    /// The same for a command that takes its time.
    pub async fn command_within(
        &self,
        limit: Duration,
        name: &str,
        arguments: Value,
    ) -> Result<Value, String> {
        let mut command = arguments;
        command["do"] = json!(name);
        self.log.trace("->", &command);
        let (reply, answer) = oneshot::channel();
        let gone = || format!("{} is gone (asked to `{name}`)", self.name);
        self.requests
            .send(Request { command, reply })
            .map_err(|_| gone())?;
        let result = match tokio::time::timeout(limit, answer).await {
            Ok(Ok(result)) => result.map_err(|reason| format!("{}: {name}: {reason}", self.name)),
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(format!("{} did not answer `{name}` within {limit:?}", self.name)),
        };
        match &result {
            Ok(value) => self.log.trace("<=", value),
            Err(reason) => self.log.trace("<=", &json!(reason)),
        }
        if result.is_ok() && name == "remote" {
            self.log.push(json!({"event": "remote-applied"}));
        }
        result
    }

    /// The event at `index`, when it has come.
    pub async fn event_at(&self, index: usize) -> Value {
        let mut length = self.log.length.subscribe();
        loop {
            if let Some(event) = self.log.get(index) {
                return event;
            }
            if length.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The first event, old or new, that `wanted` accepts.
    pub async fn event(
        &self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        let search = async {
            let mut index = 0;
            loop {
                let event = self.event_at(index).await;
                if wanted(&event) {
                    return event;
                }
                index += 1;
            }
        };
        let result = tokio::time::timeout(limit, search).await;
        result.map_err(|_| format!("{} did not report {what} within {limit:?}", self.name))
    }

    /// The first event of this name that has these values.
    pub async fn expect(&self, limit: Duration, name: &str, values: Value) -> Result<Value, String> {
        let what = if values == json!({}) {
            format!("`{name}`")
        } else {
            format!("`{name}` {values}")
        };
        self.event(limit, &what, |event| {
            event["event"] == name && contains(event, &values)
        })
        .await
    }

    /// All events of this name so far.
    pub fn seen(&self, name: &str) -> Vec<Value> {
        self.log
            .events()
            .iter()
            .filter(|event| event["event"] == name)
            .cloned()
            .collect()
    }

    /// For a report of a failure: the last states, how many events of each kind, failures, and servers that gave no candidate, in
    /// one line.
    pub fn summary(&self) -> String {
        let events = self.log.events();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for event in events.iter() {
            *counts.entry(event["event"].as_str().unwrap_or("?")).or_default() += 1;
        }
        let states: Vec<String> = events
            .iter()
            .filter(|event| event["event"] == "state")
            .map(|event| format!("{}/{}", text(&event["connection"]), text(&event["ice"])))
            .collect();
        let reasons = |kind: &str| -> Vec<String> {
            let all = events.iter().filter(|event| event["event"] == kind);
            all.filter_map(|event| event["reason"].as_str().map(str::to_owned))
                .collect()
        };
        let (failures, servers) = (reasons("failure"), reasons("server"));
        format!("states {states:?}, events {counts:?}, failures {failures:?}, servers {servers:?}")
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// True if `event` has every value of the object `values`.
fn contains(event: &Value, values: &Value) -> bool {
    values
        .as_object()
        .is_none_or(|values| values.iter().all(|(key, value)| event[key] == *value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_event_is_found_whether_it_came_before_or_comes_after() {
        let (session, _requests, log) = Session::new("x", false);
        log.push(json!({"event": "open", "label": "a"}));
        let limit = Duration::from_secs(5);
        assert!(session.expect(limit, "open", json!({"label": "a"})).await.is_ok());
        let later = session.expect(limit, "open", json!({"label": "b"}));
        let (found, ()) = tokio::join!(later, async { log.push(json!({"event": "open", "label": "b"})) });
        assert_eq!(found.map(|event| event["label"].clone()), Ok(json!("b")));
        assert!(
            session
                .expect(Duration::from_millis(1), "close", json!({}))
                .await
                .is_err()
        );
    }
}
