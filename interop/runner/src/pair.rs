//! The two ends of a case, and which of them offers.

use crate::session::Session;
use serde_json::{Value, json};
use std::time::Duration;

/// How long opening, a message or a change of state may take.
pub const SOON: Duration = Duration::from_secs(10);

/// The peer, ourselves, and who offers.
#[derive(Debug)]
pub struct Pair {
    pub peer: Session,
    pub ours: Session,
    pub peer_offers: bool,
    /// Numbers for the contents of messages, another for each run.
    pub seed: u32,
}

impl Pair {
    pub fn offerer(&self) -> &Session {
        if self.peer_offers { &self.peer } else { &self.ours }
    }

    pub fn answerer(&self) -> &Session {
        if self.peer_offers { &self.ours } else { &self.peer }
    }

    /// Makes both connections.
    pub async fn start(&self, peer: Value, ours: Value) -> Result<(), String> {
        self.peer.command("new", peer).await?;
        self.ours.command("new", ours).await?;
        Ok(())
    }

    /// Makes both connections for data alone; the answerer echoes what the offerer's channels bring.
    pub async fn start_data(&self) -> Result<(), String> {
        self.offerer().command("new", json!({})).await?;
        self.answerer().command("new", json!({"echo": true})).await?;
        Ok(())
    }

    /// What both ends know, for the report of a failure.
    pub async fn post_mortem(&self) -> String {
        let limit = Duration::from_secs(2);
        let mut lines = Vec::new();
        for session in [&self.peer, &self.ours] {
            let stats = session.command_within(limit, "stats", json!({})).await;
            let stats = stats.map_or_else(|reason| reason, |stats| stats.to_string());
            lines.push(format!(
                "{}: {}\n{}: {stats}",
                session.name(),
                session.summary(),
                session.name()
            ));
        }
        lines.join("\n")
    }
}
