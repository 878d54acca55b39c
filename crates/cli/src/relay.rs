//! The TURN server of `dunlin serve`: for browsers that cannot reach the media port by UDP. Each call of the page gets
//! credentials of its own, which end by themselves, and relays reach the media port of this program and nothing else of
//! this host.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use axum::http::header::HOST;
use clap::Args;
use dunlin::turn_server::{Config, Identity, RelayAddress, SharedSecret, TurnServer, new_secret};
use serde_json::{Value, json};

use crate::serve::ServeError;

/// How long the credentials of a page are good for: a call may be long.
const LIFETIME: u64 = 12 * 3600;
/// Allocations of one page: a browser makes one by each transport from each of its addresses.
const PER_PAGE: usize = 32;

/// Whether and where to relay.
#[derive(Debug, Clone, Args)]
#[group(id = "relay")]
pub(crate) struct Options {
    /// Relays for browsers that cannot reach this program by UDP: a TURN server for them alone, over UDP and TCP.
    #[arg(long, help_heading = "Relay")]
    turn: bool,
    /// The port of that server; 0 takes a free one.
    #[arg(
        long,
        default_value_t = 3478,
        value_name = "PORT",
        requires = "turn",
        help_heading = "Relay"
    )]
    turn_port: u16,
    /// Its port for TLS, which gets through where little else does when it is 443.
    #[arg(
        long,
        default_value_t = 5349,
        value_name = "PORT",
        requires = "turn_cert",
        help_heading = "Relay"
    )]
    turn_tls_port: u16,
    /// Its certificate, with those of its issuers behind it (PEM). Without one there is no TLS.
    #[arg(long, value_name = "FILE", requires_all = ["turn", "turn_key"], help_heading = "Relay")]
    turn_cert: Option<PathBuf>,
    /// The key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "turn_cert", help_heading = "Relay")]
    turn_key: Option<PathBuf>,
}

/// The running server; it ends with this.
#[derive(Debug)]
pub(crate) struct Relay {
    server: TurnServer,
    secret: SharedSecret,
    pages: AtomicU64,
}

impl Relay {
    /// Starts it beside the page on `bind`, for media at `media`, if it is asked for. `external` is the address that a NAT
    /// puts before this host.
    pub(crate) fn open(
        options: &Options,
        bind: IpAddr,
        media: Vec<SocketAddr>,
        external: Option<IpAddr>,
    ) -> Result<Option<Self>, ServeError> {
        if !options.turn {
            return Ok(None);
        }
        let secret = new_secret();
        let mut config = Config::default();
        let plain = SocketAddr::new(bind, options.turn_port);
        (config.udp, config.tcp) = (vec![plain], vec![plain]);
        if let (Some(certificates), Some(key)) = (&options.turn_cert, &options.turn_key) {
            config.identity = Some(Identity {
                certificates: read(certificates)?,
                key: read(key)?,
            });
            config.tls = vec![SocketAddr::new(bind, options.turn_tls_port)];
        }
        if let Some(external) = external.filter(IpAddr::is_ipv4) {
            config.relay = relays_behind(bind, external);
        }
        config.server.shared_secrets = vec![secret.to_vec()];
        config.server.max_allocations_per_user = PER_PAGE;
        config.server.access.own_sockets = media;
        Ok(Some(Self {
            server: TurnServer::bind(config)?,
            secret: SharedSecret::new(&secret),
            pages: AtomicU64::new(0),
        }))
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> String {
        let all = self.server.addresses().iter();
        let all: Vec<String> = all
            .map(|(transport, address)| format!("{transport} {address}"))
            .collect();
        all.join(", ")
    }

    /// What a page has to know, `RTCConfiguration.iceServers` of the W3C's WebRTC: the server under the name by which the
    /// page came here.
    pub(crate) fn ice_servers(&self, headers: &HeaderMap) -> Value {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let Some(host) = host.map(without_port) else {
            return json!([]);
        };
        let url = |scheme: &str, addresses: &[SocketAddr], transport: &str| {
            let port = addresses.first()?.port();
            Some(format!("{scheme}:{host}:{port}?transport={transport}"))
        };
        let urls = [
            url("turn", self.server.udp(), "udp"),
            url("turn", self.server.tcp(), "tcp"),
            url("turns", self.server.tls(), "tcp"),
        ];
        let urls: Vec<String> = urls.into_iter().flatten().collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let until = now.map_or(0, |now| now.as_secs()) + LIFETIME;
        // Quotas count by the name behind the colon.
        let name = format!("page{}", self.pages.fetch_add(1, Ordering::Relaxed));
        let credentials = self.secret.credentials(&name, until);
        json!([{"urls": urls, "username": credentials.username, "credential": credentials.password}])
    }
}

/// Relays from the address that is listened on, known by the NAT's.
fn relays_behind(bind: IpAddr, external: IpAddr) -> Vec<RelayAddress> {
    let ip = if bind.is_unspecified() {
        // The one that leads out; nothing is sent.
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
        let local = socket.and_then(|socket| {
            socket.connect((external, 9))?;
            socket.local_addr()
        });
        local.map_or(bind, |local| local.ip())
    } else {
        bind
    };
    let external = Some(external);
    vec![RelayAddress { ip, external }]
}

fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    std::fs::read(path).map_err(|error| ServeError::Read(path.to_owned(), error))
}

/// The host of a Host header (RFC 9110, section 7.2), an IPv6 address in its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_part_of_a_name() {
        assert_eq!(without_port("example.org"), "example.org");
        assert_eq!(without_port("example.org:8080"), "example.org");
        assert_eq!(without_port("[2001:db8::1]:8080"), "[2001:db8::1]");
        assert_eq!(without_port("[2001:db8::1]"), "[2001:db8::1]");
    }
}
