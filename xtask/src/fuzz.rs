//! `xtask fuzz`: builds the targets of `fuzz/` with cargo-fuzz and runs each for a while.

use crate::run::{command, exists, output, root, run};

/// Inputs to begin with, besides what earlier runs found: folders of the crates' own test data.
const SEEDS: &[(&str, &str)] = &[
    ("sdp", "crates/sdp/tests/data"),
    ("description", "crates/sdp/tests/data"),
];

/// Runs the named targets, or all.
pub(crate) fn fuzz(arguments: &[String]) -> Result<(), String> {
    let (targets, seconds) = parse(arguments)?;
    if !exists("cargo-fuzz") {
        run(&mut command("cargo", &["install", "--locked", "cargo-fuzz"]))
            .map_err(|reason| format!("{reason}\n`cargo install cargo-fuzz` is needed once"))?;
    }
    let all = targets_in_manifest()?;
    for target in &targets {
        if !all.contains(target) {
            return Err(format!(
                "there is no fuzz target `{target}`; there are: {}",
                all.join(", ")
            ));
        }
    }
    let targets = if targets.is_empty() { all } else { targets };
    for target in &targets {
        let mut fuzz = cargo_fuzz(&["run"]);
        if system_openssl() {
            // Building our own OpenSSL with a sanitizer takes minutes.
            fuzz.arg("--no-default-features");
        }
        fuzz.args([target.as_str(), &format!("fuzz/corpus/{target}")]);
        fuzz.args(
            SEEDS
                .iter()
                .filter(|(name, _)| name == target)
                .map(|(_, folder)| folder),
        );
        let corpus = root().join("fuzz").join("corpus").join(target);
        std::fs::create_dir_all(&corpus).map_err(|error| format!("{}: {error}", corpus.display()))?;
        fuzz.arg("--");
        fuzz.arg(format!("-max_total_time={seconds}"));
        fuzz.args([
            "-max_len=8192",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-len_control=0",
            "-print_final_stats=1",
        ]);
        run(&mut fuzz).map_err(|reason| format!("{reason}\nthe input is in fuzz/artifacts/{target}"))?;
    }
    println!(
        "\nfuzz: {} targets, {seconds} s each, nothing found",
        targets.len()
    );
    Ok(())
}

/// Whether the system has an OpenSSL to link.
fn system_openssl() -> bool {
    let mut probe = command("pkg-config", &["--exists", "openssl >= 1.1.1"]);
    probe.status().is_ok_and(|status| status.success())
}

/// `cargo fuzz`, on nightly where that is installed; else on stable with the unstable flags let in.
fn cargo_fuzz(arguments: &[&str]) -> std::process::Command {
    let nightly =
        output(&mut command("rustup", &["toolchain", "list"])).is_ok_and(|list| list.contains("nightly"));
    let mut fuzz = command("cargo", &[]);
    if nightly {
        fuzz.arg("+nightly");
    } else {
        fuzz.env("RUSTC_BOOTSTRAP", "1");
    }
    fuzz.arg("fuzz").args(arguments);
    fuzz
}

/// The names of the `[[bin]]`s in `fuzz/Cargo.toml`.
fn targets_in_manifest() -> Result<Vec<String>, String> {
    let path = root().join("fuzz").join("Cargo.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bins(&text))
}

fn bins(manifest: &str) -> Vec<String> {
    let after_bin = manifest.split("[[bin]]").skip(1);
    after_bin
        .filter_map(|section| {
            section
                .lines()
                .find_map(|line| line.trim().strip_prefix("name = "))
        })
        .map(|name| name.trim_matches('"').to_owned())
        .collect()
}

fn parse(arguments: &[String]) -> Result<(Vec<String>, u32), String> {
    let mut targets = Vec::new();
    let mut seconds = 60;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--seconds" {
            let value = arguments.next().and_then(|value| value.parse().ok());
            seconds = value.ok_or("--seconds needs a number")?;
        } else if argument.starts_with('-') {
            return Err(format!("fuzz knows no option `{argument}`"));
        } else {
            targets.push(argument.clone());
        }
    }
    Ok((targets, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_come_from_the_manifest() {
        let manifest =
            "[package]\nname = \"x\"\n[[bin]]\nname = \"stun\"\npath = \"a\"\n\n[[bin]]\nname = \"sdp\"\n";
        assert_eq!(bins(manifest), ["stun", "sdp"]);
    }

    #[test]
    fn a_minute_for_each_target_is_the_default() {
        assert_eq!(parse(&["sdp".to_owned()]), Ok((vec!["sdp".to_owned()], 60)));
        assert_eq!(parse(&["--seconds".to_owned(), "5".to_owned()]), Ok((vec![], 5)));
        assert!(parse(&["--seconds".to_owned()]).is_err());
    }
}
