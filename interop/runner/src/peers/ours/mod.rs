//! Our own peer, through the facade, obeying the same protocol as the others.

mod channel;
mod program;

use crate::session::{Log, Request, Session};
use channel::{Channels, adopt};
use dunlin::{
    CodecCapability, Codecs, Config, DataChannelInit, Event, Events, IceCandidate, IceTransportPolicy,
    MediaKind, PeerConnection, SessionDescription, TlsRoots, TransceiverInit,
};
pub use program::run as program;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Starts it. The sender (or its drop) ends it without a word to the other side.
pub fn start(name: &str, trace: bool) -> (Session, oneshot::Sender<()>) {
    let (session, requests, log) = Session::new(name, trace);
    let (end, ended) = oneshot::channel::<()>();
    let peer = Arc::new(Peer::new(log));
    tokio::spawn(async move {
        tokio::select! {
            () = serve(peer, requests) => {}
            _ = ended => {}
        }
    });
    (session, end)
}

async fn serve(peer: Arc<Peer>, mut requests: mpsc::UnboundedReceiver<Request>) {
    while let Some(Request { command, reply }) = requests.recv().await {
        let peer = peer.clone();
        tokio::spawn(async move {
            let _ = reply.send(peer.command(&command).await);
        });
    }
}

/// The state of one session.
#[derive(Debug)]
struct Peer {
    log: Log,
    connection: Mutex<Option<PeerConnection>>,
    channels: Channels,
    /// The media that is sent back: its kind and the codec to offer, if only one.
    wanted: Mutex<Vec<(MediaKind, Option<String>)>>,
}

impl Peer {
    fn new(log: Log) -> Self {
        Peer {
            log,
            connection: Mutex::default(),
            channels: Channels::default(),
            wanted: Mutex::default(),
        }
    }

    fn wanted(&self) -> Vec<(MediaKind, Option<String>)> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A section for each kind of media that is sent back and has none yet.
    fn offer_sections(&self) -> Result<(), String> {
        let connection = self.connection()?;
        for (kind, codec) in self.wanted() {
            if connection
                .transceivers()
                .iter()
                .any(|transceiver| transceiver.kind() == kind)
            {
                continue;
            }
            let mut init = TransceiverInit::default();
            if let Some(codec) = codec {
                let wanted = |known: &&CodecCapability| known.name.eq_ignore_ascii_case(&codec);
                init.codecs = Codecs::default()
                    .of(kind)
                    .iter()
                    .filter(wanted)
                    .cloned()
                    .collect();
            }
            connection.add_transceiver(kind, init).map_err(text)?;
        }
        Ok(())
    }

    async fn command(&self, command: &Value) -> Result<Value, String> {
        let name = command["do"].as_str().unwrap_or_default();
        match name {
            "new" => self.new_connection(command).await?,
            "channel" => self.create_channel(command)?,
            "offer" => {
                self.offer_sections()?;
                return self
                    .connection()?
                    .set_local_description()
                    .map(described)
                    .map_err(text);
            }
            "answer" => {
                return self
                    .connection()?
                    .set_local_description()
                    .map(described)
                    .map_err(text);
            }
            "remote" => {
                let connection = self.connection()?;
                connection
                    .set_remote_description(description(command)?)
                    .map_err(text)?;
                if !self.wanted().is_empty() {
                    dunlin::echo::accept(&connection);
                }
            }
            "candidate" => self.candidate(&command["candidate"])?,
            "gathered" => {
                let connection = self.connection()?;
                connection.gathered().await.map_err(text)?;
                return connection
                    .local_description()
                    .map(described)
                    .ok_or("no local description".to_owned());
            }
            "send" => return self.channels.send(command).await,
            "flood" => return self.channels.flood(command).await,
            "collect" => self.channels.collect(command)?,
            "close-channel" => self.channels.close(command)?,
            "stats" => return self.stats(),
            "close" => self.connection()?.close(),
            other => return Err(format!("this peer knows no command {other:?}")),
        }
        Ok(json!({}))
    }

    fn connection(&self) -> Result<PeerConnection, String> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection
            .clone()
            .ok_or_else(|| "there is no connection yet".to_owned())
    }

    async fn new_connection(&self, command: &Value) -> Result<(), String> {
        let mut config = Config::default();
        config.sockets.include_loopback = command["loopback"] != false;
        config.sockets.tcp = command["tcp"] == true;
        if let servers @ Value::Array(_) = &command["iceServers"] {
            config.ice_servers = serde_json::from_value(servers.clone()).map_err(text)?;
        }
        if command["iceTransportPolicy"] == "relay" {
            config.ice_transport_policy = IceTransportPolicy::Relay;
        }
        if let Some(pem) = command["tlsRoots"].as_str() {
            config.tls_roots = TlsRoots::Pem(pem.as_bytes().to_vec());
        }
        let (connection, events) = PeerConnection::bind(config).await.map_err(text)?;
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
        let sections = command["media"].as_array().map(Vec::as_slice).unwrap_or_default();
        let wanted = sections.iter().map(|section| {
            let kind = if section["kind"] == "video" {
                MediaKind::Video
            } else {
                MediaKind::Audio
            };
            (kind, section["codec"].as_str().map(str::to_owned))
        });
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted.collect();
        let echo = command["echo"] == true;
        tokio::spawn(listen(
            connection,
            events,
            self.log.clone(),
            self.channels.clone(),
            echo,
        ));
        Ok(())
    }

    fn create_channel(&self, command: &Value) -> Result<(), String> {
        let number = |name: &str| command[name].as_u64().and_then(|value| u16::try_from(value).ok());
        let init = DataChannelInit {
            ordered: command["ordered"].as_bool().unwrap_or(true),
            max_retransmits: number("maxRetransmits"),
            max_packet_life_time: number("maxPacketLifeTime"),
            negotiated: command["negotiated"] == true,
            id: number("id"),
            ..DataChannelInit::default()
        };
        let label = command["label"].as_str().unwrap_or_default();
        let channel = self
            .connection()?
            .create_data_channel(label, init)
            .map_err(text)?;
        adopt(&self.channels, channel, command["echo"] == true, &self.log);
        Ok(())
    }

    fn candidate(&self, candidate: &Value) -> Result<(), String> {
        let candidate = match candidate {
            Value::Null => IceCandidate::default(),
            candidate => candidate.to_string().parse().map_err(text)?,
        };
        self.connection()?.add_ice_candidate(candidate).map_err(text)
    }

    fn stats(&self) -> Result<Value, String> {
        let connection = self.connection()?;
        let path = connection.selected_path();
        let stats = json!(connection.stats());
        Ok(json!({
            "dtls": stats["transport"]["dtlsState"],
            "dtlsRole": stats["transport"]["dtlsRole"],
            "connection": connection.connection_state().as_str(),
            "ice": connection.ice_connection_state().as_str(),
            "signaling": connection.signaling_state().as_str(),
            "local": path.map(|path| path.local.to_string()),
            "remote": path.map(|path| path.remote.to_string()),
            "route": {
                "kind": stats["candidatePair"]["local"].as_str().and_then(kind),
                "relayProtocol": path.map(|path| path.transport.to_string()),
            },
            "failure": connection.failure().map(text),
            "stats": stats,
        }))
    }
}

/// Turns events of the facade into events of the protocol until the connection ends.
async fn listen(pc: PeerConnection, mut events: Events, log: Log, channels: Channels, echo: bool) {
    while let Some(event) = events.next().await {
        match event {
            Event::ConnectionState(_) | Event::IceConnectionState(_) => {
                let (connection, ice) = (pc.connection_state().as_str(), pc.ice_connection_state().as_str());
                log.push(json!({"event": "state", "connection": connection, "ice": ice}));
            }
            Event::IceCandidate(candidate) => log.push(json!({"event": "candidate", "candidate": candidate})),
            Event::DataChannel(channel) => {
                log.push(json!({
                    "event": "channel",
                    "label": channel.label(),
                    "id": channel.id(),
                    "ordered": channel.ordered(),
                    "maxRetransmits": channel.max_retransmits(),
                    "maxPacketLifeTime": channel.max_packet_life_time(),
                    "protocol": channel.protocol(),
                }));
                adopt(&channels, channel, echo, &log);
            }
            Event::Track(track) => {
                log.push(json!({"event": "track", "kind": track.transceiver().kind().as_str()}));
                tokio::spawn(dunlin::echo::track(track));
            }
            Event::IceServerFailed(report) => {
                log.push(json!({"event": "server", "reason": report.to_string()}));
            }
            Event::Failed(reason) | Event::ClosedByPeer(reason) => {
                log.push(json!({"event": "failure", "reason": reason}));
            }
            _ => {}
        }
    }
}

/// The type in a candidate's line (RFC 8839, section 5.1).
fn kind(candidate: &str) -> Option<&str> {
    let mut words = candidate.split(' ').skip_while(|word| *word != "typ");
    words.nth(1)
}

fn description(command: &Value) -> Result<SessionDescription, String> {
    json!({"type": command["type"], "sdp": command["sdp"]})
        .to_string()
        .parse()
        .map_err(text)
}

fn described(description: SessionDescription) -> Value {
    json!(description)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
