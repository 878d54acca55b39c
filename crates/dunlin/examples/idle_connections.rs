//! What idle connections cost: `cargo run --release --example idle_connections -- 200 [own]` makes so many pairs with an
//! open channel, one side of each on one endpoint or all with sockets of their own, and prints resident memory and
//! processor time per peer.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use dunlin::{Config, DataChannelInit, Endpoint, EndpointConfig, Event, PeerConnection};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Resident kilobytes of this process.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kilobytes.ok_or("no VmRSS in /proc/self/status")?.parse()?)
}

/// Processor time of this process, in hundredths of a second.
fn ticks() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let field = |at: usize| fields.get(at).ok_or("a field of /proc/self/stat is missing");
    Ok(field(11)?.parse::<u64>()? + field(12)?.parse::<u64>()?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let own = arguments.next().is_some_and(|word| word == "own");
    let at = EndpointConfig::at("127.0.0.1:0".parse()?);
    let server = Endpoint::bind(at.clone()).await?;
    let mut config = Config::default();
    config.sockets = at;
    let mut kept = Vec::new();
    let mut before = 0;
    // The first pairs pay for what is made once.
    for made in 0..count + 10 {
        if made == 10 {
            before = resident()?;
        }
        let (alice, mut alice_events) = PeerConnection::bind(config.clone()).await?;
        // On one endpoint each connection needs a remote address of its own, so only one side shares.
        let (bob, mut bob_events) = match own {
            true => PeerConnection::bind(config.clone()).await?,
            false => server.connection(config.clone()).await?,
        };
        let ours = alice.create_data_channel("idle", DataChannelInit::default())?;
        bob.set_remote_description(alice.set_local_description()?)?;
        alice.set_remote_description(bob.set_local_description()?)?;
        let theirs = loop {
            tokio::select! {
                event = alice_events.next() => if let Some(Event::IceCandidate(candidate)) = event {
                    bob.add_ice_candidate(candidate)?;
                },
                event = bob_events.next() => match event {
                    Some(Event::IceCandidate(candidate)) => alice.add_ice_candidate(candidate)?,
                    Some(Event::DataChannel(channel)) => break channel,
                    _ => {}
                },
            }
        };
        ours.opened().await?;
        kept.push((alice, alice_events, ours, bob, bob_events, theirs));
    }
    let peers = 2 * count as u64;
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!(
        "{} kB of resident memory per peer",
        (resident()?.saturating_sub(before)) as f64 / peers as f64
    );
    let (begun, used) = (Instant::now(), ticks()?);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let share = (ticks()? - used) as f64 / begun.elapsed().as_secs_f64();
    println!("{share:.2} % of a core for {} idle peers", 2 * kept.len());
    println!(
        "{} kB of resident memory per peer after that",
        (resident()?.saturating_sub(before)) as f64 / peers as f64
    );
    Ok(())
}
