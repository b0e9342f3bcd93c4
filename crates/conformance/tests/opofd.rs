//! Our own server, on the simulated plane, against the suite.

use clap::Parser;
use opof_conformance::{Choice, Dialect, Profile, SameTuple, Target, Terms, run, table};
use opof_daemon::Daemon;
use opof_daemon::config::flags::Cli;
use opof_daemon::config::{Config, from_text};
use tonic::transport::Endpoint;

const CAPACITY: u64 = 1000;

/// Suites that run side by side; most of the time they wait for timeouts.
const TOGETHER: usize = 12;
/// Advice about time is advice about the machine that runs the tests.
const BY_THE_CLOCK: &str = "calls-within-100-ms";

/// What the flags say, as opofd would have it.
fn config(listener: &str) -> Config {
    let sessions = CAPACITY.to_string();
    let cli = Cli::parse_from(["opofd", "--max-sessions", &sessions, "--listener", listener]);
    from_text(None, "", &cli.settings).expect("the flags are good")
}

/// The suite's table when a case fails.
async fn suite(dialect: Dialect, name: &str, same_tuple: SameTuple) -> Result<(), String> {
    let policy = match same_tuple {
        SameTuple::Supersede => "supersede",
        SameTuple::Reject => "reject",
    };
    let listener = format!("address=127.0.0.1:0,plaintext=true,profile={name},same_tuple={policy}");
    let daemon = Daemon::start(&config(&listener)).await.map_err(|error| error.to_string())?;
    let channel = Endpoint::from_shared(format!("http://{}", daemon.addresses()[0]))
        .map_err(|error| error.to_string())?
        .connect_lazy();
    let profile = Profile::from_name(name).ok_or(name)?;
    let terms = Terms { dialect, profile, same_tuple, capacity: Some(CAPACITY), may_shut_down: false };
    let report =
        run(&Target::new(channel, terms), &Choice::default(), |_| {}).await.map_err(|error| error.to_string())?;
    daemon.stop().await;
    let is_advised = report.advice().any(|result| result.case.name != BY_THE_CLOCK);
    if report.exit_code() == 0 && !is_advised { Ok(()) } else { Err(table(&report)) }
}

/// Every dialect, profile and policy.
fn all() -> Vec<(Dialect, &'static str, SameTuple)> {
    let profiles = |dialect| Profile::NAMED.map(|(name, _)| (dialect, name));
    let policies = |(dialect, name)| [SameTuple::Supersede, SameTuple::Reject].map(|policy| (dialect, name, policy));
    Dialect::ALL.into_iter().flat_map(profiles).flat_map(policies).collect()
}

#[test]
fn opofd_conforms_in_every_dialect_and_profile() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let all = all();
    assert_eq!(all.len(), 4 * 3 * 2);
    for some in all.chunks(TOGETHER) {
        // Each has a daemon and a runtime of its own.
        let suites: Vec<_> = some
            .iter()
            .map(|&(dialect, name, policy)| {
                let run = move || runtime().expect("a runtime").block_on(suite(dialect, name, policy));
                (format!("{dialect}, {name}, {policy:?}"), std::thread::spawn(run))
            })
            .collect();
        for (what, suite) in suites {
            let result = suite.join().expect("it does not panic");
            assert!(result.is_ok(), "{what}\n{}", result.unwrap_err());
        }
    }
}
