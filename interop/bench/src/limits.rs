//! What no stack can beat on this machine: UDP over loopback and the packet cipher.

use crate::cpu;
use crate::figures::Figures;
use dunlin_crypto::aead::{AeadAlgorithm, OpeningKey, SealingKey};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use std::io::{ErrorKind, IoSliceMut};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const DATAGRAM: usize = 1200;

/// How fast a core is: operations that wait for each other, a billion a second. A machine that is shared gives less of its core
/// than its name says, and does not say so; bars in seconds of processor time mean nothing without this.
pub fn core(name: &str, figures: &mut Figures) {
    const ROUNDS: u32 = 60_000_000;
    let start = cpu::used_by_thread();
    let mut x = std::hint::black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..ROUNDS {
        // Xorshift: six operations of one cycle each.
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    std::hint::black_box(x);
    let took = (cpu::used_by_thread() - start).as_secs_f64();
    let rate = 6.0 * f64::from(ROUNDS) / took / 1e9;
    figures.add(name, rate, "GHz", "single operations, one after the other");
}

/// Trains of 1,200 B datagrams from one thread to another with GSO and GRO.
pub fn udp(time: Duration, figures: &mut Figures) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let bind = || UdpSocket::bind("127.0.0.1:0");
    let (sender, receiver) = (bind().map_err(text)?, bind().map_err(text)?);
    let destination = receiver.local_addr().map_err(text)?;
    let sending = UdpSocketState::new((&sender).into()).map_err(text)?;
    let receiving = UdpSocketState::new((&receiver).into()).map_err(text)?;
    let segments = sending.max_gso_segments().clamp(1, 48);
    let end = Instant::now() + time;
    let counter = std::thread::spawn(move || count(&receiver, &receiving, end));
    let contents = vec![7; DATAGRAM * segments];
    let start = Instant::now();
    while Instant::now() < end {
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: &contents,
            segment_size: (segments > 1).then_some(DATAGRAM),
            src_ip: None,
        };
        match sending.try_send((&sender).into(), &transmit) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.to_string()),
            _ => std::thread::yield_now(),
        }
    }
    let bytes = counter.join().map_err(|_| "the receiving thread panicked")?;
    let rate = bytes as f64 / start.elapsed().as_secs_f64() / 1e6;
    figures.add("udp", rate, "MB/s", format!("GSO {segments}, GRO, delivered"));
    Ok(())
}

/// Trains of the same kind, sent and received by one thread in turns: what the kernel's way costs, without waiting.
pub fn udp_cpu(time: Duration, figures: &mut Figures) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let bind = || UdpSocket::bind("127.0.0.1:0");
    let (sender, receiver) = (bind().map_err(text)?, bind().map_err(text)?);
    let destination = receiver.local_addr().map_err(text)?;
    let sending = UdpSocketState::new((&sender).into()).map_err(text)?;
    let receiving = UdpSocketState::new((&receiver).into()).map_err(text)?;
    let segments = sending.max_gso_segments().clamp(1, 48);
    let contents = vec![7; DATAGRAM * segments];
    let mut slot = vec![0u8; 65_536];
    let mut meta = [RecvMeta::default(); 1];
    let (mut bytes, start) = (0, cpu::used_by_thread());
    while cpu::used_by_thread() - start < time {
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: &contents,
            segment_size: (segments > 1).then_some(DATAGRAM),
            src_ip: None,
        };
        sending.try_send((&sender).into(), &transmit).map_err(text)?;
        let end = bytes + contents.len();
        while bytes < end {
            let mut buffers = [IoSliceMut::new(&mut slot)];
            receiving
                .recv((&receiver).into(), &mut buffers, &mut meta)
                .map_err(text)?;
            bytes += meta[0].len;
        }
    }
    let took = (cpu::used_by_thread() - start).as_secs_f64();
    let cost = took / (bytes as f64 / 1e9);
    figures.add(
        "udp cpu",
        cost,
        "CPU s/GB",
        format!("GSO {segments}, GRO, both ends"),
    );
    Ok(())
}

/// What a byte of a data channel costs at least in datagrams of 1,200 B: sealed, carried, opened.
pub fn floor(time: Duration, figures: &mut Figures) -> Result<(), String> {
    if figures.get("floor").is_some() {
        return Ok(());
    }
    udp_cpu(time, figures)?;
    if figures.get("aes-128-gcm open").is_none() {
        aead(time, figures)?;
    }
    let one = |name: &str| figures.get(name).map(|rate| 1.0 / rate);
    let cipher = one("aes-128-gcm seal").zip(one("aes-128-gcm open"));
    let (Some((seal, open)), Some(udp)) = (cipher, figures.get("udp cpu")) else {
        return Err("the floor needs the cipher's figures".to_owned());
    };
    let note = "seal, UDP, open, 1,200 B; no engine";
    figures.add("floor", seal + udp + open, "CPU s/GB", note);
    Ok(())
}

/// Copying twice, piece by piece: what an engine must do with each byte, into the packet and into the message.
pub fn copying(time: Duration, figures: &mut Figures) {
    const PIECE: usize = 1144;
    let source = vec![7u8; 65_536 / PIECE * PIECE];
    let (mut packet, mut message) = (Vec::with_capacity(PIECE), Vec::with_capacity(source.len()));
    let (mut bytes, start) = (0usize, cpu::used_by_thread());
    while cpu::used_by_thread() - start < time {
        message.clear();
        for piece in source.chunks(PIECE) {
            packet.clear();
            packet.extend_from_slice(piece);
            message.extend_from_slice(std::hint::black_box(&packet));
        }
        bytes += std::hint::black_box(&message).len();
    }
    let rate = bytes as f64 / (cpu::used_by_thread() - start).as_secs_f64() / 1e6;
    figures.add("copying", rate, "MB/s", "64 KiB in pieces of 1,144 B, twice");
}

fn count(socket: &UdpSocket, state: &UdpSocketState, end: Instant) -> usize {
    const SLOTS: usize = 8;
    let mut slots = vec![[0u8; 65536]; SLOTS];
    let mut meta = [RecvMeta::default(); SLOTS];
    let mut bytes = 0;
    while Instant::now() < end {
        let mut buffers: Vec<IoSliceMut<'_>> = slots.iter_mut().map(|slot| IoSliceMut::new(slot)).collect();
        match state.recv(socket.into(), &mut buffers, &mut meta) {
            Ok(filled) => bytes += meta.iter().take(filled).map(|meta| meta.len).sum::<usize>(),
            Err(_) => std::thread::yield_now(),
        }
    }
    bytes
}

/// The packet cipher alone, sealing and opening 1,200 B in place, by processor time.
pub fn aead(time: Duration, figures: &mut Figures) -> Result<(), String> {
    let text = |error: dunlin_crypto::BackendError| error.to_string();
    let mut seal = SealingKey::new(AeadAlgorithm::Aes128Gcm, &[7; 16]).map_err(text)?;
    let mut open = OpeningKey::new(AeadAlgorithm::Aes128Gcm, &[7; 16]).map_err(text)?;
    let aad = [1; 13];
    let mut data = [9; DATAGRAM];
    let (mut count, start) = (0u64, cpu::used_by_thread());
    while cpu::used_by_thread() - start < time {
        for _ in 0..256 {
            let _ = seal.seal_in_place(&nonce(count), &aad, &mut data);
            count += 1;
        }
    }
    let rate = |count: u64, took: Duration| (count * DATAGRAM as u64) as f64 / took.as_secs_f64() / 1e9;
    figures.add(
        "aes-128-gcm seal",
        rate(count, cpu::used_by_thread() - start),
        "GB/s",
        "1,200 B in place",
    );
    let mut sealed = [9; DATAGRAM];
    let tag = seal.seal_in_place(&nonce(0), &aad, &mut sealed);
    let (mut count, start) = (0u64, cpu::used_by_thread());
    while cpu::used_by_thread() - start < time {
        for _ in 0..256 {
            data.copy_from_slice(&sealed);
            open.open_in_place(&nonce(0), &aad, &mut data, &tag)
                .map_err(|_| "an own record was refused")?;
            count += 1;
        }
    }
    figures.add(
        "aes-128-gcm open",
        rate(count, cpu::used_by_thread() - start),
        "GB/s",
        "1,200 B in place, and a copy",
    );
    Ok(())
}

fn nonce(count: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&count.to_be_bytes());
    nonce
}
