//! Offer, answer and candidates between the two ends of a case.

use crate::emulator::Emulator;
use crate::pair::{Pair, SOON};
use crate::session::Session;
use serde_json::{Value, json};

/// A change to a description on its way.
pub type Edit = fn(&str) -> String;

/// How a connection is negotiated.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Candidates travel as they come; otherwise inside the descriptions.
    pub trickle: bool,
    pub edit_offer: Edit,
    pub edit_answer: Edit,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            trickle: true,
            edit_offer: str::to_owned,
            edit_answer: str::to_owned,
        }
    }
}

/// Offers and answers. Candidates are carried by [`carry_candidates`] at the same time.
pub async fn negotiate(pair: &Pair, plan: Plan) -> Result<(), String> {
    let (offerer, answerer) = (pair.offerer(), pair.answerer());
    let mut offer = offerer.command("offer", json!({})).await?;
    if !plan.trickle {
        offer = offerer.command("gathered", json!({})).await?;
    }
    answerer
        .command("remote", edited(&offer, plan.edit_offer)?)
        .await?;
    let mut answer = answerer.command("answer", json!({})).await?;
    if !plan.trickle {
        answer = answerer.command("gathered", json!({})).await?;
    }
    offerer
        .command("remote", edited(&answer, plan.edit_answer)?)
        .await?;
    Ok(())
}

/// Negotiates and waits until both ends say that they are connected.
pub async fn connect(pair: &Pair, plan: Plan) -> Result<(), String> {
    negotiate(pair, plan).await?;
    connected(&pair.peer).await?;
    connected(&pair.ours).await
}

/// Waits until a session says that it is connected; a failure ends the wait at once.
pub async fn connected(session: &Session) -> Result<(), String> {
    let state = session
        .event(SOON, "that it is connected", |event| {
            event["event"] == "state" && matches!(event["connection"].as_str(), Some("connected" | "failed"))
        })
        .await?;
    if state["connection"] == "failed" {
        return Err(format!("{} failed to connect", session.name()));
    }
    Ok(())
}

/// Carries candidates from each end to the other for as long as the case runs.
pub async fn carry_candidates(pair: &Pair, emulator: Option<&Emulator>, tcp_only: bool) -> String {
    let (offerer, answerer) = (pair.offerer(), pair.answerer());
    tokio::select! {
        reason = carry(offerer, answerer, emulator, tcp_only) => reason,
        reason = carry(answerer, offerer, emulator, tcp_only) => reason,
    }
}

/// Whether a candidate's line, with or without what stands before it in a description, is of TCP (RFC 6544, section 4.5).
pub fn is_tcp(line: &str) -> bool {
    line.split(' ')
        .nth(2)
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case("tcp"))
}

/// Never returns unless the receiver refuses a candidate.
async fn carry(from: &Session, to: &Session, emulator: Option<&Emulator>, tcp_only: bool) -> String {
    let applied = |event: &Value| event["event"] == "remote-applied";
    let mut index = 0;
    while !applied(&to.event_at(index).await) {
        index += 1;
    }
    index = 0;
    loop {
        let event = from.event_at(index).await;
        index += 1;
        if event["event"] != "candidate" {
            continue;
        }
        let line = event["candidate"]["candidate"].as_str().unwrap_or_default();
        if tcp_only && !line.is_empty() && !is_tcp(line) {
            continue;
        }
        let candidate = match emulator {
            None => event["candidate"].clone(),
            Some(emulator) => match emulator.in_front_of(&event["candidate"]).await {
                Ok(Some(candidate)) => candidate,
                Ok(None) => continue,
                Err(error) => return format!("the emulated link: {error}"),
            },
        };
        if let Err(reason) = to.command("candidate", json!({"candidate": candidate})).await
            // A peer that is closed or gone takes no candidates; the case itself judges that.
            && !reason.contains("is gone")
            && !reason.contains("InvalidStateError")
            && !reason.contains("the connection is closed")
        {
            return format!("a candidate was refused: {reason} ({candidate})");
        }
    }
}

fn edited(description: &Value, edit: Edit) -> Result<Value, String> {
    let sdp = description["sdp"].as_str().ok_or("a description without sdp")?;
    Ok(json!({"type": description["type"], "sdp": edit(sdp)}))
}

/// No candidates: they travel by themselves.
pub fn without_candidates(sdp: &str) -> String {
    let other = |line: &&str| !line.starts_with("a=candidate:") && !line.starts_with("a=end-of-candidates");
    sdp.split("\r\n").filter(other).collect::<Vec<_>>().join("\r\n")
}

/// The offerer will be the DTLS client (RFC 8842, section 5.3: the answerer takes the other role).
pub fn setup_active(sdp: &str) -> String {
    sdp.replace("a=setup:actpass", "a=setup:active")
}

/// The offerer will be the DTLS server.
pub fn setup_passive(sdp: &str) -> String {
    sdp.replace("a=setup:actpass", "a=setup:passive")
}

/// Changes the first byte of every fingerprint.
pub fn wrong_fingerprint(sdp: &str) -> String {
    let change = |line: &str| {
        let Some((name, value)) = line
            .strip_prefix("a=fingerprint:")
            .and_then(|rest| rest.split_once(' '))
        else {
            return line.to_owned();
        };
        let first = if value.starts_with("00") { "FF" } else { "00" };
        format!(
            "a=fingerprint:{name} {first}{}",
            value.get(2..).unwrap_or_default()
        )
    };
    sdp.split("\r\n").map(change).collect::<Vec<_>>().join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_fingerprint_differs_in_its_first_byte_only() {
        let sdp = "v=0\r\na=fingerprint:sha-256 AB:CD\r\na=setup:actpass\r\n";
        assert_eq!(
            wrong_fingerprint(sdp),
            "v=0\r\na=fingerprint:sha-256 00:CD\r\na=setup:actpass\r\n"
        );
        assert_eq!(setup_active("a=setup:actpass\r\n"), "a=setup:active\r\n");
    }
}
