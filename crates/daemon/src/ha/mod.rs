//! High availability: what a pair needs besides its own decisions.
//!
//! What lives here: the line to the other device, what carries the requests of `opof_session::ha` to the store that elects and its
//! answers back, and the term that is kept for a later process. What must not: who is active, when to ask, and what is said.

pub mod etcd;
mod line;
mod term;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opof_api::ha::PairFacts;
use opof_session::ha::store::StoreRequest;
use opof_session::ha::term::Role;
use opof_session::ha::{Command, Election, Settings};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use self::line::LineError;
use self::line::{Line, Listener};
use crate::clock::Clock;
use crate::config::{HaConfig, HaElection};
use crate::driver::pair::{self, Arrival, Lines, PairHandle};
use crate::error::StartError;
use crate::limits;
use crate::tls::Tls;

/// A pair that is ready to begin: everything that can be wrong has been looked at.
pub(crate) struct Prepared {
    /// For the session table.
    pub(crate) settings: Settings,
    /// The same.
    pub(crate) lines: Lines,
    /// For everybody else.
    pub(crate) handle: PairHandle,
    ends: pair::Ends,
    line: Line,
    listener: Listener,
    store: Option<etcd::Etcd>,
    term: term::TermFile,
}

impl Prepared {
    /// Opens what `config` names; `state` is the folder for what is kept.
    pub(crate) async fn new(config: &HaConfig, clock: &Clock, state: &Path) -> Result<Self, StartError> {
        let line = Line::new(config)?;
        let listener = Listener::open(config, clock).await?;
        let store = match &config.election {
            HaElection::Etcd { config, .. } => Some(etcd::Etcd::new(config)?),
            HaElection::Fixed(_) | HaElection::External => None,
        };
        let kept = config.term_file.clone().unwrap_or_else(|| state.join(format!("pair-{}.term", config.node)));
        let term = term::TermFile::new(kept);
        let election = match &config.election {
            HaElection::Fixed(role) => Election::Fixed(*role),
            HaElection::External => Election::External,
            HaElection::Etcd { ttl, .. } => Election::Elected { ttl: *ttl },
        };
        let settings = Settings {
            run: run(clock.time_of_day()),
            side: config.side(),
            election,
            hold: config.hold,
            sync: config.sync,
            last: term.read()?,
        };
        let (lines, ends) = pair::lines();
        let handle = ends.handle.clone();
        Ok(Self { settings, lines, handle, ends, line, listener, store, term })
    }

    /// What it shows the other device, which may change.
    pub(crate) const fn tls(&self) -> &Arc<Tls> {
        self.listener.tls()
    }

    /// Connects it to the world, until the tasks are dropped.
    pub(crate) fn start(self, tasks: &mut JoinSet<()>) -> (Settings, Lines) {
        let Self { settings, lines, ends, line, listener, store, term, .. } = self;
        let pair::Ends { handle, messages, store: requests } = ends;
        let state = handle.state();
        line.start(tasks, settings.side, listener, messages, handle.arrivals().clone());
        if let Some(store) = store {
            tasks.spawn(ask_store(store, requests, handle.arrivals().clone()));
        }
        tasks.spawn(term.keep(state));
        (settings, lines)
    }
}

/// An active that ends hands over first, if there is somebody.
pub(crate) async fn leave(pair: &PairHandle, within: Duration) {
    if !matches!(pair.command(Command::Switchover).await, Ok(Ok(()))) {
        return;
    }
    let mut state = pair.state();
    let is_standby = state.wait_for(|state| state.role == Role::Standby);
    if timeout(within, is_standby).await.is_err() {
        tracing::warn!("the other device of the pair did not take over in time");
        return;
    }
    // That it should take over has been said; now it has to get there.
    sleep(limits::PEER_FAREWELL).await;
}

/// Of this process: later ones have a greater one, as long as nobody sets the clock back. The lowest bits are those of a short moment.
fn run(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// One question at a time.
async fn ask_store(mut store: etcd::Etcd, mut requests: mpsc::Receiver<StoreRequest>, arrivals: mpsc::Sender<Arrival>) {
    while let Some(request) = requests.recv().await {
        let answer = store.ask(request).await;
        if arrivals.send(Arrival::Store(answer)).await.is_err() {
            return;
        }
    }
}

/// What everybody may know of a pair.
pub(crate) fn facts(config: &HaConfig) -> PairFacts {
    PairFacts {
        node: config.node.clone(),
        peer_node: config.peer.node.clone(),
        peer_api: config.peer.api.clone(),
        election: match config.election {
            HaElection::Fixed(_) => "fixed",
            HaElection::External => "external",
            HaElection::Etcd { .. } => "etcd",
        },
        sync: config.sync,
    }
}
