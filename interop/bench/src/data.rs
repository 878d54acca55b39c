//! One data channel, filled for some seconds.

use crate::figures::Figures;
use crate::link::{self, text};
use crate::{Options, cpu};
use dunlin::{Bytes, Message};
use std::time::Instant;

pub async fn measure(
    options: &Options,
    name: &str,
    size: usize,
    figures: &mut Figures,
) -> Result<(), String> {
    let mut link = link::connect(options).await?;
    // The congestion window opens before the clock runs.
    let warm_up = options.time() / 4;
    let payload = Bytes::from(vec![7; size]);
    let sender = link.here.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let sending = tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => return Ok::<(), String>(()),
                sent = sender.send(Message::Binary(payload.clone())) => sent.map_err(text)?,
            }
        }
    });
    let begin = Instant::now();
    while begin.elapsed() < warm_up {
        link.there
            .recv()
            .await
            .map_err(text)?
            .ok_or("the channel was closed")?;
    }
    let (start, cpu_start) = (Instant::now(), cpu::used());
    let (mut bytes, mut messages) = (0usize, 0usize);
    while start.elapsed() < options.time() {
        let message = link
            .there
            .recv()
            .await
            .map_err(text)?
            .ok_or("the channel was closed")?;
        bytes += message.len();
        messages += 1;
    }
    let (took, cpu) = (
        start.elapsed().as_secs_f64(),
        (cpu::used() - cpu_start).as_secs_f64(),
    );
    let _ = stop.send(());
    sending.await.map_err(text)??;
    let rate = bytes as f64 / took / 1e6;
    let note = if name.contains("64 KiB") {
        "; the bar is 100"
    } else {
        ""
    };
    figures.add(
        name,
        rate,
        "MB/s",
        format!("{}{note}", figures.share(rate, "udp")),
    );
    let note = if name.contains("64 KiB") {
        "both peers; the bar is 12"
    } else {
        "both peers"
    };
    figures.add(
        &format!("{name} cpu"),
        cpu / (bytes as f64 / 1e9),
        "CPU s/GB",
        note,
    );
    if size < 1000 {
        figures.add(&format!("{name} messages"), messages as f64 / took, "/s", "");
        figures.add(
            &format!("{name} each"),
            cpu / messages as f64 * 1e6,
            "CPU us",
            "both peers",
        );
    }
    Ok(())
}
