//! Our own client, by the program `dunlin check`, over every way to our server and to coturn; and what it says of
//! certificates that are not what they have to be.

use super::{free, how, listens};
use crate::dtls::program::{Program, Texts};
use crate::nat::server::{Identity, listening, ours};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// It gives up after five seconds by itself.
const LIMIT: Duration = Duration::from_secs(20);

/// A run of `dunlin check`.
struct Case {
    name: &'static str,
    what: &'static str,
    /// What the URL is: `{host}`, and `{plain}` or `{secure}` for the port.
    url: &'static str,
    /// `--turn`, or `--stun` and how.
    options: &'static [&'static str],
    /// What the server shows.
    certificate: Certificate,
    /// What the line about the server says.
    says: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certificate {
    Good,
    Expired,
    /// Signed by nobody who is trusted.
    Strange,
}

const fn turn(name: &'static str, what: &'static str, url: &'static str) -> Case {
    Case {
        name,
        what,
        url,
        options: &["--user", "alice", "--credential", "secret", "--turn"],
        certificate: Certificate::Good,
        says: "relays at 127.0.0.",
    }
}

const fn stun(
    name: &'static str,
    what: &'static str,
    options: &'static [&'static str],
    url: &'static str,
) -> Case {
    Case {
        options,
        says: "answered, sees us as 127.0.0.1:",
        ..turn(name, what, url)
    }
}

const DTLS: &str = "turns:localhost:{secure}?transport=udp";
const TLS: &str = "turns:localhost:{secure}?transport=tcp";

const ALL: [Case; 13] = [
    turn("udp", "TURN over UDP", "turn:127.0.0.1:{plain}"),
    turn("tcp", "TURN over TCP", "turn:127.0.0.1:{plain}?transport=tcp"),
    turn("tls", "TURN over TLS", TLS),
    turn("dtls", "TURN over DTLS", DTLS),
    stun(
        "stun-tcp",
        "STUN over TCP",
        &["--stun-transport", "tcp", "--stun"],
        "stun:127.0.0.1:{plain}",
    ),
    stun(
        "stun-tls",
        "STUN over TLS",
        &["--stun"],
        "stuns:localhost:{secure}",
    ),
    stun(
        "stun-dtls",
        "STUN over DTLS",
        &["--stun-transport", "udp", "--stun"],
        "stuns:localhost:{secure}",
    ),
    Case {
        certificate: Certificate::Expired,
        says: ": TLS to it failed: its certificate has expired",
        ..turn("tls-expired", "an expired certificate over TLS", TLS)
    },
    Case {
        certificate: Certificate::Expired,
        says: ": DTLS to it failed: its certificate has expired",
        ..turn("dtls-expired", "an expired certificate over DTLS", DTLS)
    },
    Case {
        certificate: Certificate::Strange,
        says: ": TLS to it failed: its certificate is signed by nobody that this host trusts",
        ..turn("tls-stranger", "a stranger's certificate over TLS", TLS)
    },
    Case {
        certificate: Certificate::Strange,
        says: ": DTLS to it failed: its certificate is signed by nobody that this host trusts",
        ..turn("dtls-stranger", "a stranger's certificate over DTLS", DTLS)
    },
    Case {
        says: ": TLS to it failed: its certificate is for another name than 127.0.0.2",
        ..turn(
            "tls-name",
            "a certificate for another name over TLS",
            "turns:127.0.0.2:{secure}",
        )
    },
    Case {
        says: ": DTLS to it failed: its certificate is for another name than 127.0.0.2",
        ..turn(
            "dtls-name",
            "a certificate for another name over DTLS",
            "turns:127.0.0.2:{secure}?transport=udp",
        )
    },
];

/// A server with its ports, and a file with whom to trust.
struct Server {
    program: Program,
    plain: u16,
    secure: u16,
}

/// The cases by name, with what they are.
pub fn list(part: Option<&str>) {
    for (server, case) in chosen(part) {
        println!("{:<18} {} with {server}", name(server, case), case.what);
    }
}

fn name(server: &str, case: &Case) -> String {
    format!("{server}-{}", case.name)
}

fn chosen(part: Option<&str>) -> Vec<(&'static str, &'static Case)> {
    let all = ["dunlin", "coturn"].into_iter().flat_map(|server| {
        // What is wrong with a certificate does not depend on who shows it.
        let own = move |case: &&Case| server == "dunlin" || case.says.starts_with(|first| first != ':');
        ALL.iter().filter(own).map(move |case| (server, case))
    });
    all.filter(|(server, case)| part.is_none_or(|part| name(server, case).contains(part)))
        .collect()
}

/// Runs them; answers how many passed and how many failed.
pub async fn run(part: Option<&str>) -> Result<(usize, usize), String> {
    let cases = chosen(part);
    let certificates = [Certificate::Good, Certificate::Expired, Certificate::Strange];
    let (mut passed, mut failed) = (0, 0);
    for server in ["dunlin", "coturn"] {
        for certificate in certificates {
            let fits = |(of, case): &&(&str, &Case)| *of == server && case.certificate == certificate;
            let mut cases = cases.iter().filter(fits).peekable();
            if cases.peek().is_none() {
                continue;
            }
            let identity = match certificate {
                Certificate::Expired => Identity::expired(&[LOCAL])?,
                _ => Identity::make(&[LOCAL])?,
            };
            let trusted = match certificate {
                Certificate::Strange => None,
                _ => Some(identity.file("authority.pem")),
            };
            let at = start(server, &identity).await?;
            for (_, case) in cases {
                match one(&at, case, trusted.as_ref()).await {
                    Ok(()) => {
                        passed += 1;
                        eprintln!("ok     turn/{}", name(server, case));
                    }
                    Err(reason) => {
                        failed += 1;
                        let tail = at.program.tail();
                        eprintln!("FAIL   turn/{:<18} {reason}\n{tail}", name(server, case));
                    }
                }
            }
        }
    }
    Ok((passed, failed))
}

async fn start(kind: &str, identity: &Identity) -> Result<Server, String> {
    let (plain, secure) = (free(LOCAL)?, free(LOCAL)?);
    let file = |name: &str| identity.file(name).display().to_string();
    if kind == "coturn" {
        let mut command = Command::new("turnserver");
        command.args([
            "-n",
            "--no-cli",
            "--lt-cred-mech",
            "--realm=example.org",
            "--log-file=stdout",
        ]);
        command.args([
            "--listening-ip=127.0.0.1",
            "--relay-ip=127.0.0.1",
            "--allow-loopback-peers",
        ]);
        command.args([
            "--user=alice:secret".to_owned(),
            format!("--listening-port={plain}"),
        ]);
        command.args([
            format!("--tls-listening-port={secure}"),
            format!("--cert={}", file("cert.pem")),
        ]);
        command.args([
            format!("--pkey={}", file("key.pem")),
            format!("--pidfile={}", file("pid")),
        ]);
        command.arg(format!("--userdb={}", file("turndb")));
        let program = Program::start("coturn", command).map_err(how)?;
        listening(&program, &[plain, secure], LOCAL).await?;
        return Ok(Server {
            program,
            plain,
            secure,
        });
    }
    let mut command = Command::new(ours()?);
    command.args([
        "turn",
        "--realm",
        "example.org",
        "--user",
        "alice:secret",
        "--log",
        "warn",
    ]);
    command.args(["--cert", &file("cert.pem"), "--key", &file("key.pem")]);
    for (option, ip, port) in [
        ("--udp", LOCAL, plain),
        ("--tcp", LOCAL, plain),
        ("--tls", LOCAL, secure),
        ("--dtls", LOCAL, secure),
        ("--tls", other(), secure),
        ("--dtls", other(), secure),
    ] {
        command.args([option, &SocketAddr::new(ip, port).to_string()]);
    }
    let program = Program::start("dunlin turn", command)?;
    listens(&program, 6).await?;
    Ok(Server {
        program,
        plain,
        secure,
    })
}

/// An address that no certificate is for.
fn other() -> IpAddr {
    IpAddr::from([127, 0, 0, 2])
}

async fn one(server: &Server, case: &Case, trusted: Option<&PathBuf>) -> Result<(), String> {
    let url = case
        .url
        .replace("{plain}", &server.plain.to_string())
        .replace("{secure}", &server.secure.to_string());
    let mut command = Command::new(ours()?);
    command.arg("check").args(case.options).arg(&url);
    if let Some(trusted) = trusted {
        command.arg("--roots").arg(trusted);
    }
    let mut client = Program::start("dunlin check", command)?;
    let line = |texts: &Texts| {
        let mut lines = texts.out.lines();
        lines
            .any(|line| line.contains(&url) && line.contains(case.says))
            .then_some(())
    };
    let said = client.until(LIMIT, "the line about the server", line).await;
    said.map_err(|reason| format!("{reason}: {}", client.tail()))?;
    // Its exit says whether the server gave an address.
    let success = client.success(LIMIT).await;
    match success.is_ok() != case.says.starts_with(':') {
        true => Ok(()),
        false => Err(format!("it ended with {success:?}: {}", client.tail())),
    }
}
