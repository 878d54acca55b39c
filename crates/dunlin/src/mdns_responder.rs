//! Answers for the names that hide our own addresses: a responder of multicast DNS (RFC 6762), as
//! draft-ietf-mmusic-mdns-ice-candidates, section 3.1.1 needs it. It announces a name, does not probe ("as the hostname is
//! expected to be unique, the ICE agent SHOULD skip probing of the hostname"), answers on the link of the address and
//! nowhere else, and says goodbye.
//!
//! Each name has sockets of its own: a client has a name or two, and a server has no address to hide.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dunlin_peerconnection::ConnectionState;
use if_addrs::{IfAddr, Interface};
use simple_dns::rdata::{NSEC, NsecTypeBitMap, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, ResourceRecord, TYPE};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::core::Core;
use crate::mdns::{GROUP_V4, GROUP_V6, MAX_DATAGRAM, PORT, invalid};

/// RFC 6762, section 10: 120 seconds for "records ... that contain the host name or whose rdata contains the host name".
const TTL: u32 = 120;
/// RFC 6762, section 6.7: in a legacy response "SHOULD NOT be greater than ten seconds".
const LEGACY_TTL: u32 = 10;
/// RFC 6762, section 8.3: "at least two unsolicited responses, one second apart".
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);
/// RFC 6762, section 6: a record is not multicast again "until at least one second has elapsed".
const BETWEEN_MULTICASTS: Duration = Duration::from_secs(1);

/// Answers for `name` until it is withdrawn or the connection has ended.
pub(crate) async fn publish(core: Arc<Core>, name: String, address: IpAddr) {
    let record = Record { name, address };
    // "the ICE agent SHOULD still provide mDNS candidates [...] even if [...] mDNS registration fails" (section 3.1.1)
    let links = match Link::of(address) {
        Ok(links) if links.is_empty() => return log::info!("no multicast where {address} is"),
        Ok(links) => links,
        Err(error) => return log::info!("no answers for {}: {error}", record.name),
    };
    let ended = core.wait(&core.changed, |state, _| {
        let closed = state.detached || state.peer.connection_state() == ConnectionState::Closed;
        (closed || !state.published.contains(&record.name)).then_some(())
    });
    let serving = async {
        let mut serving = tokio::task::JoinSet::new();
        for link in &links {
            serving.spawn(serve(link.clone(), record.clone()));
        }
        while serving.join_next().await.is_some() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = ended => {}
        () = serving => {}
    }
    for link in &links {
        // RFC 6762, section 10.1: a goodbye is a response with a TTL of zero.
        if let Ok(goodbye) = record.announcement(0) {
            drop(link.socket.send_to(&goodbye, link.group).await);
        }
    }
}

async fn serve(link: Link, record: Record) {
    if let Err(error) = link.serve(&record).await {
        log::info!("no more answers for {}: {error}", record.name);
    }
}

/// One name and its address.
#[derive(Debug, Clone)]
struct Record {
    name: String,
    address: IpAddr,
}

/// What a query is answered with.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    bytes: Vec<u8>,
    /// To the one who asked, else to the group.
    unicast: bool,
}

impl Record {
    /// The unsolicited response that tells a network of the name.
    fn announcement(&self, ttl: u32) -> io::Result<Vec<u8>> {
        let mut packet = Packet::new_reply(0);
        packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        packet
            .answers
            .push(self.address_record(ttl)?.with_cache_flush(true));
        write(&packet)
    }

    /// The answer to what came from `from`, if it is a query for the name.
    fn answer(&self, query: &[u8], from: SocketAddr) -> Option<Answer> {
        let query = Packet::parse(query).ok()?;
        if query.has_flags(PacketFlag::RESPONSE) {
            return None;
        }
        let is_ours = |name: &Name<'_>| name.to_string().eq_ignore_ascii_case(&self.name);
        let asked = || query.questions.iter().filter(|question| is_ours(&question.qname));
        asked().next()?;
        // RFC 6762, section 6.7: a query from another port comes from a simple resolver, which has to get a response as of
        // ordinary DNS: with its id and its questions, without the cache-flush bit.
        let legacy = from.port() != PORT;
        let ttl = if legacy { LEGACY_TTL } else { TTL };
        let record = self.address_record(ttl).ok()?;
        let fits = asked()
            .any(|question| record.match_qtype(question.qtype) && record.match_qclass(question.qclass));
        let answer = match fits {
            true => record,
            // Section 6.1: who asks for the other kind of address is told that there is none.
            false => self.nothing_else(ttl).ok()?,
        };
        let known = |other: &ResourceRecord<'_>| is_ours(&other.name) && other.rdata == answer.rdata;
        // Section 7.1: "A Multicast DNS responder MUST NOT answer a Multicast DNS query if the answer it would give is already
        // included in the Answer Section with an RR TTL at least half the correct value."
        if query
            .answers
            .iter()
            .any(|other| known(other) && other.ttl >= ttl / 2)
        {
            return None;
        }
        let mut packet = Packet::new_reply(if legacy { query.id() } else { 0 });
        packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        if legacy {
            packet.questions = query.questions.clone();
        }
        packet.answers.push(answer.with_cache_flush(!legacy));
        Some(Answer {
            bytes: write(&packet).ok()?,
            unicast: legacy || asked().all(|question| question.unicast_response),
        })
    }

    fn address_record(&self, ttl: u32) -> io::Result<ResourceRecord<'_>> {
        let data = match self.address {
            IpAddr::V4(ip) => RData::A(ip.into()),
            IpAddr::V6(ip) => RData::AAAA(ip.into()),
        };
        Ok(ResourceRecord::new(self.dns_name()?, CLASS::IN, ttl, data))
    }

    /// RFC 6762, section 6.1: an NSEC record that lists the one type that there is.
    fn nothing_else(&self, ttl: u32) -> io::Result<ResourceRecord<'_>> {
        let kind = match self.address {
            IpAddr::V4(_) => TYPE::A,
            IpAddr::V6(_) => TYPE::AAAA,
        };
        // RFC 4034, section 4.1.2: a bit for each type of the window, the first one leftmost.
        let kind = usize::from(u16::from(kind));
        let mut bitmap = vec![0; kind / 8 + 1];
        bitmap[kind / 8] = 0x80 >> (kind % 8);
        let data = RData::NSEC(NSEC {
            next_name: self.dns_name()?,
            type_bit_maps: vec![NsecTypeBitMap {
                window_block: 0,
                bitmap: bitmap.into(),
            }],
        });
        Ok(ResourceRecord::new(self.dns_name()?, CLASS::IN, ttl, data))
    }

    fn dns_name(&self) -> io::Result<Name<'_>> {
        Name::new(&self.name).map_err(|_| invalid("it is no name of DNS"))
    }
}

fn write(packet: &Packet<'_>) -> io::Result<Vec<u8>> {
    packet
        .build_bytes_vec()
        .map_err(|_| invalid("it does not fit a response"))
}

/// A socket on the link of an address, for one IP version.
#[derive(Debug, Clone)]
struct Link {
    socket: Arc<UdpSocket>,
    group: SocketAddr,
    /// The networks that are on the link.
    networks: Arc<Vec<IfAddr>>,
}

impl Link {
    /// The link on which `address` is, over IPv4 and over IPv6, as far as it has them.
    fn of(address: IpAddr) -> io::Result<Vec<Self>> {
        let all = if_addrs::get_if_addrs()?;
        let Some(here) = all.iter().find(|interface| interface.ip() == address) else {
            return Ok(Vec::new());
        };
        let same: Vec<&Interface> = all
            .iter()
            .filter(|interface| interface.name == here.name)
            .collect();
        let networks: Arc<Vec<IfAddr>> =
            Arc::new(same.iter().map(|interface| interface.addr.clone()).collect());
        let v4 = same.iter().find_map(|interface| match interface.ip() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        let has_v6 = same.iter().any(|interface| interface.ip().is_ipv6());
        let v6 = here.index.filter(|_| has_v6);
        let sockets = [
            v4.map(|ip| (listen_v4(ip), SocketAddr::from((GROUP_V4, PORT)))),
            v6.map(|index| (listen_v6(index), SocketAddr::from((GROUP_V6, PORT)))),
        ];
        let mut links = Vec::new();
        for (socket, group) in sockets.into_iter().flatten() {
            match socket {
                Ok(socket) => links.push(Self {
                    socket: Arc::new(socket),
                    group,
                    networks: networks.clone(),
                }),
                Err(error) => log::debug!("no multicast to {group}: {error}"),
            }
        }
        Ok(links)
    }

    async fn serve(&self, record: &Record) -> io::Result<()> {
        let announcement = record.announcement(TTL)?;
        drop(self.socket.send_to(&announcement, self.group).await);
        let again = tokio::time::sleep(ANNOUNCE_AGAIN);
        tokio::pin!(again);
        let mut announced = false;
        let mut multicast_at: Option<Instant> = None;
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let (len, from) = tokio::select! {
                () = &mut again, if !announced => {
                    announced = true;
                    drop(self.socket.send_to(&announcement, self.group).await);
                    continue;
                }
                received = self.socket.recv_from(&mut buffer) => received?,
            };
            // RFC 6762, section 11: what comes from elsewhere than the local link "MUST" be ignored.
            let Some(answer) = record
                .answer(&buffer[..len], from)
                .filter(|_| self.is_here(from.ip()))
            else {
                continue;
            };
            let to = match answer.unicast {
                true => from,
                false if multicast_at.is_some_and(|at| at.elapsed() < BETWEEN_MULTICASTS) => continue,
                false => self.group,
            };
            if !answer.unicast {
                multicast_at = Some(Instant::now());
            }
            drop(self.socket.send_to(&answer.bytes, to).await);
        }
    }

    /// Whether an address is one of this link.
    fn is_here(&self, ip: IpAddr) -> bool {
        // These come from nowhere else, and are not among the networks.
        if matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
            return true;
        }
        self.networks.iter().any(|network| match (network, ip) {
            (IfAddr::V4(own), IpAddr::V4(ip)) => {
                let net = |ip: Ipv4Addr| u32::from(ip) & u32::from(own.netmask);
                net(own.ip) == net(ip)
            }
            (IfAddr::V6(own), IpAddr::V6(ip)) => {
                let net = |ip: Ipv6Addr| u128::from(ip) & u128::from(own.netmask);
                net(own.ip) == net(ip)
            }
            _ => false,
        })
    }
}

fn shared(domain: socket2::Domain) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
    // RFC 6762, section 15.1: the port is shared with other responders on this host.
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn listen_v4(interface: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = shared(socket2::Domain::IPV4)?;
    // Or else what other sockets of this host have joined arrives here too, from other links.
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v4(false)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
    socket.join_multicast_v4(&GROUP_V4, &interface)?;
    socket.set_multicast_if_v4(&interface)?;
    socket.set_multicast_loop_v4(true)?;
    // RFC 6762, section 11.
    socket.set_multicast_ttl_v4(255)?;
    UdpSocket::from_std(socket.into())
}

fn listen_v6(interface: u32) -> io::Result<UdpSocket> {
    let socket = shared(socket2::Domain::IPV6)?;
    socket.set_only_v6(true)?;
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v6(false)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into())?;
    socket.join_multicast_v6(&GROUP_V6, interface)?;
    socket.set_multicast_if_v6(interface)?;
    socket.set_multicast_loop_v6(true)?;
    socket.set_multicast_hops_v6(255)?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::Question;

    const NAME: &str = "1b4db7eb-4057-4ddf-91e0-36dec72071f5.local";

    fn record(address: &str) -> Record {
        Record {
            name: NAME.to_owned(),
            address: address.parse().unwrap(),
        }
    }

    fn query(name: &str, kinds: &[TYPE], unicast: bool) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        let name = Name::new(name).unwrap();
        let question = |kind: &TYPE| Question::new(name.clone(), (*kind).into(), CLASS::IN.into(), unicast);
        packet.questions = kinds.iter().map(question).collect();
        packet.build_bytes_vec().unwrap()
    }

    fn from(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_responder_is_answered_in_the_group_and_a_simple_resolver_alone() {
        let record = record("192.0.2.7");
        let both = query(&NAME.to_uppercase(), &[TYPE::A, TYPE::AAAA], false);
        let answer = record.answer(&both, from(5353)).unwrap();
        assert!(!answer.unicast);
        let packet = Packet::parse(&answer.bytes).unwrap();
        assert_eq!(
            (packet.id(), packet.questions.len(), packet.answers.len()),
            (0, 0, 1)
        );
        assert!(packet.has_flags(PacketFlag::RESPONSE | PacketFlag::AUTHORITATIVE_ANSWER));
        assert!(packet.answers[0].ttl == 120 && packet.answers[0].cache_flush);
        assert_eq!(
            packet.answers[0].rdata,
            RData::A(Ipv4Addr::new(192, 0, 2, 7).into())
        );
        // "if all the questions ask for a unicast response" (section 5.4)
        let alone = query(NAME, &[TYPE::A], true);
        assert!(record.answer(&alone, from(5353)).unwrap().unicast);
        let legacy = record.answer(&both, from(40_000)).unwrap();
        assert!(legacy.unicast);
        let packet = Packet::parse(&legacy.bytes).unwrap();
        assert_eq!(
            (packet.id(), packet.questions.len(), packet.answers[0].ttl),
            (7, 2, 10)
        );
        assert!(!packet.answers[0].cache_flush);
    }

    #[test]
    fn who_asks_for_the_other_kind_is_told_that_there_is_none() {
        for (address, asked, bitmap) in [
            ("192.0.2.7", TYPE::AAAA, vec![0x40]),
            ("2001:db8::7", TYPE::A, vec![0, 0, 0, 0x08]),
        ] {
            let answer = record(address)
                .answer(&query(NAME, &[asked], true), from(5353))
                .unwrap();
            let packet = Packet::parse(&answer.bytes).unwrap();
            let RData::NSEC(nsec) = &packet.answers[0].rdata else {
                panic!("{packet:?}")
            };
            assert_eq!(nsec.type_bit_maps[0].bitmap, bitmap);
        }
    }

    #[test]
    fn other_names_known_answers_and_what_is_no_query_are_left_alone() {
        let record = record("192.0.2.7");
        let other = query("00000000-0000-4000-8000-000000000000.local", &[TYPE::A], false);
        assert_eq!(record.answer(&other, from(5353)), None);
        assert_eq!(
            record.answer(&record.announcement(TTL).unwrap(), from(5353)),
            None
        );
        for (ttl, answered) in [(120, false), (60, false), (59, true)] {
            let mut knows = Packet::new_query(0);
            let name = Name::new(NAME).unwrap();
            knows.questions = vec![Question::new(name, TYPE::A.into(), CLASS::IN.into(), false)];
            knows.answers = vec![record.address_record(ttl).unwrap()];
            let knows = knows.build_bytes_vec().unwrap();
            assert_eq!(record.answer(&knows, from(5353)).is_some(), answered, "{ttl}");
        }
        let whole = query(NAME, &[TYPE::A], false);
        for len in 0..whole.len() {
            assert_eq!(record.answer(&whole[..len], from(5353)), None);
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
                let mut odd = whole.clone();
                odd[at] = value;
                let _ = record.answer(&odd, from(5353));
            }
        }
    }

    /// This file and `mdns` together, over each IP version alone. Loopback interfaces have no multicast of IPv6.
    #[tokio::test]
    async fn a_name_is_found_over_ipv4_and_over_ipv6() {
        let interfaces = if_addrs::get_if_addrs().unwrap();
        let v6 = interfaces
            .iter()
            .find(|interface| interface.ip().is_ipv6() && !interface.is_loopback());
        for (address, name) in [
            (
                Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
                "1b4db7eb-4057-4ddf-91e0-36dec7207104.local",
            ),
            (
                v6.map(Interface::ip),
                "1b4db7eb-4057-4ddf-91e0-36dec7207106.local",
            ),
        ] {
            let Some(address) = address else {
                eprintln!("skipped: this host has no IPv6");
                continue;
            };
            let links = Link::of(address).unwrap();
            let same = |link: &Link| link.group.is_ipv4() == address.is_ipv4();
            let Some(link) = links.into_iter().find(same) else {
                // IPv4 has it everywhere, and nobody reads a skip in CI.
                let in_ci = std::env::var_os("CI").is_some();
                assert!(!in_ci || address.is_ipv6(), "no multicast on loopback");
                eprintln!("skipped: no multicast where {address} is");
                continue;
            };
            let record = Record {
                name: name.to_owned(),
                address,
            };
            let serving = tokio::spawn(serve(link, record));
            assert_eq!(crate::mdns::resolve(name).await.unwrap(), address);
            serving.abort();
        }
    }

    #[tokio::test]
    async fn an_address_of_no_interface_has_no_link_and_only_neighbours_are_answered() {
        assert!(Link::of("203.0.113.77".parse().unwrap()).unwrap().is_empty());
        for link in Link::of(Ipv4Addr::LOCALHOST.into()).unwrap() {
            assert!(link.is_here("127.0.0.9".parse().unwrap()));
            assert!(!link.is_here("192.0.2.1".parse().unwrap()));
        }
    }
}
