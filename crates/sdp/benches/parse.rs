//! How long a browser's offer takes: the aim is 17 microseconds for Chromium's 5.8 kB.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dunlin_sdp::SessionDescription;

fn offer(c: &mut Criterion) {
    let text = include_str!("../tests/data/chromium-offer.sdp");
    let parsed = SessionDescription::parse(text).expect("a captured offer");
    let mut group = c.benchmark_group("chromium-offer");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("parse", |b| b.iter(|| SessionDescription::parse(black_box(text))));
    group.bench_function("write", |b| b.iter(|| black_box(&parsed).to_string()));
    group.finish();
}

criterion_group!(benches, offer);
criterion_main!(benches);
