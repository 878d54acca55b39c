//! `/metrics` in the text format of Prometheus, and `/healthz` for load balancers.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use dunlin::turn_server::{Stats, TurnServer};
use tokio::net::TcpListener;

use super::error::TurnError;

/// What the handlers need.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) server: TurnServer,
    pub(super) draining: AtomicBool,
}

/// Serves until the program ends; answers where.
pub(super) async fn serve(address: SocketAddr, watched: Arc<Watched>) -> Result<SocketAddr, TurnError> {
    let wrong = |error| TurnError::Metrics(address, error);
    let listener = TcpListener::bind(address).await.map_err(wrong)?;
    let local = listener.local_addr().map_err(wrong)?;
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .with_state(watched);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            log::error!("metrics are not served any more: {error}");
        }
    });
    Ok(local)
}

async fn health(State(watched): State<Arc<Watched>>) -> (StatusCode, &'static str) {
    if watched.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn metrics(State(watched): State<Arc<Watched>>) -> ([(&'static str, &'static str); 1], String) {
    let stats = watched.server.stats().await;
    let draining = watched.draining.load(Ordering::Relaxed);
    let kind = ("content-type", "text/plain; version=0.0.4");
    ([kind], text(&stats, draining))
}

/// One family of samples: its name, what it is, and the samples by label.
type Family<'a> = (&'a str, &'a str, &'a [(&'a str, u64)]);

/// The page.
fn text(stats: &Stats, draining: bool) -> String {
    let mut page = String::new();
    gauges(&mut page, stats, draining);
    counters(&mut page, stats);
    page
}

/// What goes up and down.
fn gauges(page: &mut String, stats: &Stats, draining: bool) {
    let (core, sockets) = (&stats.core, &stats.sockets);
    let gauges: [Family<'_>; 4] = [
        ("allocations", "Allocations now.", &[("", core.allocations)]),
        ("relays", "Open sockets of relays.", &[("", sockets.relays)]),
        (
            "connections",
            "Open connections of clients.",
            &[
                ("transport=\"tcp\"", sockets.tcp),
                ("transport=\"tls\"", sockets.tls),
                ("transport=\"dtls\"", sockets.dtls),
            ],
        ),
        (
            "draining",
            "1 while no new allocations are made.",
            &[("", draining.into())],
        ),
    ];
    for family in gauges {
        write(page, family, "gauge", "");
    }
}

/// What only goes up.
fn counters(page: &mut String, stats: &Stats) {
    let (core, sockets) = (&stats.core, &stats.sockets);
    let counters: [Family<'_>; 9] = [
        (
            "allocations_made",
            "Allocations made.",
            &[("", core.allocations_made)],
        ),
        (
            "allocations_expired",
            "Allocations that expired.",
            &[("", core.allocations_expired)],
        ),
        (
            "bindings",
            "STUN Binding requests answered.",
            &[("", core.bindings)],
        ),
        (
            "requests",
            "Authenticated and other TURN requests, by their end.",
            &[
                ("end=\"granted\"", core.granted),
                ("end=\"refused\"", core.refused),
                ("end=\"challenged\"", core.challenges),
                ("end=\"wrong_credentials\"", core.wrong_credentials),
                ("end=\"stale_nonce\"", core.stale_nonces),
                ("end=\"rate_limited\"", core.dropped_limited),
            ],
        ),
        (
            "refusals",
            "Refused by quota or by the rules for peers.",
            &[
                ("reason=\"quota\"", core.quota_reached),
                ("reason=\"peer\"", core.peers_refused),
            ],
        ),
        (
            "relayed_packets",
            "Datagrams relayed.",
            &[
                ("direction=\"to_peer\"", core.to_peers),
                ("direction=\"to_client\"", core.to_clients),
            ],
        ),
        (
            "relayed_bytes",
            "Bytes in them.",
            &[
                ("direction=\"to_peer\"", core.bytes_to_peers),
                ("direction=\"to_client\"", core.bytes_to_clients),
            ],
        ),
        (
            "dropped",
            "Messages and datagrams dropped.",
            &[
                ("reason=\"malformed\"", core.dropped_malformed),
                ("reason=\"no_allocation\"", core.dropped_no_allocation),
                ("reason=\"no_permission\"", core.dropped_no_permission),
                ("reason=\"bandwidth\"", core.dropped_bandwidth),
                ("reason=\"queue_full\"", core.dropped_queue_full),
                ("reason=\"unsent\"", sockets.dropped_unsent),
                ("reason=\"backlog\"", sockets.dropped_backlog),
            ],
        ),
        (
            "failures",
            "What could not be opened.",
            &[
                ("what=\"relay\"", sockets.relays_failed),
                ("what=\"tls_handshake\"", sockets.tls_failed),
                ("what=\"connection\"", sockets.refused_connections),
            ],
        ),
    ];
    for family in counters {
        write(page, family, "counter", "_total");
    }
}

fn write(page: &mut String, (name, help, samples): Family<'_>, kind: &str, suffix: &str) {
    let name = format!("dunlin_turn_{name}{suffix}");
    // Writing to a String cannot fail.
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{labels}}}")
        };
        let _ = writeln!(page, "{name}{labels} {value}");
    }
}
