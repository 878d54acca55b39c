//! `dunlin-interop turn`: coturn's client programs, browsers and libwebrtc against `dunlin turn`, and our own client against
//! it and coturn.

mod cases;
mod stacks;
mod ways;

use crate::dtls::program::{Program, Texts};
use crate::nat::server::ours;
use crate::peers::Kind;
use cases::{Case, Who};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::sync::Semaphore;

/// When a run is given up. A client over DTLS tries version 1.0 by chance, and is refused after two seconds each time.
const LIMIT: Duration = Duration::from_secs(90);
/// Messages of each client, and clients.
const MESSAGES: &str = "20";
const CLIENTS: &str = "2";

/// coturn's client programs, and these stacks, against `dunlin turn`; our own client against it and coturn.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The stacks that connect through it, beside coturn's programs.
    #[arg(value_name = "PEER", default_values = ["chromium", "firefox", "libwebrtc"])]
    peers: Vec<Kind>,
    /// Only cases whose name contains this.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Lists the cases.
    #[arg(long)]
    list: bool,
}

/// The server, and the peer that sends everything back.
#[derive(Debug)]
struct Site {
    server: Program,
    /// Held for their drop.
    _peer: Program,
    peer: u16,
    plain: u16,
    secure: u16,
}

/// A client program that is told something, and what.
struct Told {
    program: &'static str,
    options: &'static [&'static str],
    lines: &'static [&'static str],
}

const TOLD: [Told; 4] = [
    Told {
        program: "turnutils_stunclient",
        options: &[],
        lines: &["UDP reflexive addr: 127.0.0.1:"],
    },
    // It does not bind to an address and so takes the lack of a NAT for a NAT that hides nothing.
    Told {
        program: "turnutils_natdiscovery",
        options: &["-m", "-f"],
        lines: &[
            "Endpoint Independent Mapping!",
            "Endpoint Independent Filtering!",
            "No ALG: Mapped == XOR-Mapped",
        ],
    },
    // Both ways in fragments, where a packet is smaller than that.
    Told {
        program: "turnutils_natdiscovery",
        options: &["-m", "-f", "-P"],
        lines: &["Endpoint Independent Mapping!", "Endpoint Independent Filtering!"],
    },
    // The second answer is the one to the other port.
    Told {
        program: "turnutils_natdiscovery",
        options: &["-t", "-T", "1"],
        lines: &["RFC 5780 response 2"],
    },
];

pub async fn run(arguments: &Arguments) -> ExitCode {
    let wanted = |case: &&Case| {
        arguments
            .case
            .as_ref()
            .is_none_or(|part| case.name.contains(part))
    };
    let chosen: Vec<&'static Case> = cases::ALL.iter().filter(wanted).collect();
    if arguments.list {
        for case in &chosen {
            println!("{:<18} {}", case.name, case.what);
        }
        ways::list(arguments.case.as_deref());
        return ExitCode::SUCCESS;
    }
    let part = arguments.case.as_deref();
    let programs = if chosen.is_empty() {
        Ok(())
    } else {
        all(&chosen).await
    };
    let ways = match ways::run(part).await {
        Ok((passed, 0)) => {
            eprintln!("turn: {passed} cases passed with our own client");
            Ok(())
        }
        Ok((_, failed)) => Err(format!("{failed} cases with our own client failed")),
        Err(reason) => Err(reason),
    };
    let stacks = match stacks::run(&arguments.peers, part).await {
        Ok((passed, 0)) => {
            eprintln!("turn: {passed} cases passed with browsers and libwebrtc");
            Ok(())
        }
        Ok((_, failed)) => Err(format!("{failed} cases with browsers and libwebrtc failed")),
        Err(reason) => Err(reason),
    };
    crate::ended(programs.and(ways).and(stacks))
}

async fn all(chosen: &[&'static Case]) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("dunlin-interop-turn-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let site = open(&folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    let site = Arc::new(site?);
    let turns = Arc::new(Semaphore::new(4));
    let mut running = Vec::new();
    for case in chosen.iter().copied() {
        let (site, turns) = (site.clone(), turns.clone());
        running.push(tokio::spawn(async move {
            let _turn = turns.acquire().await;
            let start = Instant::now();
            let result = one(&site, case).await;
            (case.name, result, start.elapsed().as_secs_f64())
        }));
    }
    let mut failed = 0;
    for run in running {
        let (name, result, seconds) = run.await.map_err(|error| error.to_string())?;
        match result {
            Ok(()) => eprintln!("ok     turn/{name:<18} {seconds:.1} s"),
            Err(reason) => {
                failed += 1;
                eprintln!("FAIL   turn/{name:<18} {reason}");
            }
        }
    }
    for program in &TOLD {
        match told(&site, program).await {
            Ok(()) => eprintln!("ok     turn/{}", program.program),
            Err(reason) => {
                failed += 1;
                eprintln!("FAIL   turn/{} {reason}", program.program);
            }
        }
    }
    if failed > 0 {
        return Err(format!("{failed} cases failed\n{}", site.server.tail()));
    }
    eprintln!(
        "turn: {} cases passed against coturn's clients",
        chosen.len() + TOLD.len()
    );
    Ok(())
}

/// Starts the server and the peer.
async fn open(folder: &std::path::Path) -> Result<Site, String> {
    let certificate = dunlin::Certificate::generate().and_then(|made| made.to_pem());
    let (certificate, key) = certificate.map_err(|error| error.to_string())?;
    let (certificate_file, key_file) = (folder.join("certificate.pem"), folder.join("key.pem"));
    for (file, text) in [(&certificate_file, certificate), (&key_file, key)] {
        std::fs::write(file, text).map_err(|error| error.to_string())?;
    }
    // The client takes one port for UDP and TCP, and one for TLS and DTLS.
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (plain, secure, peer, other) = (free(local)?, free(local)?, free(local)?, free(local)?);
    let mut command = command()?;
    command.arg("--cert").arg(certificate_file);
    command.arg("--key").arg(key_file);
    for (option, port) in [
        ("--udp", plain),
        ("--tcp", plain),
        ("--tls", secure),
        ("--dtls", secure),
    ] {
        command.args([option, &SocketAddr::from(([127, 0, 0, 1], port)).to_string()]);
    }
    for address in [([127, 0, 0, 1], plain), ([127, 0, 0, 2], other)] {
        command.args(["--nat-discovery", &SocketAddr::from(address).to_string()]);
    }
    let server = Program::start("dunlin turn", command)?;
    listens(&server, 7).await?;
    let mut command = Command::new("turnutils_peer");
    command.args(["-L", "127.0.0.1", "-p", &peer.to_string()]);
    let echo = Program::start("turnutils_peer", command).map_err(how)?;
    Ok(Site {
        server,
        _peer: echo,
        peer,
        plain,
        secure,
    })
}

fn how(reason: String) -> String {
    format!("{reason}\nIt is in Debian's package coturn: apt-get install coturn")
}

/// Our server, with users.
fn command() -> Result<Command, String> {
    let mut command = Command::new(ours()?);
    command.args(["turn", "--realm", "example.org", "--user", "alice:secret"]);
    command.args(["--shared-secret", "between servers", "--log", "warn"]);
    // As most tests on one machine do, and because this client takes its channel numbers by RFC 5766.
    command.args(["--allow-loopback-peers", "--rfc5766-channels"]);
    Ok(command)
}

/// Waits until our server listens on so many addresses.
async fn listens(server: &Program, count: usize) -> Result<(), String> {
    let all = |texts: &Texts| (texts.out.matches("listens on").count() == count).then_some(());
    server
        .until(Duration::from_secs(20), "word that it listens", all)
        .await
}

/// A port that was free a moment ago.
fn free(ip: IpAddr) -> Result<u16, String> {
    let socket = UdpSocket::bind((ip, 0)).and_then(|socket| socket.local_addr());
    socket
        .map(|address| address.port())
        .map_err(|error| error.to_string())
}

/// One run of the client: it has to get back all that it sent.
async fn one(site: &Site, case: &Case) -> Result<(), String> {
    let mut command = Command::new("turnutils_uclient");
    command.args(case.options);
    command.args(match case.who {
        Who::User => ["-u", "alice", "-w", "secret"],
        Who::Secret => ["-u", "bob", "-W", "between servers"],
        Who::Wrong => ["-u", "alice", "-w", "wrong"],
    });
    let port = if case.secure { site.secure } else { site.plain };
    command.args(["-y", "-n", MESSAGES, "-m", CLIENTS, "-e", "127.0.0.1"]);
    command.args(["-r", &site.peer.to_string(), "-p", &port.to_string(), "127.0.0.1"]);
    let mut client = Program::start("turnutils_uclient", command).map_err(how)?;
    let result = client.success(LIMIT).await;
    if case.who == Who::Wrong {
        return match result {
            Ok(()) => Err("the client was let in".to_owned()),
            Err(_) if client.tail().contains("Cannot complete Allocation") => Ok(()),
            Err(reason) => Err(format!("{reason}\n{}", client.tail())),
        };
    }
    let all_back = |texts: &Texts| {
        let lost = |text: &str| text.contains("Total lost packets 0 (");
        (lost(&texts.out) || lost(&texts.err)).then_some(())
    };
    let result = match result {
        Ok(()) => {
            client
                .until(Duration::from_secs(1), "word that nothing was lost", all_back)
                .await
        }
        Err(reason) => Err(reason),
    };
    result.map_err(|reason| format!("{reason}\n{}", client.tail()))
}

/// Binding requests, and the discovery of NAT behaviour.
async fn told(site: &Site, asked: &Told) -> Result<(), String> {
    let mut command = Command::new(asked.program);
    command.args(asked.options);
    command.args(["-p", &site.plain.to_string(), "127.0.0.1"]);
    let client = Program::start(asked.program, command).map_err(how)?;
    let all = |texts: &Texts| {
        let said = |line: &&str| texts.out.contains(line) || texts.err.contains(line);
        asked.lines.iter().all(said).then_some(())
    };
    let result = client
        .until(Duration::from_secs(30), "what it has to be told", all)
        .await;
    result.map_err(|reason| format!("{reason}\n{}", client.tail()))
}
