//! `dunlin serve`: the page, its signalling, and `POST /offer` for anyone's client.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::Args;
use dunlin::{Config, Endpoint, EndpointConfig, SessionDescription};
use tokio::net::TcpListener;

use crate::relay::Relay;
use crate::say::say;
use crate::{page, relay, session, signalling};

/// Where to listen, and how browsers reach this host.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The IP address to serve the page on.
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    bind: IpAddr,
    /// The TCP port to serve the page on; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The IP address that browsers send media and data to: one of this host, or the public one of a NAT in
    /// front of it. May be given more than once. Default: all addresses of this host.
    #[arg(long, value_name = "IP")]
    ice_ip: Vec<IpAddr>,
    /// The UDP port for media and data; 0 takes a free one.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    ice_port: u16,
    /// Lets browsers send media and data over TCP as well, to the same port: for networks that let no UDP out.
    #[arg(long)]
    ice_tcp: bool,
    #[command(flatten)]
    relay: relay::Options,
}

/// Why the program ends: sentences that say what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("port {} on {} is in use by another program. Stop that one, or choose another port with --port.", .0.port(), .0.ip())]
    PortInUse(SocketAddr),
    #[error("this machine has no address {}. Give one of its own with --bind, or 0.0.0.0 for all of them.", .0.ip())]
    NoSuchAddress(SocketAddr),
    #[error("port {} may only be used by the administrator. Choose one from 1024 on with --port.", .0.port())]
    Forbidden(SocketAddr),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    #[error("media cannot be received: {0}. --ice-ip and --ice-port say where it should be.")]
    Ice(#[from] dunlin::BindError),
    #[error("{0} cannot be read: {1}")]
    Read(std::path::PathBuf, #[source] io::Error),
    #[error("the TURN server does not start: {0}. --turn-port and --turn-tls-port choose other ports.")]
    Turn(#[from] dunlin::turn_server::BindError),
    #[error("the web server stopped: {0}")]
    Serve(#[source] io::Error),
}

/// What all handlers share: one UDP port for all browsers, and one certificate.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) endpoint: Endpoint,
    pub(crate) config: Config,
    pub(crate) relay: Option<Relay>,
}

/// Serves until Ctrl-C.
pub(crate) async fn run(options: &Options) -> Result<(), ServeError> {
    let listener = listen(SocketAddr::new(options.bind, options.port)).await?;
    let address = listener.local_addr().map_err(ServeError::Serve)?;
    let app = Arc::new(open(options).await?);
    say(format_args!("dunlin is at http://{}", reachable(address)));
    say("Open it in a browser; POST /offer takes the offer of any other WebRTC client. Ctrl-C ends.");
    if let Some(relay) = &app.relay {
        say(format_args!(
            "It relays for browsers that have no UDP: {}",
            relay.addresses()
        ));
    }
    log::info!("media at {:?}", app.endpoint.local_addresses());
    serve(listener, app).await
}

/// Serves the page and its signalling on `listener`.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>) -> Result<(), ServeError> {
    let router = Router::new()
        .route("/", get(page::index))
        .route("/style.css", get(page::style))
        .route("/app.js", get(page::script))
        .route("/ice", get(ice_servers))
        .route("/ws", get(websocket))
        .route("/offer", post(offer))
        .with_state(app);
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        // Without a handler for Ctrl-C the program runs until it is killed, which is all the same.
        let _ = tokio::signal::ctrl_c().await;
    });
    server.await.map_err(ServeError::Serve)
}

/// Opens the UDP port.
pub(crate) async fn open(options: &Options) -> Result<App, ServeError> {
    let mut config = Config::default();
    let mut sockets = EndpointConfig::default();
    // The page is served to this machine by default, whose browser may have no other network.
    sockets.include_loopback = options.bind.is_loopback() || options.bind.is_unspecified();
    sockets.tcp = options.ice_tcp;
    for ip in &options.ice_ip {
        // An address that can be bound is one of this host's; any other is a NAT's.
        match std::net::UdpSocket::bind((*ip, 0)) {
            Ok(_) => sockets.bind.push(SocketAddr::new(*ip, options.ice_port)),
            Err(_) => config.external_ips.push(*ip),
        }
    }
    if sockets.bind.is_empty() && options.ice_port != 0 {
        sockets
            .bind
            .push(SocketAddr::new([0, 0, 0, 0].into(), options.ice_port));
    }
    let endpoint = Endpoint::bind(sockets).await?;
    let mut media = endpoint.local_addresses();
    let external = config.external_ips.first().copied();
    if let (Some(external), Some(port)) = (external, media.first().map(SocketAddr::port)) {
        media.push(SocketAddr::new(external, port));
    }
    Ok(App {
        relay: Relay::open(&options.relay, options.bind, media, external)?,
        endpoint,
        config,
    })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => ServeError::PortInUse(address),
            io::ErrorKind::AddrNotAvailable => ServeError::NoSuchAddress(address),
            io::ErrorKind::PermissionDenied => ServeError::Forbidden(address),
            _ => ServeError::Listen(address, error),
        })
}

/// An address that a browser on this machine can open.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => SocketAddr::new([127, 0, 0, 1].into(), address.port()),
        IpAddr::V6(_) => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), address.port()),
    }
}

/// The STUN and TURN servers for a call: none, or our own with credentials for this call alone.
async fn ice_servers(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let servers = app.relay.as_ref().map(|relay| relay.ice_servers(&headers));
    let text = servers.unwrap_or_else(|| serde_json::json!([])).to_string();
    // A call's own: nobody else is to get them out of a cache.
    (
        [
            ("content-type", "application/json"),
            ("cache-control", "no-store"),
        ],
        text,
    )
        .into_response()
}

async fn websocket(State(app): State<Arc<App>>, upgrade: WebSocketUpgrade) -> Response {
    // An offer is some ten kilobytes; nobody needs to send a megabyte.
    upgrade
        .max_message_size(1 << 20)
        .on_upgrade(|socket| signalling::run(socket, app))
}

/// `POST /offer`: an offer with its candidates inside, answered the same way.
async fn offer(State(app): State<Arc<App>>, body: String) -> Response {
    let offer: SessionDescription = match body.parse() {
        Ok(offer) => offer,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error),
    };
    match session::answer_whole(&app, offer).await {
        Ok(answer) => (
            [
                ("content-type", "application/json"),
                ("access-control-allow-origin", "*"),
            ],
            answer.to_string(),
        )
            .into_response(),
        Err(error) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &error),
    }
}

fn refuse(status: StatusCode, error: &dyn std::error::Error) -> Response {
    (status, format!("{error}\n")).into_response()
}
