//! Data channels between two peers in this process, filled for some seconds; and peers that do nothing.

use crate::figures::Figures;
use crate::link::{self, text};
use crate::{Options, cpu, limits, memory};
use dunlin::{Bytes, DataChannel, Message};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A figure of the group: what it is called, how large its messages are, on how many channels, and its bars.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    size: usize,
    channels: usize,
    /// MB/s; messages per second for small ones.
    rate: f64,
    /// CPU s/GB; CPU microseconds a message for small ones.
    cost: Option<f64>,
    /// MB of resident memory at most.
    memory: Option<f64>,
}

const fn case(name: &'static str, size: usize, channels: usize, rate: f64, cost: Option<f64>) -> Case {
    Case {
        name,
        size,
        channels,
        rate,
        cost,
        memory: None,
    }
}

impl Case {
    /// Bytes of a message.
    #[cfg(feature = "peers")]
    pub fn size(&self) -> usize {
        self.size
    }
}

/// All but the one that must have a process of its own.
pub const CASES: [Case; 4] = [
    case("data 64 KiB", 65_536, 1, 600.0, Some(2.0)),
    case("data 256 KiB", 262_144, 1, 600.0, Some(2.0)),
    case("data 16 KiB", 16_384, 1, 400.0, Some(3.0)),
    case("data 100 B", 100, 1, 1.2e6, Some(0.8)),
];

/// A hundred channels: what the process grows to is part of the figure.
pub const CROWD: Case = Case {
    memory: Some(40.0),
    ..case("data 100 channels", 16_384, 100, 300.0, None)
};

/// Idle peers: CPU and memory.
pub const IDLE: &str = "data idle";
/// Connections of the idle figure; each has two peers.
pub const IDLE_LINKS: usize = 100;

/// What the receivers have.
#[derive(Debug, Default)]
struct Received {
    bytes: AtomicU64,
    messages: AtomicU64,
}

pub async fn measure(options: Options, case: Case, mut figures: Figures) -> Result<Figures, String> {
    let time = options.time();
    limits::floor(time / 8, &mut figures)?;
    let mut link = link::connect(&options).await?;
    let mut ends = vec![(link.here.clone(), link.there.clone())];
    while ends.len() < case.channels {
        ends.push(link.another().await?);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let received = Arc::new(Received::default());
    let mut tasks = Vec::new();
    for (here, there) in ends {
        tasks.push(tokio::spawn(fill(here, case.size, Arc::clone(&stop))));
        tokio::spawn(take(there, Arc::clone(&received)));
    }
    // The congestion window opens before the clock runs.
    tokio::time::sleep(time / 4).await;
    let (from, cpu_from) = (tokio::time::Instant::now(), cpu::used());
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    let (bytes, messages) = (count(&received.bytes), count(&received.messages));
    tokio::time::sleep(time).await;
    let (took, cpu) = (
        from.elapsed().as_secs_f64(),
        (cpu::used() - cpu_from).as_secs_f64(),
    );
    let (bytes, messages) = (
        count(&received.bytes) - bytes,
        count(&received.messages) - messages,
    );
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.map_err(text)??;
    }
    report(case, [bytes, messages, took, cpu], &mut figures);
    if let Some(bar) = case.memory {
        let peak = memory::peak().ok_or("the system does not say how much memory this process has")?;
        let note = format!("the bar is {bar}, {:.2} of it", peak / bar);
        figures.add(&format!("{} rss", case.name), peak, "MB", note);
    }
    drop(link);
    Ok(figures)
}

fn report(case: Case, [bytes, messages, took, cpu]: [f64; 4], figures: &mut Figures) {
    let name = case.name;
    let held = |value: f64, bar: f64| format!("the bar is {bar}, {:.2} of it", value / bar);
    let rate = bytes / took / 1e6;
    if case.size < 1000 {
        let rate = messages / took;
        figures.add(name, rate, "/s", held(rate, case.rate));
        let each = cpu / messages * 1e6;
        let note = case.cost.map_or_else(String::new, |bar| held(each, bar));
        figures.add(
            &format!("{name} each"),
            each,
            "CPU us",
            format!("both peers; {note}"),
        );
        return;
    }
    figures.add(name, rate, "MB/s", held(rate, case.rate));
    let cost = cpu / (bytes / 1e9);
    let floor = figures.get("floor").unwrap_or(f64::NAN);
    let mut note = format!("both peers; {:.2} times the floor", cost / floor);
    if let Some(bar) = case.cost {
        note = format!("{note}; {}", held(cost, bar));
    }
    figures.add(&format!("{name} cpu"), cost, "CPU s/GB", note);
}

/// Sends as long as it may.
async fn fill(channel: DataChannel, size: usize, stop: Arc<AtomicBool>) -> Result<(), String> {
    let payload = Bytes::from(vec![7; size]);
    while !stop.load(Ordering::Relaxed) {
        channel
            .send(Message::Binary(payload.clone()))
            .await
            .map_err(text)?;
    }
    Ok(())
}

async fn take(mut channel: DataChannel, received: Arc<Received>) {
    while let Ok(Some(message)) = channel.recv().await {
        received.bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
        received.messages.fetch_add(1, Ordering::Relaxed);
    }
}

/// Connections with an open channel that nobody uses.
pub async fn idle(options: Options, mut figures: Figures) -> Result<Figures, String> {
    let unknown = "the system does not say how much memory this process has";
    let before = {
        // What the first connection brings to life stays, and is not counted.
        let first = link::connect(&options).await?;
        drop(first);
        memory::now().ok_or(unknown)?
    };
    let mut links = Vec::with_capacity(IDLE_LINKS);
    for _ in 0..IDLE_LINKS {
        links.push(link::connect(&options).await?);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let peers = (2 * IDLE_LINKS) as f64;
    let each = (memory::now().ok_or(unknown)? - before) * 1e3 / peers;
    let note = format!("a peer; the bar is 40, {:.2} of it", each / 40.0);
    figures.add("data idle rss", each, "kB", note);
    let (from, cpu_from) = (tokio::time::Instant::now(), cpu::used());
    tokio::time::sleep(options.time().max(Duration::from_secs(10))).await;
    let share = (cpu::used() - cpu_from).as_secs_f64() / from.elapsed().as_secs_f64() * 100.0;
    let note = format!(
        "of a core, {peers} peers; the bar is 0.5, {:.2} of it",
        share / 0.5
    );
    figures.add("data idle cpu", share, "%", note);
    drop(links);
    Ok(figures)
}
