//! The suite is green on a server that is right, in every dialect and profile, and red, by the name of a case, on each
//! that is wrong.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

mod mock;
mod right;
mod wrong;

use opof_conformance::{Choice, Report, Target, run};

/// Runs the suite in a runtime of its own: its future stays on one thread, and several suites run beside each other.
pub(crate) fn on_a_thread<T: Send + 'static>(
    work: impl AsyncFnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    })
}

pub(crate) async fn suite(target: &Target, only: &[&str]) -> Report {
    let only = only.iter().map(|name| (*name).to_owned()).collect();
    run(target, &Choice { only, force: false }, |_| {}).await.unwrap()
}
