//! Runs cases at the same time, as many as the machine bears.

use crate::Arguments;
use crate::cases::Case;
use crate::emulator::Emulator;
use crate::negotiate;
use crate::pair::Pair;
use crate::peers::{Flavour, Kind, Peers};
use crate::report::{Outcome, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Runs every case against every peer in the variants asked for.
pub async fn run(peers: &Peers, arguments: &Arguments, cases: &[&Case]) -> Vec<Result> {
    let room = Arc::new(Semaphore::new(arguments.load.max(2)));
    let mut work = Vec::new();
    // Row by row: the cases that wait longest start first, for every peer.
    for case in cases {
        for kind in &arguments.peers {
            for peer_offers in arguments.variants() {
                work.push(job(
                    peers,
                    *kind,
                    arguments.against,
                    case,
                    *peer_offers,
                    room.clone(),
                ));
            }
        }
    }
    join_all(work).await
}

/// Runs futures together; the results come in the futures' order.
async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<T>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (future, result) in running.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
            }
        }
        if results.iter().all(Option::is_some) {
            std::task::Poll::Ready(results.drain(..).flatten().collect())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

async fn job(
    peers: &Peers,
    kind: Kind,
    ours: Kind,
    case: &Case,
    peer_offers: bool,
    room: Arc<Semaphore>,
) -> Result {
    let mut result = Result {
        peer: kind,
        case: case.name,
        peer_offers,
        outcome: Outcome::Absent,
        took: Duration::ZERO,
        detail: String::new(),
    };
    if let Some(reason) = case.absent(kind, peer_offers) {
        result.detail = reason.to_owned();
        return result;
    }
    let _place = room.acquire_many(case.load).await;
    let start = Instant::now();
    let ran = one(peers, kind, ours, case, peer_offers).await;
    result.took = start.elapsed();
    (result.outcome, result.detail) = match ran {
        Ok(detail) => (Outcome::Passed, detail),
        Err(reason) => (Outcome::Failed, reason),
    };
    let variant = if peer_offers { "peer offers" } else { "we offer" };
    let (name, seconds) = (kind.name(), result.took.as_secs_f64());
    eprintln!(
        "{:<6} {:>5.1} s  {name}: {} ({variant})  {}",
        result.outcome,
        seconds,
        case.name,
        result.detail.lines().next().unwrap_or_default()
    );
    result
}

async fn one(
    peers: &Peers,
    kind: Kind,
    ours: Kind,
    case: &Case,
    peer_offers: bool,
) -> std::result::Result<String, String> {
    let role = if kind == ours { ("peer", "ours") } else { ("", "") };
    let mut peer = peers.start(kind, case.flavour(), role.0, case.alone()).await?;
    let our_seat = peers.start(ours, Flavour::Usual, role.1, false).await?;
    let seed = u32::from(std::process::id() as u16) << 8;
    let pair = Pair {
        peer: peer.session.clone(),
        ours: our_seat.session.clone(),
        peer_offers,
        seed,
    };
    let emulator = case.link().map(|link| Emulator::new(link, u64::from(seed)));
    let result = tokio::select! {
        result = case.run(&pair, &mut peer) => result,
        reason = negotiate::carry_candidates(&pair, emulator.as_ref(), case.tcp_only()) => Err(reason),
        () = tokio::time::sleep(case.limit) => Err(format!("given up after {:?}", case.limit)),
    };
    let result = match result {
        Ok(detail) => Ok(detail),
        Err(reason) => Err(format!("{reason}\n{}", pair.post_mortem().await)),
    };
    peer.leave().await;
    our_seat.leave().await;
    result
}
