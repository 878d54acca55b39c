//! Signalling with the page: one WebSocket per call, JSON messages, candidates trickle both ways.
//!
//! From the page: `{"type": "offer", "sdp": …}` and `{"type": "candidate", "candidate": {…}}`. To the page:
//! `answer` and `candidate` likewise, `{"type": "state", "connection": …, "what": …}` when something changed,
//! `{"type": "stats", "stats": {…}}` every second, and `{"type": "error", "message": …}`: a sentence.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use dunlin::{ConnectionState, Event, Events, IceCandidate, PeerConnection, SessionDescription};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::serve::App;
use crate::session::{self, CONNECT_TIME};

/// How often the page gets our stats.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum FromPage {
    Offer { sdp: String },
    Candidate { candidate: IceCandidate },
}

/// Serves one page until it goes. The connection ends with it.
pub(crate) async fn run(mut socket: WebSocket, app: Arc<App>) {
    match app.endpoint.connection(app.config.clone()).await {
        Ok((pc, events)) => {
            converse(&mut socket, &pc, events).await;
            pc.close();
        }
        Err(error) => {
            tell(
                &mut socket,
                &json!({"type": "error", "message": error.to_string()}),
            )
            .await
        }
    }
}

async fn converse(socket: &mut WebSocket, pc: &PeerConnection, mut events: Events) {
    let mut stats = interval(STATS_INTERVAL);
    stats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let deadline = Instant::now() + CONNECT_TIME;
    let mut waiting = true;
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    if let Some(reply) = handle(pc, &text) {
                        tell(socket, &reply).await;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            event = events.next() => match event {
                Some(event) => {
                    let failed = matches!(event, Event::ConnectionState(ConnectionState::Failed));
                    if let Some(message) = session::take(event).and_then(|event| describe(pc, event)) {
                        tell(socket, &message).await;
                    }
                    if failed {
                        let reason = pc.failure().map(|reason| reason.to_string()).unwrap_or_default();
                        tell(socket, &json!({"type": "error", "message": format!("dunlin: {reason}")})).await;
                        return;
                    }
                }
                None => return,
            },
            _ = stats.tick() => {
                waiting &= pc.connection_state() != ConnectionState::Connected;
                tell(socket, &json!({"type": "stats", "stats": pc.stats()})).await;
            }
            () = sleep_until(deadline), if waiting => {
                waiting = false;
                if pc.connection_state() != ConnectionState::Connected {
                    tell(socket, &json!({"type": "error", "message": session::never_connected(pc)})).await;
                    return;
                }
            }
        }
    }
}

/// What the page said; answers what to say back.
fn handle(pc: &PeerConnection, text: &str) -> Option<Value> {
    let error = |message: String| Some(json!({"type": "error", "message": message}));
    match serde_json::from_str(text) {
        Ok(FromPage::Offer { sdp }) => {
            if let Err(reason) = pc.set_remote_description(SessionDescription::offer(sdp)) {
                return error(format!("dunlin refuses the offer: {reason}"));
            }
            dunlin::echo::accept(pc);
            match pc.set_local_description() {
                Ok(answer) => Some(json!(answer)),
                Err(reason) => error(format!("dunlin cannot answer: {reason}")),
            }
        }
        Ok(FromPage::Candidate { candidate }) => match pc.add_ice_candidate(candidate) {
            Ok(()) => None,
            Err(reason) => error(format!("dunlin refuses a candidate: {reason}")),
        },
        Err(reason) => error(format!("dunlin does not understand the page: {reason}")),
    }
}

/// What an event looks like to the page.
fn describe(pc: &PeerConnection, event: Event) -> Option<Value> {
    let state = |what: String| {
        let (ice, connection) = (pc.ice_connection_state().as_str(), pc.connection_state().as_str());
        Some(json!({"type": "state", "ice": ice, "connection": connection, "what": what}))
    };
    match event {
        Event::IceCandidate(candidate) => Some(json!({"type": "candidate", "candidate": candidate})),
        Event::IceConnectionState(ice) => state(format!("ICE is {ice}.")),
        Event::ConnectionState(connection) => state(format!("the connection is {connection}.")),
        Event::ClosedByPeer(reason) => state(reason),
        _ => None,
    }
}

/// A page that does not take messages any more is noticed by the next `recv`.
async fn tell(socket: &mut WebSocket, message: &Value) {
    if let Err(error) = socket.send(Message::Text(message.to_string().into())).await {
        log::debug!("the page is gone: {error}");
    }
}
