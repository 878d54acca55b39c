//! Firefox over WebDriver BiDi: JSON over a WebSocket whose port the browser chooses and prints.

use super::Flavour;
use crate::session::{Log, Request, Session};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long it may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Host candidates with addresses, media without a question, nothing fetched.
const PREFERENCES: &[(&str, &str)] = &[
    ("media.peerconnection.ice.obfuscate_host_addresses", "false"),
    ("media.peerconnection.ice.loopback", "true"),
    ("media.navigator.streams.fake", "true"),
    ("media.navigator.permission.disabled", "true"),
    ("media.autoplay.default", "0"),
    ("media.autoplay.blocking_policy", "0"),
    ("media.autoplay.block-webaudio", "false"),
    ("media.gmp-manager.updateEnabled", "false"),
    ("app.update.enabled", "false"),
    ("browser.shell.checkDefaultBrowser", "false"),
    ("datareporting.policy.dataSubmissionEnabled", "false"),
    ("toolkit.telemetry.enabled", "false"),
    ("network.captive-portal-service.enabled", "false"),
    ("network.connectivity-service.enabled", "false"),
];

/// A running Firefox.
#[derive(Debug)]
pub struct Firefox {
    child: tokio::sync::Mutex<Child>,
    group: u32,
    requests: mpsc::UnboundedSender<Message>,
    next: AtomicU64,
    shared: Arc<Shared>,
    profile: PathBuf,
}

/// What the reading task and the callers share.
#[derive(Debug, Default)]
struct Shared {
    gone: AtomicBool,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Value>>>,
    /// The logs of the pages, by browsing context.
    logs: Mutex<BTreeMap<String, Log>>,
}

impl Firefox {
    /// Starts a browser with a fresh profile.
    pub async fn launch(flavour: Flavour, authority: Option<&Path>) -> Result<Firefox, String> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let profile = std::env::temp_dir().join(format!("dunlin-firefox-{}-{number}", std::process::id()));
        write_profile(&profile, flavour).map_err(|error| format!("{}: {error}", profile.display()))?;
        if let Some(authority) = authority {
            trust(&profile, authority).await?;
        }
        let program = std::env::var("DUNLIN_FIREFOX").unwrap_or_else(|_| find());
        let mut command = Command::new(&program);
        command
            .args([
                "--headless",
                "--no-remote",
                "--remote-debugging-port",
                "0",
                "--profile",
            ])
            .arg(&profile)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|error| format!("{program} could not be started: {error} (is it installed?)"))?;
        let group = child.id().unwrap_or_default();
        let errors = child.stderr.take().ok_or("the browser has no pipe")?;
        let connected = tokio::time::timeout(START, connect(errors)).await;
        let socket = connected.map_err(|_| format!("{program} opened no WebDriver within {START:?}"))??;
        let (requests, outgoing) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::default());
        tokio::spawn(carry(socket, outgoing, shared.clone()));
        let firefox = Firefox {
            child: tokio::sync::Mutex::new(child),
            group,
            requests,
            next: AtomicU64::new(1),
            shared,
            profile,
        };
        firefox.call("session.new", json!({"capabilities": {}})).await?;
        let events = json!({"events": ["script.message", "log.entryAdded"]});
        firefox.call("session.subscribe", events).await?;
        // A function of the page's `report` puts its argument into a channel, which comes here as an event.
        let preload = json!({
            "functionDeclaration": "(channel) => { window.report = channel; }",
            "arguments": [{"type": "channel", "value": {"channel": "report"}}],
        });
        firefox.call("script.addPreloadScript", preload).await?;
        Ok(firefox)
    }

    pub fn alive(&self) -> bool {
        !self.shared.gone.load(Ordering::Relaxed)
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        let gone = || "the browser is gone".to_owned();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        lock(&self.shared.waiting).insert(id, sender);
        if !self.alive() {
            return Err(gone());
        }
        let message = json!({"id": id, "method": method, "params": params});
        let message = Message::text(message.to_string());
        self.requests.send(message).map_err(|_| gone())?;
        let answer = answer.await.map_err(|_| gone())?;
        match answer.get("error") {
            Some(error) => Err(format!("{method}: {error}: {}", answer["message"])),
            None => Ok(answer["result"].clone()),
        }
    }

    /// Evaluates an expression in a page and waits for the promise it gives; what it gives is JSON in text.
    async fn evaluate(&self, context: &str, expression: &str) -> Result<Value, String> {
        let params = json!({
            "expression": expression,
            "target": {"context": context},
            "awaitPromise": true,
            "resultOwnership": "none",
        });
        let answer = self.call("script.evaluate", params).await?;
        if answer["type"] == "exception" {
            let text = answer["exceptionDetails"]["text"].as_str();
            return Err(text.unwrap_or("an exception without a text").to_owned());
        }
        let text = answer["result"]["value"].as_str().unwrap_or("null");
        serde_json::from_str(text).map_err(|error| format!("the page answers {text:?}: {error}"))
    }

    /// Kills the browser with all its processes, at once.
    pub async fn kill(&self) {
        super::browser::kill_group(self.group).await;
        let _ = self.child.lock().await.wait().await;
        let _ = tokio::fs::remove_dir_all(&self.profile).await;
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        super::browser::drop_group(self.group, self.alive());
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// Opens the peer page in a window of its own: timers of a tab in the background are slowed down.
pub async fn open(firefox: &Arc<Firefox>, name: &str, trace: bool) -> Result<(Session, Page), String> {
    let (session, requests, log) = Session::new(name, trace);
    let window = json!({"type": "window"});
    let created = firefox.call("browsingContext.create", window).await?;
    let context = created["context"].as_str().unwrap_or_default().to_owned();
    lock(&firefox.shared.logs).insert(context.clone(), log);
    let url = format!("file://{}", super::folder("browser").join("peer.html").display());
    let params = json!({"context": context, "url": url, "wait": "complete"});
    firefox.call("browsingContext.navigate", params).await?;
    tokio::spawn(serve(firefox.clone(), context.clone(), requests));
    Ok((session, Page { context }))
}

/// What closes the page again.
#[derive(Debug)]
pub struct Page {
    context: String,
}

impl Page {
    pub async fn close(self, firefox: &Firefox) {
        lock(&firefox.shared.logs).remove(&self.context);
        let _ = firefox
            .call("browsingContext.close", json!({"context": self.context}))
            .await;
    }
}

/// Carries commands to the page, each in its own task: some take long.
async fn serve(firefox: Arc<Firefox>, context: String, mut requests: mpsc::UnboundedReceiver<Request>) {
    while let Some(Request { command, reply }) = requests.recv().await {
        let (firefox, context) = (firefox.clone(), context.clone());
        tokio::spawn(async move {
            let expression = format!("command({command}).then(JSON.stringify)");
            let _ = reply.send(firefox.evaluate(&context, &expression).await);
        });
    }
}

/// Reads where the browser listens and connects; what else it says on standard error is of no use.
async fn connect(errors: impl AsyncRead + Unpin + Send + 'static) -> Result<Socket, String> {
    let mut lines = BufReader::new(errors).lines();
    let url = loop {
        let line = lines.next_line().await.ok().flatten();
        let line = line.ok_or("Firefox ended before it opened its WebDriver")?;
        if let Some(url) = line.trim().strip_prefix("WebDriver BiDi listening on ") {
            break format!("{url}/session");
        }
    };
    // A full pipe would stop the browser.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let connected = tokio_tungstenite::connect_async(&url).await;
    let (socket, _) = connected.map_err(|error| format!("{url}: {error}"))?;
    Ok(socket)
}

async fn carry(socket: Socket, mut outgoing: mpsc::UnboundedReceiver<Message>, shared: Arc<Shared>) {
    let (mut sink, mut stream) = socket.split();
    loop {
        tokio::select! {
            message = outgoing.recv() => {
                let Some(message) = message else { break };
                if sink.send(message).await.is_err() {
                    break;
                }
            }
            message = stream.next() => {
                let Some(Ok(message)) = message else { break };
                if let Message::Text(text) = message
                    && let Ok(message) = serde_json::from_str(text.as_str())
                {
                    take(message, &shared);
                }
            }
        }
    }
    shared.gone.store(true, Ordering::Relaxed);
    lock(&shared.waiting).clear();
    lock(&shared.logs).clear();
}

/// Gives an answer to who waits for it, and an event to its page's log.
fn take(message: Value, shared: &Shared) {
    if let Some(id) = message["id"].as_u64() {
        if let Some(waiting) = lock(&shared.waiting).remove(&id) {
            let _ = waiting.send(message);
        }
        return;
    }
    let params = &message["params"];
    let context = params["source"]["context"].as_str().unwrap_or_default();
    let log = lock(&shared.logs).get(context).cloned();
    let Some(log) = log else { return };
    match message["method"].as_str() {
        Some("script.message") => {
            let payload = params["data"]["value"].as_str().unwrap_or_default();
            log.push(serde_json::from_str(payload).unwrap_or(Value::Null));
        }
        Some("log.entryAdded") if params["level"] == "error" => {
            let text = params["text"].as_str().unwrap_or("?");
            log.push(json!({"event": "failure", "reason": format!("page: {text}")}));
        }
        _ => {}
    }
}

/// Puts an authority into the profile's certificates, to be trusted for servers.
async fn trust(profile: &Path, authority: &Path) -> Result<(), String> {
    let folder = format!("sql:{}", profile.display());
    let file = authority.display().to_string();
    let add = ["-A", "-n", "interop", "-t", "C,,", "-i", file.as_str()];
    for arguments in [&["-N", "--empty-password"][..], &add] {
        let mut certutil = Command::new("certutil");
        certutil.args(arguments).args(["-d", folder.as_str()]);
        let output = certutil.output().await;
        let output = output.map_err(|error| format!("certutil: {error} (Debian's package libnss3-tools)"))?;
        if !output.status.success() {
            return Err(format!("certutil: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(())
}

fn write_profile(profile: &PathBuf, flavour: Flavour) -> std::io::Result<()> {
    std::fs::create_dir_all(profile)?;
    let preferences = PREFERENCES.iter().chain(flavour.firefox());
    let line = |(name, value): &(&str, &str)| format!("user_pref(\"{name}\", {value});\n");
    std::fs::write(profile.join("user.js"), preferences.map(line).collect::<String>())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first of the usual names on the PATH.
fn find() -> String {
    super::browser::on_the_path(&["firefox-esr", "firefox"])
}
