//! What is asked of the devices of a pair, by one who is in the management network.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opof_api::pair::pair_client::PairClient;
use opof_api::pair::{GetPairRequest, GetPairResponse, Role, Standing, SwitchoverRequest};
use opof_client::{Client, ClientConfig, Refusal};
use opof_session::types::SessionSpec;
use opof_testkit::wait::Stopwatch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use crate::Error;

/// How long a question of an operator may take.
const CALL_BOUND: Duration = Duration::from_secs(5);
/// How long a call of a firewall may take: longer than a test may, for a device that is gone without a word has to be noticed before.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long anything may take on a busy machine.
const BOUND: Duration = Duration::from_secs(30);
/// How soon a call that has failed is made again.
const AGAIN: Duration = Duration::from_millis(2);
/// How long a firewall waits for an answer before it asks the other device, and how often it has a new session.
const PATIENCE: Duration = Duration::from_secs(1);
const NEW_SESSION: Duration = Duration::from_millis(10);
/// How often closed sessions are asked for.
const COLLECT: Duration = Duration::from_millis(50);

/// One device, over connections that are kept; a firewall's calls go to the other one where that is active.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    operator: PairClient<Channel>,
}

impl Api {
    pub(super) fn new(uri: &str, other: &str, ca: Vec<u8>) -> Result<Self, Error> {
        let config = ClientConfig::new(uri).or(other).ca_pem(ca).domain("device.example").deadline(DEADLINE);
        let failed = |error: opof_client::Error| call("connect", &error);
        let client = Client::connect_lazy(&config).map_err(failed)?;
        let operator = PairClient::new(config.endpoint().map_err(failed)?.connect_lazy());
        Ok(Self { client, operator })
    }

    /// How it sees its pair.
    pub async fn status(&mut self) -> Result<GetPairResponse, Error> {
        let asked = timeout(CALL_BOUND, self.operator.get_pair(GetPairRequest {})).await;
        let answer = asked.map_err(|late| call("ask for the pair", &late))?;
        Ok(answer.map_err(|status| call("ask for the pair", &status))?.into_inner())
    }

    /// True when it is active, and stays so.
    pub async fn is_active(&mut self) -> bool {
        self.status().await.is_ok_and(|status| status.role() == Role::Active && !status.is_handing_over)
    }

    /// Until it is active and its standby stands as `standing`.
    pub async fn until(&mut self, standing: Standing) -> Result<(), Error> {
        let what = format!("until the standby is {standing:?}");
        until(&what, async || {
            let status = self.status().await.ok()?;
            (status.role() == Role::Active && status.standing() == standing).then_some(())
        })
        .await
    }

    /// Has it hand over.
    pub async fn switch_over(&mut self) -> Result<(), Error> {
        let asked = timeout(BOUND, self.operator.switchover(SwitchoverRequest {})).await;
        asked.map_err(|late| call("switch over", &late))?.map_err(|status| call("switch over", &status))?;
        Ok(())
    }

    /// Offloads sessions; an error when one was refused.
    pub async fn add(&mut self, sessions: impl IntoIterator<Item = SessionSpec>) -> Result<(), Error> {
        let added = self.client.add(sessions.into_iter().map(Into::into)).await;
        let outcome = added.map_err(|failed| call("add sessions", &failed))?;
        outcome.refused.first().map_or(Ok(()), |refused| Err(call("add sessions", &refused.reason)))
    }

    /// Asks for a session to be offloaded until it is.
    pub async fn until_added(&mut self, session: SessionSpec) -> Result<(), Error> {
        until("until a session is added", async || self.add([session.clone()]).await.ok()).await
    }

    /// Offloads a session that it may have already; false when there is no answer that it has it now.
    async fn has(&mut self, session: &SessionSpec) -> bool {
        match timeout(PATIENCE, self.client.add([session.clone().into()])).await {
            Ok(Ok(outcome)) => outcome.refused.iter().all(|refused| refused.reason == Refusal::AlreadyExists),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// The numbers of its sessions.
    pub async fn sessions(&self) -> Result<Vec<u64>, Error> {
        let sessions = self.client.list().collect().await.map_err(|error| call("list the sessions", &error))?;
        Ok(sessions.iter().map(|session| session.id.0).collect())
    }
}

/// Offloads one session after the other to the device that takes them, as long as it lives.
#[derive(Debug)]
pub struct Firewall {
    over: Arc<AtomicBool>,
    task: JoinHandle<Added>,
}

/// What a firewall has offloaded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Added {
    /// The sessions whose offload was answered.
    pub ids: Vec<u64>,
    /// The longest that it took to offload one.
    pub slowest: Duration,
    /// When that one was there, since the beginning.
    pub slowest_at: Duration,
}

impl Firewall {
    /// Begins with these sessions. Needs a runtime.
    pub fn start(devices: [Api; 2], sessions: impl Iterator<Item = SessionSpec> + Send + 'static) -> Self {
        let over = Arc::<AtomicBool>::default();
        Self { task: tokio::spawn(offload(devices, sessions, Arc::clone(&over))), over }
    }

    /// Ends it after the session that it is at.
    pub async fn finish(self) -> Result<Added, Error> {
        self.over.store(true, Ordering::Relaxed);
        let ended = timeout(BOUND, self.task).await.map_err(|late| call("end the firewall", &late))?;
        ended.map_err(|panic| call("end the firewall", &panic))
    }
}

async fn offload(
    mut devices: [Api; 2],
    sessions: impl Iterator<Item = SessionSpec> + Send,
    over: Arc<AtomicBool>,
) -> Added {
    let (mut added, mut which, begun) = (Added::default(), 0, Stopwatch::start());
    for session in sessions {
        let watch = Stopwatch::start();
        while !devices[which].has(&session).await {
            which = 1 - which;
            sleep(AGAIN).await;
        }
        if watch.elapsed() > added.slowest {
            (added.slowest, added.slowest_at) = (watch.elapsed(), begun.elapsed());
        }
        added.ids.push(session.id.0);
        if over.load(Ordering::Relaxed) {
            break;
        }
        sleep(NEW_SESSION).await;
    }
    added
}

/// Collects closed sessions of devices, as long as it lives.
#[derive(Debug)]
pub struct Reader {
    ids: Arc<Mutex<Vec<u64>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Reader {
    /// Asks each of them, again and again. Needs a runtime.
    pub fn start<'a>(devices: impl IntoIterator<Item = &'a Api>) -> Self {
        let ids = Arc::default();
        let read = |device: &Api| tokio::spawn(read(device.client.clone(), Arc::clone(&ids)));
        let tasks = devices.into_iter().map(read).collect();
        Self { ids, tasks }
    }

    /// The numbers of the sessions that have been told, in the order in which they were.
    pub fn ids(&self) -> Vec<u64> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn read(mut client: Client, ids: Arc<Mutex<Vec<u64>>>) {
    loop {
        if let Ok(mut closed) = client.closed(0).await {
            while let Ok(Some(record)) = closed.next().await {
                ids.lock().unwrap_or_else(PoisonError::into_inner).push(record.id.0);
            }
        }
        sleep(COLLECT).await;
    }
}

/// Asks until there is an answer.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> Result<T, Error> {
    let answered = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(AGAIN).await;
        }
    };
    timeout(BOUND, answered).await.map_err(|late| call(what, &late))
}

fn call(what: &str, error: &impl std::fmt::Display) -> Error {
    Error::Call { what: what.to_owned(), message: error.to_string() }
}
