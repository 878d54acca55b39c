//! `dunlin turn`: the TURN server as a program. The server is [`dunlin::turn_server`]; here are its options, its
//! signals and its metrics.

mod error;
mod metrics;
mod mistakes;
mod options;
mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dunlin::turn_server::TurnServer;

pub(crate) use self::error::TurnError;
use self::metrics::Watched;
pub(crate) use self::options::Options;
use crate::say::say;

/// What SIGTERM leaves to the allocations that are there: as long as one lives without a refresh.
const DRAIN: u64 = 600;

/// The options with those of the configuration file.
pub(crate) fn read(flags: Options) -> Result<Options, TurnError> {
    settings::read(flags)
}

/// What is logged, in the words of RUST_LOG.
pub(crate) fn log_filter(options: &Options) -> String {
    match options.log.unwrap_or(log::LevelFilter::Info) {
        // The protocol core tells of allocations too, but not as much.
        log::LevelFilter::Info => "info,dunlin_turn=warn".to_owned(),
        level => level.to_string(),
    }
}

/// Runs until a signal ends it.
pub(crate) async fn run(options: &Options) -> Result<(), TurnError> {
    // Before anybody is told that the server is there: who then signals is not to kill it.
    let mut signals = Signals::new()?;
    let server = TurnServer::bind(settings::config(options)?)?;
    for (transport, address) in server.addresses() {
        say(format_args!("dunlin turn listens on {transport} {address}"));
    }
    let watched = Arc::new(Watched {
        server,
        draining: AtomicBool::new(false),
    });
    if let Some(address) = options.metrics {
        let local = metrics::serve(address, watched.clone()).await?;
        say(format_args!(
            "dunlin turn shows metrics at http://{local}/metrics"
        ));
    }
    let mut signal = signals.next().await;
    while signal == Signal::Reload {
        reload(options, &watched.server);
        signal = signals.next().await;
    }
    if signal == Signal::Drain {
        watched.draining.store(true, Ordering::Relaxed);
        let patience = Duration::from_secs(options.drain_seconds.unwrap_or(DRAIN));
        log::info!("turn: draining for at most {} s", patience.as_secs());
        watched.server.drain();
        tokio::select! {
            () = watched.server.drained() => log::info!("turn: drained"),
            () = tokio::time::sleep(patience) => log::warn!("turn: allocations were left when the time was over"),
            () = signals.end() => {}
        }
    }
    Ok(())
}

/// Reads certificate and key again: they are replaced every few weeks. A mistake leaves the old ones in use.
fn reload(options: &Options, server: &TurnServer) {
    let replaced = match settings::identity(options) {
        Ok(Some(identity)) => server.replace_identity(&identity).map_err(TurnError::from),
        Ok(None) => return log::info!("turn: there is no certificate to read again"),
        Err(error) => Err(error),
    };
    match replaced {
        Ok(()) => log::info!("turn: the certificate was read again"),
        Err(error) => log::error!("turn: the certificate stays as it was: {error}"),
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// Read the certificate again.
    Reload,
    Drain,
    End,
}

/// The signals that the program listens to.
#[derive(Debug)]
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, TurnError> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt()).map_err(TurnError::Signals)?,
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate()).map_err(TurnError::Signals)?,
            #[cfg(unix)]
            hang_up: signal(SignalKind::hangup()).map_err(TurnError::Signals)?,
        })
    }

    /// Waits for a signal that ends the program: another one to reload is none.
    async fn end(&mut self) {
        while self.next().await == Signal::Reload {}
    }

    async fn next(&mut self) -> Signal {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => Signal::End,
            _ = self.terminate.recv() => Signal::Drain,
            _ = self.hang_up.recv() => Signal::Reload,
        }
        #[cfg(not(unix))]
        {
            let _ = tokio::signal::ctrl_c().await;
            Signal::End
        }
    }
}
