//! The peers: what can stand at either end of a case.

mod browser;
mod firefox;
mod flavour;
mod ours;
mod page;
mod program;
mod programs;

use crate::session::Session;
pub use browser::Browser;
use firefox::Firefox;
pub use flavour::Flavour;
pub use ours::program as our_peer;
pub use page::Tab;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::process::Command;
use tokio::sync::{Mutex, oneshot};

/// What stands at an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Ourselves, through the facade.
    Dunlin,
    /// A headless Chromium.
    Chromium,
    /// A headless Firefox.
    Firefox,
    /// libwebrtc without a browser.
    Libwebrtc,
    /// aiortc: Python, OpenSSL, its own SCTP.
    Aiortc,
    /// werift: TypeScript all the way down.
    Werift,
    /// libdatachannel: GnuTLS or OpenSSL, usrsctp.
    NodeDatachannel,
    /// GStreamer's webrtcbin.
    Gstreamer,
    /// pion, in Go.
    Pion,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Dunlin => "dunlin",
            Kind::Chromium => "chromium",
            Kind::Firefox => "firefox",
            Kind::Libwebrtc => "libwebrtc",
            Kind::Aiortc => "aiortc",
            Kind::Werift => "werift",
            Kind::NodeDatachannel => "node-datachannel",
            Kind::Gstreamer => "gstreamer",
            Kind::Pion => "pion",
        }
    }

    /// A program that does what the DTLS matrix needs and little more.
    pub fn is_small(self) -> bool {
        use Kind::{Aiortc, Gstreamer, NodeDatachannel, Pion, Werift};
        matches!(self, Aiortc | Gstreamer | NodeDatachannel | Pion | Werift)
    }

    /// It has candidates only where there is an interface besides loopback, and Firefox only with a default route.
    pub fn wants_a_network(self) -> bool {
        !matches!(self, Kind::Dunlin | Kind::Chromium | Kind::Libwebrtc)
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
    FirefoxPage(Arc<Firefox>, firefox::Page),
    WholeFirefox(Arc<Firefox>),
}

impl Seat {
    /// Ends the peer in good order.
    pub async fn leave(self) {
        match self.end {
            End::Told(end) => drop(end),
            End::Page(browser, page) => page.close(&browser).await,
            End::Whole(browser) => browser.kill().await,
            End::FirefoxPage(firefox, page) => page.close(&firefox).await,
            End::WholeFirefox(firefox) => firefox.kill().await,
        }
    }

    /// Ends the peer as a crash or a pulled cable would: nothing more is sent.
    pub async fn vanish(&mut self) {
        let (nothing, _) = oneshot::channel();
        match std::mem::replace(&mut self.end, End::Told(nothing)) {
            End::Told(end) => drop(end.send(())),
            End::Page(browser, _) | End::Whole(browser) => browser.kill().await,
            End::FirefoxPage(firefox, _) | End::WholeFirefox(firefox) => firefox.kill().await,
        }
    }
}

/// Starts peers; holds the browsers that pages share.
#[derive(Debug)]
pub struct Peers {
    trace: bool,
    /// The network namespace that they live in, if it is not ours.
    inside: Option<String>,
    /// A file with an authority that Firefox is to trust.
    authority: Option<PathBuf>,
    chromiums: Mutex<BTreeMap<Flavour, Arc<Browser>>>,
    firefoxes: Mutex<BTreeMap<Flavour, Arc<Firefox>>>,
}

impl Peers {
    pub fn new(trace: bool) -> Self {
        Peers {
            trace,
            inside: None,
            authority: None,
            chromiums: Mutex::default(),
            firefoxes: Mutex::default(),
        }
    }

    /// Peers that live in this network namespace.
    pub fn inside(trace: bool, namespace: String) -> Self {
        Peers {
            inside: Some(namespace),
            ..Peers::new(trace)
        }
    }

    /// Peers that trust this authority beside those of the system (PEM).
    pub fn trusting(trace: bool, authority: PathBuf) -> Self {
        Peers {
            authority: Some(authority),
            ..Peers::new(trace)
        }
    }

    /// Starts a peer that takes any certificate of a TURN server if it cannot be told which to trust.
    pub async fn join(&self, kind: Kind, role: &str) -> Result<Seat, String> {
        self.start(kind, Flavour::AnyCertificate, role, false).await
    }

    /// Starts a peer; `alone` if the case will kill it.
    pub async fn start(&self, kind: Kind, flavour: Flavour, role: &str, alone: bool) -> Result<Seat, String> {
        let name = if role.is_empty() {
            kind.name().to_owned()
        } else {
            format!("{} ({role})", kind.name())
        };
        match kind {
            Kind::Chromium => self.chromium(&name, flavour, alone).await,
            Kind::Firefox => self.firefox(&name, flavour, alone).await,
            Kind::Dunlin if self.inside.is_some() => {
                let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
                command.arg("our-peer");
                self.program(command, &name)
            }
            Kind::Dunlin => {
                let (session, end) = ours::start(&name, self.trace);
                let end = End::Told(end);
                Ok(Seat { session, end })
            }
            program => {
                let command = programs::command(program, flavour).ok_or("this peer is no program")?;
                self.program(command, &name)
            }
        }
    }

    fn program(&self, command: Command, name: &str) -> Result<Seat, String> {
        let command = within(self.inside.as_deref(), command);
        let (session, end) = program::start(command, name, self.trace)?;
        let end = End::Told(end);
        Ok(Seat { session, end })
    }

    async fn chromium(&self, name: &str, flavour: Flavour, alone: bool) -> Result<Seat, String> {
        if alone {
            let browser = Arc::new(Browser::launch(flavour, self.inside.as_deref()).await?);
            let (session, _) = page::open(&browser, name, self.trace).await?;
            let end = End::Whole(browser);
            return Ok(Seat { session, end });
        }
        let browser = self.chromium_in(flavour).await?;
        let (session, page) = page::open(&browser, name, self.trace).await?;
        let end = End::Page(browser, page);
        Ok(Seat { session, end })
    }

    /// The browser that the pages share.
    pub async fn chromium_in(&self, flavour: Flavour) -> Result<Arc<Browser>, String> {
        let mut shared = self.chromiums.lock().await;
        if let Some(browser) = shared.get(&flavour).filter(|browser| browser.alive()) {
            return Ok(browser.clone());
        }
        let browser = Arc::new(Browser::launch(flavour, self.inside.as_deref()).await?);
        shared.insert(flavour, browser.clone());
        Ok(browser)
    }

    async fn firefox(&self, name: &str, flavour: Flavour, alone: bool) -> Result<Seat, String> {
        if alone {
            let firefox = Arc::new(Firefox::launch(flavour, self.authority.as_deref()).await?);
            let (session, _) = firefox::open(&firefox, name, self.trace).await?;
            let end = End::WholeFirefox(firefox);
            return Ok(Seat { session, end });
        }
        let firefox = {
            let mut shared = self.firefoxes.lock().await;
            match shared.get(&flavour).filter(|firefox| firefox.alive()) {
                Some(firefox) => firefox.clone(),
                None => {
                    let firefox = Arc::new(Firefox::launch(flavour, self.authority.as_deref()).await?);
                    shared.insert(flavour, firefox.clone());
                    firefox
                }
            }
        };
        let (session, page) = firefox::open(&firefox, name, self.trace).await?;
        let end = End::FirefoxPage(firefox, page);
        Ok(Seat { session, end })
    }

    /// Ends the shared browsers.
    pub async fn stop(&self) {
        for browser in std::mem::take(&mut *self.chromiums.lock().await).into_values() {
            browser.kill().await;
        }
        for firefox in std::mem::take(&mut *self.firefoxes.lock().await).into_values() {
            firefox.kill().await;
        }
    }
}

/// The same command, run in a network namespace if one is named.
fn within(namespace: Option<&str>, command: Command) -> Command {
    let Some(namespace) = namespace else {
        return command;
    };
    let inner = command.as_std();
    let mut outer = Command::new("ip");
    outer.args(["netns", "exec", namespace]);
    outer.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        if let Some(value) = value {
            outer.env(name, value);
        }
    }
    outer
}

/// A folder beside this crate.
pub fn folder(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).join(name)
}
