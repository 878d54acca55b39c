//! Words that do not belong in the repository: notes to self, leftovers, `unsafe`, paths of one machine.

use super::finding::{Finding, Source};
use super::lines::{has_word, lines};

/// In code and comments.
const NOTES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];
/// In code.
const LEFTOVERS: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimplemen", "ted!"),
    concat!("db", "g!"),
];
/// In any file.
const PLACES: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
];

/// Checks every file.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        places(source, &mut findings);
        if source.is_rust() {
            rust(source, &mut findings);
            if !allowed_unsafe(sources, &source.path) {
                unsafe_code(source, &mut findings);
            }
        }
    }
    findings
}

fn places(source: &Source, findings: &mut Vec<Finding>) {
    for (index, line) in source.text.lines().enumerate() {
        for place in PLACES {
            // A URL's path and a path below something else (`a/work/b`) are no place on this machine.
            let starts_here = line.match_indices(place).any(|(at, _)| {
                let before = line.get(..at).unwrap_or_default();
                !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | ')'))
            });
            if starts_here {
                findings.push(source.finding(index + 1, format!("`{place}` is a place on one machine")));
            }
        }
    }
}

fn rust(source: &Source, findings: &mut Vec<Finding>) {
    for line in lines(&source.text) {
        for note in NOTES.iter().filter(|note| has_word(line.raw, note)) {
            let sentence = format!("`{note}`: do it, or write an issue and leave the code as it is meant");
            findings.push(source.finding(line.number, sentence));
        }
        for leftover in LEFTOVERS.iter().filter(|leftover| line.code.contains(*leftover)) {
            findings.push(source.finding(line.number, format!("`{leftover}` was left behind")));
        }
    }
}

fn unsafe_code(source: &Source, findings: &mut Vec<Finding>) {
    for line in lines(&source.text)
        .iter()
        .filter(|line| has_word(&line.code, "unsafe"))
    {
        let sentence = format!(
            "`unsafe` needs a decision record with the line `allow-unsafe: {}` in docs/decisions",
            source.path
        );
        findings.push(source.finding(line.number, sentence));
    }
}

/// A decision record may allow it for one file.
fn allowed_unsafe(sources: &[Source], path: &str) -> bool {
    let allowing = format!("allow-unsafe: {path}");
    let mut records = sources
        .iter()
        .filter(|source| source.path.starts_with("docs/decisions/"));
    records.any(|record| record.text.lines().any(|line| line.trim() == allowing))
}

#[cfg(test)]
mod tests {
    use super::super::finding::source;
    use super::*;

    #[test]
    fn notes_leftovers_and_places_are_found_with_their_line() {
        let text = format!(
            "//! A.\n// {}: later\nfn f() {{ {}() }}\n",
            NOTES[0], LEFTOVERS[0]
        );
        let places = format!("see {}x and https://example.org{}x", PLACES[0], PLACES[0]);
        let findings = check(&[source("a.rs", &text), source("b.md", &places)]);
        let at: Vec<_> = findings
            .iter()
            .map(|finding| (finding.path.as_str(), finding.line))
            .collect();
        assert_eq!(at, [("a.rs", 2), ("a.rs", 3), ("b.md", 1)]);
        let url = format!("https://example.org{}x", PLACES[2]);
        assert_eq!(check(&[source("c.md", &url)]), []);
    }

    #[test]
    fn a_decision_record_may_allow_unsafe_in_one_file() {
        let code = "//! A.\nfn f() { unsafe { g() } }\n";
        assert_eq!(check(&[source("a.rs", code)]).len(), 1);
        let record = source("docs/decisions/0009-x.md", "# X\n\nallow-unsafe: a.rs\n");
        assert_eq!(check(&[source("a.rs", code), record]), []);
        assert_eq!(
            check(&[source("a.rs", "//! A.\n#![forbid(unsafe_code)] // unsafe\n")]),
            []
        );
    }
}
