//! What ran and how it went, for people and for machines.

use super::setup::{Role, Version};
use serde_json::{Value, json};
use std::fmt;
use std::fmt::Write;
use std::time::Duration;

/// How a cell went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    /// The peer cannot take part; the detail says why.
    Absent,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Passed => "ok",
            Outcome::Failed => "FAIL",
            Outcome::Absent => "-",
        })
    }
}

/// One cell, once.
#[derive(Debug, Clone)]
pub struct Result {
    pub peer: &'static str,
    /// The peer is a whole WebRTC stack: those have a table of their own.
    pub web: bool,
    pub version: Version,
    pub we: Role,
    pub case: &'static str,
    pub outcome: Outcome,
    pub took: Duration,
    pub detail: String,
}

/// A column: a peer, a version, and which end we are.
type Column = (&'static str, Version, Role);

impl Result {
    fn column(&self) -> Column {
        (self.peer, self.version, self.we)
    }
}

/// All results.
#[derive(Debug, Default)]
pub struct Report {
    results: Vec<Result>,
    rounds: usize,
    remarks: Vec<&'static str>,
}

impl Report {
    /// With what is worth saying of the peers, whatever ran.
    pub fn new(remarks: impl Iterator<Item = &'static str>) -> Report {
        Report {
            remarks: remarks.collect(),
            ..Report::default()
        }
    }

    /// Adds one round.
    pub fn add(&mut self, results: Vec<Result>) {
        self.results.extend(results);
        self.rounds += 1;
    }

    pub fn failed(&self) -> usize {
        self.count(|result| result.outcome == Outcome::Failed)
    }

    fn count(&self, wanted: impl Fn(&Result) -> bool) -> usize {
        self.results.iter().filter(|result| wanted(result)).count()
    }

    /// Cases by peers, versions and roles, then the legend and the failures.
    pub fn table(&self) -> String {
        let mut table = String::new();
        for web in [false, true] {
            self.part(&mut table, web);
        }
        self.legend(&mut table);
        self.failures(&mut table);
        for peer in self.counts() {
            let _ = write!(
                table,
                "\n{}: {} passed, {} failed, {} not in this peer",
                peer["peer"].as_str().unwrap_or_default(),
                peer["passed"],
                peer["failed"],
                peer["absent"]
            );
        }
        table
    }

    /// The table of the programs or that of the WebRTC stacks.
    fn part(&self, table: &mut String, web: bool) {
        let here = || self.results.iter().filter(|result| result.web == web);
        let mut columns = distinct(here().map(Result::column));
        columns.sort_by_key(|(peer, version, _)| {
            let first = self.results.iter().position(|result| result.peer == *peer);
            (first, *version)
        });
        let cases = distinct(here().map(|result| result.case));
        if cases.is_empty() {
            return;
        }
        let mut line = |title: &str, cell: &dyn Fn(&Column) -> String| {
            let _ = write!(table, "\n{title:<22}");
            for column in &columns {
                let width = column.0.len().max(6) + 1;
                let _ = write!(table, "{:<width$}", cell(column));
            }
        };
        line("peer", &|(peer, _, _)| (*peer).to_owned());
        line("DTLS", &|(_, version, _)| version.to_string());
        line("we are the", &|(_, _, we)| we.to_string());
        for case in cases {
            line(case, &|column| self.cell(case, *column));
        }
        table.push('\n');
    }

    fn cell(&self, case: &str, column: Column) -> String {
        let here: Vec<&Result> = self
            .results
            .iter()
            .filter(|result| result.case == case && result.column() == column)
            .collect();
        let Some(first) = here.first() else {
            return String::new();
        };
        if first.outcome == Outcome::Absent {
            return "-".to_owned();
        }
        let passed = here
            .iter()
            .filter(|result| result.outcome == Outcome::Passed)
            .count();
        let word = if passed == here.len() { "ok" } else { "FAIL" };
        if self.rounds > 1 {
            format!("{word} {passed}/{}", here.len())
        } else {
            word.to_owned()
        }
    }

    /// Why there is a `-`, each reason once for a peer.
    fn legend(&self, table: &mut String) {
        for remark in &self.remarks {
            let _ = write!(table, "\n{remark}");
        }
        let absent = || {
            self.results
                .iter()
                .filter(|result| result.outcome == Outcome::Absent)
        };
        for (peer, reason) in distinct(absent().map(|result| (result.peer, result.detail.as_str()))) {
            let those = || absent().filter(|result| result.peer == peer && result.detail == reason);
            let cases = distinct(those().map(|result| result.case)).join(", ");
            let roles = distinct(those().map(|result| result.we));
            let role = match roles.as_slice() {
                [role] => format!(", we are the {role}"),
                _ => String::new(),
            };
            let _ = write!(table, "\n- {peer}: {reason} ({cases}{role})");
        }
        table.push('\n');
    }

    fn failures(&self, table: &mut String) {
        for result in &self.results {
            if result.outcome == Outcome::Failed {
                let (peer, version, we) = result.column();
                let detail = result.detail.replace('\n', "\n    ");
                let _ = write!(table, "\nFAIL {peer}/{version}/{we}/{}: {detail}", result.case);
            }
        }
    }

    fn counts(&self) -> Vec<Value> {
        let count = |peer: &str, outcome: Outcome| {
            self.count(|result| result.peer == peer && result.outcome == outcome)
        };
        let line = |peer: &str| {
            json!({
                "peer": peer,
                "passed": count(peer, Outcome::Passed),
                "failed": count(peer, Outcome::Failed),
                "absent": count(peer, Outcome::Absent),
            })
        };
        distinct(self.results.iter().map(|result| result.peer))
            .into_iter()
            .map(line)
            .collect()
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        let result = |result: &Result| {
            json!({
                "peer": result.peer,
                "version": result.version.to_string(),
                "role": result.we.to_string(),
                "case": result.case,
                "outcome": result.outcome.to_string(),
                "seconds": result.took.as_secs_f64(),
                "detail": result.detail,
            })
        };
        let results: Vec<Value> = self.results.iter().map(result).collect();
        json!({"peers": self.counts(), "rounds": self.rounds, "results": results, "remarks": self.remarks})
    }
}

/// Each value once, in the order of its first appearance.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(case: &'static str, outcome: Outcome, detail: &str) -> Result {
        Result {
            peer: "openssl",
            web: false,
            version: Version::V12,
            we: Role::Client,
            case,
            outcome,
            took: Duration::ZERO,
            detail: detail.to_owned(),
        }
    }

    #[test]
    fn a_cell_that_is_not_there_is_no_success_and_says_why() {
        let mut report = Report::default();
        report.add(vec![
            result("plain", Outcome::Passed, ""),
            result("legacy", Outcome::Absent, "it cannot"),
            result("cookie", Outcome::Failed, "no cookie"),
        ]);
        let table = report.table();
        assert!(table.contains("plain                 ok"), "{table}");
        assert!(table.contains("legacy                -"), "{table}");
        assert!(
            table.contains("- openssl: it cannot (legacy, we are the client)"),
            "{table}"
        );
        assert!(
            table.contains("FAIL openssl/1.2/client/cookie: no cookie"),
            "{table}"
        );
        assert_eq!(report.failed(), 1);
        assert_eq!(report.json()["peers"][0]["absent"], 1);
    }
}
