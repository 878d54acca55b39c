//! `xtask tidy`: proves what the architecture says about the source, and prints where it does not hold.

mod contract;
mod edges;
mod finding;
mod lines;
mod sizes;
mod words;

use crate::run::{command, output, root};
use finding::Source;

/// Runs every check; findings are printed as `file:line: sentence`.
pub(crate) fn tidy() -> Result<(), String> {
    let sources = sources()?;
    let mut findings = edges::check()?;
    findings.extend(sizes::check(&sources));
    findings.extend(words::check(&sources));
    findings.extend(contract::check(&sources));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let rust = sources.iter().filter(|source| source.is_rust()).count();
    println!(
        "tidy: {} files, {rust} of them Rust; median {} lines, longest {}; {} findings",
        sources.len(),
        sizes::median(&sources),
        sizes::longest(&sources),
        findings.len()
    );
    if findings.is_empty() {
        Ok(())
    } else {
        Err(format!("{} findings", findings.len()))
    }
}

/// Every text file that git tracks, or would.
fn sources() -> Result<Vec<Source>, String> {
    let list = output(&mut command(
        "git",
        &["ls-files", "--cached", "--others", "--exclude-standard", "-z"],
    ))?;
    let root = root();
    let paths = list.split('\0').filter(|path| !path.is_empty());
    // Captured packets and other binaries are no text; a file deleted but not yet committed is not there.
    let read = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        Some(Source {
            path: path.to_owned(),
            text,
        })
    };
    let mut sources: Vec<Source> = paths.filter_map(read).collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources.dedup_by(|a, b| a.path == b.path);
    Ok(sources)
}
