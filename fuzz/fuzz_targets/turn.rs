//! ChannelData and the framing of streams (RFC 8656, section 12).
#![no_main]

use dunlin_turn::{ChannelData, next_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = ChannelData::parse(data);
    let _ = next_frame(data);
});
