//! The liar in the middle of DTLS, with seeds: `cargo xtask sim --liar --seeds 10000` runs more.

use dunlin_dtls::Version;
use dunlin_sim::liar::Stage;

const SEEDS: u64 = 400;

#[test]
fn whatever_the_liar_does_both_ends_agree_or_end_with_a_reason() {
    let stage = Stage::new();
    let (mut of_12, mut of_13, mut ended, mut lies) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let outcome = stage.run_seed(seed);
        match outcome.version {
            Some(Version::Dtls12) => of_12 += 1,
            Some(_) => of_13 += 1,
            None => ended += 1,
        }
        lies += outcome.lies;
    }
    let told = format!("{of_12} connected with DTLS 1.2, {of_13} with 1.3, {ended} ended, {lies} lies");
    assert!(
        of_12 > SEEDS / 8 && of_13 > SEEDS / 4 && ended > SEEDS / 50,
        "{told}"
    );
    assert!(lies as u64 > 5 * SEEDS, "{told}");
}

#[test]
fn without_a_lie_every_pair_of_ends_connects() {
    let stage = Stage::new();
    for shape in 0..16 {
        for extras in (0..=255).step_by(5) {
            let outcome = stage.run(&[0, shape, extras, shape / 4]);
            assert!(outcome.version.is_some(), "{shape} {extras}: {outcome:?}");
        }
    }
}

/// "Nothing unauthenticated allocates state" beyond the bounds: all of a run, the liar's memory included.
#[test]
fn no_run_takes_more_memory_than_the_bounds_allow() {
    let stage = Stage::new();
    for seed in 0..40 {
        let used = allocation_counter::measure(|| {
            let _ = stage.run_seed(seed);
        });
        assert!(used.bytes_max < 600_000, "seed {seed}: {used:?}");
        assert!(used.bytes_current < 4_096, "seed {seed}: {used:?}");
    }
}
