//! The TURN server on real sockets, met by our own client: every transport, every refusal.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod caller;

use std::net::SocketAddr;

use caller::{Caller, george, soon};
use dunlin::nat;
use dunlin::turn_server::{
    BindError, BindingServer, Config, Identity, Prefix, RelayAddress, TurnServer, User,
};
use dunlin_net::Transport;
use dunlin_turn::attribute::{EvenPort, RequestedTransport};
use dunlin_turn::client::{Event, Failure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// A server on loopback, and its certificate.
struct Site {
    server: TurnServer,
    certificate: String,
}

fn site(change: impl FnOnce(&mut Config)) -> Site {
    let certificate = include_str!("certificate.pem");
    let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut config = Config::default();
    config.udp = vec![local];
    config.tcp = vec![local];
    config.tls = vec![local];
    config.dtls = vec![local];
    config.identity = Some(Identity {
        certificates: certificate.into(),
        key: include_str!("key.pem").into(),
    });
    config.server.realm = "example.org".into();
    config.server.users = vec![User {
        username: "george".into(),
        password: "secret".into(),
    }];
    config.server.access.allowed = vec![Prefix::new([127, 0, 0, 0].into(), 8)];
    change(&mut config);
    Site {
        server: TurnServer::bind(config).unwrap(),
        certificate: certificate.into(),
    }
}

impl Site {
    fn address(&self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::Tcp => self.server.tcp()[0],
            Transport::Tls => self.server.tls()[0],
            Transport::Dtls => self.server.dtls()[0],
            _ => self.server.udp()[0],
        }
    }

    async fn call(&self, transport: Transport) -> Caller {
        Caller::connect(transport, self.address(transport), &self.certificate, |_| {}).await
    }

    async fn udp(&self, change: impl FnOnce(&mut dunlin_turn::client::Config)) -> Caller {
        Caller::connect(Transport::Udp, self.address(Transport::Udp), "", change).await
    }
}

/// A peer, and its address.
async fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A datagram through the relay and one back.
async fn there_and_back(caller: &mut Caller, peer: &UdpSocket, relayed: SocketAddr, text: &str) {
    let address = peer.local_addr().unwrap();
    caller.send(address, text.as_bytes()).await;
    let mut buffer = [0; 2000];
    let (len, from) = soon("the peer to receive", peer.recv_from(&mut buffer))
        .await
        .unwrap();
    assert_eq!((&buffer[..len], from), (text.as_bytes(), relayed));
    let answer = format!("{text}, answered");
    peer.send_to(answer.as_bytes(), relayed).await.unwrap();
    let (from, data) = caller.data().await;
    assert_eq!((from, &data[..]), (address, answer.as_bytes()));
}

/// Allocation, permission, indications, channel, release.
async fn whole_story(site: &Site, mut caller: Caller) {
    let (peer, address) = peer().await;
    let relayed = caller.allocated().await.relayed;
    caller
        .client
        .permit(std::time::Instant::now(), address.ip())
        .unwrap();
    assert_eq!(
        soon("a permission", caller.event()).await,
        Event::Permitted(address.ip())
    );
    there_and_back(&mut caller, &peer, relayed, "in an indication").await;
    caller.client.bind(std::time::Instant::now(), address).unwrap();
    while soon("a channel", caller.event()).await != Event::ChannelBound(address) {}
    there_and_back(&mut caller, &peer, relayed, "by a channel").await;
    // Sizes that have to be padded on a stream.
    for len in 1..=9 {
        there_and_back(&mut caller, &peer, relayed, &"x".repeat(len)).await;
    }
    caller.client.close();
    assert_eq!(caller.failure().await, Failure::Released);
    assert_eq!(site.server.stats().await.sockets.relays, 0);
}

#[tokio::test]
async fn udp_relays_both_ways() {
    let site = site(|_| {});
    whole_story(&site, site.call(Transport::Udp).await).await;
}

#[tokio::test]
async fn tcp_relays_both_ways() {
    let site = site(|_| {});
    whole_story(&site, site.call(Transport::Tcp).await).await;
}

#[tokio::test]
async fn tls_relays_both_ways() {
    let site = site(|_| {});
    whole_story(&site, site.call(Transport::Tls).await).await;
}

#[tokio::test]
async fn dtls_relays_both_ways() {
    let site = site(|_| {});
    whole_story(&site, site.call(Transport::Dtls).await).await;
}

/// Relays that meet at the server's own address, whichever of its threads each client has come to.
#[tokio::test]
async fn relays_of_all_workers_reach_each_other() {
    let site = site(|config| {
        config.workers = 4;
        config.server.access.allowed.clear();
        config.server.access.own = vec!["127.0.0.1".parse().unwrap()];
    });
    let mut callers = Vec::new();
    let mut relayed = Vec::new();
    // The kernel spreads them by their ports: that all come to one worker is out of the question.
    for _ in 0..16 {
        let mut caller = site.udp(|_| {}).await;
        relayed.push(caller.allocated().await.relayed);
        callers.push(caller);
    }
    for (index, caller) in callers.iter_mut().enumerate() {
        let (before, behind) = (relayed[(index + 15) % 16], relayed[(index + 1) % 16]);
        for peer in [before, behind] {
            caller.client.bind(std::time::Instant::now(), peer).unwrap();
            while soon("a channel to another relay", caller.event()).await != Event::ChannelBound(peer) {}
        }
    }
    for index in 0..16 {
        let next = (index + 1) % 16;
        callers[index].send(relayed[next], b"through both").await;
        let (from, data) = callers[next].data().await;
        assert_eq!((from, &data[..]), (relayed[index], &b"through both"[..]));
    }
    // A relay that is closed is a stranger's port again.
    let closed = callers.remove(15);
    drop_allocation(closed).await;
    callers[0].send(relayed[15], b"to nobody").await;
    let refused = async {
        while site.server.stats().await.core.peers_refused == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the server to refuse a port that is no relay", refused).await;
}

async fn drop_allocation(mut caller: Caller) {
    caller.client.close();
    assert_eq!(caller.failure().await, Failure::Released);
}

/// What is shown changes for those who connect from then on.
#[tokio::test]
async fn a_certificate_is_replaced_while_the_server_runs() {
    let site = site(|_| {});
    let before = site.call(Transport::Tls).await;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let renewed = made.cert.pem();
    let identity = Identity {
        certificates: renewed.clone().into(),
        key: made.signing_key.serialize_pem().into(),
    };
    let half = Identity {
        certificates: renewed.clone().into(),
        key: b"no key".to_vec(),
    };
    assert!(matches!(
        site.server.replace_identity(&half),
        Err(BindError::Identity(_))
    ));
    site.server.replace_identity(&identity).unwrap();
    // The workers have obeyed when they answer.
    site.server.stats().await;
    let site = Site {
        server: site.server,
        certificate: renewed,
    };
    whole_story(&site, site.call(Transport::Tls).await).await;
    whole_story(&site, site.call(Transport::Dtls).await).await;
    whole_story(&site, before).await;
}

/// RFC 6062, both ways: the client's data connection carries bytes and nothing else.
#[tokio::test]
async fn tcp_relays_connect_and_are_connected_to() {
    let site = site(|config| config.workers = 1);
    let server = site.address(Transport::Tcp);
    let tcp = |config: &mut dunlin_turn::client::Config| config.transport = RequestedTransport::TCP;
    let mut caller = Caller::connect(Transport::Tcp, server, "", tcp).await;
    let relayed = caller.allocated().await.relayed;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    caller
        .client
        .permit(std::time::Instant::now(), address.ip())
        .unwrap();
    assert_eq!(
        soon("a permission", caller.event()).await,
        Event::Permitted(address.ip())
    );
    caller.client.connect(std::time::Instant::now(), address).unwrap();
    let accepting = soon("the relay to connect", listener.accept());
    let (accepted, event) = tokio::join!(accepting, caller.event());
    let (mut peer, from) = accepted.unwrap();
    assert_eq!(from, relayed);
    let Event::Connected { connection, .. } = event else {
        panic!("{event:?}");
    };
    // Sent before anybody takes the connection over.
    peer.write_all(b"early").await.unwrap();
    let mut data = caller.data_connection(server, connection).await;
    assert_eq!(read_all(&mut data, 5).await, b"early");
    data.write_all(b"to the peer").await.unwrap();
    assert_eq!(read_all(&mut peer, 11).await, b"to the peer");
    // More than any buffer holds.
    let much = vec![7; 3 << 20];
    let (sent, got) = tokio::join!(peer.write_all(&much), read_all(&mut data, much.len()));
    sent.unwrap();
    assert!(got == much);
    drop(peer);
    assert_eq!(soon("the end", data.read(&mut [0; 8])).await.unwrap(), 0);

    let mut incoming = TcpStream::connect(relayed).await.unwrap();
    let Event::ConnectionAttempt { connection, peer } = soon("an attempt", caller.event()).await else {
        panic!("no attempt");
    };
    assert_eq!(peer, incoming.local_addr().unwrap());
    let mut data = caller.data_connection(server, connection).await;
    data.write_all(b"welcome").await.unwrap();
    assert_eq!(read_all(&mut incoming, 7).await, b"welcome");
    // With the allocation go its connections and its port.
    caller.client.close();
    assert_eq!(caller.failure().await, Failure::Released);
    assert_eq!(soon("the end", incoming.read(&mut [0; 8])).await.unwrap(), 0);
    assert_eq!(site.server.stats().await.sockets.relays, 0);
    let gone = async { while TcpStream::connect(relayed).await.is_ok() {} };
    soon("the relay's port to be closed", gone).await;
}

/// The data connections of a client come from other ports and so to any worker; each gets to the one that has the relay.
#[tokio::test]
async fn tcp_relays_work_with_several_workers() {
    let site = site(|config| config.workers = 4);
    for transport in [Transport::Tcp, Transport::Tls] {
        let server = site.address(transport);
        let tcp = |config: &mut dunlin_turn::client::Config| config.transport = RequestedTransport::TCP;
        let mut caller = Caller::connect(transport, server, &site.certificate, tcp).await;
        caller.allocated().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // A quarter of them would do without.
        for round in 0..12_u8 {
            caller.client.connect(std::time::Instant::now(), address).unwrap();
            let accepting = soon("the relay to connect", listener.accept());
            let (accepted, event) = tokio::join!(accepting, caller.event());
            let (mut peer, _) = accepted.unwrap();
            let Event::Connected { connection, .. } = event else {
                panic!("{event:?}");
            };
            let mut data = caller
                .data_connection(site.address(Transport::Tcp), connection)
                .await;
            data.write_all(&[round; 3]).await.unwrap();
            assert_eq!(read_all(&mut peer, 3).await, [round; 3]);
            peer.write_all(&[round; 70_000]).await.unwrap();
            assert!(read_all(&mut data, 70_000).await == [round; 70_000]);
            drop(data);
            assert_eq!(soon("the end", peer.read(&mut [0; 8])).await.unwrap(), 0);
            drop(peer);
            // The name of the connection is free again when the server has noticed both ends.
            let gone = async {
                while site.server.stats().await.sockets.tcp > u64::from(transport == Transport::Tcp) {}
            };
            soon("the data connection to go", gone).await;
        }
        drop_allocation(caller).await;
    }
}

/// `max_bytes_per_second` is shared by all that an allocation carries, TCP connections too.
#[tokio::test]
async fn the_bandwidth_of_a_tcp_relay_is_limited() {
    const RATE: u64 = 100_000;
    let site = site(|config| config.server.max_bytes_per_second = Some(RATE));
    let server = site.address(Transport::Tcp);
    let tcp = |config: &mut dunlin_turn::client::Config| config.transport = RequestedTransport::TCP;
    let mut caller = Caller::connect(Transport::Tcp, server, "", tcp).await;
    caller.allocated().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    caller.client.connect(std::time::Instant::now(), address).unwrap();
    let accepting = soon("the relay to connect", listener.accept());
    let (accepted, event) = tokio::join!(accepting, caller.event());
    let (mut peer, _) = accepted.unwrap();
    let Event::Connected { connection, .. } = event else {
        panic!("{event:?}");
    };
    let mut data = caller.data_connection(server, connection).await;
    // What fits the first second passes at once, and half as much needs half a second more.
    let much = vec![7; RATE as usize * 3 / 2];
    let start = std::time::Instant::now();
    let (sent, got) = tokio::join!(data.write_all(&much), read_all(&mut peer, much.len()));
    sent.unwrap();
    assert!(got == much);
    assert!(start.elapsed().as_millis() >= 450, "{:?}", start.elapsed());
    assert_eq!(site.server.stats().await.core.bytes_to_peers, much.len() as u64);
}

/// A peer that nobody listens for, and one that is not permitted.
#[tokio::test]
async fn tcp_relays_refuse_whom_they_cannot_reach() {
    let site = site(|config| config.workers = 1);
    let server = site.address(Transport::Tcp);
    let tcp = |config: &mut dunlin_turn::client::Config| config.transport = RequestedTransport::TCP;
    let mut caller = Caller::connect(Transport::Tcp, server, "", tcp).await;
    let relayed = caller.allocated().await.relayed;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    caller.client.connect(std::time::Instant::now(), address).unwrap();
    let refused = soon("a refusal", caller.event()).await;
    assert_eq!(
        refused,
        Event::ConnectRefused {
            peer: address,
            code: 447
        }
    );
    let mut stranger = TcpStream::connect(relayed).await.unwrap();
    let end = soon("the relay to hang up", stranger.read(&mut [0; 8])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

async fn read_all(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    soon("bytes", stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

#[tokio::test]
async fn ipv6_relays_both_ways() {
    let local: SocketAddr = "[::1]:0".parse().unwrap();
    if std::net::UdpSocket::bind(local).is_err() {
        // A host without IPv6.
        return;
    }
    let site = site(|config| {
        config.udp = vec![local];
        config.server.access.allowed = vec!["::1".parse().unwrap()];
    });
    let peer = UdpSocket::bind(local).await.unwrap();
    let address = peer.local_addr().unwrap();
    let mut caller = site
        .udp(|config| config.family = Some(dunlin::turn_server::AddressFamily::Ipv6))
        .await;
    let relayed = caller.allocated().await.relayed;
    assert!(relayed.is_ipv6());
    caller.client.bind(std::time::Instant::now(), address).unwrap();
    while soon("a channel", caller.event()).await != Event::ChannelBound(address) {}
    there_and_back(&mut caller, &peer, relayed, "six").await;
}

#[tokio::test]
async fn a_wildcard_listener_answers_from_the_address_it_was_asked_at() {
    let site = site(|config| config.udp = vec!["0.0.0.0:0".parse().unwrap()]);
    let server = SocketAddr::from(([127, 0, 0, 1], site.server.udp()[0].port()));
    let caller = Caller::connect(Transport::Udp, server, "", |_| {}).await;
    whole_story(&site, caller).await;
}

#[tokio::test]
async fn a_wrong_password_gets_nothing() {
    let site = site(|_| {});
    let mut caller = site.udp(|config| config.credentials = george("wrong")).await;
    assert_eq!(caller.failure().await, Failure::WrongCredentials);
    let stats = site.server.stats().await;
    assert_eq!(
        (stats.core.allocations_made, stats.core.wrong_credentials),
        (0, 1)
    );
}

#[tokio::test]
async fn quotas_hold_over_all_workers() {
    for workers in [1, 3] {
        let site = site(|config| {
            config.workers = workers;
            config.server.max_allocations_per_user = 4;
        });
        let mut held = Vec::new();
        for _ in 0..4 {
            let mut caller = site.udp(|_| {}).await;
            caller.allocated().await;
            held.push(caller);
            // Every worker has dealt with what the others told it when it answers this.
            site.server.stats().await;
        }
        assert_eq!(site.udp(|_| {}).await.failure().await, Failure::QuotaReached);
        let mut first = held.remove(0);
        first.client.close();
        assert_eq!(first.failure().await, Failure::Released);
        site.server.stats().await;
        site.udp(|_| {}).await.allocated().await;
    }
}

#[tokio::test]
async fn many_clients_are_spread_over_workers() {
    let site = site(|config| config.workers = 3);
    for _ in 0..12 {
        whole_story(&site, site.call(Transport::Udp).await).await;
        whole_story(&site, site.call(Transport::Tcp).await).await;
    }
}

#[tokio::test]
async fn loopback_peers_are_refused_unless_they_are_allowed() {
    let site = site(|config| config.server.access.allowed.clear());
    let mut caller = site.udp(|_| {}).await;
    caller.allocated().await;
    let (_, address) = peer().await;
    // The server relays from this address, so its own relays may be reached there, but nothing else.
    caller.client.bind(std::time::Instant::now(), address).unwrap();
    let refused = Event::ChannelRefused {
        peer: address,
        code: 403,
    };
    assert_eq!(soon("a refusal", caller.event()).await, refused);
}

/// A NAT on loopback that does not exist: only what stays inside arrives.
#[tokio::test]
async fn relays_behind_a_nat_reach_each_other_by_their_outer_addresses() {
    let relay = RelayAddress {
        ip: [127, 0, 0, 1].into(),
        external: Some([203, 0, 113, 5].into()),
    };
    let site = site(|config| {
        config.relay = vec![relay];
        config.server.access.allowed.clear();
    });
    let (mut one, mut other) = (site.udp(|_| {}).await, site.udp(|_| {}).await);
    let (first, second) = (one.allocated().await.relayed, other.allocated().await.relayed);
    assert_eq!(Some(first.ip()), relay.external);
    for (caller, peer) in [(&mut one, second), (&mut other, first)] {
        caller.client.bind(std::time::Instant::now(), peer).unwrap();
        while soon("a channel", caller.event()).await != Event::ChannelBound(peer) {}
    }
    one.send(second, b"over the fence").await;
    let (from, data) = other.data().await;
    assert_eq!((from, &data[..]), (first, &b"over the fence"[..]));
}

#[tokio::test]
async fn strangers_do_not_get_through_a_relay() {
    let site = site(|config| config.server.access.allowed = vec!["127.0.0.1".parse().unwrap()]);
    let mut caller = site.udp(|_| {}).await;
    let relayed = caller.allocated().await.relayed;
    let stranger = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    stranger.send_to(b"let me in", relayed).await.unwrap();
    let (peer, address) = peer().await;
    caller.client.bind(std::time::Instant::now(), address).unwrap();
    while soon("a channel", caller.event()).await != Event::ChannelBound(address) {}
    there_and_back(&mut caller, &peer, relayed, "only this arrives").await;
    assert_eq!(site.server.stats().await.core.dropped_no_permission, 1);
}

#[tokio::test]
async fn an_even_port_comes_with_the_next_one_in_reserve_at_any_worker() {
    let site = site(|config| config.workers = 3);
    for _ in 0..8 {
        let even = EvenPort { reserve_next: true };
        let mut first = site.udp(|config| config.even_port = Some(even)).await;
        let allocated = first.allocated().await;
        assert_eq!(allocated.relayed.port() % 2, 0);
        let token = allocated.reservation;
        assert!(token.is_some());
        let mut second = site.udp(|config| config.reservation = token).await;
        let port = second.allocated().await.relayed.port();
        assert_eq!(port, allocated.relayed.port() + 1);
        let mut third = site.udp(|config| config.reservation = token).await;
        assert_eq!(third.failure().await, Failure::InsufficientCapacity);
    }
}

#[tokio::test]
async fn a_draining_server_keeps_what_it_has_and_ends_with_it() {
    let site = site(|_| {});
    let mut caller = site.udp(|_| {}).await;
    let relayed = caller.allocated().await.relayed;
    site.server.drain();
    // The worker has heard it when it answers this.
    site.server.stats().await;
    assert_eq!(
        site.udp(|_| {}).await.failure().await,
        Failure::InsufficientCapacity
    );
    let (peer, address) = peer().await;
    caller.client.bind(std::time::Instant::now(), address).unwrap();
    while soon("a channel", caller.event()).await != Event::ChannelBound(address) {}
    there_and_back(&mut caller, &peer, relayed, "still there").await;
    caller.client.close();
    assert_eq!(caller.failure().await, Failure::Released);
    soon("the end of draining", site.server.drained()).await;
}

#[tokio::test]
async fn a_stream_that_is_not_turn_is_closed() {
    let site = site(|_| {});
    let mut stream = TcpStream::connect(site.server.tcp()[0]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    // An end or a reset, depending on what was read.
    let _ = soon("the end of the stream", stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_closed_stream_takes_its_allocation_along() {
    let site = site(|_| {});
    let mut caller = site.call(Transport::Tcp).await;
    caller.allocated().await;
    drop(caller);
    let gone = async {
        while site.server.stats().await.core.allocations > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the allocation to end", gone).await;
}

/// Threat 14: nothing is kept about anybody who has not authenticated.
#[tokio::test]
async fn a_flood_of_strangers_leaves_nothing_behind() {
    let site = site(|_| {});
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut caller = site.udp(|_| {}).await;
    let relayed = caller.allocated().await.relayed;
    let (peer, address) = peer().await;
    caller.client.bind(std::time::Instant::now(), address).unwrap();
    while soon("a channel", caller.event()).await != Event::ChannelBound(address) {}
    let mut hello = [0_u8; 64];
    hello[0] = 22;
    let allocate = [
        0, 3, 0, 8, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0x19, 0, 4, 17, 0, 0, 0,
    ];
    for round in 0..200 {
        for to in [site.server.udp()[0], site.server.dtls()[0]] {
            socket.send_to(&allocate, to).await.unwrap();
            socket.send_to(&hello, to).await.unwrap();
            socket.send_to(&[0x40, 0, 0, 1, 7], to).await.unwrap();
        }
        there_and_back(&mut caller, &peer, relayed, &format!("{round}")).await;
    }
    let stats = site.server.stats().await;
    assert_eq!(
        (stats.core.allocations, stats.sockets.relays, stats.sockets.dtls),
        (1, 1, 0)
    );
    assert!(stats.core.dropped_limited > 0, "{stats:?}");
}

#[tokio::test]
async fn what_cannot_work_is_said_in_a_sentence() {
    let bind = |change: &dyn Fn(&mut Config)| {
        let mut config = Config::default();
        config.udp = vec!["127.0.0.1:0".parse().unwrap()];
        config.tcp = Vec::new();
        change(&mut config);
        TurnServer::bind(config).map(drop)
    };
    let free = "127.0.0.1:0".parse().unwrap();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    assert!(matches!(
        bind(&|config| config.udp = vec![taken.1]),
        Err(BindError::InUse(..))
    ));
    assert!(matches!(
        bind(&|config| config.udp.clear()),
        Err(BindError::NoListener | BindError::NoRelay)
    ));
    assert!(matches!(
        bind(&|config| config.tls = vec![free]),
        Err(BindError::NoIdentity)
    ));
    let text = |text: &str| Identity {
        certificates: text.into(),
        key: text.into(),
    };
    let broken = |config: &mut Config| {
        config.tls = vec![free];
        config.identity = Some(text("no PEM"));
    };
    assert!(matches!(bind(&broken), Err(BindError::Identity(_))));
    let elsewhere = RelayAddress {
        ip: [192, 0, 2, 1].into(),
        external: None,
    };
    assert!(matches!(
        bind(&|config| config.relay = vec![elsewhere]),
        Err(BindError::NoSuchRelay(_))
    ));
    assert!(matches!(
        bind(&|config| config.ports = 80..=90),
        Err(BindError::Ports(80, 90))
    ));
}

#[tokio::test]
async fn a_server_tells_what_it_can_about_the_way_to_it() {
    let site = site(|config| {
        let mut binding = BindingServer::default();
        (binding.padding, binding.response_port) = (true, true);
        config.server.binding = Some(binding);
    });
    let server = site.address(Transport::Udp);
    let found = soon("the discovery", nat::discover(server, None)).await.unwrap();
    assert_eq!(found.mapping, nat::Mapping::NoNat);
    assert_eq!((found.fragments, found.hairpinning), (Some(true), None));
    assert_eq!(found.rewritten, Some(false));
    // There is nothing in between that forgets.
    let longest = std::time::Duration::from_secs(1);
    let kept = soon("the lifetime", nat::binding_lifetime(server, None, longest))
        .await
        .unwrap();
    assert_eq!((kept.at_least, kept.less_than), (longest, None));
    assert!(kept.to_string().contains("more than 1 s"), "{kept}");
}
