//! What ran and how it went, for people and for machines.

use crate::peers::Kind;
use serde_json::{Value, json};
use std::fmt;
use std::fmt::Write;
use std::time::Duration;

/// How a case went.
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
            Outcome::Absent => "absent",
        })
    }
}

/// One case against one peer in one variant.
#[derive(Debug, Clone)]
pub struct Result {
    pub peer: Kind,
    pub case: &'static str,
    pub peer_offers: bool,
    pub outcome: Outcome,
    pub took: Duration,
    pub detail: String,
}

/// All results.
#[derive(Debug, Default)]
pub struct Report {
    results: Vec<Result>,
    rounds: usize,
}

impl Report {
    /// Adds one round.
    pub fn add(&mut self, results: Vec<Result>) {
        self.results.extend(results);
        self.rounds += 1;
    }

    pub fn failed(&self) -> usize {
        self.results
            .iter()
            .filter(|result| result.outcome == Outcome::Failed)
            .count()
    }

    fn peers(&self) -> Vec<Kind> {
        let mut peers = Vec::new();
        for result in &self.results {
            if !peers.contains(&result.peer) {
                peers.push(result.peer);
            }
        }
        peers
    }

    /// Peers by cases, then the reasons of failures and absences.
    pub fn table(&self) -> String {
        let columns: Vec<(Kind, bool)> = self
            .peers()
            .into_iter()
            .flat_map(|peer| [(peer, true), (peer, false)])
            .collect();
        let mut table = format!("\n{:<22}", "case");
        for (peer, peer_offers) in &columns {
            let title = if *peer_offers {
                format!("{} offers", peer.name())
            } else {
                format!("we offer {}", peer.name())
            };
            let _ = write!(table, "{title:<20}");
        }
        let mut cases: Vec<&str> = Vec::new();
        for result in &self.results {
            if !cases.contains(&result.case) {
                cases.push(result.case);
            }
        }
        for case in cases {
            let _ = write!(table, "\n{case:<22}");
            for column in &columns {
                let _ = write!(table, "{:<20}", self.cell(case, *column));
            }
        }
        table.push('\n');
        self.notes(&mut table);
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

    fn cell(&self, case: &str, (peer, peer_offers): (Kind, bool)) -> String {
        let here = |result: &&Result| {
            result.case == case && result.peer == peer && result.peer_offers == peer_offers
        };
        let results: Vec<&Result> = self.results.iter().filter(here).collect();
        if results.iter().all(|result| result.outcome == Outcome::Absent) {
            return if results.is_empty() {
                String::new()
            } else {
                "not in this peer".to_owned()
            };
        }
        let passed = results
            .iter()
            .filter(|result| result.outcome == Outcome::Passed)
            .count();
        let slowest = results.iter().map(|result| result.took).max().unwrap_or_default();
        let word = if passed == results.len() { "ok" } else { "FAIL" };
        let times = if self.rounds > 1 {
            format!(" {passed}/{}", results.len())
        } else {
            String::new()
        };
        format!("{word}{times} {:.1} s", slowest.as_secs_f64())
    }

    fn notes(&self, table: &mut String) {
        for result in &self.results {
            if result.outcome != Outcome::Passed {
                let variant = if result.peer_offers {
                    "peer offers"
                } else {
                    "we offer"
                };
                let detail = result.detail.replace('\n', "\n    ");
                let _ = write!(
                    table,
                    "\n{} {} {} ({variant}): {detail}",
                    result.outcome,
                    result.peer.name(),
                    result.case
                );
            }
        }
    }

    fn counts(&self) -> Vec<Value> {
        let count = |peer: Kind, outcome: Outcome| {
            self.results
                .iter()
                .filter(|result| result.peer == peer && result.outcome == outcome)
                .count()
        };
        let line = |peer: Kind| {
            json!({
                "peer": peer.name(),
                "passed": count(peer, Outcome::Passed),
                "failed": count(peer, Outcome::Failed),
                "absent": count(peer, Outcome::Absent),
            })
        };
        self.peers().into_iter().map(line).collect()
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        let result = |result: &Result| {
            json!({
                "peer": result.peer.name(),
                "case": result.case,
                "offers": if result.peer_offers { "peer" } else { "ours" },
                "outcome": result.outcome.to_string(),
                "seconds": result.took.as_secs_f64(),
                "detail": result.detail,
            })
        };
        let results: Vec<Value> = self.results.iter().map(result).collect();
        json!({"peers": self.counts(), "rounds": self.rounds, "results": results})
    }
}
