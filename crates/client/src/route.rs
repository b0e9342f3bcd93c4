//! Which device is asked: of several, the one that answered last, until it says that another is active, or is not there.
//!
//! What must not be here: the calls themselves (`call`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opof_api::{Rpc, metadata};
use tonic::codegen::http::uri::Authority;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::config::ClientConfig;
use crate::error::Error;
use crate::limits;
use crate::status::{is_from_device, is_not_sent, retry_after};

/// One device, and the connection to it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) uri: String,
    /// `host:port`; `None` of a Unix domain socket.
    authority: Option<Authority>,
    pub(crate) channel: Channel,
    pub(crate) rpc: Rpc,
    /// Something has been heard of the device that only an OpenOffload server, or another gRPC one, says.
    heard: AtomicBool,
}

impl Target {
    fn new(uri: &str, channel: Channel, config: &ClientConfig) -> Arc<Self> {
        let (dialect, _) = config.spoken();
        let rpc = Rpc::new(channel.clone(), dialect).max_decoding_message_size(limits::MESSAGE_BYTES);
        let (_, host) = uri.split_once("://").unwrap_or_default();
        let authority = if uri.starts_with("unix:") { None } else { host.trim_end_matches('/').parse().ok() };
        Arc::new(Self { uri: uri.to_owned(), authority, channel, rpc, heard: AtomicBool::new(false) })
    }

    /// It has said something.
    pub(crate) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct State {
    /// Those of the configuration, then the one that was learned, if one was.
    targets: Vec<Arc<Target>>,
    current: usize,
}

/// All devices that a client may ask. Clones share where they are.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    state: Arc<Mutex<State>>,
    config: Arc<ClientConfig>,
}

impl Route {
    /// Connects to the first device that is there.
    pub(crate) async fn connect(config: &ClientConfig) -> Result<Self, Error> {
        let route = Self::lazy(config)?;
        let mut first_error = None;
        for (index, uri) in config.uris().enumerate() {
            match config.connect(uri).await {
                Ok(channel) => {
                    let mut state = route.state();
                    state.targets[index] = Target::new(uri, channel, config);
                    state.current = index;
                    drop(state);
                    return Ok(route);
                }
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        Err(first_error.expect("a configuration has an address"))
    }

    /// Connects to each when it is asked.
    pub(crate) fn lazy(config: &ClientConfig) -> Result<Self, Error> {
        let target = |uri| Ok(Target::new(uri, config.connect_lazy(uri)?, config));
        let targets = config.uris().map(target).collect::<Result<_, Error>>()?;
        let state = State { targets, current: 0 };
        Ok(Self { state: Arc::new(Mutex::new(state)), config: Arc::new(config.clone()) })
    }

    /// The one to ask.
    pub(crate) fn current(&self) -> Arc<Target> {
        let state = self.state();
        Arc::clone(&state.targets[state.current])
    }

    /// Devices that are known.
    pub(crate) fn len(&self) -> usize {
        self.state().targets.len()
    }

    /// Whether a call may come to be made again elsewhere.
    pub(crate) fn may_move(&self) -> bool {
        self.is_several() || self.config.may_learn()
    }

    /// The device has not answered: next time another one is asked, if there is one.
    pub(crate) fn doubt(&self, target: &Arc<Target>) {
        if let Some(next) = self.after(target, |_| true) {
            self.go(target, &next);
        }
    }

    /// What a device says while it sends something: next time the one that it names is asked.
    pub(crate) fn heed(&self, target: &Arc<Target>, status: &Status) {
        if is_from_device(status) {
            if let Some(next) = named(status).and_then(|named| self.find(named)) {
                self.go(target, &next);
            }
        } else {
            self.doubt(target);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_several(&self) -> bool {
        self.len() > 1
    }

    /// The next one behind `target`, in a circle, that will do.
    fn after(&self, target: &Arc<Target>, will_do: impl Fn(&Arc<Target>) -> bool) -> Option<Arc<Target>> {
        let state = self.state();
        let at = state.targets.iter().position(|other| Arc::ptr_eq(other, target)).unwrap_or(state.current);
        let (before, behind) = state.targets.split_at(at);
        let mut others = behind.iter().skip(1).chain(before);
        others.find(|other| will_do(other)).cloned()
    }

    /// Goes on from one to another, unless a call beside this one has done so.
    fn go(&self, from: &Arc<Target>, to: &Arc<Target>) {
        let mut state = self.state();
        let position = state.targets.iter().position(|other| Arc::ptr_eq(other, to));
        if Arc::ptr_eq(&state.targets[state.current], from)
            && let Some(position) = position
        {
            state.current = position;
        }
    }

    /// The device at an address that another one has named, if it may be asked: see [`ClientConfig::or`].
    fn find(&self, named: &str) -> Option<Arc<Target>> {
        let named: Authority = named.parse().ok()?;
        let mut state = self.state();
        let known = state.targets.iter().find(|target| target.authority.as_ref() == Some(&named));
        if known.is_some() || !self.config.may_learn() || named.as_str().contains('@') {
            return known.cloned();
        }
        let uri = format!("https://{named}");
        let channel = self.config.connect_lazy(&uri).ok()?;
        let learned = Target::new(&uri, channel, &self.config);
        // One at a time: it takes the place of the one before.
        state.targets.truncate(1);
        state.targets.push(Arc::clone(&learned));
        state.current = state.current.min(1);
        Some(learned)
    }
}

/// Where the active device is, in the words of one that is not.
fn named(status: &Status) -> Option<&str> {
    if status.code() != Code::Unavailable {
        return None;
    }
    status.metadata().get(metadata::ACTIVE)?.to_str().ok()
}

/// What one call has found out on its way.
#[derive(Default)]
pub(crate) struct Search {
    hops: u32,
    /// Since it waited last.
    not_active: Vec<Arc<Target>>,
    away: Vec<Arc<Target>>,
}

impl Search {
    /// After `from` has failed the call with `status`: how long to wait before [`Route::current`] is asked. `None`: it is not asked again.
    pub(crate) fn next(&mut self, route: &Route, from: &Arc<Target>, status: &Status) -> Option<Duration> {
        self.hops += 1;
        if self.hops > limits::HOPS {
            return None;
        }
        let pause = retry_after(status);
        let to = if is_not_sent(status) {
            self.away.push(Arc::clone(from));
            route.after(from, |other| !has(&self.away, other))?
        } else if !is_from_device(status) {
            // It may have been carried out, so it is for the caller to ask again.
            route.doubt(from);
            return None;
        } else if let Some(named) = named(status) {
            self.not_active.push(Arc::clone(from));
            let there = route.find(named).or_else(|| route.after(from, |_| true))?;
            // One that is away is not asked twice; until there is an active one, this one is.
            if has(&self.away, &there) { Arc::clone(from) } else { there }
        } else if status.code() == Code::Unavailable && pause.is_some() && route.is_several() {
            // About to become active, or not to be any more.
            self.not_active.push(Arc::clone(from));
            Arc::clone(from)
        } else {
            return None;
        };
        route.go(from, &to);
        if !has(&self.not_active, &to) {
            return Some(Duration::ZERO);
        }
        // Then whichever of them is asked first, and names the other one, that one is asked right behind it.
        self.not_active.clear();
        Some(pause.unwrap_or(limits::RETRY))
    }
}

fn has(targets: &[Arc<Target>], target: &Arc<Target>) -> bool {
    targets.iter().any(|other| Arc::ptr_eq(other, target))
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    const PAUSE: Duration = Duration::from_millis(50);
    const TARGETS: [&str; 2] = ["http://a:1", "http://b:1"];

    fn standby(active: &str) -> Status {
        let details = ErrorDetails::with_retry_info(Some(PAUSE));
        let mut status = Status::with_error_details(Code::Unavailable, "this device is standby", details);
        status.metadata_mut().insert(metadata::ACTIVE, active.parse().unwrap());
        status
    }

    /// Whoever becomes active while a call waits is asked right behind the wait, wherever that leads first.
    #[tokio::test]
    async fn two_that_name_each_other_are_both_asked_behind_each_wait() {
        let route = Route::lazy(&ClientConfig::new(TARGETS[0]).or(TARGETS[1])).unwrap();
        let mut search = Search::default();
        for (asked, other, pause) in
            [(0, "b:1", Duration::ZERO), (1, "a:1", PAUSE), (0, "b:1", Duration::ZERO), (1, "a:1", PAUSE)]
        {
            let target = route.current();
            assert_eq!(target.uri, TARGETS[asked]);
            assert_eq!(search.next(&route, &target, &standby(other)), Some(pause));
        }
    }

    #[tokio::test]
    async fn a_call_is_made_so_often_and_no_more() {
        let route = Route::lazy(&ClientConfig::new(TARGETS[0]).or(TARGETS[1])).unwrap();
        let mut search = Search::default();
        let asks = std::iter::from_fn(|| search.next(&route, &route.current(), &standby("a:1")));
        assert_eq!(asks.take(2 * limits::HOPS as usize).count(), limits::HOPS as usize);
    }
}
