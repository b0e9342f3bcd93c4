//! What a firewall asks of the daemon, through the client library, one connection a call.

use std::fs;
use std::time::Duration;

use opof_client::{Client, ClientConfig, CloseCode, Device, Dialect, DirectionCounters, Health, SessionReport};
use opof_session::l3::{NextHop, NextHopId, VlanFlow};
use opof_session::types::{Action, Lif, SessionId, SessionSpec};
use opof_wire::{FlowKey, Vid};
use serde_json::{Value, json};

use crate::opofd::ADDRESS;
use crate::{Error, Opofd};

/// How long a call may take on a busy machine.
const CALL_BOUND: Duration = Duration::from_secs(20);
/// Long enough that a session never times out while it is tested.
const LONG: u32 = 300;

/// What a session carried on the fast path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// From the client's side.
    pub inward: DirectionCounters,
    /// From the server's side.
    pub outward: DirectionCounters,
}

impl Counted {
    /// As it goes into a file.
    pub fn json(&self) -> Value {
        let direction = |counters: DirectionCounters| json!({"packets": counters.packets, "bytes": counters.bytes});
        json!({"to_server": direction(self.inward), "to_client": direction(self.outward)})
    }
}

/// A closed session as the daemon tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closed {
    /// The number it was given.
    pub id: u64,
    /// Final.
    pub counted: Counted,
    /// True when that is why it was closed.
    pub by_timeout: bool,
}

impl From<SessionReport> for Closed {
    fn from(report: SessionReport) -> Self {
        Self { id: report.id.0, counted: report.into(), by_timeout: report.close_code == CloseCode::Timeout }
    }
}

impl From<SessionReport> for Counted {
    fn from(report: SessionReport) -> Self {
        Self { inward: report.inward, outward: report.outward }
    }
}

/// A session from the client's side to the server's that forwards, and that won't time out soon.
///
/// # Panics
/// Never: the interfaces are not 0.
pub fn session(id: u64, flow: FlowKey) -> SessionSpec {
    let [in_lif, out_lif] = [1, 2].map(|lif| Lif::new(lif).expect("1 and 2 are not 0"));
    let action = Action::Forward;
    SessionSpec { id: SessionId(id), in_lif, out_lif, flow, out_vlan: flow.vlan, action, timeout_seconds: LONG }
}

impl Opofd {
    /// Offloads a session; an error when it was refused.
    pub fn add(&self, session: SessionSpec) -> Result<(), Error> {
        self.add_in(Dialect::V1, session)
    }

    /// Offloads many sessions; an error when one was refused.
    pub fn add_all(&self, sessions: Vec<SessionSpec>) -> Result<(), Error> {
        let sessions = sessions.into_iter().map(Into::into);
        let outcome = self.call("add sessions", async |client| Ok(client.add(sessions).await?))?;
        match outcome.refused.first() {
            None => Ok(()),
            Some(refused) => Err(self.error("add sessions", &refused.reason.to_string())),
        }
    }

    /// The same in one of the published dialects.
    pub fn add_in(&self, dialect: Dialect, session: SessionSpec) -> Result<(), Error> {
        let outcome =
            self.call_in(dialect, "add a session", async |client| Ok(client.add([session.into()]).await?))?;
        match outcome.refused.first() {
            None => Ok(()),
            Some(refused) => Err(self.error("add a session", &refused.reason.to_string())),
        }
    }

    /// The live counters; `None` when there is no such session.
    pub fn get(&self, id: u64) -> Result<Option<Counted>, Error> {
        Ok(self.call("get a session", async |client| client.get(id).await)?.map(Counted::from))
    }

    /// Takes it off the fast path; its final counters, `None` when there is no such session.
    pub fn delete(&self, id: u64) -> Result<Option<Counted>, Error> {
        Ok(self.call("delete a session", async |client| client.delete(id).await)?.map(Counted::from))
    }

    /// The closed sessions that nobody has collected.
    pub fn closed(&self) -> Result<Vec<Closed>, Error> {
        let reports = self.call("collect closed sessions", async |client| client.closed(0).await?.collect().await)?;
        Ok(reports.into_iter().map(Closed::from).collect())
    }

    /// Makes a next hop or replaces it.
    pub fn set_next_hop(&self, hop: NextHop) -> Result<(), Error> {
        self.call_in(Dialect::V1Beta1, "set a next hop", async |client| client.set_next_hop(hop).await)
    }

    /// Takes it away, and closes the sessions that refer to it.
    pub fn destroy_next_hop(&self, id: NextHopId) -> Result<(), Error> {
        self.call_in(Dialect::V1Beta1, "destroy a next hop", async |client| client.destroy_next_hop(id).await)
    }

    /// Sends what misses in a VLAN to the firewall port of a LIF.
    pub fn add_vlan_flow(&self, flow: VlanFlow) -> Result<(), Error> {
        self.call_in(Dialect::V1Beta1, "add a VLAN flow", async |client| client.add_vlan_flow(flow).await)
    }

    /// Ends that; false when there was none.
    pub fn remove_vlan_flow(&self, vlan: Vid) -> Result<bool, Error> {
        self.call_in(Dialect::V1Beta1, "remove a VLAN flow", async |client| client.remove_vlan_flow(vlan).await)
    }

    /// The device itself.
    pub fn device(&self) -> Result<Device, Error> {
        self.call("describe the device", async |client| client.device().await)
    }

    /// Whether it serves.
    pub fn health(&self) -> Result<Health, Error> {
        self.call("ask for the health", async |client| client.health().await)
    }

    /// In the first dialect, which has all that most tests need.
    fn call<T: Send>(
        &self,
        what: &str,
        ask: impl AsyncFnOnce(&mut Client) -> Result<T, opof_client::Error> + Send,
    ) -> Result<T, Error> {
        self.call_in(Dialect::V1, what, ask)
    }

    /// Connects from within the namespace and asks.
    fn call_in<T: Send>(
        &self,
        dialect: Dialect,
        what: &str,
        ask: impl AsyncFnOnce(&mut Client) -> Result<T, opof_client::Error> + Send,
    ) -> Result<T, Error> {
        let pem = fs::read(self.certificate()).map_err(Error::io("read the certificate"))?;
        let config = ClientConfig::new(format!("https://{ADDRESS}")).ca_pem(pem).deadline(CALL_BOUND).dialect(dialect);
        let asked = self.namespace().run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(Error::io("make a runtime"))?;
            let answer = runtime.block_on(async { ask(&mut Client::connect(config).await?).await });
            answer.map_err(|error| self.error(what, &error.to_string()))
        });
        asked?
    }

    fn error(&self, what: &str, message: &str) -> Error {
        Error::Call { what: what.to_owned(), message: format!("{message}\n{}", self.log()) }
    }
}
