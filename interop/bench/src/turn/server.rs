//! The servers that are measured: programs of their own, so that what the load costs is not counted.

use super::bare;
use super::session::{LOCAL, Session};
use super::wire::Cores;
use std::ffi::OsStr;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server that can be measured.
pub struct Kind {
    pub name: &'static str,
    start: fn(u16) -> Command,
    /// A client of it at this address, with a peer at that one.
    pub open: fn(SocketAddr, SocketAddr) -> Result<Session, String>,
}

pub const DUNLIN: Kind = Kind {
    name: "dunlin",
    start: dunlin,
    open: allocate,
};

pub const COTURN: Kind = Kind {
    name: "coturn",
    start: coturn,
    open: allocate,
};

/// The least that one can be.
pub const BARE: Kind = Kind {
    name: "bare",
    start: bare,
    open: bare::session,
};

fn allocate(server: SocketAddr, peer: SocketAddr) -> Result<Session, String> {
    Session::open(server, LOCAL, peer)
}

fn bare(port: u16) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_default());
    command.args(["--bare-relay", &port.to_string()]);
    command
}

fn dunlin(port: u16) -> Command {
    let own = std::env::current_exe().unwrap_or_default();
    let mut command = Command::new(own.with_file_name("dunlin"));
    command.args(["turn", "--user", "user1:test", "--allow-loopback-peers"]);
    command.args(["--log", "off", "--user-quota", "20000", "--total-quota", "20000"]);
    command.args(["--no-tcp", "--udp", &format!("127.0.0.1:{port}")]);
    command
}

fn coturn(port: u16) -> Command {
    let mut command = Command::new("turnserver");
    command.args(["-n", "--log-file=/dev/null", "-L", "127.0.0.1", "-E", "127.0.0.1"]);
    command.args(["--relay-threads", "1", "--allow-loopback-peers"]);
    command.args(["--cli-password=x", "-a", "-u", "user1:test", "-r", "dunlin"]);
    command.args(["--no-tls", "--no-dtls", "--no-tcp", "-p", &port.to_string()]);
    command
}

/// Whether a program can be started: `taskset` would not tell.
fn is_there(program: &OsStr) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).exists())
}

/// The same command on this core.
fn on(core: usize, command: &Command) -> Command {
    let mut on = Command::new("taskset");
    on.arg("-c").arg(core.to_string());
    on.arg(command.get_program()).args(command.get_args());
    on
}

/// A running server; it ends with this.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// `None` when the program is not installed.
    pub fn start(kind: &Kind) -> Result<Option<Self>, String> {
        let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = free.map_err(|error| error.to_string())?;
        let command = (kind.start)(address.port());
        if !is_there(command.get_program()) {
            return Ok(None);
        }
        let mut command = match Cores::choose() {
            // One core, of which it knows from the start, whatever it would make of several.
            Some(cores) => on(cores.server, &command),
            None => command,
        };
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command
            .spawn()
            .map_err(|error| format!("{}: {error}", kind.name))?;
        Ok(Some(Self { child, address }))
    }

    /// Ours, which has to be there.
    pub fn ours() -> Result<Self, String> {
        let started = Self::start(&DUNLIN)?;
        started.ok_or_else(|| {
            "dunlin is not there: `cargo build --release --package dunlin-cli` makes it".to_owned()
        })
    }

    /// Its memory that is in RAM, in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Processor time of all its threads so far.
    pub fn used(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let nanoseconds = threads.into_iter().flatten().flatten().map(|thread| {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            let first = text.split(' ').next().and_then(|text| text.parse::<u64>().ok());
            first.unwrap_or_default()
        });
        Duration::from_nanos(nanoseconds.sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
