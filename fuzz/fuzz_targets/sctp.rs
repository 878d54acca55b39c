//! Two SCTP associations that talk over a network that drops, repeats, cuts and changes packets. Changed packets
//! get a right checksum, so that they are read. Whatever happens: no panic, no busy loop; as long as no packet was
//! changed, messages arrive whole.
#![no_main]

use bytes::Bytes;
use dunlin_fuzz::{Dice, carry};
use dunlin_sctp::{Association, Config, Event, Ppid, Reliability, SendOptions, StreamId};
use libfuzzer_sys::fuzz_target;
use std::time::{Duration, Instant};

/// The checksum (RFC 9260, section 6.8) of what may have been changed.
fn repaired(bytes: &[u8]) -> Bytes {
    let mut packet = bytes.to_vec();
    if let Some(field) = packet.get_mut(8..12) {
        field.fill(0);
        let sum = crc32c::crc32c(&packet).to_le_bytes();
        packet[8..12].copy_from_slice(&sum);
    }
    Bytes::from(packet)
}

fn talk(end: &mut Association, dice: &mut Dice<'_>, now: Instant) {
    let Some(kind) = dice.byte() else { return };
    let stream = StreamId(u16::from(kind & 3));
    if kind & 0xF0 == 0xF0 {
        return end.reset_stream(stream);
    }
    let mut options = SendOptions::default();
    options.unordered = kind & 4 == 4;
    if kind & 8 == 8 {
        options.reliability = Reliability::MaxRetransmits(0);
    }
    let size = usize::from(dice.byte().unwrap_or(1)) * 16 + 1;
    let _ = end.send(now, stream, Ppid(53), Bytes::from(vec![kind; size]), options);
}

fuzz_target!(|data: &[u8]| {
    let mut dice = Dice::new(data);
    let mut now = Instant::now();
    let mut ends = [1, 2].map(|seed| Association::new(Config::default(), [seed; 32], now));
    for end in &mut ends {
        end.connect(now);
    }
    let mut changed = false;
    let mut out = Vec::new();
    for _round in 0..150 {
        let mut moved = false;
        for from in [0, 1] {
            loop {
                out.clear();
                if !ends[from].poll_transmit(now, &mut out) {
                    break;
                }
                moved = true;
                let marked = ends[from].ecn_capable() && dice.byte().is_some_and(|byte| byte & 3 == 3);
                let to = &mut ends[1 - from];
                carry(&mut dice, &out, |bytes| {
                    changed |= bytes != &out[..];
                    match marked {
                        true => to.handle_marked_datagram(now, repaired(bytes)),
                        false => to.handle_datagram(now, repaired(bytes)),
                    }
                });
            }
            while let Some(event) = ends[from].poll_event() {
                match event {
                    Event::Connected => talk(&mut ends[from], &mut dice, now),
                    Event::Message { data, .. } if !changed => {
                        assert!(data.iter().all(|byte| *byte == data[0]), "parts of two messages");
                        talk(&mut ends[from], &mut dice, now);
                    }
                    _ => {}
                }
            }
        }
        if !moved {
            let Some(next) = ends.iter().filter_map(Association::poll_timeout).min() else { return };
            now = next.max(now + Duration::from_millis(1));
            for end in &mut ends {
                end.handle_timeout(now);
            }
        }
    }
});
