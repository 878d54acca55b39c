//! Building and starting the project's own programs in release: interop runner, simulator, bench.

use crate::run::{command, run, target};
use crate::setup;
use std::process::Command;

/// Builds `package`'s program `name` in release and returns a command that starts it with `arguments`.
pub(crate) fn release(package: &str, name: &str, arguments: &[String]) -> Result<Command, String> {
    run(&mut command(
        "cargo",
        &["build", "--release", "--package", package, "--bin", name],
    ))?;
    let program = target().join("release").join(name);
    let mut command = command(&program.display().to_string(), &[]);
    command.args(arguments);
    Ok(command)
}

/// The interop runner as a command; the peers must be there.
pub(crate) fn interop_command(arguments: &[String]) -> Result<Command, String> {
    let mut command = release("dunlin-interop", "dunlin-interop", arguments)?;
    command.env("DUNLIN_INTEROP_PYTHON", setup::python());
    Ok(command)
}

/// `xtask interop`: the peers and cases asked for.
pub(crate) fn interop(arguments: &[String]) -> Result<(), String> {
    run(&mut interop_command(arguments)?)
}

/// `xtask sim`: arguments are the simulator's; `--table sctp` prints the goodput of the transport alone instead.
pub(crate) fn sim(arguments: &[String]) -> Result<(), String> {
    if let [option, name, rest @ ..] = arguments
        && option == "--table"
    {
        if name != "sctp" {
            return Err(format!("there is no table `{name}`; there is: sctp"));
        }
        let mut all = vec!["run", "--release", "--package", "dunlin-sctp", "--example", "goodput", "--"];
        all.extend(rest.iter().map(String::as_str));
        return run(&mut command("cargo", &all));
    }
    run(&mut release("dunlin-sim", "dunlin-sim", arguments)?)
}

/// `xtask bench`: arguments are the bench's.
pub(crate) fn bench(arguments: &[String]) -> Result<(), String> {
    run(&mut release("dunlin-bench", "dunlin-bench", arguments)?)
}
