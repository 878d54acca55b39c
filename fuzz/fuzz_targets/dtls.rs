//! Two ends of DTLS, of either version, with a liar in the middle that the input drives (`dunlin_sim::liar`). Whatever
//! happens: no panic, no busy loop, the same keys or a reason, and data that arrives is data that was sent.
#![no_main]

use dunlin_sim::liar::Stage;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

fuzz_target!(|data: &[u8]| {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    let _ = STAGE.get_or_init(Stage::new).run(data);
});
