//! Two peers of the facade in this process, connected over loopback.

use crate::Options;
use dunlin::{Config, DataChannel, DataChannelInit, Event, Events, PeerConnection};
use std::time::Duration;

/// Two connected peers with one open channel.
#[derive(Debug)]
pub struct Link {
    pub here: DataChannel,
    pub there: DataChannel,
    connections: (PeerConnection, PeerConnection),
    channels: tokio::sync::mpsc::UnboundedReceiver<DataChannel>,
    _pumps: Pumps,
}

impl Link {
    /// Opens another channel of the same two peers.
    pub async fn another(&mut self) -> Result<(DataChannel, DataChannel), String> {
        let here = self
            .connections
            .0
            .create_data_channel("another", DataChannelInit::default())
            .map_err(text)?;
        let there = self.channels.recv().await.ok_or("the connection ended")?;
        here.opened().await.map_err(text)?;
        Ok((here, there))
    }
}

/// The tasks that carry candidates; they end with the link.
#[derive(Debug)]
struct Pumps(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Pumps {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Connects two new peers: from here to both ends of the channel open is the setup time.
pub async fn connect(options: &Options) -> Result<Link, String> {
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, negotiate(options))
        .await
        .map_err(|_| format!("not connected after {limit:?}"))?
}

async fn negotiate(options: &Options) -> Result<Link, String> {
    let (a, a_events) = PeerConnection::bind(config(options)).await.map_err(text)?;
    let (b, b_events) = PeerConnection::bind(config(options)).await.map_err(text)?;
    let here = a
        .create_data_channel("bench", DataChannelInit::default())
        .map_err(text)?;
    b.set_remote_description(a.set_local_description().map_err(text)?)
        .map_err(text)?;
    a.set_remote_description(b.set_local_description().map_err(text)?)
        .map_err(text)?;
    let (opened, mut channels) = tokio::sync::mpsc::unbounded_channel();
    let pumps = Pumps(vec![
        tokio::spawn(pump(a_events, b.clone(), opened.clone())),
        tokio::spawn(pump(b_events, a.clone(), opened)),
    ]);
    let there = channels
        .recv()
        .await
        .ok_or("the connection ended before the channel came")?;
    here.opened().await.map_err(text)?;
    there.opened().await.map_err(text)?;
    Ok(Link {
        here,
        there,
        connections: (a, b),
        channels,
        _pumps: pumps,
    })
}

fn config(options: &Options) -> Config {
    let mut config = Config::default();
    if !options.any_address {
        config.sockets.bind = vec![([127, 0, 0, 1], 0).into()];
    }
    if options.usual_datagrams {
        config.peer.max_path_datagram = 0;
    }
    if let Some(bytes) = options.socket_buffer {
        config.sockets.socket_buffer = bytes;
    }
    config
}

/// Carries one side's candidates to the other and hands over the channel it was opened.
async fn pump(
    mut events: Events,
    other: PeerConnection,
    opened: tokio::sync::mpsc::UnboundedSender<DataChannel>,
) {
    while let Some(event) = events.next().await {
        match event {
            Event::IceCandidate(candidate) => drop(other.add_ice_candidate(candidate)),
            Event::DataChannel(channel) => drop(opened.send(channel)),
            _ => {}
        }
    }
}

pub fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
