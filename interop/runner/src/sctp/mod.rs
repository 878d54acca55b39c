//! `dunlin-interop sctp`: our association against usrsctp, the SCTP stack of Firefox until 2024 and of libdatachannel, in
//! virtual time, from seeds. `interop/usrsctp/peer.c` is the other end.

mod peer;
mod stories;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Our association against usrsctp, in virtual time.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only the stories whose name contains this.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Each story with so many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// One seed alone: replays what failed.
    #[arg(long)]
    seed: Option<u64>,
    /// Lists the stories.
    #[arg(long)]
    list: bool,
}

/// The program `interop/usrsctp/peer.c`, as `cargo xtask interop sctp` builds it.
fn program() -> Result<PathBuf, String> {
    let path = std::env::var_os("DUNLIN_USRSCTP_PEER").map(PathBuf::from);
    path.filter(|path| path.is_file()).ok_or_else(|| {
        "DUNLIN_USRSCTP_PEER names no program: `cargo xtask interop sctp` builds it from interop/usrsctp/peer.c, \
         which needs a C compiler and libusrsctp-dev"
            .to_owned()
    })
}

/// Runs the stories, each with its seeds.
pub fn run(arguments: &Arguments) -> ExitCode {
    if arguments.list {
        for story in &stories::ALL {
            println!("{:<14} {}", story.name, story.what);
        }
        return ExitCode::SUCCESS;
    }
    crate::ended(program().and_then(|program| all(arguments, &program)))
}

fn all(arguments: &Arguments, program: &std::path::Path) -> Result<(), String> {
    let part = arguments.case.as_deref().unwrap_or_default();
    let seeds = match arguments.seed {
        Some(seed) => seed..seed + 1,
        None => 0..arguments.seeds,
    };
    let mut failed = 0;
    let mut ran = 0;
    for story in stories::ALL.iter().filter(|story| story.name.contains(part)) {
        let began = Instant::now();
        let wrong = seeds
            .clone()
            .find_map(|seed| (story.tell)(program, seed).err().map(|reason| (seed, reason)));
        ran += 1;
        match wrong {
            None => eprintln!(
                "ok     sctp/{:<14} {} seeds, {:.1} s",
                story.name,
                seeds.end - seeds.start,
                began.elapsed().as_secs_f64()
            ),
            Some((seed, reason)) => {
                failed += 1;
                eprintln!("FAIL   sctp/{:<14} seed {seed}: {reason}", story.name);
                eprintln!(
                    "       again: cargo xtask interop sctp --case {} --seed {seed}",
                    story.name
                );
            }
        }
    }
    match (ran, failed) {
        (0, _) => Err(format!("there is no story {part:?}; `--list` shows them")),
        (_, 0) => Ok(()),
        _ => Err(format!("{failed} stories failed against usrsctp")),
    }
}
