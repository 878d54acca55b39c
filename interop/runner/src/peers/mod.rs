//! The peers: what can stand at either end of a case.

mod browser;
mod ours;
mod page;
mod program;

use crate::session::Session;
pub use browser::Browser;
pub use page::Tab;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, oneshot};

/// What stands at an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Ourselves, through the facade.
    Dunlin,
    /// A headless Chromium.
    Chromium,
    /// libwebrtc without a browser.
    Libwebrtc,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Dunlin => "dunlin",
            Kind::Chromium => "chromium",
            Kind::Libwebrtc => "libwebrtc",
        }
    }
}

/// A session and what ends its peer.
#[derive(Debug)]
pub struct Seat {
    pub session: Session,
    end: End,
}

#[derive(Debug)]
enum End {
    /// Ends when told: the sender's drop tells too.
    Told(oneshot::Sender<()>),
    Page(Arc<Browser>, page::Page),
    /// A browser of its own, which can be killed.
    Whole(Arc<Browser>),
}

impl Seat {
    /// Ends the peer in good order.
    pub async fn leave(self) {
        match self.end {
            End::Told(end) => drop(end),
            End::Page(browser, page) => page.close(&browser).await,
            End::Whole(browser) => browser.kill().await,
        }
    }

    /// Ends the peer as a crash or a pulled cable would: nothing more is sent.
    pub async fn vanish(&mut self) {
        let (nothing, _) = oneshot::channel();
        match std::mem::replace(&mut self.end, End::Told(nothing)) {
            End::Told(end) => drop(end.send(())),
            End::Page(browser, _) | End::Whole(browser) => browser.kill().await,
        }
    }
}

/// Starts peers; holds the browser that all pages share.
#[derive(Debug)]
pub struct Peers {
    trace: bool,
    shared: Mutex<Option<Arc<Browser>>>,
}

impl Peers {
    pub fn new(trace: bool) -> Self {
        Peers {
            trace,
            shared: Mutex::new(None),
        }
    }

    /// Starts a peer; `alone` if the case will kill it.
    pub async fn start(&self, kind: Kind, role: &str, alone: bool) -> Result<Seat, String> {
        let name = if role.is_empty() {
            kind.name().to_owned()
        } else {
            format!("{} ({role})", kind.name())
        };
        match kind {
            Kind::Chromium if alone => {
                let browser = Arc::new(Browser::launch().await?);
                let (session, _) = page::open(&browser, &name, self.trace).await?;
                Ok(Seat {
                    session,
                    end: End::Whole(browser),
                })
            }
            Kind::Chromium => {
                let browser = self.browser().await?;
                let (session, page) = page::open(&browser, &name, self.trace).await?;
                Ok(Seat {
                    session,
                    end: End::Page(browser, page),
                })
            }
            Kind::Libwebrtc => {
                let (session, end) = program::libwebrtc(&name, self.trace)?;
                Ok(Seat {
                    session,
                    end: End::Told(end),
                })
            }
            Kind::Dunlin => {
                let (session, end) = ours::start(&name, self.trace);
                Ok(Seat {
                    session,
                    end: End::Told(end),
                })
            }
        }
    }

    async fn browser(&self) -> Result<Arc<Browser>, String> {
        let mut shared = self.shared.lock().await;
        if let Some(browser) = shared.as_ref().filter(|browser| browser.alive()) {
            return Ok(browser.clone());
        }
        let browser = Arc::new(Browser::launch().await?);
        *shared = Some(browser.clone());
        Ok(browser)
    }

    /// Ends the shared browser.
    pub async fn stop(&self) {
        if let Some(browser) = self.shared.lock().await.take() {
            browser.kill().await;
        }
    }
}

/// A folder beside this crate.
pub fn folder(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).join(name)
}
