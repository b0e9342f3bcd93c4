//! opofd: flags, logs, signals, exit codes. Everything else is in the library.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use opof_daemon::config::flags::{Cli, Command};
use opof_daemon::config::source::Place;
use opof_daemon::config::{self, Config, ConfigError, DataPlaneConfig, SettingFlags};
use opof_daemon::watchdog::Watchdog;
use opof_daemon::{Daemon, EXIT_FAILED, Notice, RunningDaemon, StartError, limits, log};
use opof_dataplane_linux::Removed;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Command::CheckConfig { file, json }) = &cli.command {
        if cli.remove {
            Cli::command().error(ErrorKind::ArgumentConflict, "--remove and a command don't go together").exit();
        }
        return check_config(file, &cli.settings, *json);
    }
    if cli.remove {
        return remove(&cli);
    }
    match config::load(cli.config.as_deref(), &cli.settings).map_err(StartError::from).and_then(|config| run(&config)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_FAILED),
        Err(error) => {
            // A mistake begins with its place, as a compiler's does; editors find it there.
            let prefix = if matches!(error, StartError::Config(_)) { "" } else { "opofd: " };
            eprintln!("{prefix}{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Takes down what an opofd has left that is not running.
fn remove(cli: &Cli) -> ExitCode {
    let removed = pin_dir(cli).map_err(StartError::from).and_then(|pin_dir| {
        let removed = opof_dataplane_linux::remove(&pin_dir)?;
        Ok((pin_dir, removed))
    });
    match removed {
        Ok((pin_dir, None)) => println!("{}: nothing is there", pin_dir.display()),
        Ok((pin_dir, Some(removed))) => {
            let Removed { attachments, settings, elsewhere } = removed;
            println!(
                "{}: removed; {attachments} interfaces have no program any more, settings of {settings} are as they were",
                pin_dir.display()
            );
            if elsewhere > 0 {
                println!(
                    "settings of {elsewhere} interfaces in other network namespaces stay as opofd changed them: run it there"
                );
            }
        }
        Err(error) => {
            eprintln!("opofd: {error}");
            return ExitCode::from(error.exit_code());
        }
    }
    ExitCode::SUCCESS
}

/// The directory that is meant. Without a file nothing else has to be said.
fn pin_dir(cli: &Cli) -> Result<PathBuf, ConfigError> {
    let Some(file) = &cli.config else { return Ok(cli.settings.pin_dir.as_deref().unwrap_or(config::PIN_DIR).into()) };
    match config::load(Some(file), &cli.settings)?.data_plane {
        DataPlaneConfig::Xdp { pin_dir, .. } => Ok(pin_dir),
        DataPlaneConfig::Sim => Ok(config::PIN_DIR.into()),
    }
}

/// Runs until a signal comes. False when something failed.
fn run(config: &Config) -> Result<bool, StartError> {
    log::init(&config.log);
    raise_open_files();
    let failed = |what| move |source| StartError::System { what, source };
    let mut builder = if config.threads.get() == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    // Which the first of them takes no notice of.
    let runtime = builder
        .worker_threads(config.threads.get())
        .enable_all()
        .build()
        .map_err(failed("starting the threads that serve clients"))?;
    runtime.block_on(async {
        // Before anything is opened: a signal that comes early must find somebody who listens.
        let mut terminate = signal(SignalKind::terminate()).map_err(failed("waiting for SIGTERM"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("waiting for SIGINT"))?;
        let mut hangup = signal(SignalKind::hangup()).map_err(failed("waiting for SIGHUP"))?;
        let mut daemon = Daemon::start(config).await?;
        tell_certificate(&daemon);
        tell_systemd(NotifyState::Ready);
        // Dropped before the session table ends.
        let watchdog =
            Watchdog::start(daemon.pulse(), limits::WATCHDOG_LOOK, || tell_systemd(NotifyState::Watchdog), restart)
                .map_err(failed("starting the watchdog"))?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(stop(daemon, watchdog, limits::STOP_GRACE).await),
                _ = interrupt.recv() => return Ok(stop(daemon, watchdog, limits::STOP_GRACE).await),
                Some(()) = hangup.recv() => daemon.reload_certificates(),
                notice = daemon.notice() => match notice {
                    Notice::ShutdownAsked(within) => {
                        let end = Instant::now() + within;
                        // Who sends a signal meanwhile is in a hurry.
                        tokio::select! {
                            () = daemon.drained(within) => {}
                            _ = terminate.recv() => {}
                            _ = interrupt.recv() => {}
                        }
                        let left = end.saturating_duration_since(Instant::now());
                        return Ok(stop(daemon, watchdog, left.min(limits::STOP_GRACE)).await);
                    }
                    Notice::Failed(why) => {
                        tracing::error!("{why}");
                        stop(daemon, watchdog, limits::STOP_GRACE).await;
                        return Ok(false);
                    }
                },
            }
        }
    })
}

async fn stop(daemon: RunningDaemon, watchdog: Watchdog, grace: Duration) -> bool {
    tell_systemd(NotifyState::Stopping);
    drop(watchdog);
    daemon.stop_within(grace).await
}

/// Where systemd has not started it, nobody listens.
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// This program again, in the place of this process, whatever its threads hang on. It goes on with the sessions that are there.
fn restart() {
    tracing::error!(
        "the session table has not got on for {} s: opofd starts anew",
        (limits::WATCHDOG_LOOK * limits::WATCHDOG_LOOKS).as_secs()
    );
    let mut arguments = std::env::args_os();
    // After an upgrade the file that was started may be gone.
    let program = std::env::current_exe().ok().filter(|path| path.exists()).unwrap_or_else(|| "/proc/self/exe".into());
    let mut command = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command.args(arguments).exec();
    tracing::error!(%error, "opofd could not be started anew, and ends");
    std::process::abort();
}

/// A connection is an open file, and many systems allow 1024 of them unless a program asks for what it may have.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let asked = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(error) = asked {
        tracing::warn!(%error, open_files = limit.current, "the limit on open files could not be raised");
    }
}

/// Whoever writes a client needs this line, whatever the level of the log.
fn tell_certificate(daemon: &RunningDaemon) {
    if let Some(made) = daemon.certificate() {
        let (cert, address) = (made.cert.display(), &daemon.addresses()[0]);
        println!(
            "self-signed certificate: {cert}; clients use it as root certificate, such as in Python: \
             grpc.secure_channel(\"{address}\", grpc.ssl_channel_credentials(open(\"{cert}\", \"rb\").read()))"
        );
    }
}

fn check_config(file: &Path, flags: &SettingFlags, json: bool) -> ExitCode {
    let result = config::load(Some(file), flags);
    let code = ExitCode::from(u8::from(result.is_err()));
    let printed = if json { print_json(file, &result) } else { print_text(file, &result) };
    // Nobody reads the other end any more: there is nothing left to say.
    if printed.is_err() { ExitCode::from(EXIT_FAILED) } else { code }
}

fn print_text(file: &Path, result: &Result<Config, ConfigError>) -> io::Result<()> {
    use io::Write;
    match result {
        Ok(config) => writeln!(io::stdout(), "{}: no mistakes: {}", file.display(), config.summary()),
        Err(error) => writeln!(io::stderr(), "{error}"),
    }
}

fn print_json(file: &Path, result: &Result<Config, ConfigError>) -> io::Result<()> {
    use io::Write;
    let mistakes: Vec<_> = match result {
        Ok(_) => Vec::new(),
        Err(ConfigError::Mistakes(mistakes)) => mistakes
            .iter()
            .map(|mistake| {
                let (line, flag) = match &mistake.place {
                    Place::Line(_, line) => (Some(line), None),
                    Place::Flag(flag) => (None, Some(flag)),
                    Place::BuiltIn => (None, None),
                };
                serde_json::json!({ "line": line, "flag": flag, "message": mistake.message })
            })
            .collect(),
        Err(error) => vec![serde_json::json!({ "line": null, "flag": null, "message": error.to_string() })],
    };
    let summary = result.as_ref().ok().map(Config::summary);
    let report = serde_json::json!({ "file": file, "ok": result.is_ok(), "summary": summary, "mistakes": mistakes });
    writeln!(io::stdout(), "{report}")
}
