//! Frames of RFC 4571 on a TCP connection between peers: however the bytes arrive, the same messages come out, and no more
//! is kept than a message that is not complete.
#![no_main]

use dunlin_ice::TcpFrames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], Vec<u8>)| {
    let (stream, cuts) = input;
    let whole = messages(&mut TcpFrames::default(), stream);
    let mut frames = TcpFrames::default();
    let mut pieces = Vec::new();
    let mut rest = stream;
    for cut in cuts {
        let (now, later) = rest.split_at(usize::from(cut).min(rest.len()));
        pieces.extend(messages(&mut frames, now));
        assert!(frames.buffer().len() < 2 + usize::from(u16::MAX));
        rest = later;
    }
    pieces.extend(messages(&mut frames, rest));
    assert_eq!(pieces, whole);
    let taken: usize = whole.iter().map(|message| 2 + message.len()).sum();
    assert!(taken + frames.buffer().len() <= stream.len());
});

fn messages(frames: &mut TcpFrames, bytes: &[u8]) -> Vec<Vec<u8>> {
    frames.buffer().extend_from_slice(bytes);
    std::iter::from_fn(|| frames.take())
        .map(|message| message.to_vec())
        .collect()
}
