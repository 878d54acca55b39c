//! The network of a meeting: vnet's routers, and a socket for every address that is used.
#![allow(clippy::disallowed_types, reason = "vnet shares its routers")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use dunlin_net::Path;
use dunlin_sim::scenario::nat::Topology;
use dunlin_sim::{Dependence, NatKind};
use tokio::sync::{Mutex, mpsc};
use webrtc_util::Conn;
use webrtc_util::vnet::nat::{EndpointDependencyType, NatMode, NatType};
use webrtc_util::vnet::net::{Net, NetConfig};
use webrtc_util::vnet::router::{Nic, Router, RouterConfig};

/// A datagram that came out of a socket; `path.local` is the socket.
pub(crate) struct Wire {
    pub(crate) path: Path,
    pub(crate) data: BytesMut,
}

pub(crate) struct Network {
    pub(crate) hosts: [SocketAddr; 2],
    nets: [Net; 2],
    servers: Net,
    sockets: BTreeMap<SocketAddr, Arc<dyn Conn + Send + Sync>>,
    sink: mpsc::UnboundedSender<Wire>,
    source: mpsc::UnboundedReceiver<Wire>,
    /// The root: it routes as long as it lives.
    _world: Arc<Mutex<Router>>,
}

impl Network {
    /// The routers of a topology, a host behind each side's, and a host for servers.
    pub(crate) async fn new(topology: &Topology, servers: &[SocketAddr]) -> Self {
        let world = router("0.0.0.0/0", None, None);
        let above = match topology.carrier {
            Some(kind) => attach(&world, "100.64.0.0/10", "198.51.100.9", kind).await,
            None => Arc::clone(&world),
        };
        let mut hosts = Vec::new();
        let mut nets = Vec::new();
        for (index, side) in topology.sides.iter().enumerate() {
            let number = index as u8 + 1;
            let outside = match topology.carrier {
                Some(_) => format!("100.64.0.{number}"),
                None => format!("198.51.100.{number}"),
            };
            let (ip, network) = match side.nat {
                Some(kind) => {
                    let cidr = format!("10.{number}.0.0/16");
                    (
                        format!("10.{number}.0.1"),
                        attach(&above, &cidr, &outside, kind).await,
                    )
                }
                None => (outside, Arc::clone(&above)),
            };
            nets.push(host(&network, std::slice::from_ref(&ip)).await);
            hosts.push(SocketAddr::new(ip.parse().unwrap(), 5000));
        }
        let ips: Vec<String> = servers.iter().map(|server| server.ip().to_string()).collect();
        let of_servers = host(&world, &ips).await;
        world.lock().await.start().await.unwrap();
        let (sink, source) = mpsc::unbounded_channel();
        let mut network = Self {
            hosts: [hosts[0], hosts[1]],
            nets: nets.try_into().unwrap_or_else(|_| unreachable!("two sides")),
            servers: of_servers,
            sockets: BTreeMap::new(),
            sink,
            source,
            _world: world,
        };
        for server in servers {
            network.serve(*server).await;
        }
        for index in [0, 1] {
            let socket = network.nets[index].bind(network.hosts[index]).await.unwrap();
            network.listen(network.hosts[index], socket);
        }
        network
    }

    /// A socket of the servers' host, opened once.
    pub(crate) async fn serve(&mut self, address: SocketAddr) {
        if !self.sockets.contains_key(&address) {
            let socket = self.servers.bind(address).await.unwrap();
            self.listen(address, socket);
        }
    }

    fn listen(&mut self, address: SocketAddr, socket: Arc<dyn Conn + Send + Sync>) {
        self.sockets.insert(address, Arc::clone(&socket));
        let sink = self.sink.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                let path = Path::udp(address, from);
                let data = BytesMut::from(&buffer[..len]);
                if sink.send(Wire { path, data }).is_err() {
                    return;
                }
            }
        });
    }

    pub(crate) async fn send(&self, path: Path, data: &[u8]) {
        // What a relay was closed for in the meantime is lost, as on any network.
        if let Some(socket) = self.sockets.get(&path.local) {
            socket.send_to(data, path.remote).await.unwrap();
        }
    }

    pub(crate) async fn receive(&mut self) -> Option<Wire> {
        self.source.recv().await
    }
}

fn router(cidr: &str, outside: Option<&str>, kind: Option<NatType>) -> Arc<Mutex<Router>> {
    let router = Router::new(RouterConfig {
        cidr: cidr.to_owned(),
        static_ips: outside.map(str::to_owned).into_iter().collect(),
        nat_type: kind,
        ..RouterConfig::default()
    });
    Arc::new(Mutex::new(router.unwrap()))
}

/// A translator below a router.
async fn attach(above: &Arc<Mutex<Router>>, cidr: &str, outside: &str, kind: NatKind) -> Arc<Mutex<Router>> {
    let dependence = |dependence| match dependence {
        Dependence::EndpointIndependent => EndpointDependencyType::EndpointIndependent,
        Dependence::AddressDependent => EndpointDependencyType::EndpointAddrDependent,
        Dependence::AddressAndPortDependent => EndpointDependencyType::EndpointAddrPortDependent,
    };
    let nat = NatType {
        mode: NatMode::Normal,
        mapping_behavior: dependence(kind.mapping),
        filtering_behavior: dependence(kind.filtering),
        // The referee measures these in real time, of which there is little.
        mapping_life_time: Duration::from_secs(3600),
        ..NatType::default()
    };
    let child = router(cidr, Some(outside), Some(nat));
    if !kind.udp {
        child.lock().await.add_chunk_filter(Box::new(|_| false)).await;
    }
    above.lock().await.add_router(Arc::clone(&child)).await.unwrap();
    child.lock().await.set_router(Arc::clone(above)).await.unwrap();
    child
}

/// A host on the network of a router.
async fn host(router: &Arc<Mutex<Router>>, ips: &[String]) -> Net {
    let net = Net::new(Some(NetConfig {
        static_ips: ips.to_vec(),
        ..NetConfig::default()
    }));
    let nic = net.get_nic().unwrap();
    router.lock().await.add_net(Arc::clone(&nic)).await.unwrap();
    nic.lock().await.set_router(Arc::clone(router)).await.unwrap();
    net
}
