//! Firewalls behind tunnels: the XDP programs and the Rust pipeline on the same frames, in both directions.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use common::Lab;
use common::pair::Pair;
use opof_testkit::frames::{self, MIN_FRAME_LEN, RandomFrames, Rng};

const RANDOM_FRAMES: usize = 100_000;
/// With other sessions each.
const ROUNDS: usize = 10;
const SEED: u64 = 0x6f70_6f66;

#[test]
fn xdp_and_the_pipeline_agree_about_what_goes_to_firewalls() {
    let (mut lab, mut rng) = (Lab::new(), Rng::new(SEED));
    let mut pair = Pair::with_tunnels(&mut lab, &mut rng);
    for fixture in frames::fixtures().into_iter().filter(|fixture| fixture.frame.len() >= MIN_FRAME_LEN) {
        pair.compare(&fixture.name, &fixture.frame);
    }
    for (n, frame) in RandomFrames::new(SEED).take(RANDOM_FRAMES).enumerate() {
        if n % (RANDOM_FRAMES / ROUNDS) == 0 {
            pair.refill(&mut rng);
        }
        pair.compare(&format!("random frame {n} of seed {SEED:#x}"), &frame);
    }
    pair.compare_counters();
    for (verdict, frames) in &pair.verdicts {
        println!("{frames:>8} {verdict}");
    }
}
