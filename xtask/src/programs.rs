//! Building and starting the project's own programs: interop runner, simulator, bench.

use crate::run::{command, run, target};
use crate::setup::{self, Peers};
use std::process::Command;

/// How the programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// As users run them.
    Release,
    /// With the libraries that the tests have been linked with, so nothing is compiled twice, and what they assert is
    /// asserted while they talk to other peers.
    Tested,
}

impl Build {
    /// The folder of cargo's that the programs are put in.
    fn folder(self) -> &'static str {
        match self {
            Build::Release => "release",
            Build::Tested => "debug",
        }
    }

    /// Builds every program of the project with one call of cargo, because cargo compiles a library again for each set
    /// of packages that asks for other features of it.
    fn make(self) -> Result<(), String> {
        let mut words = vec!["build", "--workspace", "--bins", "--example", "dtls_peer"];
        if self == Build::Release {
            words.push("--release");
        }
        run(&mut command("cargo", &words))
    }

    /// A command that starts the program `name`, built now.
    fn program(self, name: &str, arguments: &[String]) -> Result<Command, String> {
        self.make()?;
        Ok(built(self, name, arguments))
    }

    /// The interop runner as a command; the peers must be there.
    pub(crate) fn interop(self, arguments: &[String]) -> Result<Command, String> {
        let mut command = self.program("dunlin-interop", arguments)?;
        command.env("DUNLIN_INTEROP_PYTHON", setup::python());
        command.env("DUNLIN_INTEROP_NODE", setup::node_modules());
        command.env("DUNLIN_INTEROP_PION", setup::pion());
        Ok(command)
    }

    /// The runner's DTLS matrix against these peers, with our example program.
    pub(crate) fn dtls(self, peers: &Peers, options: &[String]) -> Result<Command, String> {
        let mut arguments = vec!["dtls".to_owned()];
        arguments.extend(setup::names(peers));
        arguments.extend(options.iter().cloned());
        let mut command = self.interop(&arguments)?;
        let peer = target().join(self.folder()).join("examples").join("dtls_peer");
        command.env("DUNLIN_DTLS_PEER", peer);
        Ok(command)
    }
}

/// A command that starts a program built before.
fn built(build: Build, name: &str, arguments: &[String]) -> Command {
    let program = target().join(build.folder()).join(name);
    let mut command = command(&program.display().to_string(), &[]);
    command.args(arguments);
    command
}

/// `xtask interop`: the peers and cases asked for.
pub(crate) fn interop(arguments: &[String]) -> Result<(), String> {
    match arguments.first().map(String::as_str) {
        Some("dtls") => dtls(&arguments[1..]),
        Some("turn") => turn(Build::Release, &arguments[1..]),
        Some("nat") => nat(Build::Release, &arguments[1..]),
        Some("sctp") => sctp(Build::Release, &arguments[1..]),
        Some("all") => both(&setup::all(), &arguments[1..]),
        _ => {
            let named = setup::named(arguments);
            if let Some(peer) = named.iter().find(|peer| setup::stacks(&vec![peer]).is_empty()) {
                let name = peer.name;
                return Err(format!(
                    "{name} speaks DTLS only: `cargo xtask interop dtls {name}`"
                ));
            }
            let one_case = arguments.iter().any(|argument| argument.starts_with("--case"));
            match (named.is_empty(), one_case) {
                (true, false) => both(&setup::fast(), arguments),
                (true, true) => cases(&setup::usual(), arguments),
                (false, _) => cases(&named, &without_names(arguments, &named)),
            }
        }
    }
}

/// `xtask interop dtls`: the peers named, or all.
fn dtls(arguments: &[String]) -> Result<(), String> {
    let named = setup::named(arguments);
    let options = without_names(arguments, &named);
    let peers = if named.is_empty() { setup::all() } else { named };
    setup::peers(&peers)?;
    run(&mut Build::Release.dtls(&peers, &options)?)
}

/// Two of our peers through coturn as their relay, in the build that the tests have made.
pub(crate) fn coturn() -> Result<(), String> {
    let through = ["test", "--quiet", "--workspace", "--test", "coturn"];
    let options = ["--", "--ignored", "--test-threads=1"];
    run(command("cargo", &through).args(options))
}

/// `xtask interop nat`: peers behind NATs of the kernel, coturn and `dunlin turn` between them.
pub(crate) fn nat(build: Build, options: &[String]) -> Result<(), String> {
    setup::network()?;
    setup::peers(&setup::named(&["chromium".to_owned()]))?;
    let mut arguments = vec!["nat".to_owned()];
    arguments.extend(options.iter().cloned());
    run(&mut build.interop(&arguments)?)
}

/// `xtask interop turn`: coturn's client programs and the stacks named (or all that have cases) against `dunlin turn`.
pub(crate) fn turn(build: Build, options: &[String]) -> Result<(), String> {
    setup::coturn()?;
    let named = setup::named(options);
    let stacks = ["chromium", "firefox", "libwebrtc"].map(str::to_owned);
    setup::peers(&if named.is_empty() {
        setup::named(&stacks)
    } else {
        named
    })?;
    setup::certificates()?;
    let mut arguments = vec!["turn".to_owned()];
    arguments.extend(options.iter().cloned());
    run(&mut build.interop(&arguments)?)
}

/// `xtask interop sctp`: our association against usrsctp, in virtual time.
pub(crate) fn sctp(build: Build, options: &[String]) -> Result<(), String> {
    let peer = setup::usrsctp()?;
    let mut arguments = vec!["sctp".to_owned()];
    arguments.extend(options.iter().cloned());
    run(build.interop(&arguments)?.env("DUNLIN_USRSCTP_PEER", peer))
}

fn cases(peers: &Peers, options: &[String]) -> Result<(), String> {
    setup::peers(peers)?;
    let mut arguments = setup::names(peers);
    arguments.extend(options.iter().cloned());
    run(&mut Build::Release.interop(&arguments)?)
}

/// The cases and the matrix. Without names the cases run against the usual two; a failure of one half does not keep
/// the other from running.
fn both(peers: &Peers, options: &[String]) -> Result<(), String> {
    setup::peers(peers)?;
    let all = peers.len() == setup::all().len();
    let stacks = if all { setup::stacks(peers) } else { setup::usual() };
    let first = cases(&stacks, options);
    let second = run(&mut Build::Release.dtls(peers, options)?);
    first.and(second)
}

fn without_names(arguments: &[String], peers: &Peers) -> Vec<String> {
    let names = setup::names(peers);
    let rest = arguments.iter().filter(|argument| !names.contains(argument));
    rest.cloned().collect()
}

/// `xtask sim`: arguments are the simulator's; `--table sctp` prints the goodput of the transport alone instead.
pub(crate) fn sim(arguments: &[String]) -> Result<(), String> {
    if let [option, name, rest @ ..] = arguments
        && option == "--table"
    {
        if name != "sctp" {
            return Err(format!("there is no table `{name}`; there is: sctp"));
        }
        let mut all = vec![
            "run",
            "--release",
            "--package",
            "dunlin-sctp",
            "--example",
            "goodput",
            "--",
        ];
        all.extend(rest.iter().map(String::as_str));
        return run(&mut command("cargo", &all));
    }
    simulator(Build::Release, arguments)
}

/// The simulator.
pub(crate) fn simulator(build: Build, arguments: &[String]) -> Result<(), String> {
    run(&mut build.program("dunlin-sim", arguments)?)
}

/// `xtask bench`: arguments are the bench's. The peers are measured in the same run.
pub(crate) fn bench(arguments: &[String]) -> Result<(), String> {
    // `dunlin` is the TURN server that is measured.
    let build = [
        "build",
        "--release",
        "--package",
        "dunlin-cli",
        "--package",
        "dunlin-bench",
        "--features",
        "dunlin-bench/peers",
    ];
    run(&mut command("cargo", &build))?;
    run(&mut built(Build::Release, "dunlin-bench", arguments))
}
