//! What a handshake costs, by its parts, and the mask of a DTLS 1.3 record. The aim is a mutual P-256 handshake,
//! both ends, in 0.29 ms: two signatures, two verifications, two key generations and two agreements.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use dunlin_crypto::aead::AeadAlgorithm;
use dunlin_crypto::agreement::{EphemeralKey, Group, respond};
use dunlin_crypto::certificate::{Certificate, CertificateOptions, public_key_of};
use dunlin_crypto::hash::HashAlgorithm;
use dunlin_crypto::hkdf;
use dunlin_crypto::hmac::{HmacKey, tls12_prf};
use dunlin_crypto::mask::MaskKey;
use dunlin_crypto::signature::{KeyKind, SignatureScheme};

fn agreement(c: &mut Criterion) {
    for group in [
        Group::X25519,
        Group::P256,
        Group::P384,
        Group::P521,
        Group::X25519MlKem768,
    ] {
        let mut bench = c.benchmark_group(format!("{group:?}"));
        let generate = || EphemeralKey::generate(group).expect("a key");
        let peer = generate();
        let response = respond(group, peer.share()).expect("a response");
        bench.bench_function("generate", |b| b.iter(generate));
        bench.bench_function("respond", |b| b.iter(|| respond(group, black_box(peer.share()))));
        bench.bench_function("agree", |b| {
            b.iter_batched(generate, |key| key.agree(&response.share), BatchSize::SmallInput);
        });
    }
}

fn signature(c: &mut Criterion) {
    let message = [7; 200];
    for (key, scheme) in [
        (KeyKind::EcdsaP256, SignatureScheme::EcdsaSha256),
        (KeyKind::EcdsaP384, SignatureScheme::EcdsaSha384),
        (KeyKind::Ed25519, SignatureScheme::Ed25519),
        (KeyKind::Rsa { bits: 2048 }, SignatureScheme::RsaPssSha256),
    ] {
        let mut options = CertificateOptions::default();
        options.key = key;
        let certificate = Certificate::generate_with(&options).expect("a certificate");
        let key = certificate.signing_key();
        let public = public_key_of(certificate.der()).expect("its key");
        let signature = key.sign(scheme, &message).expect("a signature");
        let mut bench = c.benchmark_group(format!("{scheme:?}"));
        bench.bench_function("sign", |b| b.iter(|| key.sign(scheme, black_box(&message))));
        bench.bench_function("verify", |b| {
            b.iter(|| public.verify(scheme, black_box(&message), &signature));
        });
        bench.bench_function("public_key_of", |b| {
            b.iter(|| public_key_of(black_box(certificate.der())))
        });
    }
    let certificate = Certificate::generate().expect("a certificate");
    c.bench_function("Certificate/generate", |b| b.iter(Certificate::generate));
    c.bench_function("Certificate/clone", |b| b.iter(|| certificate.clone()));
}

fn key_schedule(c: &mut Criterion) {
    let (secret, message) = ([1; 32], [2; 50]);
    let mut bench = c.benchmark_group("Sha256");
    bench.bench_function("hmac one-shot, 50 bytes", |b| {
        b.iter(|| HmacKey::new(HashAlgorithm::Sha256, black_box(&secret)).sign(&[&message]));
    });
    let key = HmacKey::new(HashAlgorithm::Sha256, &secret);
    bench.bench_function("hmac, 50 bytes", |b| {
        b.iter(|| key.sign(&[black_box(&message[..])]))
    });
    bench.bench_function("hkdf expand, 32 bytes", |b| {
        let mut out = [0; 32];
        b.iter(|| hkdf::expand(HashAlgorithm::Sha256, black_box(&secret), &[&message], &mut out));
    });
    bench.bench_function("tls12_prf, 40 bytes", |b| {
        let mut out = [0; 40];
        b.iter(|| {
            tls12_prf(
                HashAlgorithm::Sha256,
                black_box(&secret),
                b"key expansion",
                &[&[1; 64]],
                &mut out,
            )
        });
    });
}

fn mask(c: &mut Criterion) {
    for algorithm in [
        AeadAlgorithm::Aes128Gcm,
        AeadAlgorithm::Aes256Gcm,
        AeadAlgorithm::ChaCha20Poly1305,
    ] {
        let mut key = MaskKey::new(algorithm, &vec![1; algorithm.key_len()]).expect("a key");
        c.bench_function(&format!("mask/{algorithm:?}"), |b| {
            b.iter(|| key.mask(black_box(&[7; 16])))
        });
    }
}

criterion_group!(benches, agreement, signature, key_schedule, mask);
criterion_main!(benches);
