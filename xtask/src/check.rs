//! `xtask check`: what must hold before a commit, in a few minutes.

use crate::run::{Steps, command, exists, output, run, shown};
use crate::tidy;

/// How many tests ran.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tests {
    pub(crate) unit: usize,
    pub(crate) doc: usize,
}

/// Runs the whole check on its own.
pub(crate) fn check() -> Result<(), String> {
    let mut steps = Steps::new();
    let result = steps_of_check(&mut steps);
    steps.summary();
    let tests = result?;
    println!(
        "check: {} tests and {} documentation tests passed",
        tests.unit, tests.doc
    );
    Ok(())
}

/// The steps of the check, as part of `steps`.
pub(crate) fn steps_of_check(steps: &mut Steps) -> Result<Tests, String> {
    steps.step("format", || {
        run(&mut command("cargo", &["fmt", "--all", "--check"]))
    })?;
    steps.step("tidy", tidy::tidy)?;
    steps.step("clippy", || {
        run(&mut command(
            "cargo",
            &[
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
        ))
    })?;
    steps.step("documentation", || {
        let mut doc = command("cargo", &["doc", "--quiet", "--workspace", "--no-deps"]);
        run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    let unit = steps.step("tests", unit_tests)?;
    let doc = steps.step("documentation tests", doc_tests)?;
    Ok(Tests { unit, doc })
}

/// Unit, property and simulation tests: with nextest where it is installed.
fn unit_tests() -> Result<usize, String> {
    if exists("cargo-nextest") {
        let mut tests = command("cargo", &["nextest", "run", "--workspace", "--no-fail-fast"]);
        tests.args([
            "--status-level",
            "fail",
            "--final-status-level",
            "slow",
            "--color",
            "never",
        ]);
        println!("$ {}", shown(&tests));
        // nextest reports on standard error.
        let result = tests
            .output()
            .map_err(|error| format!("cargo nextest could not be started: {error}"))?;
        let report = String::from_utf8_lossy(&result.stderr);
        print!("{}{report}", String::from_utf8_lossy(&result.stdout));
        let count = nextest_count(&report);
        return if result.status.success() {
            Ok(count)
        } else {
            Err("some tests failed".to_owned())
        };
    }
    let report = output(&mut command(
        "cargo",
        &["test", "--workspace", "--all-targets", "--no-fail-fast"],
    ));
    counted(report)
}

/// The examples in the documentation.
fn doc_tests() -> Result<usize, String> {
    counted(output(&mut command(
        "cargo",
        &["test", "--quiet", "--workspace", "--doc", "--no-fail-fast"],
    )))
}

/// Prints a report of `cargo test` and counts the tests that passed.
fn counted(report: Result<String, String>) -> Result<usize, String> {
    let report = report?;
    let count = libtest_count(&report);
    println!("{count} passed");
    Ok(count)
}

/// Adds up the `test result: ok. 12 passed; …` lines of `cargo test`.
fn libtest_count(report: &str) -> usize {
    report
        .lines()
        .filter_map(|line| line.trim().strip_prefix("test result: ok. "))
        .filter_map(|line| line.split(' ').next()?.parse::<usize>().ok())
        .sum()
}

/// Reads the count from nextest's `Summary [   1.2s] 345 tests run: 345 passed …`.
fn nextest_count(report: &str) -> usize {
    let summary = report
        .lines()
        .rev()
        .find(|line| line.trim_start().starts_with("Summary"));
    let passed = summary.and_then(|line| line.split(" passed").next());
    passed
        .and_then(|text| text.rsplit(' ').next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_both_test_runners() {
        let libtest =
            "test result: ok. 12 passed; 0 failed\nx\ntest result: ok. 3 passed; 0 failed; 1 ignored\n";
        assert_eq!(libtest_count(libtest), 15);
        let nextest = "   Compiling\n------------\n     Summary [   1.204s] 345 tests run: 344 passed (2 slow), 1 failed, 3 skipped\n";
        assert_eq!(nextest_count(nextest), 344);
        assert_eq!(nextest_count("nothing"), 0);
    }
}
