//! Caps on files and functions, and the sentence at the top of every file.

use super::finding::{Finding, Source};
use super::lines::{Line, has_word, lines};

/// No file is longer.
const FILE_CAP: usize = 1000;
/// Half of the files are no longer.
const FILE_MEDIAN: usize = 200;
/// No function has more lines of code (blank lines and comments do not count).
const FUNCTION_CAP: usize = 100;

/// Checks every Rust file.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        file(source, &mut findings);
        functions(source, &lines(&source.text), &mut findings);
    }
    let median = median(sources);
    if median > FILE_MEDIAN {
        let path = "crates".to_owned();
        let sentence =
            format!("the median Rust file has {median} lines, {FILE_MEDIAN} are the aim: split some");
        findings.push(Finding {
            path,
            line: 1,
            sentence,
        });
    }
    findings
}

fn file(source: &Source, findings: &mut Vec<Finding>) {
    let count = source.text.lines().count();
    if count > FILE_CAP {
        findings.push(source.finding(
            FILE_CAP + 1,
            format!("{count} lines: a file has at most {FILE_CAP}"),
        ));
    }
    let says_what = |line: &str| line.starts_with("//!") || line.starts_with("#![doc = ");
    if !source
        .text
        .lines()
        .take_while(|line| !line.starts_with("use "))
        .any(says_what)
    {
        findings.push(source.finding(1, "no `//!` says what this file is, and which RFC it follows"));
    }
}

/// In formatted source a function ends where a `}` stands under its first letter.
fn functions(source: &Source, lines: &[Line<'_>], findings: &mut Vec<Finding>) {
    for (index, line) in lines.iter().enumerate() {
        if !starts_function(&line.code) {
            continue;
        }
        let indent = line.raw.len() - line.raw.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let body = lines.iter().skip(index + 1).take_while(|line| line.raw != end);
        let count = body.filter(|line| !line.code.trim().is_empty()).count();
        let ends_on_its_line = line.code.trim_end().ends_with(['}', ';']);
        if !ends_on_its_line && count > FUNCTION_CAP {
            let sentence = format!("{count} lines of code: a function has at most {FUNCTION_CAP}");
            findings.push(source.finding(line.number, sentence));
        }
    }
}

/// `pub(crate) async fn name(` and the like, with a body.
fn starts_function(code: &str) -> bool {
    let head = code.split("fn ").next().unwrap_or_default();
    let only_qualifiers = head
        .split_whitespace()
        .all(|word| matches!(word, "const" | "async" | "extern" | "\"\"") || word.starts_with("pub"));
    has_word(code, "fn") && only_qualifiers
}

fn counts(sources: &[Source]) -> Vec<usize> {
    let mut counts: Vec<usize> = sources
        .iter()
        .filter(|source| source.is_rust())
        .map(|source| source.text.lines().count())
        .collect();
    counts.sort_unstable();
    counts
}

/// The median length of the Rust files.
pub(super) fn median(sources: &[Source]) -> usize {
    let counts = counts(sources);
    counts.get(counts.len() / 2).copied().unwrap_or(0)
}

/// The length of the longest Rust file.
pub(super) fn longest(sources: &[Source]) -> usize {
    counts(sources).last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::finding::source;
    use super::*;

    #[test]
    fn a_file_says_what_it_is() {
        let good = source("a.rs", "//! A.\n");
        let readme = source("b.rs", "#![doc = include_str!(\"../README.md\")]\n");
        let bad = source("c.rs", "use x;\n//! too late\n");
        let findings = check(&[good, readme, bad]);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "c.rs");
    }

    #[test]
    fn a_long_file_and_a_long_function_are_found() {
        let long = format!("//! L.\n{}", "// x\n".repeat(1000));
        assert!(
            check(&[source("l.rs", &long), source("s.rs", "//! S.\n")])[0]
                .sentence
                .starts_with("1001 lines")
        );

        let body = "        step();\n".repeat(101);
        let text = format!("//! F.\nimpl A {{\n    pub fn f(&self) {{\n{body}    }}\n}}\n");
        let short = || source("s.rs", "//! S.\n");
        let findings = check(&[source("f.rs", &text), short(), short()]);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 3);

        let commented = "        // a comment\n\n".repeat(101);
        let text = format!("//! F.\nimpl A {{\n    pub fn f(&self) {{\n{commented}    }}\n}}\n");
        assert_eq!(check(&[source("f.rs", &text), short(), short()]), []);
    }
}
