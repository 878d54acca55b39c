//! Whether anybody listens at the UDP port of a silent STUN or TURN server. The host of a port that nobody has says so
//! (ICMP), but the system tells that only to a socket which is connected to that one address, and those of an endpoint
//! are not. So a server that is still silent is asked once more, from a socket of its own.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use dunlin_net::Transport;
use dunlin_peerconnection::ServerState;
use dunlin_stun::{Class, Method, TransactionId, Writer};
use tokio::task::JoinSet;

use crate::core::Core;
use crate::relay_path::local_ip;

/// When servers that have not answered are asked, counted from the start.
const AT: [Duration; 2] = [Duration::from_millis(700), Duration::from_millis(2500)];
/// How long a word from the host may take.
const WITHIN: Duration = Duration::from_secs(1);

/// Looks after the servers of a connection while it gathers: once for each gathering, the one of an ICE restart too.
pub(crate) async fn watch(core: Weak<Core>) {
    let start = tokio::time::Instant::now();
    for at in AT {
        tokio::time::sleep_until(start + at).await;
        let Some(silent) = core.upgrade().map(|core| silent(&core)) else {
            return;
        };
        if silent.is_empty() {
            return;
        }
        let mut asked = JoinSet::new();
        for server in silent {
            asked.spawn(async move { is_refused(server).await.then_some(server) });
        }
        while let Some(told) = asked.join_next().await {
            if let (Ok(Some(server)), Some(core)) = (told, core.upgrade()) {
                log::debug!("{server}: nobody listens at this UDP port");
                core.command(|state, now| state.peer.server_port_unreachable(now, server));
            }
        }
    }
}

/// The servers over UDP that have been asked and have not answered.
fn silent(core: &Arc<Core>) -> Vec<SocketAddr> {
    let servers = core.lock().peer.ice_report(Instant::now()).servers;
    let waiting = servers.into_iter().filter(|server| {
        server.transport == Transport::Udp && matches!(server.state, ServerState::Asked { .. })
    });
    let mut addresses: Vec<SocketAddr> = waiting.filter_map(|server| server.address).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Whether the server's host says that nobody listens there.
pub(crate) async fn is_refused(server: SocketAddr) -> bool {
    match tokio::time::timeout(WITHIN, ask(server)).await {
        Ok(Err(error)) => error.kind() == ErrorKind::ConnectionRefused,
        // An answer, or nothing.
        Ok(Ok(())) | Err(_) => false,
    }
}

/// Returns when anything comes back.
async fn ask(server: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((local_ip(server)?, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut request = Vec::new();
    let mut id = [0; 12];
    id.copy_from_slice(&dunlin_crypto::random::seed()[..12]);
    Writer::new(&mut request, Class::Request, Method::BINDING, TransactionId(id)).fingerprint();
    socket.send(&request).await?;
    socket.recv(&mut [0; 64]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_nobody_has_is_told_from_one_that_is_silent() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(!is_refused(silent.local_addr().unwrap()).await);
        let free = silent.local_addr().unwrap();
        drop(silent);
        assert!(is_refused(free).await);
    }
}
