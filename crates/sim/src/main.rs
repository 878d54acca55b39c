//! `dunlin-sim`: runs the scenario `connect_and_talk`, peers behind NATs, or the liar in the middle of DTLS, with many
//! seeds, or one seed again.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use dunlin_dtls::CloseReason;
use dunlin_net::Transport;
use dunlin_peerconnection::Certificate;
use dunlin_sim::World;
use dunlin_sim::laws::seed_of;
use dunlin_sim::liar::{self, Stage};
use dunlin_sim::peer::Party;
use dunlin_sim::scenario::nat::{Meeting, Side, Topology, meet, sides};
use dunlin_sim::scenario::nat_table::{cell_of, table};
use dunlin_sim::scenario::{Outcome, connect_and_talk};

/// The simulator: two peers over a virtual network, many times.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Run only this one, and say what happens.
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// Not two peers, but two ends of DTLS with a liar in the middle.
    #[arg(long, conflicts_with = "pcap")]
    liar: bool,
    /// Peers behind NATs and firewalls of every kind, with and without TURN servers: do they connect if there is a path?
    #[arg(long, conflicts_with = "liar")]
    nat: bool,
    /// With --nat: not seeds, but every kind of NAT with every other, and how long each pair takes.
    #[arg(long, requires = "nat")]
    table: bool,
    /// With --nat: not seeds, but one cell of the table: mapping and filtering of the offerer and of the answerer.
    #[arg(long, requires = "nat", conflicts_with_all = ["table", "seed"], value_names = ["OFFERER", "ANSWERER"], num_args = 2)]
    pair: Option<Vec<String>>,
    /// With --pair: who knows a TURN server (over UDP).
    #[arg(long, requires = "pair")]
    turn: Option<Who>,
    /// With --pair: candidates are told as they are found; else the descriptions have them all.
    #[arg(long, requires = "pair")]
    trickle: bool,
    /// Write the datagrams of the run (with --seed or --pair), or of the first one that fails, to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "table")]
    pcap: Option<PathBuf>,
}

/// Of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Who {
    Offerer,
    Answerer,
    Both,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = if arguments.seed.is_some() || arguments.pair.is_some() {
        "info"
    } else {
        "off"
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level))
        .format_timestamp(None)
        .init();
    match arguments.seed {
        Some(seed) if arguments.liar => {
            println!("{:#?}", Stage::new().run_seed(seed));
            ExitCode::SUCCESS
        }
        None if arguments.liar => lie_to_all(&arguments),
        Some(seed) if arguments.nat => {
            println!("{:#?}", Topology::draw(seed));
            let pcap = arguments.pcap.as_deref();
            told(meet_at(seed, &Topology::draw(seed), &certificate(), pcap))
        }
        None if arguments.pair.is_some() => meet_pair(&arguments),
        None if arguments.table => {
            print!("{}", table(&certificate()));
            ExitCode::SUCCESS
        }
        None if arguments.nat => meet_all(&arguments),
        Some(seed) => replay(seed, arguments.pcap.as_deref()),
        None => run_all(&arguments),
    }
}

fn replay(seed: u64, pcap: Option<&Path>) -> ExitCode {
    let result = run(seed, pcap, pcap.is_some());
    match result {
        Ok(outcome) => {
            report(seed, &outcome);
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("seed {seed} failed: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn report(seed: u64, outcome: &Outcome) {
    let Outcome {
        hash,
        connected,
        elapsed,
        messages,
        datagrams,
    } = outcome;
    println!(
        "seed {seed}: trace {hash}, connected after {connected:.2?}, {messages} messages, {datagrams} datagrams, \
         {elapsed:.1?} of virtual time"
    );
}

fn run_all(arguments: &Arguments) -> ExitCode {
    // A failing seed is told in one line; its panic is not printed beside it.
    std::panic::set_hook(Box::new(|_| {}));
    let mut failed = Vec::new();
    let (mut messages, mut datagrams, mut virtual_time) = (0, 0, std::time::Duration::ZERO);
    for seed in arguments.first..arguments.first.saturating_add(arguments.seeds) {
        let mut result = run(seed, None, false);
        // Now and then a seed is run again: the same seed gives the same trace.
        if let Ok(outcome) = &result
            && seed % 16 == 0
            && let Ok(again) = run(seed, None, false)
            && again.hash != outcome.hash
        {
            result = Err(format!(
                "two runs of one seed differ: {} and {}",
                outcome.hash, again.hash
            ));
        }
        match result {
            Ok(outcome) => {
                messages += outcome.messages;
                datagrams += outcome.datagrams;
                virtual_time += outcome.elapsed;
            }
            Err(reason) => {
                println!("seed {seed} failed: {reason}\n  again: cargo xtask sim --seed {seed}");
                if failed.is_empty() {
                    let file = arguments
                        .pcap
                        .clone()
                        .unwrap_or_else(|| format!("target/sim-{seed}.pcapng").into());
                    let _ = run(seed, Some(&file), true);
                    println!("  its datagrams: {}", file.display());
                }
                failed.push(seed);
            }
        }
    }
    let passed = arguments.seeds - failed.len() as u64;
    println!(
        "{passed} of {} seeds passed: {messages} messages, {datagrams} datagrams, {} s of virtual time",
        arguments.seeds,
        virtual_time.as_secs(),
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn certificate() -> Certificate {
    Certificate::generate().expect("the crypto backend makes a key")
}

/// How the two of a topology met; what panics in it is its failure. The datagrams go to the file either way.
fn meet_at(
    seed: u64,
    topology: &Topology,
    certificate: &Certificate,
    pcap: Option<&Path>,
) -> Result<Meeting, String> {
    let mut world = World::new(seed_of(seed, 1));
    if pcap.is_some() {
        world.trace_mut().keep();
    }
    let met = catch_unwind(AssertUnwindSafe(|| meet(seed, topology, certificate, &mut world)));
    if let Some(path) = pcap {
        write_pcap(&world, path);
    }
    met.map_err(|panic| words(&*panic))
}

fn told(met: Result<Meeting, String>) -> ExitCode {
    match met {
        Ok(meeting) => {
            println!("{meeting:#?}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("failed: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// One cell of the table.
fn meet_pair(arguments: &Arguments) -> ExitCode {
    let names = arguments.pair.iter().flatten();
    let all = sides();
    let found: Vec<Option<&Side>> = names
        .map(|name| all.iter().find(|side| side.name() == *name))
        .collect();
    let [Some(a), Some(b)] = found[..] else {
        let known: Vec<String> = all.iter().map(|side| format!("{:?}", side.name())).collect();
        eprintln!("--pair takes two of {}", known.join(", "));
        return ExitCode::FAILURE;
    };
    let knows = |side| arguments.turn.is_some_and(|who| who == side || who == Who::Both);
    let turn = [Who::Offerer, Who::Answerer].map(|side| knows(side).then_some(Transport::Udp));
    let topology = cell_of([*a, *b], turn, arguments.trickle);
    let met = meet_at(1, &topology, &certificate(), arguments.pcap.as_deref());
    if let Some(round_trips) = met.as_ref().ok().and_then(Meeting::round_trips) {
        println!("{round_trips:.2} round trips");
    }
    told(met)
}

/// The NATs of every seed, and how the peers met.
fn meet_all(arguments: &Arguments) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let certificate = certificate();
    let (mut passed, mut written) = (0, false);
    let mut fates = BTreeMap::<&str, u64>::new();
    let mut slowest = std::time::Duration::ZERO;
    for seed in arguments.first..arguments.first.saturating_add(arguments.seeds) {
        match meet_at(seed, &Topology::draw(seed), &certificate, None) {
            Ok(meeting) => {
                passed += 1;
                slowest = slowest.max(meeting.after.unwrap_or_default());
                let fate = match (meeting.after, meeting.relayed) {
                    (None, _) => "no path, and both said why",
                    (_, [false, false]) => "connected directly",
                    (_, [true, true]) => "connected through two relays",
                    _ => "connected through one relay",
                };
                *fates.entry(fate).or_default() += 1;
            }
            Err(reason) => {
                println!("seed {seed} failed: {reason}\n  again: cargo xtask sim --nat --seed {seed}");
                if let Some(path) = arguments.pcap.as_deref().filter(|_| !written) {
                    let _same = meet_at(seed, &Topology::draw(seed), &certificate, Some(path));
                    println!("  its datagrams: {}", path.display());
                    written = true;
                }
            }
        }
    }
    for (fate, count) in fates {
        println!("{count:6}  {fate}");
    }
    println!(
        "{passed} of {} seeds passed; the slowest connection took {slowest:.1?}",
        arguments.seeds
    );
    if passed == arguments.seeds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The liar with every seed, and what became of the two ends.
fn lie_to_all(arguments: &Arguments) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let stage = Stage::new();
    let (mut passed, mut lies, mut datagrams) = (0, 0, 0);
    let mut fates = BTreeMap::<String, u64>::new();
    for seed in arguments.first..arguments.first.saturating_add(arguments.seeds) {
        match catch_unwind(AssertUnwindSafe(|| stage.run_seed(seed))) {
            Ok(outcome) => {
                passed += 1;
                lies += outcome.lies;
                datagrams += outcome.datagrams;
                *fates.entry(fate(&outcome)).or_default() += 1;
            }
            Err(panic) => {
                let reason = words(&*panic);
                println!("seed {seed} failed: {reason}\n  again: cargo xtask sim --liar --seed {seed}");
            }
        }
    }
    for (fate, count) in fates {
        println!("{count:6}  {fate}");
    }
    println!(
        "{passed} of {} seeds passed: {datagrams} datagrams, {lies} lies",
        arguments.seeds
    );
    if passed == arguments.seeds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How it came out, in a line that many runs share.
fn fate(outcome: &liar::Outcome) -> String {
    if let Some(version) = outcome.version {
        return format!("connected with {version}");
    }
    let [client, server] = [0, 1].map(|side| match &outcome.reasons[side] {
        None => "was connected".to_owned(),
        Some(CloseReason::Handshake(error)) => format!("refused with {}", error.alert()),
        Some(CloseReason::PeerAlert(alert)) => format!("was told {alert}"),
        Some(CloseReason::Timeout { .. }) => "waited in vain".to_owned(),
        Some(CloseReason::FingerprintMismatch { .. }) => "saw another certificate".to_owned(),
        Some(reason) => reason.to_string(),
    });
    format!("ended: the client {client}, the server {server}")
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// Runs a seed; what panics in it is its failure.
fn run(seed: u64, pcap: Option<&Path>, keep: bool) -> Result<Outcome, String> {
    let mut world = World::<Party>::new(seed_of(seed, 1));
    if keep {
        world.trace_mut().keep();
    }
    let result =
        catch_unwind(AssertUnwindSafe(|| connect_and_talk(seed, &mut world))).map_err(|panic| words(&*panic));
    if let Some(path) = pcap {
        write_pcap(&world, path);
    }
    result
}

fn write_pcap(world: &World<Party>, path: &Path) {
    let written = File::create(path).and_then(|file| world.trace().write_pcapng(&mut BufWriter::new(file)));
    if let Err(error) = written {
        eprintln!("cannot write {}: {error}", path.display());
    }
}
