//! Real peers by cases: `interop/README.md` describes the protocol, the peers and this program.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    unreachable_pub
)]

mod cases;
mod dtls;
mod emulator;
mod judge;
mod namespace;
mod nat;
mod negotiate;
mod page_test;
mod pair;
mod pattern;
mod peers;
mod report;
mod schedule;
mod sctp;
mod session;
mod turn;

use clap::Parser;
use peers::{Kind, Peers};
use std::process::ExitCode;

/// Real peers by cases.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The peers to run against.
    #[arg(value_name = "PEER", default_values = ["chromium", "libwebrtc"])]
    peers: Vec<Kind>,
    /// Only the cases whose name contains this.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// The big cases, too: a thousand channels, 256 MiB through a bad network.
    #[arg(long)]
    big: bool,
    /// Only one variant.
    #[arg(long, value_name = "WHO")]
    offers: Option<Offers>,
    /// Runs everything this many times.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Prints a report for machines on standard output; the table goes to standard error.
    #[arg(long)]
    json: bool,
    /// Puts this peer in our place: the referee for a case that fails.
    #[arg(long, value_name = "PEER", default_value = "dunlin")]
    against: Kind,
    /// How many units of load run at once; a video case is two units.
    #[arg(long, default_value_t = 4)]
    load: usize,
    /// Prints every command, reply and event.
    #[arg(long)]
    trace: bool,
    /// Lists the cases.
    #[arg(long)]
    list: bool,
    /// Tests the page of `dunlin serve` in Chromium instead; the program must be built.
    #[arg(long)]
    page: bool,
}

/// What else this program does.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Real DTLS peers by roles, versions, groups, certificates and options.
    Dtls(dtls::Arguments),
    /// Our association against usrsctp, in virtual time.
    Sctp(sctp::Arguments),
    /// coturn's client programs, browsers and libwebrtc against `dunlin turn`.
    Turn(turn::Arguments),
    /// Peers behind real NATs, in network namespaces.
    Nat(nat::Arguments),
    /// Our own peer, on standard input and output.
    #[command(hide = true)]
    OurPeer,
    #[command(hide = true)]
    DimplPeer(dtls::dimpl::program::Arguments),
}

/// Who offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Offers {
    /// The peer.
    Peer,
    /// Our side.
    Ours,
}

impl Arguments {
    /// The variants to run: whether the peer offers.
    fn variants(&self) -> &'static [bool] {
        match self.offers {
            None => &[true, false],
            Some(Offers::Peer) => &[true],
            Some(Offers::Ours) => &[false],
        }
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error")).init();
    let arguments = Arguments::parse();
    let wants_a_network = match &arguments.command {
        Some(Command::DimplPeer(arguments)) => return ended(dtls::dimpl::program::run(arguments)),
        Some(Command::Sctp(arguments)) => return sctp::run(arguments),
        Some(Command::Dtls(arguments)) => arguments.want_a_network(),
        Some(Command::Turn(_)) => true,
        Some(Command::Nat(_) | Command::OurPeer) => false,
        None => arguments.peers.iter().any(|peer| peer.wants_a_network()),
    };
    if wants_a_network {
        namespace::enter();
    }
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(run(&arguments)),
        Err(error) => ended(Err(error.to_string())),
    }
}

async fn run(arguments: &Arguments) -> ExitCode {
    if let Some(Command::Dtls(arguments)) = &arguments.command {
        return dtls::run(arguments).await;
    }
    if let Some(Command::Turn(arguments)) = &arguments.command {
        return turn::run(arguments).await;
    }
    if let Some(Command::Nat(arguments)) = &arguments.command {
        return nat::run(arguments).await;
    }
    if let Some(Command::OurPeer) = &arguments.command {
        peers::our_peer().await;
        return ExitCode::SUCCESS;
    }
    if arguments.list {
        for case in cases::ALL {
            println!("{:<24} {}", case.name, case.what);
        }
        return ExitCode::SUCCESS;
    }
    if arguments.page {
        let result = page_test::run().await;
        return ended(result.map_err(|reason| format!("FAIL   page: {reason}")));
    }
    let chosen: Vec<_> = cases::ALL
        .iter()
        .filter(|case| selected(case, arguments))
        .collect();
    if chosen.is_empty() {
        eprintln!("no case has a name like that; `--list` shows them");
        return ExitCode::FAILURE;
    }
    let peers = Peers::new(arguments.trace);
    let mut report = report::Report::default();
    for _ in 0..arguments.repeat.max(1) {
        report.add(schedule::run(&peers, arguments, &chosen).await);
    }
    peers.stop().await;
    eprintln!("{}", report.table());
    if arguments.json {
        println!("{}", report.json());
    }
    if report.failed() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Big cases run only when they are asked for.
fn selected(case: &cases::Case, arguments: &Arguments) -> bool {
    match arguments.case.as_deref() {
        Some(part) => case.name.contains(part) && (!case.is_big() || arguments.big || part == case.name),
        None => !case.is_big() || arguments.big,
    }
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
