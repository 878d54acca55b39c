//! `dunlin-interop dtls`: real DTLS peers by roles, versions, groups, certificates and options.

pub mod dimpl;
mod driver;
mod exchange;
mod files;
mod gnutls;
mod matrix;
mod nss;
mod openssl;
mod ours;
pub mod program;
mod setup;
mod table;
mod web;

use crate::peers::Peers;
use driver::Driver;
use files::Files;
use setup::{Role, Setup, Version};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::{Outcome, Report, Result};
use tokio::sync::Semaphore;
use web::Web;

/// When a program's cell is given up, whatever it waits for.
const LIMIT: Duration = Duration::from_secs(60);

/// Real DTLS peers by roles, versions, groups, certificates and options.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The peers to run against (default: all; `--list` shows them).
    #[arg(value_name = "PEER")]
    peers: Vec<String>,
    /// Only cells whose name, as in openssl/1.2/client/plain, contains this.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Runs everything this many times.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Prints a report for machines on standard output; the table goes to standard error.
    #[arg(long)]
    json: bool,
    /// How many cells run at once.
    #[arg(long, default_value_t = 4)]
    load: usize,
    /// Prints every command, reply and event of the WebRTC peers.
    #[arg(long)]
    trace: bool,
    /// Lists the peers and cases.
    #[arg(long)]
    list: bool,
}

impl Arguments {
    /// Whether a peer takes part that has no candidates on loopback.
    pub fn want_a_network(&self) -> bool {
        let wants = |peer: &Peer| matches!(peer, Peer::Web(web) if web.kind.wants_a_network());
        !self.list && self.chosen().is_ok_and(|peers| peers.iter().any(wants))
    }

    /// The peers named, or all.
    fn chosen(&self) -> std::result::Result<Vec<Peer>, String> {
        if self.peers.is_empty() {
            return Ok(Peer::all().collect());
        }
        let find = |name: &String| {
            let known = Peer::all().find(|peer| peer.name() == name);
            known.ok_or_else(|| format!("there is no peer {name:?}; `--list` shows them"))
        };
        self.peers.iter().map(find).collect()
    }
}

/// A peer: a program for DTLS alone, or a whole WebRTC stack.
#[derive(Debug, Clone, Copy)]
enum Peer {
    Program(&'static Driver),
    Web(&'static Web),
}

impl Peer {
    fn all() -> impl Iterator<Item = Peer> {
        let programs = driver::ALL.iter().map(|driver| Peer::Program(driver));
        programs.chain(web::ALL.iter().map(Peer::Web))
    }

    fn name(&self) -> &'static str {
        match self {
            Peer::Program(driver) => driver.name,
            Peer::Web(web) => web.kind.name(),
        }
    }

    fn remarks(&self) -> &'static [&'static str] {
        match self {
            Peer::Program(driver) => driver.remarks,
            Peer::Web(web) => web.remarks,
        }
    }

    /// Everything it could take part in.
    fn cells(&self) -> Vec<Cell> {
        match self {
            Peer::Program(driver) => program_cells(driver),
            Peer::Web(web) => web_cells(web),
        }
    }
}

/// One cell.
#[derive(Debug, Clone)]
struct Cell {
    peer: &'static str,
    version: Version,
    we: Role,
    case: &'static str,
    work: Work,
}

#[derive(Debug, Clone)]
enum Work {
    Program(&'static Driver, Box<Setup>),
    Web(web::Cell),
}

impl Cell {
    fn name(&self) -> String {
        format!("{}/{}/{}/{}", self.peer, self.version, self.we, self.case)
    }
}

fn program_cells(driver: &'static Driver) -> Vec<Cell> {
    let mut cells = Vec::new();
    for case in matrix::CASES {
        for version in driver
            .versions
            .iter()
            .copied()
            .filter(|version| case.versions.contains(version))
        {
            for we in [Role::Client, Role::Server] {
                let mut setup = Setup::new(version, we);
                (case.apply)(&mut setup);
                cells.push(Cell {
                    peer: driver.name,
                    version,
                    we,
                    case: case.name,
                    work: Work::Program(driver, Box::new(setup)),
                });
            }
        }
    }
    cells
}

fn web_cells(web: &'static Web) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (flavour, version) in web.flavours.iter().copied() {
        for we in [Role::Client, Role::Server] {
            for peer_offers in [true, false] {
                let work = web::Cell {
                    web,
                    flavour,
                    version,
                    we,
                    peer_offers,
                };
                cells.push(Cell {
                    peer: web.kind.name(),
                    version,
                    we,
                    case: web::case(flavour, peer_offers),
                    work: Work::Web(work),
                });
            }
        }
    }
    cells
}

/// Runs the matrix.
pub async fn run(arguments: &Arguments) -> ExitCode {
    if arguments.list {
        list();
        return ExitCode::SUCCESS;
    }
    match matrix(arguments).await {
        Ok(report) => {
            eprintln!("{}", report.table());
            if arguments.json {
                println!("{}", report.json());
            }
            ExitCode::from(u8::from(report.failed() > 0))
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for peer in Peer::all() {
        println!("{}", peer.name());
    }
    println!();
    for case in matrix::CASES {
        println!("{:<22} {}", case.name, case.what);
    }
}

/// What all cells share.
#[derive(Debug)]
struct Place {
    files: Files,
    peers: Peers,
    room: Semaphore,
}

async fn matrix(arguments: &Arguments) -> std::result::Result<Report, String> {
    let chosen = arguments.chosen()?;
    let wanted = |cell: &Cell| {
        let part = arguments.case.as_deref();
        part.is_none_or(|part| cell.name().contains(part))
    };
    let cells: Vec<Cell> = chosen.iter().flat_map(Peer::cells).filter(wanted).collect();
    if cells.is_empty() {
        return Err("no cell has a name like that; `--list` shows the cases".to_owned());
    }
    let nss = chosen.iter().any(|peer| peer.name().starts_with("nss"));
    let place = Arc::new(Place {
        files: Files::make(nss).await?,
        peers: Peers::new(arguments.trace),
        room: Semaphore::new(arguments.load.max(1)),
    });
    let mut report = Report::new(chosen.iter().flat_map(Peer::remarks).copied());
    for _ in 0..arguments.repeat.max(1) {
        let work: Vec<_> = cells
            .iter()
            .map(|cell| tokio::spawn(one(cell.clone(), place.clone())))
            .collect();
        let mut results = Vec::new();
        for task in work {
            results.push(task.await.map_err(|error| error.to_string())?);
        }
        report.add(results);
    }
    place.peers.stop().await;
    Ok(report)
}

async fn one(cell: Cell, place: Arc<Place>) -> Result {
    let mut result = Result {
        peer: cell.peer,
        web: matches!(cell.work, Work::Web(_)),
        version: cell.version,
        we: cell.we,
        case: cell.case,
        outcome: Outcome::Absent,
        took: Duration::ZERO,
        detail: String::new(),
    };
    let absent = match &cell.work {
        Work::Program(driver, setup) => driver.refuses(setup),
        Work::Web(cell) => cell.absent(),
    };
    if let Some(reason) = absent {
        result.detail = reason.to_owned();
        return result;
    }
    let _place = place.room.acquire().await;
    let start = Instant::now();
    let ran = match &cell.work {
        Work::Program(driver, setup) => {
            let exchange = exchange::run(driver, setup, &place.files);
            let limited = tokio::time::timeout(LIMIT, exchange).await;
            limited.unwrap_or_else(|_| Err(format!("given up after {LIMIT:?}")))
        }
        Work::Web(cell) => web::run(&place.peers, cell).await,
    };
    result.took = start.elapsed();
    (result.outcome, result.detail) = match ran {
        Ok(detail) => (Outcome::Passed, detail),
        Err(reason) => (Outcome::Failed, reason),
    };
    eprintln!(
        "{:<4} {:>5.1} s  {}  {}",
        result.outcome,
        result.took.as_secs_f64(),
        cell.name(),
        result.detail.lines().next().unwrap_or_default()
    );
    result
}
