//! One call: what the program does with a connection, however it was signalled.

use std::time::Duration;

use dunlin::{ConnectionError, Error, Event, Events, PeerConnection, SessionDescription};

use crate::echo;
use crate::serve::App;

/// How long a browser may take from our answer to the connection.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(30);
/// How long gathering may take for an answer with its candidates inside.
const GATHER_TIME: Duration = Duration::from_secs(5);

/// What to tell the user of a peer that was never heard of.
pub(crate) fn never_connected(pc: &PeerConnection) -> String {
    format!(
        "The browser did not connect within {} s (ICE is {}, the connection is {}). Can it reach this host by \
         UDP? If there is a NAT or a firewall between, start dunlin with --ice-ip and --ice-port.",
        CONNECT_TIME.as_secs(),
        pc.ice_connection_state(),
        pc.connection_state(),
    )
}

/// Answers an offer with all candidates inside, and serves the call in a task of its own.
pub(crate) async fn answer_whole(app: &App, offer: SessionDescription) -> Result<SessionDescription, Error> {
    let (pc, events) = app.endpoint.connection(app.config.clone()).await?;
    pc.set_remote_description(offer)?;
    dunlin::echo::accept(&pc);
    let answer = pc.set_local_description()?;
    match tokio::time::timeout(GATHER_TIME, pc.gathered()).await {
        Ok(gathered) => gathered?,
        Err(_) => log::warn!("not all candidates were found in time: the answer has those that were"),
    }
    let answer = pc.local_description().unwrap_or(answer);
    tokio::spawn(async move {
        tokio::spawn(take_events(events));
        match tokio::time::timeout(CONNECT_TIME, pc.connected()).await {
            Ok(Ok(())) => {
                let end = pc.closed().await;
                log::info!("a call by POST /offer ended: {end}");
            }
            Ok(Err(error)) => log::warn!("a call by POST /offer: {error}"),
            Err(_) => log::warn!("a call by POST /offer: {}", never_connected(&pc)),
        }
        pc.close();
    });
    Ok(answer)
}

async fn take_events(mut events: Events) {
    while let Some(event) = events.next().await {
        take(event);
    }
}

/// Channels and tracks are echoed; what is left is for the caller to tell.
pub(crate) fn take(event: Event) -> Option<Event> {
    match event {
        Event::DataChannel(channel) => {
            tokio::spawn(report(echo::channel(channel)));
            None
        }
        Event::Track(track) => {
            tokio::spawn(dunlin::echo::track(track));
            None
        }
        other => Some(other),
    }
}

async fn report(echo: impl Future<Output = Result<(), Error>>) {
    match echo.await {
        Ok(()) | Err(Error::Connection(ConnectionError::Closed)) => {}
        Err(error) => log::info!("a channel ended: {error}"),
    }
}
