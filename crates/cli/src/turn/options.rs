//! What `dunlin turn` can be told. Every flag is a key of the configuration file, of the same name; flags win.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use dunlin::turn_server::Prefix;
use serde::Deserialize;

/// Relay media for clients that cannot reach each other: a TURN and STUN server (RFC 8656, RFC 8489).
///
/// Every option may stand in the TOML file that --config names, under the same name without the dashes: `realm =
/// "example.org"`, `user = ["alice:secret"]`. What the command line says wins over the file.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[command(
    after_help = "SIGTERM drains: no new allocations, and the end when the last one is gone or after --drain-seconds. \
    A second one, and Ctrl-C, end at once. SIGHUP reads the certificate and its key again.\n\n\
    Example:\n  dunlin turn --realm example.org --shared-secret SECRET --external-ip 203.0.113.5 \\\n    \
    --cert fullchain.pem --key privkey.pem --metrics 127.0.0.1:9641"
)]
pub(crate) struct Options {
    /// Reads a TOML file.
    #[arg(long, short = 'c', value_name = "FILE")]
    #[serde(skip)]
    pub(super) config: Option<PathBuf>,

    /// Listens for UDP here. May be repeated. [default: port 3478 on all addresses]
    #[arg(long, value_name = "IP:PORT", help_heading = "Listeners")]
    pub(super) udp: Vec<SocketAddr>,
    /// Listens for TCP here. May be repeated. [default: port 3478 on all addresses]
    #[arg(long, value_name = "IP:PORT", help_heading = "Listeners")]
    pub(super) tcp: Vec<SocketAddr>,
    /// Listens for TLS here. May be repeated. [default: with --cert, port 5349 on all addresses]
    #[arg(long, value_name = "IP:PORT", help_heading = "Listeners")]
    pub(super) tls: Vec<SocketAddr>,
    /// Listens for DTLS here. May be repeated. [default: with --cert, port 5349 on all addresses]
    #[arg(long, value_name = "IP:PORT", help_heading = "Listeners")]
    pub(super) dtls: Vec<SocketAddr>,
    /// No UDP.
    #[arg(long, help_heading = "Listeners")]
    pub(super) no_udp: bool,
    /// No TCP.
    #[arg(long, help_heading = "Listeners")]
    pub(super) no_tcp: bool,
    /// No TLS.
    #[arg(long, help_heading = "Listeners")]
    pub(super) no_tls: bool,
    /// No DTLS.
    #[arg(long, help_heading = "Listeners")]
    pub(super) no_dtls: bool,
    /// Offers the discovery of NAT behaviour (RFC 5780) with this address and port; given twice, and the two differ in
    /// both. All four combinations are listened on for UDP.
    #[arg(long, value_name = "IP:PORT", help_heading = "Listeners")]
    pub(super) nat_discovery: Vec<SocketAddr>,
    /// The certificate for TLS and DTLS, with those of its issuers behind it (PEM).
    #[arg(long, value_name = "FILE", help_heading = "Listeners")]
    pub(super) cert: Option<PathBuf>,
    /// The key of the certificate (PEM).
    #[arg(long, value_name = "FILE", help_heading = "Listeners")]
    pub(super) key: Option<PathBuf>,
    /// Threads, among which the kernel spreads the clients; 0 for one per core. With more than one, allocations cannot
    /// move (RFC 8016). [default: 0]
    #[arg(long, value_name = "N", help_heading = "Listeners")]
    pub(super) workers: Option<usize>,
    /// Microseconds that a thread which relays more than 40,000 datagrams per second may wait for others of the same
    /// flows: it relays more for it. 0 for never. [default: 1000]
    #[arg(long, value_name = "MICROSECONDS", help_heading = "Listeners")]
    pub(super) rest_us: Option<u32>,

    /// The realm of the users, mostly a domain name. [default: dunlin]
    #[arg(long, value_name = "NAME", help_heading = "Users")]
    pub(super) realm: Option<String>,
    /// A user. May be repeated. Others on this host can read the command line: prefer the file.
    #[arg(long, value_name = "NAME:PASSWORD", help_heading = "Users")]
    pub(super) user: Vec<String>,
    /// A secret that another server makes credentials with: the username is the time of their end (Unix seconds) and,
    /// behind a colon, a name; the password is the HMAC-SHA1 of that, in base64. May be repeated, to replace a secret.
    #[arg(long, value_name = "SECRET", help_heading = "Users")]
    pub(super) shared_secret: Vec<String>,
    /// Reads one more such secret from the first line of a file.
    #[arg(long, value_name = "FILE", help_heading = "Users")]
    pub(super) shared_secret_file: Option<PathBuf>,
    /// Answers STUN requests and relays for nobody: no user is needed.
    #[arg(long, help_heading = "Users")]
    pub(super) stun_only: bool,
    /// Does not answer STUN Binding requests.
    #[arg(long, help_heading = "Users")]
    pub(super) no_stun: bool,
    /// Says this in SOFTWARE, to those who have authenticated. [default: nothing]
    #[arg(long, value_name = "TEXT", help_heading = "Users")]
    pub(super) software: Option<String>,
    /// Accepts channel numbers up to 0x7FFF, as old clients choose them (RFC 5766); RFC 8656 has them refused from 0x5000
    /// on.
    #[arg(long, help_heading = "Users")]
    pub(super) rfc5766_channels: bool,
    /// Seconds after which a client has to fetch a new nonce. [default: 3600]
    #[arg(long, value_name = "SECONDS", help_heading = "Users")]
    pub(super) nonce_seconds: Option<u64>,

    /// Relays from this address of the host. May be repeated. [default: the first of each family that is listened on]
    #[arg(long, value_name = "IP", help_heading = "Relays")]
    pub(super) relay_ip: Vec<IpAddr>,
    /// The address that peers see, where a 1:1 NAT stands before this host; behind a slash the relay address that it is
    /// for, if there are several. May be repeated.
    #[arg(long, value_name = "PUBLIC[/PRIVATE]", help_heading = "Relays")]
    pub(super) external_ip: Vec<String>,
    /// Makes no connections to peers and takes none from them (RFC 6062): relays are for UDP alone.
    #[arg(long, help_heading = "Relays")]
    pub(super) no_tcp_relay: bool,
    /// The lowest port of relays. [default: 49152]
    #[arg(long, value_name = "PORT", help_heading = "Relays")]
    pub(super) min_port: Option<u16>,
    /// The highest port of relays. [default: 65535]
    #[arg(long, value_name = "PORT", help_heading = "Relays")]
    pub(super) max_port: Option<u16>,
    /// Relays to 127.0.0.0/8 and ::1: for tests only, as every service of this host that trusts its loopback is open to
    /// the users then.
    #[arg(long, help_heading = "Relays")]
    pub(super) allow_loopback_peers: bool,
    /// Relays to these addresses although they are private, link-local or otherwise special, or this host's. May be
    /// repeated.
    #[arg(long, value_name = "IP[/BITS]", help_heading = "Relays")]
    #[serde(deserialize_with = "prefixes")]
    pub(super) allow_peer: Vec<Prefix>,
    /// Never relays to these addresses; wins over all that allow. May be repeated.
    #[arg(long, value_name = "IP[/BITS]", help_heading = "Relays")]
    #[serde(deserialize_with = "prefixes")]
    pub(super) deny_peer: Vec<Prefix>,

    /// Allocations in all. [default: 10000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(super) total_quota: Option<usize>,
    /// Allocations of one user; of credentials from a shared secret the name behind the colon counts. [default: 100]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(super) user_quota: Option<usize>,
    /// Seconds that an allocation lives if its client asks for none or less. [default: 600]
    #[arg(long, value_name = "SECONDS", help_heading = "Limits")]
    pub(super) default_lifetime: Option<u64>,
    /// Seconds that an allocation lives at most before it is refreshed. [default: 3600]
    #[arg(long, value_name = "SECONDS", help_heading = "Limits")]
    pub(super) max_lifetime: Option<u64>,
    /// Bytes per second of one allocation, in each direction. [default: unlimited]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    pub(super) max_bps: Option<u64>,
    /// TCP and TLS connections in each thread. [default: 10000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(super) max_connections: Option<usize>,
    /// Does not let clients take their allocation along to another address (RFC 8016).
    #[arg(long, help_heading = "Limits")]
    pub(super) no_mobility: bool,

    /// Seconds that SIGTERM leaves to the allocations that are there. [default: 600]
    #[arg(long, value_name = "SECONDS", help_heading = "Operation")]
    pub(super) drain_seconds: Option<u64>,
    /// Sends new clients to this server while draining.
    #[arg(long, value_name = "IP:PORT", help_heading = "Operation")]
    pub(super) alternate_server: Option<SocketAddr>,
    /// Serves /metrics (Prometheus) and /healthz over HTTP here.
    #[arg(long, value_name = "IP:PORT", help_heading = "Operation")]
    pub(super) metrics: Option<SocketAddr>,
    /// What is logged to standard error. [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = levels(), help_heading = "Operation")]
    #[serde(deserialize_with = "level")]
    pub(super) log: Option<log::LevelFilter>,
}

fn levels() -> impl TypedValueParser<Value = log::LevelFilter> {
    PossibleValuesParser::new(["off", "error", "warn", "info", "debug", "trace"])
        .try_map(|level| level.parse::<log::LevelFilter>())
}

fn level<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<log::LevelFilter>, D::Error> {
    let text = String::deserialize(from)?;
    let wrong =
        || serde::de::Error::custom(format!("{text:?} is not off, error, warn, info, debug or trace"));
    text.parse().map(Some).map_err(|_| wrong())
}

fn prefixes<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Prefix>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let parsed = texts
        .iter()
        .map(|text| text.parse().map_err(serde::de::Error::custom));
    parsed.collect()
}

impl Options {
    /// These options, and of the file's what these do not say.
    pub(super) fn over(self, file: Options) -> Options {
        fn list<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
            if flags.is_empty() { file } else { flags }
        }
        Options {
            config: self.config,
            udp: list(self.udp, file.udp),
            tcp: list(self.tcp, file.tcp),
            tls: list(self.tls, file.tls),
            dtls: list(self.dtls, file.dtls),
            no_udp: self.no_udp || file.no_udp,
            no_tcp: self.no_tcp || file.no_tcp,
            no_tls: self.no_tls || file.no_tls,
            no_dtls: self.no_dtls || file.no_dtls,
            nat_discovery: list(self.nat_discovery, file.nat_discovery),
            cert: self.cert.or(file.cert),
            key: self.key.or(file.key),
            workers: self.workers.or(file.workers),
            rest_us: self.rest_us.or(file.rest_us),
            realm: self.realm.or(file.realm),
            user: list(self.user, file.user),
            shared_secret: list(self.shared_secret, file.shared_secret),
            shared_secret_file: self.shared_secret_file.or(file.shared_secret_file),
            stun_only: self.stun_only || file.stun_only,
            no_stun: self.no_stun || file.no_stun,
            rfc5766_channels: self.rfc5766_channels || file.rfc5766_channels,
            software: self.software.or(file.software),
            nonce_seconds: self.nonce_seconds.or(file.nonce_seconds),
            relay_ip: list(self.relay_ip, file.relay_ip),
            external_ip: list(self.external_ip, file.external_ip),
            no_tcp_relay: self.no_tcp_relay || file.no_tcp_relay,
            min_port: self.min_port.or(file.min_port),
            max_port: self.max_port.or(file.max_port),
            allow_loopback_peers: self.allow_loopback_peers || file.allow_loopback_peers,
            allow_peer: list(self.allow_peer, file.allow_peer),
            deny_peer: list(self.deny_peer, file.deny_peer),
            total_quota: self.total_quota.or(file.total_quota),
            user_quota: self.user_quota.or(file.user_quota),
            default_lifetime: self.default_lifetime.or(file.default_lifetime),
            max_lifetime: self.max_lifetime.or(file.max_lifetime),
            max_bps: self.max_bps.or(file.max_bps),
            max_connections: self.max_connections.or(file.max_connections),
            no_mobility: self.no_mobility || file.no_mobility,
            drain_seconds: self.drain_seconds.or(file.drain_seconds),
            alternate_server: self.alternate_server.or(file.alternate_server),
            metrics: self.metrics.or(file.metrics),
            log: self.log.or(file.log),
        }
    }
}
