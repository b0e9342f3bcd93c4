//! Seeds that are run before a change is taken, and what a seed is.

use opof_sim::{Of, limits, run, search};

/// Those that have found something, and what that was. What a seed does changes with the world, so each bug has a test of its own beside
/// the code as well.
const FINDINGS: &[(u64, &str)] = &[
    (192, "a removal reached the plane behind the answer that its install had failed, and the plane did not expect it"),
    (1556, "a superseded session that was closed and not yet stored came back after a kill, and closed by its timeout"),
    (
        7_687_870_217_871_089_881,
        "the same while it was being removed: it had the number of a new session, which was taken out",
    ),
];

#[test]
fn no_seed_breaks_anything() {
    let searched = search(Of::Device, 0..=limits::SEEDS - 1, None, |_| true);
    if let Some(finding) = searched.finding {
        panic!("{finding}");
    }
    assert_eq!(searched.seeds, limits::SEEDS);
}

#[test]
fn no_seed_breaks_anything_in_a_pair() {
    let searched = search(Of::Pair, 0..=limits::PAIR_SEEDS - 1, None, |_| true);
    if let Some(finding) = searched.finding {
        panic!("{finding}");
    }
    assert_eq!(searched.seeds, limits::PAIR_SEEDS);
}

#[test]
fn what_was_found_once_is_not_found_again() {
    for (seed, what) in FINDINGS {
        if let Err(finding) = run(Of::Device, *seed) {
            panic!("{finding}\nonce it was: {what}");
        }
    }
}

#[test]
fn a_seed_is_the_same_run_again() {
    let prints = |seed| run(Of::Device, seed).map(|passed| passed.print);
    for seed in 0..40 {
        assert_eq!(prints(seed), prints(seed), "seed {seed}");
    }
    assert_ne!(prints(0), prints(1));
    let of_pair = |seed| run(Of::Pair, seed).map(|passed| passed.print);
    for seed in 0..20 {
        assert_eq!(of_pair(seed), of_pair(seed), "seed {seed} of a pair");
    }
}
