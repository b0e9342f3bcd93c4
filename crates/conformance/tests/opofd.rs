//! Our own server, on the simulated plane, against the suite.

use clap::Parser;
use opof_conformance::{Choice, Dialect, Profile, SameTuple, Target, Terms, run, table};
use opof_daemon::Daemon;
use opof_daemon::config::flags::Cli;
use opof_daemon::config::{Config, from_text};
use tonic::transport::Endpoint;

const CAPACITY: u64 = 1000;

/// What opofd serves. Dialect, profile, what it does with two ids for one tuple.
const SERVED: &[(Dialect, &str, SameTuple)] =
    &[(Dialect::V1, "spec", SameTuple::Supersede), (Dialect::V1, "spec", SameTuple::Reject)];

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
    let listener = format!("address=127.0.0.1:0,plaintext=true,same_tuple={policy}");
    let daemon = Daemon::start(&config(&listener)).await.map_err(|error| error.to_string())?;
    let channel = Endpoint::from_shared(format!("http://{}", daemon.addresses()[0]))
        .map_err(|error| error.to_string())?
        .connect_lazy();
    let profile = Profile::from_name(name).ok_or(name)?;
    let terms = Terms { dialect, profile, same_tuple, capacity: Some(CAPACITY), may_shut_down: false };
    let report =
        run(&Target::new(channel, terms), &Choice::default(), |_| {}).await.map_err(|error| error.to_string())?;
    daemon.stop().await;
    if report.exit_code() == 0 { Ok(()) } else { Err(table(&report)) }
}

#[test]
fn opofd_conforms() {
    // Each has a daemon and a runtime of its own; most of the time they wait for timeouts.
    let suites: Vec<_> = SERVED
        .iter()
        .map(|&(dialect, name, same_tuple)| {
            let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let thread =
                std::thread::spawn(move || runtime().expect("a runtime").block_on(suite(dialect, name, same_tuple)));
            (format!("{dialect}, {name}, {same_tuple:?}"), thread)
        })
        .collect();
    for (what, suite) in suites {
        let result = suite.join().expect("it does not panic");
        assert!(result.is_ok(), "{what}\n{}", result.unwrap_err());
    }
}
