//! Who answers to a name in `.local`? One-shot queries of multicast DNS (RFC 6762, section 5.1), as candidates that hide
//! their address need them (draft-ietf-mmusic-mdns-ice-candidates).

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, ResourceRecord, TYPE};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::core::Core;
use crate::interfaces;

/// RFC 6762, section 3.
pub(crate) const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
pub(crate) const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
pub(crate) const PORT: u16 = 5353;
/// RFC 6762, section 5.1: "two or three seconds".
const WITHIN: Duration = Duration::from_millis(2500);
/// The query is sent again: the first may be lost, and a peer may announce its name late.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(1000)];
/// Datagrams that are looked at for one name: others may answer, too.
const MAX_DATAGRAMS: usize = 64;
/// RFC 6762, section 17: "a Multicast DNS packet, including IP and UDP headers, MUST NOT exceed 9000 bytes".
pub(crate) const MAX_DATAGRAM: usize = 9000;
/// Addresses of this host that are asked from.
const MAX_INTERFACES: usize = 16;

/// Finds out whose `name` is, and tells the connection.
pub(crate) async fn answer(core: Arc<Core>, name: String) {
    let found = resolve(&name).await;
    core.command(|state, now| match found {
        Ok(address) => state.peer.name_resolved(now, &name, address),
        Err(error) => {
            log::info!("{name}: {error}");
            state.peer.name_not_resolved(now, &name);
        }
    });
}

/// The one address of `name`.
pub(crate) async fn resolve(name: &str) -> io::Result<IpAddr> {
    let mut asking = JoinSet::new();
    for (socket, group) in sockets()? {
        let name = name.to_owned();
        asking.spawn(async move { ask_from(&socket, group, &name).await });
    }
    let mut refused = io::Error::new(
        io::ErrorKind::TimedOut,
        "nobody on this network answers to this name",
    );
    while let Some(asked) = asking.join_next().await {
        match asked {
            // The first answer is enough. The name is random: nobody else has it.
            Ok(Ok(address)) => return Ok(address),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => refused = error,
            Ok(Err(error)) => log::debug!("asking for {name}: {error}"),
            Err(_) => {}
        }
    }
    Err(refused)
}

/// A socket on each network of this host, and whom to ask there.
fn sockets() -> io::Result<Vec<(UdpSocket, SocketAddr)>> {
    let mut sockets = Vec::new();
    let mut links = BTreeSet::new();
    for ip in interfaces::local_addresses(true)?
        .into_iter()
        .filter(IpAddr::is_ipv4)
    {
        if let IpAddr::V4(ip) = ip {
            sockets.push((open_v4(ip), SocketAddr::from((GROUP_V4, PORT))));
        }
    }
    // Over IPv6 a link has one socket, whatever the number of its addresses.
    for interface in if_addrs::get_if_addrs()?
        .iter()
        .filter(|known| known.ip().is_ipv6())
    {
        if let Some(index) = interface.index.filter(|index| links.insert(*index)) {
            sockets.push((open_v6(index), SocketAddr::from((GROUP_V6, PORT))));
        }
    }
    sockets.truncate(MAX_INTERFACES);
    let opened = sockets.into_iter().filter_map(|(socket, group)| match socket {
        Ok(socket) => Some((socket, group)),
        Err(error) => {
            log::debug!("nothing can be asked of {group}: {error}");
            None
        }
    });
    Ok(opened.collect())
}

fn open_v4(interface: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.set_multicast_if_v4(&interface)?;
    socket.set_multicast_loop_v4(true)?;
    // RFC 6762, section 11: "All Multicast DNS responses (including responses sent via unicast) SHOULD be sent with IP TTL
    // set to 255"; queries alike.
    socket.set_multicast_ttl_v4(255)?;
    socket.set_nonblocking(true)?;
    // RFC 6762, section 5.1: "MUST NOT be sent using UDP source port 5353".
    socket.bind(&SocketAddr::from((interface, 0)).into())?;
    UdpSocket::from_std(socket.into())
}

fn open_v6(interface: u32) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None)?;
    socket.set_only_v6(true)?;
    socket.set_multicast_if_v6(interface)?;
    socket.set_multicast_loop_v6(true)?;
    socket.set_multicast_hops_v6(255)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
    UdpSocket::from_std(socket.into())
}

/// Asks the network of one socket.
async fn ask_from(socket: &UdpSocket, group: SocketAddr, name: &str) -> io::Result<IpAddr> {
    let id = u16::from_be_bytes(*dunlin_crypto::random::seed().first_chunk().unwrap_or(&[0; 2]));
    let question = query(id, name)?;
    let receive = async {
        let mut buffer = vec![0; MAX_DATAGRAM];
        for _ in 0..MAX_DATAGRAMS {
            let (len, from) = socket.recv_from(&mut buffer).await?;
            // RFC 6762, section 6: "The source UDP port in all Multicast DNS responses MUST be 5353".
            if from.port() != PORT {
                continue;
            }
            let addresses = addresses(&buffer[..len], id, name).unwrap_or_default();
            let mut addresses = addresses.into_iter();
            match (addresses.next(), addresses.next()) {
                (Some(address), None) => return Ok(address),
                (Some(_), Some(_)) => return Err(invalid("it has more than one address")),
                (None, _) => {}
            }
        }
        Err(invalid("too many answers are none"))
    };
    let ask = async {
        socket.send_to(&question, group).await?;
        for pause in AGAIN_AFTER {
            tokio::time::sleep(pause).await;
            socket.send_to(&question, group).await?;
        }
        std::future::pending::<io::Result<IpAddr>>().await
    };
    let asked = async {
        tokio::select! {
            found = receive => found,
            failed = ask => failed,
        }
    };
    let timeout = || Err(io::ErrorKind::TimedOut.into());
    tokio::time::timeout(WITHIN, asked)
        .await
        .unwrap_or_else(|_| timeout())
}

/// A query for both kinds of addresses, with the bit that asks for a unicast response (RFC 6762, section 5.4).
fn query(id: u16, name: &str) -> io::Result<Vec<u8>> {
    let name = Name::new(name).map_err(|_| invalid("it is no name of DNS"))?;
    let mut packet = Packet::new_query(id);
    packet.questions = [TYPE::A, TYPE::AAAA]
        .map(|kind| Question::new(name.clone(), kind.into(), CLASS::IN.into(), true))
        .into();
    packet
        .build_bytes_vec()
        .map_err(|_| invalid("it does not fit a query"))
}

/// The addresses that a response to `id` gives to `name`; `None` when it is none, or malformed.
fn addresses(response: &[u8], id: u16, name: &str) -> Option<BTreeSet<IpAddr>> {
    let packet = Packet::parse(response).ok()?;
    // RFC 6762, section 6.7: to a query like ours the response "MUST repeat the query ID".
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let of_name = |record: &&ResourceRecord<'_>| record.name.to_string().eq_ignore_ascii_case(name);
    let ours = packet.answers.iter().filter(of_name);
    let address = |record: &ResourceRecord<'_>| match &record.rdata {
        RData::A(record) => Some(Ipv4Addr::from(record.address).into()),
        RData::AAAA(record) => Some(Ipv6Addr::from(record.address).into()),
        _ => None,
    };
    Some(ours.filter_map(address).collect())
}

pub(crate) fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "6f4d2d3a-4b9b-4a0e-9f3e-0d2c9f2f1a11.local";

    /// What a responder sends to a query like ours.
    fn response(query: &[u8], answers: &[IpAddr]) -> Vec<u8> {
        let mut packet = Packet::parse(query).unwrap().into_reply();
        let name = packet.questions[0].qname.clone();
        packet.answers = answers
            .iter()
            .map(|answer| {
                let data = match *answer {
                    IpAddr::V4(ip) => RData::A(ip.into()),
                    IpAddr::V6(ip) => RData::AAAA(ip.into()),
                };
                ResourceRecord::new(name.clone(), CLASS::IN, 10, data)
            })
            .collect();
        packet.build_bytes_vec_compressed().unwrap()
    }

    #[test]
    fn the_address_of_the_name_is_read_and_nothing_else() {
        let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap());
        let query = query(77, NAME).unwrap();
        let of = |answers: &[IpAddr]| addresses(&response(&query, answers), 77, NAME).unwrap();
        assert_eq!(of(&[v4]), BTreeSet::from([v4]));
        assert_eq!(of(&[v6, v4, v4]), BTreeSet::from([v4, v6]));
        assert!(of(&[]).is_empty());
        let whole = response(&query, &[v4]);
        assert_eq!(addresses(&whole, 78, NAME), None, "another query");
        assert_eq!(addresses(&query, 77, NAME), None, "our own query");
        assert_eq!(
            addresses(&whole, 77, &NAME.to_uppercase()),
            Some(BTreeSet::from([v4]))
        );
        assert!(addresses(&whole, 77, "other.local").unwrap().is_empty());
    }

    #[test]
    fn malformed_responses_are_none() {
        let whole = response(&query(77, NAME).unwrap(), &["192.0.2.7".parse().unwrap()]);
        for len in 0..whole.len() {
            assert_eq!(addresses(&whole[..len], 77, NAME), None, "{len}");
        }
        // A pointer to itself, and one ahead.
        for target in [12, 60] {
            let mut circle = whole.clone();
            circle[12..14].copy_from_slice(&[0xc0, target]);
            assert_eq!(addresses(&circle, 77, NAME), None);
        }
        // Anything at all.
        for at in 0..whole.len() {
            for value in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
                let mut odd = whole.clone();
                odd[at] = value;
                let _ = addresses(&odd, 77, NAME);
            }
        }
    }

    /// A responder for one name on the loopback interface; an error where the system has no multicast there.
    fn responder() -> io::Result<UdpSocket> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
        socket.join_multicast_v4(&GROUP_V4, &Ipv4Addr::LOCALHOST)?;
        UdpSocket::from_std(socket.into())
    }

    #[tokio::test]
    async fn a_responder_on_this_host_is_asked_and_believed() {
        let socket = match responder() {
            Ok(socket) => socket,
            // Nobody reads a skip there.
            Err(error) if std::env::var_os("CI").is_some() => panic!("no multicast on loopback: {error}"),
            Err(error) => return eprintln!("skipped: no multicast on loopback: {error}"),
        };
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
                // Lower-case letters of the name at its place: it is ours.
                if buffer[13..].starts_with(&NAME.as_bytes()[..36]) {
                    let answer = response(&buffer[..len], &[address]);
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        assert_eq!(resolve(NAME).await.unwrap(), address);
    }

    #[tokio::test]
    async fn a_name_that_nobody_has_is_given_up() {
        let error = resolve("00000000-0000-4000-8000-000000000000.local")
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "nobody on this network answers to this name");
    }
}
