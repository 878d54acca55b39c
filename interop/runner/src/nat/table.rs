//! What came of the cases, in lines.

use super::cases::Case;
use super::meet::Met;

/// How a case went.
#[derive(Debug)]
pub enum Outcome {
    Connected(Met),
    Failed(String),
}

/// One line.
#[derive(Debug)]
pub struct Row {
    pub case: Case,
    pub outcome: Outcome,
}

impl Row {
    /// For the one who waits.
    pub fn line(&self) -> String {
        let case = &self.case;
        match &self.outcome {
            Outcome::Connected(met) => {
                format!(
                    "ok     {case} {:<22} {:>5} ms  {}",
                    met.route,
                    met.took.as_millis(),
                    met.note
                )
            }
            Outcome::Failed(reason) => format!("FAIL   {case} {reason}"),
        }
    }

    /// For the table: case, server, peers, whether connected, by which way, how fast.
    fn cells(&self) -> String {
        let (result, route, took, note) = match &self.outcome {
            Outcome::Connected(met) => (
                "yes",
                met.route.to_string(),
                met.took.as_millis().to_string(),
                met.note.as_str(),
            ),
            Outcome::Failed(_) => ("NO", String::new(), String::new(), ""),
        };
        format!("{} {result:<10} {route:<22} {took:>6}  {note}", self.case)
    }
}

/// Prints the table; an error if anything failed.
pub fn summary(rows: &[Row]) -> Result<(), String> {
    let (case, server, peers) = ("case", "server", "peers");
    eprintln!("\n{case:<14} {server:<7} {peers:<20} connected  by                         ms");
    for row in rows {
        eprintln!("{}", row.cells());
    }
    let failed = rows
        .iter()
        .filter(|row| matches!(row.outcome, Outcome::Failed(_)))
        .count();
    let passed = rows.len() - failed;
    eprintln!("\nnat: {passed} passed, {failed} failed");
    match failed {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} cases failed", rows.len())),
    }
}
