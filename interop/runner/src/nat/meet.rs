//! Two peers of the lab meet: they connect, talk, and say by which way.

use super::server::Over;
use crate::cases::data::{exchange, open, opened};
use crate::negotiate::{self, Plan};
use crate::pair::Pair;
use crate::peers::Seat;
use crate::session::Session;
use serde_json::{Value, json};
use std::fmt;
use std::time::{Duration, Instant};

/// How long two peers may take to connect and then to find the best way.
const LIMIT: Duration = Duration::from_secs(20);
/// How long they may stay on a worse way than there is.
const SETTLE: Duration = Duration::from_secs(5);

/// The way that data takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What the selected candidate is, on each side.
    pub kinds: [String; 2],
    /// By what each side reaches its relay, if that is used.
    pub over: [Option<Over>; 2],
}

impl Route {
    /// How many relays are on it, and the heaviest transport to one.
    pub fn cost(&self) -> Cost {
        Cost {
            relays: self.over.iter().flatten().count(),
            over: self.over.iter().flatten().copied().max(),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |index: usize| match self.over[index] {
            Some(over) => format!("relay/{}", over.name()),
            None => self.kinds[index].clone(),
        };
        f.pad(&format!("{} - {}", side(0), side(1)))
    }
}

/// What a way costs: the less, the better.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub relays: usize,
    pub over: Option<Over>,
}

impl Cost {
    /// TCP and TLS cost the same: who nominates takes the one that is there first.
    fn as_good_as(self, other: Cost) -> bool {
        self.relays == other.relays && (self.over == Some(Over::Udp)) == (other.over == Some(Over::Udp))
    }
}

impl Cost {
    pub const DIRECT: Cost = Cost {
        relays: 0,
        over: None,
    };

    pub const fn relayed(relays: usize, over: Over) -> Cost {
        Cost {
            relays,
            over: Some(over),
        }
    }
}

/// How it went.
#[derive(Debug)]
pub struct Met {
    pub route: Route,
    /// From the offer until both were connected, or what else the case measures.
    pub took: Duration,
    /// What else is to be told.
    pub note: String,
}

/// Connects two peers that are told this, and has them exchange messages; then the way must be as good as can be.
pub async fn meet(seats: &[Seat; 2], told: &Value, best: Cost) -> Result<Met, String> {
    let pair = Pair {
        peer: seats[0].session.clone(),
        ours: seats[1].session.clone(),
        peer_offers: true,
        seed: std::process::id(),
    };
    let result = tokio::select! {
        result = talk(&pair, told, best) => result,
        reason = negotiate::carry_candidates(&pair, None, false) => Err(reason),
        () = tokio::time::sleep(LIMIT) => Err(format!("given up after {LIMIT:?}")),
    };
    match result {
        Ok(met) => Ok(met),
        Err(reason) => Err(format!("{reason}\n{}", pair.post_mortem().await)),
    }
}

/// The same over relays alone, and by this transport at both ends.
pub async fn meet_relayed(seats: &[Seat; 2], told: &Value, over: Over) -> Result<Met, String> {
    let met = meet(seats, told, Cost::relayed(2, over)).await?;
    if met.route.over == [Some(over); 2] {
        Ok(met)
    } else {
        Err(format!(
            "the way is {}, although nothing but {} was offered",
            met.route,
            over.name()
        ))
    }
}

async fn talk(pair: &Pair, told: &Value, best: Cost) -> Result<Met, String> {
    let took = connect(pair, told).await?;
    for size in [1, 1200, 60_000] {
        exchange(pair.offerer(), "data", "binary", size, pair.seed).await?;
    }
    let route = settled(pair, best).await?;
    let note = String::new();
    Ok(Met { route, took, note })
}

/// Connects them with a channel; answers how long it took.
pub async fn connect(pair: &Pair, told: &Value) -> Result<Duration, String> {
    pair.offerer().command("new", told.clone()).await?;
    let mut answerer = told.clone();
    answerer["echo"] = json!(true);
    pair.answerer().command("new", answerer).await?;
    open(pair, "data", json!({})).await?;
    let began = Instant::now();
    negotiate::connect(pair, Plan::default()).await?;
    let took = began.elapsed();
    opened(pair, "data").await?;
    Ok(took)
}

/// Waits until the way costs what the best does, and checks that it was not better: then the lab is not what it claims.
async fn settled(pair: &Pair, best: Cost) -> Result<Route, String> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let route = route(pair).await?;
        if route.cost().as_good_as(best) {
            return Ok(route);
        }
        if Instant::now() > deadline {
            let wanted = match best.over {
                None => "there is a direct one".to_owned(),
                Some(over) => format!("it needs {} relays over {}", best.relays, over.name()),
            };
            return Err(format!("the way is {route}, although {wanted}"));
        }
        // No peer tells when it takes another way.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The way data takes now, as both sides see their own end.
pub async fn route(pair: &Pair) -> Result<Route, String> {
    let [one, other] = [end(pair.offerer()).await?, end(pair.answerer()).await?];
    Ok(Route {
        kinds: [one.0, other.0],
        over: [one.1, other.1],
    })
}

async fn end(session: &Session) -> Result<(String, Option<Over>), String> {
    let stats = session.command("stats", json!({})).await?;
    let kind = stats["route"]["kind"].as_str().unwrap_or("none").to_owned();
    let over = match stats["route"]["relayProtocol"].as_str() {
        _ if kind != "relay" => None,
        Some("udp") => Some(Over::Udp),
        Some("tcp") => Some(Over::Tcp),
        Some("tls") => Some(Over::Tls),
        other => {
            return Err(format!("{} reaches its relay over {other:?}", session.name()));
        }
    };
    Ok((kind, over))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_costs_more_with_every_relay_and_with_heavier_transports() {
        let one = Cost::relayed(1, Over::Udp);
        let over_tcp = Cost::relayed(1, Over::Tcp);
        assert!(!Cost::DIRECT.as_good_as(one) && !one.as_good_as(over_tcp));
        assert!(!one.as_good_as(Cost::relayed(2, Over::Udp)));
        assert!(Cost::relayed(1, Over::Tls).as_good_as(over_tcp));
        let route = Route {
            kinds: ["relay".to_owned(), "prflx".to_owned()],
            over: [Some(Over::Tcp), None],
        };
        assert!(route.cost().as_good_as(over_tcp));
        assert_eq!(route.to_string(), "relay/tcp - prflx");
    }
}
