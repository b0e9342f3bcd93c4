//! The simulation finds bugs: four that were planted, each within the seeds that are run before a change is taken.
//!
//! With the feature `planted` alone: `cargo xtask ci --only sim`.
#![cfg(feature = "planted")]

use opof_session::planted::Bug;
use opof_sim::{Of, limits, search};

fn is_found(of: Of, bug: Bug) {
    let searched = search(of, 0..=limits::SEEDS - 1, Some(bug), |_| true);
    let finding = searched.finding.unwrap_or_else(|| panic!("{bug:?} was not found in {} seeds", searched.seeds));
    println!("{bug:?}: seed {}, {} seeds run: {}", finding.seed, searched.seeds, finding.what);
    assert_eq!(search(of, finding.seed..=finding.seed, None, |_| true).finding, None, "it is that bug");
}

#[test]
fn a_bug_in_the_aging_is_found() {
    is_found(Of::Device, Bug::Aging);
}

#[test]
fn a_bug_in_the_index_is_found() {
    is_found(Of::Device, Bug::Index);
}

#[test]
fn a_bug_in_the_log_is_found() {
    is_found(Of::Device, Bug::Log);
}

#[test]
fn without_a_bug_nothing_is() {
    assert_eq!(search(Of::Device, 0..=49, None, |_| true).finding, None);
}

#[test]
fn a_bug_in_what_a_pair_agrees_on_is_found() {
    is_found(Of::Pair, Bug::Pair);
}
