//! OS entropy for seeds. Everything else random in dunlin is derived from a seed that came in by argument.

use rand::TryRng;

/// 32 bytes from the operating system, to seed one protocol object.
///
/// # Panics
/// When the operating system has no entropy source, which leaves nothing safe to do.
#[must_use]
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut seed)
        .expect("the operating system provides entropy");
    seed
}
