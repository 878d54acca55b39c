//! The project's tools: `cargo xtask check | test | interop | sim | bench | fuzz | tidy`.
//!
//! Thin on purpose: every subcommand prints the commands it runs, so that anyone can run them by hand.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod check;
mod fuzz;
mod programs;
mod run;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check                 format, clippy, tidy, documentation, unit and simulation tests (what to run before a commit)
  test                  everything, from nothing: installs what is missing, check, simulator, interop, page
  tidy                  dependency edges, file and function caps, contract names, module docs, words
  interop [PEER...] [--case NAME] [--repeat N] [--json]
                        real peers by cases: chromium, libwebrtc, firefox, aiortc, werift, node-datachannel, gstreamer,
                        pion; default: chromium, libwebrtc and the DTLS matrix of the fast peers; `all`: everything
  interop dtls [PEER...] [--case NAME] [--repeat N] [--json]
                        real DTLS peers by roles, versions, groups, certificates and options: openssl, gnutls, nss,
                        nss-firefox, dimpl and those above (default: all)
  interop sctp [--case NAME] [--seeds N] [--seed N] [--list]
                        our association against usrsctp, in virtual time
  interop turn [PEER...] [--case NAME] [--list]
                        coturn's client programs, and chromium, firefox and libwebrtc, against `dunlin turn`
  interop nat [--case NAME] [--server coturn|dunlin] [--alone] [--fast] [--repeat N] [--list]
                        peers behind NATs of the kernel: pairs of NATs, relays, the loss of an interface
  sim [--nat] [--seeds N] [...]
                        the simulator, release build; --nat: peers behind NATs and firewalls; arguments are passed on
  sim --table sctp      goodput, queueing delay and fairness of the data transport in virtual time
  bench [GROUP] [...]   figures with limits and peers beside them: limits, setup, sctp, datachannel, forward, turn, dtls,
                        stun, ice
  fuzz [TARGET...] [--seconds N]
                        each fuzz target (default: all) for N seconds (default: 60)
  setup [PEER... | all] installs interop peers and nothing else (default: those of `test`)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let result = match command {
        "check" => check::check(),
        "test" => test::test(),
        "tidy" => tidy::tidy(),
        "interop" => programs::interop(rest),
        "sim" => programs::sim(rest),
        "bench" => programs::bench(rest),
        "fuzz" => fuzz::fuzz(rest),
        "setup" => set_up(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(format!("there is no command `{other}`\n\n{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("\nxtask {command}: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// `xtask setup`: the peers named, all, or those of the suite.
fn set_up(arguments: &[String]) -> Result<(), String> {
    let named = setup::named(arguments);
    match arguments {
        [] => setup::peers(&setup::fast()),
        [all] if all == "all" => setup::peers(&setup::all()),
        _ if named.len() == arguments.len() => setup::peers(&named),
        _ => Err(format!(
            "there are the peers {}",
            setup::names(&setup::all()).join(", ")
        )),
    }
}
