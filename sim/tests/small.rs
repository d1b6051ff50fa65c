//! The small worlds in `cargo test`: few seeds. The release binary runs more.

use procession_sim::Small;

#[test]
fn s8_s10_publishers_keep_their_promises_in_every_seed() {
    holds(Small::Publishers, 3_000, 20_000);
}

#[test]
fn s1_s6_claims_keep_their_promises_in_every_seed() {
    holds(Small::Claims, 1_500, 2_000);
}

fn holds(world: Small, seeds: u64, least: u64) {
    let mut outcomes = 0;
    for seed in 0..seeds {
        let told = world.run(seed);
        assert_eq!(told.broken, None, "{} seed {seed}", world.name());
        outcomes += told.outcomes;
        if seed < 50 {
            assert_eq!(told, world.run(seed), "S11: seed {seed}");
        }
    }
    // What did nothing proves nothing.
    assert!(least < outcomes, "{outcomes}");
}
