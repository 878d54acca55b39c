//! Chromium over `--remote-debugging-pipe`: file descriptor 3 takes commands, 4 gives answers, JSON ended by NUL.
//! A shell moves our ends of the pipes, its standard input and output, to those numbers.

use super::Flavour;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};

const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    // Host candidates on 127.0.0.1 and ::1.
    "--allow-loopback-in-peer-connection",
    // Pages in the background run at full speed.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    // Pages share a disk folder but not a process.
    "--allow-file-access-from-files",
    "--process-per-site-instance",
];

/// A running browser.
#[derive(Debug)]
pub struct Browser {
    child: tokio::sync::Mutex<Child>,
    group: u32,
    input: tokio::sync::Mutex<ChildStdin>,
    next: AtomicU64,
    shared: Arc<Shared>,
    profile: PathBuf,
}

/// What the reading task and the callers share.
#[derive(Debug, Default)]
struct Shared {
    gone: AtomicBool,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Value>>>,
    /// Events of the pages, by debugging session.
    listeners: Mutex<BTreeMap<String, mpsc::UnboundedSender<Value>>>,
}

impl Browser {
    /// Starts a browser with a fresh profile, in a network namespace if one is named.
    pub async fn launch(flavour: Flavour, inside: Option<&str>) -> Result<Browser, String> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let profile = std::env::temp_dir().join(format!("dunlin-interop-{}-{number}", std::process::id()));
        let program = std::env::var("DUNLIN_CHROMIUM").unwrap_or_else(|_| find());
        let mut command = super::within(inside, Command::new("sh"));
        command
            .args([
                "-c",
                r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#,
                &program,
            ])
            .args(FLAGS)
            .args(flavour.switches())
            .arg(without(flavour.chromium()))
            .args(
                flavour
                    .field_trials()
                    .map(|trials| format!("--force-fieldtrials={trials}")),
            )
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|error| format!("{program} could not be started: {error}"))?;
        let group = child.id().unwrap_or_default();
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the browser has no pipes".to_owned());
        };
        let shared = Arc::new(Shared::default());
        tokio::spawn(read(output, shared.clone()));
        let browser = Browser {
            child: tokio::sync::Mutex::new(child),
            group,
            input: tokio::sync::Mutex::new(input),
            next: AtomicU64::new(1),
            shared,
            profile,
        };
        let version = browser.call(None, "Browser.getVersion", json!({})).await;
        version.map_err(|reason| format!("{program} does not answer: {reason} (is it installed?)"))?;
        Ok(browser)
    }

    pub fn alive(&self) -> bool {
        !self.shared.gone.load(Ordering::Relaxed)
    }

    /// Calls a method of the debugging protocol, in a page's session or the browser's.
    pub async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Result<Value, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let (sender, answer) = oneshot::channel();
        lock(&self.shared.waiting).insert(id, sender);
        if !self.alive() {
            return Err("the browser is gone".to_owned());
        }
        let mut line = message.to_string().into_bytes();
        line.push(0);
        let written = self.input.lock().await.write_all(&line).await;
        written.map_err(|_| "the browser is gone".to_owned())?;
        let answer = answer.await.map_err(|_| "the browser is gone".to_owned())?;
        match answer.get("error") {
            Some(error) => Err(format!("{method}: {}", error["message"])),
            None => Ok(answer["result"].clone()),
        }
    }

    /// The events of one debugging session from now on.
    pub fn listen(&self, session: &str) -> mpsc::UnboundedReceiver<Value> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.shared.listeners).insert(session.to_owned(), sender);
        receiver
    }

    /// No more events of that session.
    pub fn forget(&self, session: &str) {
        lock(&self.shared.listeners).remove(session);
    }

    /// Kills the browser with all its processes, at once.
    pub async fn kill(&self) {
        kill_group(self.group).await;
        let _ = self.child.lock().await.wait().await;
        let _ = tokio::fs::remove_dir_all(&self.profile).await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop_group(self.group, self.alive());
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

async fn read(output: ChildStdout, shared: Arc<Shared>) {
    let mut output = BufReader::new(output);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        if output.read_until(0, &mut buffer).await.unwrap_or(0) == 0 {
            break;
        }
        buffer.pop();
        let Ok(message) = serde_json::from_slice::<Value>(&buffer) else {
            continue;
        };
        if let Some(id) = message["id"].as_u64() {
            if let Some(waiting) = lock(&shared.waiting).remove(&id) {
                let _ = waiting.send(message);
            }
        } else if let Some(session) = message["sessionId"].as_str()
            && let Some(listener) = lock(&shared.listeners).get(session)
        {
            let _ = listener.send(message);
        }
    }
    shared.gone.store(true, Ordering::Relaxed);
    lock(&shared.waiting).clear();
    lock(&shared.listeners).clear();
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The switch for features that are off.
fn without(features: &[&str]) -> String {
    // Addresses instead of mDNS names.
    let mut off = vec!["WebRtcHideLocalIpsWithMdns"];
    off.extend(features);
    format!("--disable-features={}", off.join(","))
}

/// Kills a browser's process group.
pub async fn kill_group(group: u32) {
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{group}")])
        .stderr(Stdio::null())
        .status()
        .await;
}

/// The same where nothing can be waited for.
pub fn drop_group(group: u32, alive: bool) {
    if alive {
        let _ = std::process::Command::new("kill")
            .args(["-KILL", "--", &format!("-{group}")])
            .stderr(Stdio::null())
            .status();
    }
}

fn find() -> String {
    on_the_path(&["chromium", "chromium-browser", "google-chrome"])
}

/// The first of these programs on the PATH; the first of all if there is none.
pub fn on_the_path(names: &[&str]) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |name: &&&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    names.iter().find(there).unwrap_or(&names[0]).to_string()
}
