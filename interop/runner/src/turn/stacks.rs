//! Browsers and libwebrtc through our server: relayed candidates only, on both sides, over UDP, TCP and TLS.

use super::{free, listens};
use crate::dtls::program::Program;
use crate::namespace;
use crate::nat::meet::meet_relayed;
use crate::nat::server::{Identity, Over, ours};
use crate::peers::{Kind, Peers};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;
use tokio::process::Command;

const WAYS: [Over; 3] = [Over::Udp, Over::Tcp, Over::Tls];

/// The server for them, with a certificate that they can be made to trust.
struct Server {
    program: Program,
    identity: Identity,
    plain: SocketAddr,
    secure: SocketAddr,
}

/// Runs them; answers how many passed and how many failed.
pub async fn run(kinds: &[Kind], part: Option<&str>) -> Result<(usize, usize), String> {
    let chosen: Vec<(Kind, Over)> = kinds
        .iter()
        .flat_map(|kind| WAYS.map(|over| (*kind, over)))
        .filter(|(kind, over)| part.is_none_or(|part| name(*kind, *over).contains(part)))
        .collect();
    if chosen.is_empty() {
        return Ok((0, 0));
    }
    let server = start().await?;
    let peers = Peers::trusting(false, server.identity.file("authority.pem"));
    let (mut passed, mut failed) = (0, 0);
    for (kind, over) in chosen {
        let name = name(kind, over);
        if let Some(reason) = absent(kind, over) {
            eprintln!("absent turn/{name:<18} {reason}");
            continue;
        }
        let began = Instant::now();
        match one(&server, &peers, kind, over).await {
            Ok(()) => {
                passed += 1;
                eprintln!("ok     turn/{name:<18} {:.1} s", began.elapsed().as_secs_f64());
            }
            Err(reason) => {
                failed += 1;
                eprintln!("FAIL   turn/{name:<18} {reason}\n{}", server.program.tail());
            }
        }
    }
    peers.stop().await;
    Ok((passed, failed))
}

fn name(kind: Kind, over: Over) -> String {
    format!("{}-{}", kind.name(), over.name())
}

/// What a stack cannot do.
fn absent(kind: Kind, over: Over) -> Option<&'static str> {
    (kind == Kind::Libwebrtc && over == Over::Tls)
        .then_some("it trusts the authorities that were compiled in, and no others")
}

/// The stack and ourselves, each behind a relay of its own.
async fn one(server: &Server, peers: &Peers, kind: Kind, over: Over) -> Result<(), String> {
    let url = match over {
        Over::Udp => format!("turn:{}?transport=udp", server.plain),
        Over::Tcp => format!("turn:{}?transport=tcp", server.plain),
        // It verifies certificates for names only, and does not even connect to an address.
        Over::Tls if kind == Kind::Firefox => {
            format!("turns:localhost:{}?transport=tcp", server.secure.port())
        }
        Over::Tls => format!("turns:{}?transport=tcp", server.secure),
    };
    let told = json!({
        "iceServers": [{"urls": [url], "username": "alice", "credential": "secret"}],
        "iceTransportPolicy": "relay",
        "tlsRoots": server.identity.authority,
    });
    let seats = [peers.join(kind, "").await?, peers.join(Kind::Dunlin, "").await?];
    let result = meet_relayed(&seats, &told, over).await;
    for seat in seats {
        seat.leave().await;
    }
    result.map(drop)
}

async fn start() -> Result<Server, String> {
    // Browsers use relays at 127.0.0.1 as little as candidates there, so the namespace's own address is better.
    let ip = namespace::address();
    let identity = Identity::make(&[ip])?;
    let (plain, secure) = (SocketAddr::new(ip, free(ip)?), SocketAddr::new(ip, free(ip)?));
    let mut command = Command::new(ours()?);
    command.args([
        "turn",
        "--realm",
        "example.org",
        "--user",
        "alice:secret",
        "--no-dtls",
    ]);
    command.args(["--log", "warn"]);
    command.args(["--udp", &plain.to_string(), "--tcp", &plain.to_string()]);
    command.args(["--tls", &secure.to_string(), "--relay-ip", &ip.to_string()]);
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if ip != local {
        command.args(["--tls", &SocketAddr::new(local, secure.port()).to_string()]);
    }
    command.arg("--cert").arg(identity.file("cert.pem"));
    command.arg("--key").arg(identity.file("key.pem"));
    if ip == local {
        command.arg("--allow-loopback-peers");
    }
    let program = Program::start("dunlin turn", command)?;
    listens(&program, if ip == local { 3 } else { 4 }).await?;
    Ok(Server {
        program,
        identity,
        plain,
        secure,
    })
}
