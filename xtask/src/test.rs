//! `xtask test`: everything, from nothing, with a count of what ran in the last lines.

use crate::programs::{self, Build};
use crate::run::{Steps, in_ci, output, run};
use crate::{check, setup};
use serde_json::Value;
use std::process::Command;

/// Seeds the simulator runs here; `xtask sim --seeds 1000` runs more.
const SEEDS: usize = 200;

/// Runs the suite.
pub(crate) fn test() -> Result<(), String> {
    let mut steps = Steps::new();
    let result = suite(&mut steps);
    steps.summary();
    let lines = result?;
    println!("\nxtask test: everything passed");
    for line in lines {
        println!("  {line}");
    }
    Ok(())
}

fn suite(steps: &mut Steps) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    let peers = steps.step("peers", || setup::peers(&setup::fast()));
    if let Err(reason) = &peers
        && in_ci()
    {
        return Err(format!(
            "{reason}\n(CI is set: a missing peer is a failure, never a skip)"
        ));
    }
    let tests = check::steps_of_check(steps)?;
    lines.push(format!("{} tests, {} documentation tests", tests.unit, tests.doc));
    let arguments = ["--seeds".to_owned(), SEEDS.to_string()];
    steps.step("simulator", || programs::simulator(Build::Tested, &arguments))?;
    lines.push(format!("simulator: {SEEDS} seeds"));
    if let Err(reason) = peers {
        return Err(format!(
            "all that needs no peer passed, but the interop cases did not run.\n{reason}"
        ));
    }
    let json = ["--json".to_owned()];
    let report = steps.step("interop", || reported(Build::Tested.interop(&json)?))?;
    lines.extend(interop_lines("interop", &report));
    let report = steps.step("dtls", || reported(Build::Tested.dtls(&setup::fast(), &json)?))?;
    lines.extend(interop_lines("dtls", &report));
    let seeds = ["--seeds", "40"].map(str::to_owned);
    steps.step("sctp", || programs::sctp(Build::Tested, &seeds))?;
    lines.push("sctp: our association passed against usrsctp, 40 seeds a story".to_owned());
    steps.step(
        "page",
        || run(&mut Build::Tested.interop(&["--page".to_owned()])?),
    )?;
    lines.push("page: the program's page passed in Chromium".to_owned());
    let stacks = ["chromium", "libwebrtc"].map(str::to_owned);
    steps.step("turn", || programs::turn(Build::Tested, &stacks))?;
    lines.push("turn: coturn's clients, Chromium and libwebrtc passed against `dunlin turn`".to_owned());
    let small = ["--alone", "--fast"].map(str::to_owned);
    steps.step("nat", || programs::nat(Build::Tested, &small))?;
    lines.push("nat: two dunlin peers passed behind the kernel's NATs, and browsers without UDP".to_owned());
    steps.step("coturn", programs::coturn)?;
    lines.push("coturn: two dunlin peers passed through it".to_owned());
    Ok(lines)
}

/// Runs the interop runner and reads its report.
fn reported(mut command: Command) -> Result<Value, String> {
    let report = output(&mut command)?;
    serde_json::from_str(&report).map_err(|error| format!("the interop report is not JSON: {error}"))
}

/// One line for each peer of a report.
fn interop_lines(what: &str, report: &Value) -> Vec<String> {
    let peers = report["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |peer: &Value| {
        format!(
            "{what} {}: {} cases passed, {} failed, {} not in this peer",
            peer["peer"].as_str().unwrap_or("?"),
            peer["passed"],
            peer["failed"],
            peer["absent"]
        )
    };
    peers.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_say_how_many_cases_ran() {
        let report =
            serde_json::json!({"peers": [{"peer": "chromium", "passed": 50, "failed": 0, "absent": 2}]});
        assert_eq!(
            interop_lines("interop", &report),
            ["interop chromium: 50 cases passed, 0 failed, 2 not in this peer"]
        );
    }
}
