//! Two devices in one process, with a line between them that loses nothing.

use std::sync::Arc;
use std::time::Duration;

use opof_api::profile::Profile;
use opof_api::{Dialect, metadata, pair, v1beta1};
use opof_dataplane::sim::SimPlane;
use opof_session::engine::Engine;
use opof_session::ha::term::Side;
use opof_session::ha::{Election, Settings};
use opof_session::request::SameTuple;
use opof_session::types::SessionId;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::*;
use crate::driver::pair::{Arrival, Ends, lines};
use crate::driver::tests::{config, lifs, spec};
use crate::driver::{DriverHandle, RunningDriver, Seat};
use crate::service::{SessionTableService, Table};
use crate::shutdown::Lifecycle;

struct Node {
    service: PairService,
    driver: DriverHandle,
    pair: PairHandle,
    _running: RunningDriver,
}

fn node(side: Side) -> (Node, Ends) {
    use opof_dataplane::DataPlane as _;
    let clock = Clock::new();
    let plane = SimPlane::new(&lifs(), 100).0;
    let engine = Engine::new(&config(), plane.capabilities());
    let settings = Settings {
        run: 1 + side as u64,
        side,
        election: Election::External,
        hold: Duration::from_secs(2),
        sync: false,
        last: None,
    };
    let (lines, ends) = lines();
    let pair = Some((settings, lines));
    let (running, driver) =
        RunningDriver::start(engine, Box::new(plane), clock.clone(), Seat::Task, None, pair).unwrap();
    let name = |side: Side| format!("opof-{side:?}").to_lowercase();
    let other = if side == Side::A { Side::B } else { Side::A };
    let facts = PairFacts {
        node: name(side),
        peer_node: name(other),
        peer_api: format!("{}.example:3443", name(other)),
        election: "external",
        sync: false,
    };
    let driver = driver.in_pair(&ends.handle, &facts.peer_api);
    let service = PairService::new(Some((ends.handle.clone(), facts)), clock);
    (Node { service, driver, pair: ends.handle.clone(), _running: running }, ends)
}

/// Both, and what each says goes to the other one.
fn nodes() -> [Node; 2] {
    let ((a, mut from_a), (b, mut from_b)) = (node(Side::A), node(Side::B));
    let (to_a, to_b) = (a.pair.clone(), b.pair.clone());
    tokio::spawn(async move {
        while let Some(message) = from_a.messages.recv().await {
            let _ = to_b.arrivals().send(Arrival::Message(Box::new(message))).await;
        }
    });
    tokio::spawn(async move {
        while let Some(message) = from_b.messages.recv().await {
            let _ = to_a.arrivals().send(Arrival::Message(Box::new(message))).await;
        }
    });
    [a, b]
}

impl Node {
    async fn told(&self, role: pair::Role) -> Result<GetPairResponse, Status> {
        self.service.r#become(Request::new(BecomeRequest { role: role.into() })).await.map(Response::into_inner)
    }

    async fn switchover(&self) -> Result<GetPairResponse, Status> {
        self.service.switchover(Request::new(SwitchoverRequest {})).await.map(Response::into_inner)
    }

    async fn view(&self) -> GetPairResponse {
        self.service.get_pair(Request::new(GetPairRequest {})).await.unwrap().into_inner()
    }

    async fn until(&self, condition: impl Fn(&GetPairResponse) -> bool) -> GetPairResponse {
        let met = async {
            loop {
                let view = self.view().await;
                if condition(&view) {
                    return view;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), met).await.expect("within ten seconds")
    }

    fn table(&self) -> SessionTableService {
        let (clock, profile) = (self.service.clock.clone(), Profile::SPEC);
        let table = Table::new(self.driver.clone(), clock, Lifecycle::default(), profile, SameTuple::Reject, 100);
        SessionTableService::new(Arc::new(table), Dialect::V1)
    }
}

/// Where a firewall is to go, and that it is to come back.
fn names_active(status: &Status) -> Option<&str> {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(limits::TAKEOVER_RETRY));
    status.metadata().get(metadata::ACTIVE).map(|active| active.to_str().unwrap())
}

#[tokio::test]
async fn a_standby_names_the_active_one_and_does_what_it_is_told() {
    let [a, b] = nodes();
    let refused = Status::from(a.driver.get(SessionId(1)).await.unwrap_err());
    assert_eq!(names_active(&refused), Some("opof-b.example:3443"));
    assert_eq!(refused.message(), "this device is standby; the active one is opof-b.example:3443");
    assert_eq!(a.told(pair::Role::Unspecified).await.unwrap_err().code(), Code::InvalidArgument);

    let active = a.told(pair::Role::Active).await.unwrap();
    assert_eq!((active.role(), active.role_why.as_str()), (pair::Role::Active, "told"));
    assert_eq!((active.node.as_str(), active.election.as_str()), ("opof-a", "external"));
    let peer = active.peer.unwrap();
    assert_eq!((peer.node.as_str(), peer.api.as_str()), ("opof-b", "opof-b.example:3443"));
    a.until(|view| view.standing() == pair::Standing::In).await;
    assert_eq!(a.driver.add(vec![spec(1, 0)], SameTuple::Reject).await.unwrap(), []);
    let resync = async |node: &Node| node.service.resync(Request::new(ResyncRequest {})).await;
    assert_eq!(resync(&a).await.unwrap_err().message(), "this device is active");
    resync(&b).await.unwrap();
}

#[tokio::test]
async fn a_switchover_is_answered_when_it_is_over() {
    let [a, b] = nodes();
    let refused = a.switchover().await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "this device is standby"));
    a.told(pair::Role::Active).await.unwrap();
    a.until(|view| view.standing() == pair::Standing::In).await;
    assert_eq!(a.driver.add(vec![spec(1, 0)], SameTuple::Reject).await.unwrap(), []);
    let view = a.switchover().await.unwrap();
    assert_eq!((view.role(), view.role_why.as_str()), (pair::Role::Standby, "handover"));
    b.until(|view| view.role() == pair::Role::Active).await;
    assert!(b.driver.get(SessionId(1)).await.unwrap().is_some());
    assert!(names_active(&Status::from(a.driver.get(SessionId(1)).await.unwrap_err())).is_some());
}

#[tokio::test]
async fn who_waits_for_records_hears_that_the_device_is_standby() {
    let [a, _b] = nodes();
    a.told(pair::Role::Active).await.unwrap();
    a.until(|view| view.standing() == pair::Standing::In).await;
    let mut request = Request::new(v1beta1::SessionRequestArgs::default());
    request.metadata_mut().insert(metadata::FOLLOW, "true".parse().unwrap());
    let table = a.table();
    let mut stream = crate::service::closed::ClosedStream::open(&table.table, request).await.unwrap();
    let waits = tokio::time::timeout(Duration::from_millis(50), stream.next());
    assert!(waits.await.is_err(), "nothing has closed");
    a.told(pair::Role::Standby).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.next()).await.expect("it hears of it");
    assert_eq!(names_active(&ended.unwrap().unwrap_err()), Some("opof-b.example:3443"));
}

#[tokio::test]
async fn a_device_that_is_alone_says_so() {
    let service = PairService::new(None, Clock::new());
    let alone = [
        service.get_pair(Request::new(GetPairRequest {})).await,
        service.switchover(Request::new(SwitchoverRequest {})).await,
        service.r#become(Request::new(BecomeRequest { role: pair::Role::Active.into() })).await,
        service.r#become(Request::new(BecomeRequest { role: 0 })).await,
        service.resync(Request::new(ResyncRequest {})).await,
    ];
    for answer in alone {
        let status = answer.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "this device is not one of a pair"));
    }
}
