//! STUN and TURN servers as people configure them, and what the system's resolver makes of their names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use dunlin_net::Transport;
use dunlin_peerconnection::uri::{Host, ServerUri};
use dunlin_peerconnection::{
    IceServers, ServerError, ServerReport, ServerState, StunServer, TurnCredentials, TurnServer,
};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::task::JoinSet;

use crate::error::BindError;

/// How long the resolver may take. What has no address by then is left out.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);

/// A server, or several with the same credentials: `RTCIceServer` of the W3C's WebRTC, section 4.2.4, also as JSON.
///
/// ```
/// # use dunlin::IceServer;
/// let server: IceServer = serde_json::from_str(
///     r#"{"urls": ["turn:turn.example.org", "turns:turn.example.org"], "username": "me", "credential": "secret"}"#,
/// )?;
/// assert_eq!(server.urls.len(), 2);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IceServer {
    /// `stun:host`, `stuns:host`, `turn:host`, `turns:host`, each with `:port` if it is not the usual one (RFC 7064, RFC
    /// 7065). TURN is over UDP, or TLS for `turns:`; `?transport=tcp` is TURN over TCP, and `?transport=udp` of `turns:`
    /// is DTLS (RFC 7350). A single one may stand without brackets in JSON.
    #[serde(deserialize_with = "one_or_many")]
    pub urls: Vec<String>,
    /// How STUN servers are reached, which their URIs cannot say (RFC 7064): by a TCP connection, with TLS for `stuns:`
    /// (`true`), or by datagrams, with DTLS for `stuns:` (`false`). Default: UDP for `stun:` and TLS for `stuns:`.
    ///
    /// Only the answers over plain UDP make candidates: a server that is reached otherwise sees another socket than the
    /// one that peers are talked to from. The others appear in the report: the server is there, and lets us through.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "stunOverTcp")]
    pub stun_over_tcp: Option<bool>,
    /// The user's name, for TURN.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// The user's password, for TURN.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub credential: String,
}

impl IceServer {
    /// A STUN server.
    #[must_use]
    pub fn stun(url: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            ..Self::default()
        }
    }

    /// A TURN server.
    #[must_use]
    pub fn turn(url: impl Into<String>, username: impl Into<String>, credential: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            username: username.into(),
            credential: credential.into(),
            ..Self::default()
        }
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Urls {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Urls::deserialize(deserializer)? {
        Urls::One(url) => vec![url],
        Urls::Many(urls) => urls,
    })
}

/// The servers with addresses, and those that have none.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) stun: Vec<SocketAddr>,
    pub(crate) stun_ways: Vec<StunServer>,
    pub(crate) turn: Vec<TurnServer>,
    pub(crate) failed: Vec<ServerReport>,
}

impl Resolved {
    /// Whether a certificate will have to be verified.
    pub(crate) fn needs_tls(&self) -> bool {
        let secure = |transport| matches!(transport, Transport::Tls | Transport::Dtls);
        let mut stun = self.stun_ways.iter().map(|server| server.transport);
        let mut turn = self.turn.iter().map(|server| server.transport);
        stun.any(secure) || turn.any(secure)
    }

    pub(crate) fn into_servers(self) -> IceServers {
        IceServers {
            stun: self.stun,
            stun_ways: self.stun_ways,
            turn: self.turn,
            failed: self.failed,
        }
    }

    fn fail(&mut self, url: &str, uri: &ServerUri, error: ServerError) {
        log::warn!("{url} is left out: {error}");
        self.failed.push(ServerReport {
            url: url.to_owned(),
            address: None,
            transport: uri.transport(),
            relays: uri.scheme.is_turn(),
            state: ServerState::Failed(error),
        });
    }

    fn add(&mut self, url: &str, uri: &ServerUri, server: &IceServer, address: SocketAddr) {
        let transport = uri.transport();
        let name = match &uri.host {
            Host::Name(name) => Some(name.clone()),
            Host::Address(_) => None,
        };
        if !uri.scheme.is_turn() {
            let known = |server: &StunServer| server.address == address && server.transport == transport;
            if transport == Transport::Udp && !self.stun.contains(&address) {
                self.stun.push(address);
            } else if transport != Transport::Udp && !self.stun_ways.iter().any(known) {
                self.stun_ways.push(StunServer {
                    address,
                    transport,
                    name,
                    url: url.to_owned(),
                });
            }
            return;
        }
        let same = |known: &TurnServer| known.address == address && known.transport == transport;
        if self.turn.iter().any(same) {
            return;
        }
        self.turn.push(TurnServer {
            address,
            transport,
            name,
            credentials: TurnCredentials {
                username: server.username.clone(),
                password: server.credential.clone(),
            },
            url: url.to_owned(),
        });
    }
}

/// Parses all URLs, and looks up all names at once. A server without an address is no error: the connection may do
/// without, and its report names it.
pub(crate) async fn resolve(servers: &[IceServer]) -> Result<Resolved, BindError> {
    let mut parsed = Vec::new();
    let mut lookups = JoinSet::new();
    for server in servers {
        for url in &server.urls {
            let mut uri: ServerUri = url.parse().map_err(|reason| BindError::IceServerUrl {
                url: url.clone(),
                reason: format!("{reason}"),
            })?;
            if !uri.scheme.is_turn() {
                uri.over_tcp = server.stun_over_tcp;
            }
            if uri.scheme.is_turn() && (server.username.is_empty() || server.credential.is_empty()) {
                return Err(BindError::IceServerCredentials(url.clone()));
            }
            if let Host::Name(name) = &uri.host {
                let target = (name.clone(), uri.port());
                lookups.spawn(async move { (target.clone(), look_up(target).await) });
            }
            parsed.push((server, url, uri));
        }
    }
    let mut found: BTreeMap<(String, u16), Result<Vec<SocketAddr>, ServerError>> = BTreeMap::new();
    while let Some(looked_up) = lookups.join_next().await {
        found.extend(looked_up);
    }
    let mut resolved = Resolved::default();
    for (server, url, uri) in parsed {
        match &uri.host {
            Host::Address(ip) => resolved.add(url, &uri, server, SocketAddr::new(*ip, uri.port())),
            Host::Name(name) => match found.get(&(name.clone(), uri.port())) {
                Some(Ok(addresses)) => {
                    // One of each family: the others are mostly the same machine.
                    for v4 in [true, false] {
                        if let Some(address) = addresses.iter().find(|address| address.is_ipv4() == v4) {
                            resolved.add(url, &uri, server, *address);
                        }
                    }
                }
                Some(Err(error)) => resolved.fail(url, &uri, error.clone()),
                None => resolved.fail(url, &uri, ServerError::Name("the lookup was ended".to_owned())),
            },
        }
    }
    Ok(resolved)
}

async fn look_up(target: (String, u16)) -> Result<Vec<SocketAddr>, ServerError> {
    match tokio::time::timeout(RESOLVE_WITHIN, tokio::net::lookup_host(target)).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(ServerError::Name(error.to_string())),
        Err(_) => Err(ServerError::Name(format!(
            "the resolver did not answer within {} s",
            RESOLVE_WITHIN.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn urls_become_servers_with_addresses() {
        let servers = [
            IceServer::stun("stun:192.0.2.1"),
            IceServer::turn("turn:192.0.2.1:3479?transport=tcp", "me", "secret"),
            IceServer::turn("turns:[2001:db8::1]", "me", "secret"),
            // The same twice.
            IceServer::stun("stun:192.0.2.1:3478"),
            IceServer::turn("turns:192.0.2.1?transport=udp", "me", "secret"),
        ];
        let resolved = resolve(&servers).await.unwrap();
        assert_eq!(resolved.stun, ["192.0.2.1:3478".parse().unwrap()]);
        let turn: Vec<_> = resolved
            .turn
            .iter()
            .map(|server| (server.address.to_string(), server.transport))
            .collect();
        assert_eq!(
            turn,
            [
                ("192.0.2.1:3479".to_owned(), Transport::Tcp),
                ("[2001:db8::1]:5349".to_owned(), Transport::Tls),
                ("192.0.2.1:5349".to_owned(), Transport::Dtls),
            ]
        );
        assert!(resolved.failed.is_empty() && resolved.needs_tls());
    }

    /// RFC 7064, section 3.2: "The "stuns" URI scheme MUST be used when STUN is run over TLS-over-TCP (or in the future
    /// DTLS-over-UDP), and the "stun" scheme MUST be used otherwise."
    #[tokio::test]
    async fn stun_is_reached_over_all_four_transports() {
        let over = |url: &str, tcp| {
            let mut server = IceServer::stun(url);
            server.stun_over_tcp = tcp;
            server
        };
        let servers = [
            over("stun:192.0.2.1", Some(false)),
            over("stun:192.0.2.1", Some(true)),
            over("stuns:192.0.2.1", None),
            over("stuns:192.0.2.1", Some(true)),
            over("stuns:192.0.2.1", Some(false)),
        ];
        let resolved = resolve(&servers).await.unwrap();
        assert_eq!(resolved.stun, ["192.0.2.1:3478".parse().unwrap()]);
        let ways = resolved.stun_ways.iter();
        let ways: Vec<_> = ways.map(|way| (way.address.port(), way.transport)).collect();
        assert_eq!(
            ways,
            [
                (3478, Transport::Tcp),
                (5349, Transport::Tls),
                (5349, Transport::Dtls)
            ]
        );
        assert!(resolved.needs_tls());
        let json = serde_json::to_string(&servers[1]).unwrap();
        assert_eq!(json, r#"{"urls":["stun:192.0.2.1"],"stunOverTcp":true}"#);
        assert_eq!(serde_json::from_str::<IceServer>(&json).unwrap(), servers[1]);
    }

    #[tokio::test]
    async fn what_cannot_be_meant_is_an_error_and_what_cannot_be_reached_is_told() {
        let error = resolve(&[IceServer::stun("stun://a")]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"stun://a\" is no URL of a STUN or TURN server: \"//a\" is not a host name or address"
        );
        let error = resolve(&[IceServer::stun("turn:a.example")]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the TURN server \"turn:a.example\" needs a username and a credential"
        );
        let servers = [
            // RFC 6761, section 6.4: such a name has no address, by definition.
            IceServer::turn("turn:nowhere.invalid", "me", "secret"),
        ];
        let resolved = resolve(&servers).await.unwrap();
        let lines: Vec<String> = resolved.failed.iter().map(ToString::to_string).collect();
        assert!(
            lines[0].starts_with("turn:nowhere.invalid: its name does not resolve: "),
            "{lines:?}"
        );
    }
}
