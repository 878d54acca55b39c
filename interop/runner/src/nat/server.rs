//! The TURN servers of the public network, each at an address of its own.

use super::lab::{Lab, SERVERS};
use crate::dtls::program::Program;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::Command;

const PLAIN: u16 = 3478;
const SECURE: u16 = 5349;
const USER: &str = "alice";
const PASSWORD: &str = "secret";
/// How long one may take to start on a busy machine.
const START: Duration = Duration::from_secs(20);

/// Which program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Coturn,
    Dunlin,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Coturn => "coturn",
            Kind::Dunlin => "dunlin",
        }
    }

    fn ip(self) -> IpAddr {
        SERVERS[usize::from(self == Kind::Dunlin)]
    }
}

/// How a relay is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Over {
    Udp,
    Tcp,
    Tls,
}

impl Over {
    pub fn name(self) -> &'static str {
        match self {
            Over::Udp => "udp",
            Over::Tcp => "tcp",
            Over::Tls => "tls",
        }
    }

    fn url(self, ip: IpAddr) -> String {
        match self {
            Over::Udp => format!("turn:{ip}:{PLAIN}?transport=udp"),
            Over::Tcp => format!("turn:{ip}:{PLAIN}?transport=tcp"),
            Over::Tls => format!("turns:{ip}:{SECURE}?transport=tcp"),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    pub kind: Kind,
    program: Program,
}

/// The certificate of all servers, and where it lies; the files go with this.
#[derive(Debug)]
pub struct Identity {
    folder: PathBuf,
    /// The authority that has signed it.
    pub authority: String,
}

impl Identity {
    /// For these addresses, and for `localhost`.
    pub fn make(addresses: &[IpAddr]) -> Result<Identity, String> {
        Identity::until(addresses, 4000)
    }

    /// The same, of a year that is over.
    pub fn expired(addresses: &[IpAddr]) -> Result<Identity, String> {
        Identity::until(addresses, 2021)
    }

    fn until(addresses: &[IpAddr], year: i32) -> Result<Identity, String> {
        let (authority, certificate, key) = signed(addresses, year).map_err(|error| error.to_string())?;
        let folder = format!("dunlin-interop-identity-{}-{year}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let identity = Identity { folder, authority };
        for (file, contents) in [
            ("authority.pem", &identity.authority),
            ("cert.pem", &certificate),
            ("key.pem", &key),
        ] {
            std::fs::write(identity.file(file), contents).map_err(|error| error.to_string())?;
        }
        Ok(identity)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn option(&self, option: &str, name: &str) -> String {
        format!("{option}={}", self.file(name).display())
    }
}

/// An authority, a certificate that it has signed for these addresses until that year, and the key of that.
fn signed(addresses: &[IpAddr], year: i32) -> Result<(String, String, String), rcgen::Error> {
    let mut params = rcgen::CertificateParams::new(Vec::new())?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "dunlin interop");
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate()?)?;
    let names = addresses.iter().map(ToString::to_string);
    let names: Vec<String> = names.chain(["localhost".to_owned()]).collect();
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(names)?;
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let certificate = params.signed_by(&key, &authority)?;
    Ok((authority.pem(), certificate.pem(), key.serialize_pem()))
}

impl Drop for Identity {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    /// Starts it in the public network and waits until it listens.
    pub async fn start(kind: Kind, lab: &Lab, identity: &Identity) -> Result<Server, String> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &lab.public()]);
        match kind {
            Kind::Coturn => command.arg("turnserver").args(coturn(kind.ip(), identity)),
            Kind::Dunlin => command.arg(ours()?).args(dunlin(kind.ip(), identity)),
        };
        let program = Program::start(kind.name(), command)?;
        listening(&program, &[PLAIN, SECURE], kind.ip()).await?;
        Ok(Server { kind, program })
    }

    /// What a peer is told of it: STUN, and relays over these.
    pub fn described(&self, over: &[Over]) -> Value {
        let ip = self.kind.ip();
        let mut urls = vec![format!("stun:{ip}:{PLAIN}")];
        urls.extend(over.iter().map(|over| over.url(ip)));
        json!([{"urls": urls, "username": USER, "credential": PASSWORD}])
    }

    pub fn tail(&self) -> String {
        self.program.tail()
    }
}

fn coturn(ip: IpAddr, identity: &Identity) -> Vec<String> {
    vec![
        "-n".to_owned(),
        format!("--listening-ip={ip}"),
        format!("--relay-ip={ip}"),
        format!("--listening-port={PLAIN}"),
        format!("--tls-listening-port={SECURE}"),
        "--lt-cred-mech".to_owned(),
        format!("--user={USER}:{PASSWORD}"),
        "--realm=example.org".to_owned(),
        "--no-cli".to_owned(),
        identity.option("--cert", "cert.pem"),
        identity.option("--pkey", "key.pem"),
        identity.option("--pidfile", "pid"),
        identity.option("--userdb", "turndb"),
        "--log-file=stdout".to_owned(),
    ]
}

fn dunlin(ip: IpAddr, identity: &Identity) -> Vec<String> {
    vec![
        "turn".to_owned(),
        format!("--udp={ip}:{PLAIN}"),
        format!("--tcp={ip}:{PLAIN}"),
        format!("--tls={ip}:{SECURE}"),
        "--no-dtls".to_owned(),
        format!("--user={USER}:{PASSWORD}"),
        "--realm=example.org".to_owned(),
        identity.option("--cert", "cert.pem"),
        identity.option("--key", "key.pem"),
        "--log=info".to_owned(),
    ]
}

/// Our program, beside this one.
pub fn ours() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name("dunlin");
    program.exists().then_some(program.clone()).ok_or_else(|| {
        format!(
            "{} is not there: `cargo build --release --package dunlin-cli` makes it",
            program.display()
        )
    })
}

/// Waits until a program listens for TCP on these ports. It is read from its own view of the system: its namespace is
/// not ours, and coturn does not say when it is ready.
pub async fn listening(program: &Program, ports: &[u16], ip: IpAddr) -> Result<(), String> {
    let process = program.process().ok_or_else(|| program.tail())?;
    let table = Path::new("/proc").join(process.to_string()).join("net/tcp");
    let deadline = Instant::now() + START;
    while !listens(&std::fs::read_to_string(&table).unwrap_or_default(), ports, ip) {
        if Instant::now() > deadline || !table.exists() {
            return Err(format!("it does not listen on {ip}: {}", program.tail()));
        }
        // There is nothing to wait on: the system tells nobody.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Whether `/proc/net/tcp` has sockets in the state LISTEN at all of these ports.
fn listens(table: &str, ports: &[u16], ip: IpAddr) -> bool {
    let IpAddr::V4(ip) = ip else { return false };
    let bytes = u32::from_le_bytes(ip.octets());
    ports.iter().all(|port| {
        let local = format!("{bytes:08X}:{port:04X}");
        table.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.nth(1) == Some(&local) && words.nth(1) == Some("0A")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_tells_who_listens() {
        let table = "  sl  local_address rem_address   st\n   0: 017100CB:0D96 00000000:0000 0A 00000000\n";
        assert!(listens(table, &[3478], IpAddr::from([203, 0, 113, 1])));
        assert!(!listens(table, &[3478], IpAddr::from([203, 0, 113, 2])));
        assert!(!listens(table, &[3478, 5349], IpAddr::from([203, 0, 113, 1])));
    }
}
