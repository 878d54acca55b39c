//! The sockets that clients come to, and the addresses that follow from the configuration.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use dunlin_net::Transport;

use super::config::{Config, RelayAddress};
use super::error::BindError;
use super::socket;
use crate::interfaces;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The listeners of one worker.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    pub(super) udp: Vec<(UdpSocket, Transport)>,
    /// Whether it is TLS.
    pub(super) tcp: Vec<(TcpListener, bool)>,
}

/// The listeners of each worker, and where they listen.
pub(super) type Opened = (Vec<Sockets>, Vec<(Transport, SocketAddr)>);

/// Fills in what the configuration leaves open.
pub(super) fn complete(config: &mut Config) -> Result<(), BindError> {
    let (first, last) = (*config.ports.start(), *config.ports.end());
    if first < 1024 || first > last {
        return Err(BindError::Ports(first, last));
    }
    config.fill_relays()?;
    if config.listeners().next().is_none() {
        return Err(BindError::NoListener);
    }
    for relay in &config.relay {
        // Found out now, and not by the first client. Where it is a listener's, that is what was written.
        UdpSocket::bind((relay.ip, 0)).map_err(|_| match config.listener_at(relay.ip) {
            Some((transport, address)) => BindError::NoSuchAddress(address, transport),
            None => BindError::NoSuchRelay(relay.ip),
        })?;
    }
    let core = &mut config.server;
    core.ipv4 = config.relay.iter().any(|relay| relay.ip.is_ipv4());
    core.ipv6 = config.relay.iter().any(|relay| relay.ip.is_ipv6());
    core.tcp_relays = config.tcp_relays;
    // quinn-udp has the system set it on every datagram, so those that ask for it get it.
    core.dont_fragment = cfg!(any(target_os = "linux", target_os = "android"));
    core.mobility &= config.workers == 1;
    core.reservations_outside = true;
    let mut own = interfaces::local_addresses(true).unwrap_or_default();
    own.extend(
        config
            .relay
            .iter()
            .flat_map(|relay| [Some(relay.ip), relay.external])
            .flatten(),
    );
    own.retain(|ip| !ip.is_loopback());
    core.access.own.extend(own);
    Ok(())
}

impl Config {
    /// Replaces an empty `relay` by what it stands for, so that external addresses can be added.
    ///
    /// # Errors
    /// When there are no listeners to derive it from, or no address of this host fits them.
    pub fn fill_relays(&mut self) -> Result<(), BindError> {
        if self.relay.is_empty() && self.listeners().next().is_none() {
            return Err(BindError::NoListener);
        }
        if self.relay.is_empty() {
            self.relay = default_relays(self);
        }
        if self.relay.is_empty() {
            return Err(BindError::NoRelay);
        }
        Ok(())
    }
}

impl Config {
    /// Where anything is listened on.
    fn listeners(&self) -> impl Iterator<Item = (Transport, SocketAddr)> {
        let all = [
            (Transport::Udp, &self.udp),
            (Transport::Tcp, &self.tcp),
            (Transport::Tls, &self.tls),
            (Transport::Dtls, &self.dtls),
        ];
        let each = |(transport, list): (Transport, &'_ Vec<SocketAddr>)| {
            list.clone().into_iter().map(move |address| (transport, address))
        };
        all.into_iter().flat_map(each)
    }

    fn listener_at(&self, ip: IpAddr) -> Option<(Transport, SocketAddr)> {
        self.listeners().find(|(_, address)| address.ip() == ip)
    }
}

/// The listeners' own addresses; where one is unspecified, the first of this host of that family.
fn default_relays(config: &Config) -> Vec<RelayAddress> {
    let host = interfaces::local_addresses(false).unwrap_or_default();
    let mut found: Vec<IpAddr> = Vec::new();
    let listeners = [&config.udp, &config.tcp, &config.tls, &config.dtls];
    for address in listeners.into_iter().flatten() {
        let ip = if address.ip().is_unspecified() {
            let mut fitting = host.iter().filter(|ip| ip.is_ipv4() == address.is_ipv4());
            match fitting.find(|ip| !ip.is_loopback()) {
                Some(ip) => *ip,
                None => continue,
            }
        } else {
            address.ip()
        };
        if !found.contains(&ip) {
            found.push(ip);
        }
    }
    let relay = |ip| RelayAddress { ip, external: None };
    found.into_iter().map(relay).collect()
}

/// Opens the listeners of all workers.
pub(super) fn open(config: &Config) -> Result<Opened, BindError> {
    let workers = config.workers;
    let mut sets: Vec<Sockets> = (0..workers).map(|_| Sockets::default()).collect();
    let mut addresses = Vec::new();
    for (transport, wish) in config.listeners() {
        let wrong = |error| BindError::listen(wish, transport, error);
        if config.workers > 1 {
            probe(wish, transport, config).map_err(wrong)?;
        }
        // A port that the system chooses is chosen once.
        let mut address = wish;
        for set in &mut sets {
            address = open_one(set, address, transport, config).map_err(wrong)?;
        }
        addresses.push((transport, address));
    }
    Ok((sets, addresses))
}

/// Whether the port is free. The workers of one server share it, and the kernel would let another server share it as well,
/// which then has half of the clients.
fn probe(address: SocketAddr, transport: Transport, config: &Config) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    match transport {
        Transport::Tcp | Transport::Tls => listen_tcp(address, false).map(drop),
        _ => socket::open(address, config.listener_buffer, false).map(drop),
    }
}

fn open_one(
    set: &mut Sockets,
    address: SocketAddr,
    transport: Transport,
    config: &Config,
) -> io::Result<SocketAddr> {
    let shared = config.workers > 1;
    if matches!(transport, Transport::Tcp | Transport::Tls) {
        let listener = listen_tcp(address, shared)?;
        let local = listener.local_addr()?;
        set.tcp.push((listener, transport == Transport::Tls));
        return Ok(local);
    }
    let socket = socket::open(address, config.listener_buffer, shared)?;
    socket::exceed_cap(&socket, config.listener_buffer);
    let local = socket.local_addr()?;
    set.udp.push((socket, transport));
    Ok(local)
}

fn listen_tcp(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let kind = socket2::Type::STREAM.nonblocking();
    let listener = socket2::Socket::new(domain, kind, Some(socket2::Protocol::TCP))?;
    if address.is_ipv6() {
        listener.set_only_v6(true)?;
    }
    // A restarted server need not wait for the connections of the one before it to be forgotten.
    #[cfg(unix)]
    listener.set_reuse_address(true)?;
    socket::share(&listener, shared)?;
    listener.bind(&address.into())?;
    listener.listen(BACKLOG)?;
    Ok(listener.into())
}
