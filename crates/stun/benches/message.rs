//! What a Binding request of ICE costs: `cargo bench -p dunlin-stun`. The bars are in the README.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dunlin_stun::{Class, IntegrityKey, Message, Method, TransactionId, Writer};

fn write(out: &mut Vec<u8>, key: &IntegrityKey) {
    Writer::new(out, Class::Request, Method::BINDING, TransactionId([7; 12]))
        .username(b"evtj:h6vY")
        .priority(0x6e00_01ff)
        .ice_controlling(0x932f_f9b1_5126_3b36)
        .integrity(key)
        .fingerprint()
        .finish();
}

fn message(criterion: &mut Criterion) {
    let key = IntegrityKey::short_term("VOkJxbRl1RmTxUk/WvJxBt");
    let mut request = Vec::with_capacity(200);
    write(&mut request, &key);
    criterion.bench_function("parse", |bencher| {
        bencher.iter(|| {
            let message = Message::parse(black_box(&request)).unwrap();
            (
                message.class(),
                message.method(),
                message.username().map(<[u8]>::len),
            )
        });
    });
    criterion.bench_function("parse and verify", |bencher| {
        bencher.iter(|| {
            let message = Message::parse(black_box(&request)).unwrap();
            assert_eq!(message.verify_fingerprint(), Some(true));
            message.verify_integrity(&key).is_ok()
        });
    });
    criterion.bench_function("build", |bencher| {
        bencher.iter(|| {
            request.clear();
            write(&mut request, black_box(&key));
            request.len()
        });
    });
}

criterion_group!(benches, message);
criterion_main!(benches);
