//! `dunlin-interop nat`: peers behind real NATs, out of network namespaces and the kernel's packet filter.

mod cases;
mod lab;
mod loss;
pub mod meet;
mod page;
pub mod server;
mod table;

use crate::peers::{Kind, Peers, Seat};
use cases::{Case, What};
use lab::{Lab, Nat, NoLab, SERVERS, Side};
use meet::Met;
use serde_json::{Value, json};
use server::{Identity, Over, Server};
use std::process::ExitCode;
use table::{Outcome, Row};

/// Peers behind real NATs, with a STUN and TURN server between them.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only cases whose name contains this.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Only this server.
    #[arg(long, value_name = "SERVER")]
    server: Option<server::Kind>,
    /// Only dunlin on both sides, and the page.
    #[arg(long)]
    alone: bool,
    /// Without the cases that take more than a moment.
    #[arg(long)]
    fast: bool,
    /// Runs everything this many times.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Prints every command, reply and event.
    #[arg(long)]
    trace: bool,
    /// Lists the cases.
    #[arg(long)]
    list: bool,
}

pub async fn run(arguments: &Arguments) -> ExitCode {
    let chosen: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| chosen(case, arguments))
        .collect();
    if arguments.list {
        for case in &chosen {
            println!("{case}");
        }
        return ExitCode::SUCCESS;
    }
    let result = tokio::select! {
        result = all(arguments, &chosen) => result,
        // The namespaces go with what is dropped here.
        _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
    };
    crate::ended(result)
}

fn chosen(case: &Case, arguments: &Arguments) -> bool {
    let named = arguments
        .case
        .as_ref()
        .is_none_or(|part| case.to_string().contains(part));
    let served = arguments.server.is_none_or(|server| server == case.server);
    let page = matches!(case.what, What::Page(_));
    let alone = page || case.peers == [Kind::Dunlin; 2];
    let fast = !matches!(case.what, What::Loss { .. });
    named && served && (alone || !arguments.alone) && (fast || !arguments.fast)
}

async fn all(arguments: &Arguments, chosen: &[Case]) -> Result<(), String> {
    if chosen.is_empty() {
        return Err("no case has a name like that; `--list` shows them".to_owned());
    }
    let mut site = match Site::open(arguments.trace).await {
        Ok(site) => site,
        Err(NoLab::Failed(reason)) => return Err(reason),
        Err(NoLab::Refused(reason)) => {
            let reason = format!("the kernel gives no NAT in a network namespace: {reason}");
            // Nobody reads a skip there.
            if std::env::var_os("CI").is_some() {
                return Err(reason);
            }
            eprintln!("nat: skipped: {reason}");
            return Ok(());
        }
    };
    let mut rows = Vec::new();
    for _ in 0..arguments.repeat.max(1) {
        for case in chosen {
            let outcome = match site.one(case).await {
                Ok(met) => Outcome::Connected(met),
                Err(reason) => Outcome::Failed(reason),
            };
            let row = Row { case: *case, outcome };
            eprintln!("{}", row.line());
            rows.push(row);
        }
    }
    let tails: Vec<String> = site.servers.iter().map(Server::tail).collect();
    for peers in &site.peers {
        peers.stop().await;
    }
    table::summary(&rows).map_err(|reason| format!("{reason}\n{}", tails.join("\n")))
}

/// The lab with everything in it. Peers and servers end before their namespaces go.
struct Site {
    servers: [Server; 2],
    /// What starts peers on each side.
    peers: [Peers; 2],
    identity: Identity,
    lab: Lab,
    behind: [Nat; 2],
    has_second_uplink: bool,
}

impl Site {
    async fn open(trace: bool) -> Result<Site, NoLab> {
        let behind = [Nat::Cone, Nat::Cone];
        let lab = Lab::up(behind[0], behind[1])?;
        let identity = Identity::make(&SERVERS).map_err(NoLab::Failed)?;
        let mut servers = Vec::new();
        for kind in [server::Kind::Coturn, server::Kind::Dunlin] {
            let server = Server::start(kind, &lab, &identity).await;
            servers.push(server.map_err(NoLab::Failed)?);
        }
        let servers = <[Server; 2]>::try_from(servers).map_err(|_| NoLab::Failed("no servers".to_owned()))?;
        let peers = [Side::A, Side::B].map(|side| Peers::inside(trace, lab.host(side)));
        Ok(Site {
            servers,
            peers,
            identity,
            lab,
            behind,
            has_second_uplink: false,
        })
    }

    /// One case: the NATs as it wants them, two peers, and what they do.
    async fn one(&mut self, case: &Case) -> Result<Met, String> {
        self.become_like(case)?;
        if let What::Page(over) = case.what {
            return page::call(&self.lab, &self.peers, &self.identity, over).await;
        }
        let seats = [
            self.peers[0].join(case.peers[0], "a").await?,
            self.peers[1].join(case.peers[1], "b").await?,
        ];
        let result = self.with(case, &seats).await;
        for seat in seats {
            seat.leave().await;
        }
        result
    }

    async fn with(&mut self, case: &Case, seats: &[Seat; 2]) -> Result<Met, String> {
        let server = self.servers.iter().find(|server| server.kind == case.server);
        let server = server.ok_or("there is no such server")?;
        let told = |over: &[Over], policy: &str| -> Value {
            json!({
                "iceServers": server.described(over),
                "iceTransportPolicy": policy,
                "tlsRoots": self.identity.authority,
                "loopback": false,
            })
        };
        match case.what {
            What::Pair { best, .. } => {
                meet::meet(seats, &told(&[Over::Udp, Over::Tcp, Over::Tls], "all"), best).await
            }
            What::Relay(over) => meet::meet_relayed(seats, &told(&[over], "relay"), over).await,
            What::Page(_) => Err("a page has no seats".to_owned()),
            What::Loss { offers } => {
                let result = loss::lose(&self.lab, seats, &told(&[Over::Udp], "all"), offers).await;
                // Which uplink was lost is not known: both are laid anew.
                self.has_second_uplink = false;
                self.lab.restore(Side::A, self.behind[0])?;
                result
            }
        }
    }

    fn become_like(&mut self, case: &Case) -> Result<(), String> {
        let wanted = case.behind();
        for (index, side) in [Side::A, Side::B].into_iter().enumerate() {
            // Always: what a NAT remembers of the case before is no part of this one.
            self.lab.nat(side, wanted[index])?;
            self.behind[index] = wanted[index];
        }
        let second = matches!(case.what, What::Loss { .. });
        if second && !self.has_second_uplink {
            self.lab.second_uplink(Nat::Cone)?;
        }
        self.has_second_uplink = second;
        Ok(())
    }
}
