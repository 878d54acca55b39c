//! `dunlin check`: asks STUN and TURN servers for addresses as a connection would, and prints what became of each.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use dunlin::{
    BindError, Config, ConnectionError, CreateChannelError, DataChannelInit, DescriptionError, IceServer,
    PeerConnection, ServerState, TlsRoots,
};

use crate::say::say;

/// Which servers to ask.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// A STUN server: `stun:HOST` or `stuns:HOST`. May be given more than once.
    #[arg(long, value_name = "URL")]
    stun: Vec<String>,
    /// How the STUN servers are reached, which their URLs cannot say: tcp is TLS for `stuns:`, udp is DTLS.
    /// [default: UDP for `stun:`, TLS for `stuns:`]
    #[arg(long, value_name = "tcp|udp", requires = "stun")]
    stun_transport: Option<StunTransport>,
    /// A TURN server: `turn:HOST` (UDP), `turn:HOST?transport=tcp`, `turns:HOST` (TLS) or `turns:HOST?transport=udp`
    /// (DTLS). May be given more than once.
    #[arg(long, value_name = "URL", requires = "user", requires = "credential")]
    turn: Vec<String>,
    /// The user's name, for all TURN servers.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The user's password, for all TURN servers.
    #[arg(long, value_name = "PASSWORD")]
    credential: Option<String>,
    /// Certificates (PEM) to trust instead of the system's, for TLS and DTLS.
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// How long the servers have to answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    within: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StunTransport {
    Tcp,
    Udp,
}

/// Why the check did not go well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("name a server with --stun or --turn")]
    NoServer,
    #[error("cannot read {0}: {1}")]
    Roots(PathBuf, #[source] std::io::Error),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Channel(#[from] CreateChannelError),
    #[error(transparent)]
    Description(#[from] DescriptionError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("{0} of {1} servers gave no address")]
    Failed(usize, usize),
}

/// Gathers candidates once, and prints the report.
pub(crate) async fn run(options: Options) -> Result<(), CheckError> {
    if options.stun.is_empty() && options.turn.is_empty() {
        return Err(CheckError::NoServer);
    }
    let mut config = Config::default();
    config.sockets.include_loopback = true;
    let over_tcp = options
        .stun_transport
        .map(|over| matches!(over, StunTransport::Tcp));
    config.ice_servers = options.stun.into_iter().map(IceServer::stun).collect();
    for server in &mut config.ice_servers {
        server.stun_over_tcp = over_tcp;
    }
    let (user, credential) = (
        options.user.unwrap_or_default(),
        options.credential.unwrap_or_default(),
    );
    let turn = options.turn.into_iter();
    config
        .ice_servers
        .extend(turn.map(|url| IceServer::turn(url, user.clone(), credential.clone())));
    if let Some(path) = options.roots {
        let pem = std::fs::read(&path).map_err(|error| CheckError::Roots(path, error))?;
        config.tls_roots = TlsRoots::Pem(pem);
    }
    let (connection, _events) = PeerConnection::bind(config).await?;
    // An offer without a channel would have nothing to gather for.
    let _channel = connection.create_data_channel("check", DataChannelInit::default())?;
    connection.set_local_description()?;
    // Who is silent by then is told of as such.
    let patience = Duration::from_secs(options.within);
    if let Ok(gathered) = tokio::time::timeout(patience, connection.gathered()).await {
        gathered?;
    }
    let report = connection.ice_report();
    report.servers.iter().for_each(say);
    say("candidates:");
    for candidate in &report.local {
        say(format_args!("  {candidate}"));
    }
    connection.close();
    let answered = |state: &ServerState| matches!(state, ServerState::Answered { .. });
    let failed = report
        .servers
        .iter()
        .filter(|server| !answered(&server.state))
        .count();
    match failed {
        0 => Ok(()),
        failed => Err(CheckError::Failed(failed, report.servers.len())),
    }
}
