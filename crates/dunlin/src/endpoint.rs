//! An endpoint: sockets that many connections share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use dunlin_net::Transport;
use dunlin_peerconnection as peer;
use tokio::net::TcpListener;

use crate::config::{AddressPolicy, Config, EndpointConfig};
use crate::core::{Connection, Core, State};
use crate::driver::Driver;
use crate::error::BindError;
use crate::event::Events;
use crate::mailbox::Mailbox;
use crate::peer_connection::PeerConnection;
use crate::socket::Socket;
use crate::tls::Tls;
use crate::watch::{Watch, announced};
use crate::{ice_server, interface_watch, interfaces, peer_tcp};

/// Sockets that many connections share: one port for a whole server.
///
/// Arriving datagrams find their connection by the ICE username fragment that they name, then by the addresses
/// that the connection uses. So two connections of one endpoint cannot share one remote address and port.
///
/// Cloning makes another handle. The sockets close when the last handle and the last connection are gone.
#[derive(Debug, Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    mailbox: Arc<Mailbox>,
    /// The addresses that peers may connect to over TCP.
    listening: Vec<SocketAddr>,
    /// Peers are not told the addresses of this host.
    hides_hosts: bool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

impl Endpoint {
    /// Opens the sockets and starts the task that drives them on the current tokio runtime.
    ///
    /// Cancel-safe: a dropped future leaves nothing behind.
    ///
    /// # Errors
    /// When the system refuses a socket, or the host has no address to announce.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    // Async although nothing waits today: gathering interfaces and opening relayed sockets may have to.
    #[allow(clippy::unused_async)]
    pub async fn bind(config: EndpointConfig) -> Result<Self, BindError> {
        let mailbox = Arc::new(Mailbox::default());
        let any = config.bind.is_empty() || config.bind.iter().any(|address| address.ip().is_unspecified());
        if any {
            interface_watch::tell(&mailbox);
        }
        let (sockets, addresses) = open(&config)?;
        mailbox.set_addresses(addresses.clone());
        let bound: Vec<SocketAddr> = sockets.iter().map(Socket::local).collect();
        let (listeners, listening) = match config.tcp {
            true => listen(&bound, &addresses)?,
            false => (Vec::new(), Vec::new()),
        };
        let watch = Watch::new(bound, interfaces::Selection::of(&config), addresses);
        tokio::spawn(
            Driver::new(sockets, mailbox.clone(), watch)
                .listening(listeners)
                .run(),
        );
        Ok(Self {
            inner: Arc::new(Inner {
                mailbox,
                listening,
                hides_hosts: config.policy == AddressPolicy::DefaultRouteHidden,
            }),
        })
    }

    /// The addresses that connections announce now: those of sockets that are bound to none change as the host moves
    /// between networks.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.inner.mailbox.addresses()
    }

    /// How many datagrams arrived that belonged to no connection.
    #[must_use]
    pub fn unrouted_datagrams(&self) -> u64 {
        self.inner.mailbox.unrouted.load(Ordering::Relaxed)
    }

    /// Makes a connection on this endpoint's sockets; `config.sockets` is not used.
    ///
    /// Cancel-safe: a dropped future leaves nothing behind. It waits only for the names of STUN and TURN servers, 5 s
    /// at most.
    ///
    /// # Errors
    /// When the URL of a server is malformed or its credentials are missing, or the runtime that drove the endpoint
    /// is gone.
    pub async fn connection(&self, config: Config) -> Result<(PeerConnection, Events), BindError> {
        self.make(config, false).await
    }

    /// `own_sockets`: the endpoint will have no other connection.
    pub(crate) async fn make(
        &self,
        config: Config,
        own_sockets: bool,
    ) -> Result<(PeerConnection, Events), BindError> {
        let servers = ice_server::resolve(&config.ice_servers).await?;
        let tls = match servers.needs_tls() {
            true => Some(Tls::new(&config.tls_roots)?),
            false => None,
        };
        let mut peer_config = config.peer;
        peer_config.stun_servers.extend(servers.stun);
        peer_config.stun_ways.extend(servers.stun_ways);
        peer_config.turn_servers.extend(servers.turn);
        peer_config.failed_servers.extend(servers.failed);
        peer_config.ice_transport_policy = config.ice_transport_policy;
        peer_config.external_ips.extend(config.external_ips);
        peer_config.advertise_hosts &= !self.inner.hides_hosts;
        let now = Instant::now();
        let mut connection = peer::PeerConnection::new(peer_config, dunlin_crypto::random::seed(), now);
        for address in self.local_addresses() {
            connection.add_local_address(now, address, Transport::Udp);
        }
        for address in &self.inner.listening {
            connection.add_local_address(now, *address, Transport::Tcp);
        }
        let mailbox = &self.inner.mailbox;
        let mut state = State::new(connection, config.track_queue);
        (state.own_sockets, state.tls) = (own_sockets, tls);
        let core = Arc::new(Core::new(mailbox.next_key(), state, mailbox.clone()));
        let connection = Arc::new(Connection {
            core: core.clone(),
            channel_buffer: config.channel_buffer,
        });
        if !mailbox.add(core) {
            return Err(BindError::EndpointGone);
        }
        Ok((PeerConnection::new(connection.clone()), Events::new(connection)))
    }
}

/// The sockets, and the addresses they are announced with.
fn open(config: &EndpointConfig) -> Result<(Vec<Socket>, Vec<SocketAddr>), BindError> {
    let local = interfaces::Selection::of(config)
        .addresses()
        .map_err(BindError::Interfaces)?;
    let mut sockets = Vec::new();
    if config.bind.is_empty() {
        open_any(&local, config.socket_buffer, &mut sockets)?;
    }
    for address in &config.bind {
        sockets.push(bind(*address, config.socket_buffer)?);
    }
    let bound: Vec<SocketAddr> = sockets.iter().map(Socket::local).collect();
    sockets.shrink_to_fit();
    let addresses = announced(&bound, &local);
    if addresses.is_empty() {
        return Err(BindError::NoAddress);
    }
    Ok((sockets, addresses))
}

/// Sockets that listen for TCP connections beside those that are `bound`, and the addresses they are announced with.
fn listen(
    bound: &[SocketAddr],
    announced_udp: &[SocketAddr],
) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), BindError> {
    let local: Vec<IpAddr> = announced_udp.iter().map(SocketAddr::ip).collect();
    let (mut listeners, mut at) = (Vec::new(), Vec::new());
    for address in bound {
        let refused = |source| BindError::Socket {
            address: *address,
            source,
        };
        let any_port = SocketAddr::new(address.ip(), 0);
        let listener = peer_tcp::listen(*address).or_else(|_| peer_tcp::listen(any_port));
        let listener = listener.and_then(TcpListener::from_std).map_err(refused)?;
        at.push(listener.local_addr().map_err(refused)?);
        listeners.push(listener);
    }
    Ok((listeners, announced(&at, &local)))
}

/// One socket per family that this host has addresses of, at the same port where that is free.
fn open_any(local: &[IpAddr], buffer: usize, sockets: &mut Vec<Socket>) -> Result<(), BindError> {
    let mut port = 0;
    if local.iter().any(IpAddr::is_ipv4) {
        let socket = bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0), buffer)?;
        port = socket.local().port();
        sockets.push(socket);
    }
    if local.iter().any(IpAddr::is_ipv6) {
        let any = |port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        match bind(any(port), buffer).or_else(|_| bind(any(0), buffer)) {
            Ok(socket) => sockets.push(socket),
            // An address of a family that sockets cannot be made of: containers have that.
            Err(error) if !sockets.is_empty() => log::debug!("without IPv6: {error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn bind(address: SocketAddr, buffer: usize) -> Result<Socket, BindError> {
    Socket::bind(address, buffer).map_err(|source| BindError::Socket { address, source })
}
