//! A program that speaks DTLS: what it prints is kept and can be waited for.

use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

/// What a program printed so far.
#[derive(Debug, Default)]
pub struct Texts {
    pub out: String,
    pub err: String,
    /// How many of its two pipes are closed.
    closed: usize,
}

impl Texts {
    /// The end of both, for the report of a failure.
    fn tail(&self) -> String {
        let end = |text: &str| {
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            let from = lines.len().saturating_sub(8);
            lines[from..].join("\n")
        };
        format!("{}\n{}", end(&self.out), end(&self.err))
    }
}

#[derive(Debug, Default)]
struct Shared {
    texts: Mutex<Texts>,
    changed: watch::Sender<()>,
}

impl Shared {
    fn texts(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running program; its drop kills it.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    shared: Arc<Shared>,
}

impl Program {
    pub fn start(name: &str, mut command: Command) -> Result<Program, String> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let program = command.as_std().get_program().display().to_string();
        let mut child = command
            .spawn()
            .map_err(|error| format!("{program} could not be started: {error}"))?;
        let shared = Arc::new(Shared::default());
        let input = child.stdin.take();
        if let Some(out) = child.stdout.take() {
            tokio::spawn(read(out, shared.clone(), |texts| &mut texts.out));
        }
        if let Some(err) = child.stderr.take() {
            tokio::spawn(read(err, shared.clone(), |texts| &mut texts.err));
        }
        Ok(Program {
            name: name.to_owned(),
            child,
            input,
            shared,
        })
    }

    /// Waits until something is found in what it printed.
    pub async fn until<T>(
        &self,
        limit: Duration,
        what: &str,
        find: impl Fn(&Texts) -> Option<T>,
    ) -> Result<T, String> {
        let mut changed = self.shared.changed.subscribe();
        let search = async {
            loop {
                changed.borrow_and_update();
                let ended = {
                    let texts = self.shared.texts();
                    if let Some(found) = find(&texts) {
                        return Ok(found);
                    }
                    texts.closed == 2
                };
                if ended || changed.changed().await.is_err() {
                    return Err(format!("{} ended before {what}", self.name));
                }
            }
        };
        let result = tokio::time::timeout(limit, search).await;
        result.unwrap_or_else(|_| Err(format!("{}: no {what} within {limit:?}", self.name)))
    }

    /// Waits for a line of application data.
    pub async fn says(&self, limit: Duration, line: &str) -> Result<(), String> {
        let what = format!("{line:?} on its standard output");
        self.until(limit, &what, |texts| texts.out.contains(line).then_some(()))
            .await
    }

    /// Writes a line to its standard input.
    pub async fn tell(&mut self, line: &str) -> Result<(), String> {
        let input = self
            .input
            .as_mut()
            .ok_or_else(|| format!("{} has no input any more", self.name))?;
        let line = format!("{line}\n");
        let written = input.write_all(line.as_bytes()).await;
        written.map_err(|error| format!("{}: {error}", self.name))
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// Waits for its end in good order.
    pub async fn success(&mut self, limit: Duration) -> Result<(), String> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("{} ended with {status}", self.name)),
            Ok(Err(error)) => Err(format!("{}: {error}", self.name)),
            Err(_) => Err(format!("{} did not end within {limit:?}", self.name)),
        }
    }

    /// Kills it if it still runs.
    pub async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// Its number, while it runs.
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// The end of what it printed.
    pub fn tail(&self) -> String {
        format!("{}: {}", self.name, self.shared.texts().tail())
    }
}

async fn read(mut pipe: impl AsyncRead + Unpin, shared: Arc<Shared>, part: fn(&mut Texts) -> &mut String) {
    let mut buffer = [0; 4096];
    loop {
        let len = pipe.read(&mut buffer).await.unwrap_or(0);
        {
            let mut texts = shared.texts();
            part(&mut texts).push_str(&String::from_utf8_lossy(&buffer[..len]));
            texts.closed += usize::from(len == 0);
        }
        shared.changed.send_replace(());
        if len == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_waited_for_by_what_it_prints() -> Result<(), String> {
        let mut cat = Program::start("cat", Command::new("cat"))?;
        let limit = Duration::from_secs(5);
        cat.tell("hello").await?;
        cat.says(limit, "hello").await?;
        cat.end_input();
        cat.success(limit).await?;
        let never = cat.says(limit, "something else").await;
        assert_eq!(
            never,
            Err("cat ended before \"something else\" on its standard output".to_owned())
        );
        Ok(())
    }
}
