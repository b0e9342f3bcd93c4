//! The device as a service of every dialect, and the services beside it.

use opof_api::device::device_server::Device;
use opof_api::pair::pair_server::Pair;
use opof_api::pair::{BecomeRequest, GetPairRequest, GetPairResponse, ResyncRequest, Role, SwitchoverRequest};
use opof_api::v1_1::{ShutdownRequest, ShutdownResponse};
use opof_api::v1beta1::{
    AddSessionResponse, NextHopParameters, NextHopResponse, RequestStatus, ResetRequest, SessionId, SessionRequest,
    SessionRequestArgs, SessionResponse, SessionResponses, VersionRequest, VersionResponse, VlanFlowDef, VlanFlowList,
    VlanFlowListRequest,
};
use opof_api::{Dialect, Refusal, device};
use prost_types::Duration;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::Served;
use super::answers::{Answer, ClosedStream, put_flow};

/// The five calls that every dialect has, under the name that a dialect gives the stream of one of them, and its own.
macro_rules! session_table {
    ($module:ident, $dialect:expr, $stream:ident, { $($own:tt)* }) => {
        #[tonic::async_trait]
        impl opof_api::$module::session_table_server::SessionTable for Served {
            async fn add_session(&self, request: Request<Streaming<SessionRequest>>) -> Answer<AddSessionResponse> {
                self.add($dialect, request).await
            }

            async fn get_session(&self, request: Request<SessionId>) -> Answer<SessionResponse> {
                self.get($dialect, request).await
            }

            async fn delete_session(&self, request: Request<SessionId>) -> Answer<SessionResponse> {
                self.delete($dialect, request).await
            }

            async fn get_all_sessions(&self, request: Request<SessionRequestArgs>) -> Answer<SessionResponses> {
                self.list($dialect, request).await
            }

            type $stream = ClosedStream;

            async fn get_closed_sessions(&self, request: Request<SessionRequestArgs>) -> Answer<ClosedStream> {
                self.collect($dialect, request).await
            }

            $($own)*
        }
    };
}

session_table!(v1, Dialect::V1, getClosedSessionsStream, {});
session_table!(v2, Dialect::V2, GetClosedSessionsStream, {});
session_table!(v1_1, Dialect::V1_1, getClosedSessionsStream, {
    async fn shutdown_server(&self, request: Request<ShutdownRequest>) -> Answer<ShutdownResponse> {
        self.enter(Some(Dialect::V1_1)).await?;
        self.state().shutdowns.push(request.into_inner().deadline);
        Ok(Response::new(ShutdownResponse::default()))
    }
});
session_table!(v1beta1, Dialect::V1Beta1, getClosedSessionsStream, {
    async fn get_service_version(&self, _: Request<VersionRequest>) -> Answer<VersionResponse> {
        self.enter(Some(Dialect::V1Beta1)).await?;
        Ok(Response::new(VersionResponse {
            vendor: "nobody".to_owned(),
            name: "mock".to_owned(),
            version: "1.2.3".to_owned(),
            copyright: "none".to_owned(),
        }))
    }

    async fn reset(&self, _: Request<ResetRequest>) -> Answer<SessionResponse> {
        self.done(|state| {
            state.resets += 1;
            state.sessions.clear();
            RequestStatus::Accepted
        })
        .await
    }

    async fn set_next_hop(&self, request: Request<NextHopParameters>) -> Answer<NextHopResponse> {
        self.hop(request, |state, parameters| {
            opof_api::link::next_hop(&parameters).map_err(|error| Refusal::from(&error))?;
            state.hops.insert(parameters.next_hop_id, parameters);
            Ok(())
        })
        .await
    }

    async fn destroy_next_hop(&self, request: Request<NextHopParameters>) -> Answer<NextHopResponse> {
        self.hop(request, |state, parameters| {
            state.hops.remove(&parameters.next_hop_id).map(drop).ok_or(Refusal::FailedPrecondition)
        })
        .await
    }

    async fn clear_next_hops(&self, request: Request<NextHopParameters>) -> Answer<NextHopResponse> {
        self.hop(request, |state, _| {
            state.hops.clear();
            Ok(())
        })
        .await
    }

    async fn add_vlan_flow(&self, request: Request<VlanFlowDef>) -> Answer<SessionResponse> {
        let flow = request.into_inner();
        let mut response = self.done(|state| put_flow(state, flow)).await?;
        if self.state().speaks && response.get_ref().request_status() != RequestStatus::Accepted {
            let said = format!("VLAN {0}: vlanId: vlan {0} has a flow", flow.vlan_id);
            response.metadata_mut().insert(opof_api::metadata::REFUSED, said.parse().expect("ASCII"));
        }
        Ok(response)
    }

    async fn remove_vlan_flow(&self, request: Request<VlanFlowDef>) -> Answer<SessionResponse> {
        self.done(|state| match state.flows.remove(&request.get_ref().vlan_id) {
            Some(_) => RequestStatus::Accepted,
            None => RequestStatus::RejectedSessionNonexistent,
        })
        .await
    }

    async fn get_vlan_flows(&self, _: Request<VlanFlowListRequest>) -> Answer<VlanFlowList> {
        self.enter(Some(Dialect::V1Beta1)).await?;
        Ok(Response::new(VlanFlowList { flow_defs: self.state().flows.values().copied().collect() }))
    }

    async fn clear_vlan_flows(&self, _: Request<VlanFlowListRequest>) -> Answer<SessionResponse> {
        self.done(|state| {
            state.flows.clear();
            RequestStatus::Accepted
        })
        .await
    }
});

#[tonic::async_trait]
impl Health for Served {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Answer<HealthCheckResponse> {
        self.enter(None).await?;
        let state = self.state();
        let health = if request.get_ref().service.is_empty() { state.health } else { state.faultless };
        let health = health.ok_or(Status::not_found("nothing is known of it"))?;
        Ok(Response::new(HealthCheckResponse { status: health.into() }))
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Answer<Self::WatchStream> {
        Err(Status::unimplemented("nobody asks for it"))
    }
}

#[tonic::async_trait]
impl Device for Served {
    async fn get_device(&self, _: Request<device::GetDeviceRequest>) -> Answer<device::GetDeviceResponse> {
        self.enter(None).await?;
        let tally = |packets| Some(device::Tally { packets, bytes: 60 * packets });
        let counters = device::PortCounters {
            received: tally(100),
            forwarded: tally(90),
            dropped: tally(3),
            slow_path: vec![device::SlowPathTally { reason: "miss".to_owned(), tally: tally(7) }],
            copied: tally(2),
            copies_lost: tally(1),
            too_big_answered: tally(4),
            too_big_dropped: tally(5),
            unreachable: tally(6),
            refused: vec![],
        };
        let wire = device::Port {
            lif: 1,
            role: device::PortRole::Wire.into(),
            name: "wire1".to_owned(),
            mode: "simulated".to_owned(),
            counters: Some(counters),
        };
        let firewall = device::Port {
            role: device::PortRole::Firewall.into(),
            name: "firewall1".to_owned(),
            counters: None,
            ..wire.clone()
        };
        let uplink = device::Port {
            lif: 0,
            role: device::PortRole::Uplink.into(),
            name: "uplink".to_owned(),
            counters: Some(device::PortCounters {
                refused: vec![device::RefusedTally { reason: "vni".to_owned(), tally: tally(8) }],
                ..device::PortCounters::default()
            }),
            ..wire.clone()
        };
        let statistics = device::Statistics {
            sessions: u32::try_from(self.state().sessions.len()).expect("a test has few sessions"),
            capacity: 1000,
            timed_out: 4,
            ..device::Statistics::default()
        };
        Ok(Response::new(device::GetDeviceResponse {
            version: "1.2.3".to_owned(),
            data_plane: "sim".to_owned(),
            uptime: Some(Duration { seconds: 3725, nanos: 0 }),
            statistics: Some(statistics),
            ports: vec![wire, firewall, uplink],
            faults: vec![device::Fault {
                part: "closed log".to_owned(),
                why: "no room".to_owned(),
                age: Some(Duration { seconds: 7, nanos: 500_000_000 }),
            }],
        }))
    }
}

#[tonic::async_trait]
impl Pair for Served {
    async fn get_pair(&self, _: Request<GetPairRequest>) -> Answer<GetPairResponse> {
        self.pair(|_| ()).await
    }

    async fn switchover(&self, _: Request<SwitchoverRequest>) -> Answer<GetPairResponse> {
        self.pair(|pair| (pair.role, pair.role_why) = (Role::Standby.into(), "handover".to_owned())).await
    }

    async fn r#become(&self, request: Request<BecomeRequest>) -> Answer<GetPairResponse> {
        self.pair(|pair| (pair.role, pair.role_why) = (request.get_ref().role, "told".to_owned())).await
    }

    async fn resync(&self, _: Request<ResyncRequest>) -> Answer<GetPairResponse> {
        self.pair(|pair| pair.current_for = None).await
    }
}

impl Served {
    async fn pair(&self, what: impl FnOnce(&mut GetPairResponse)) -> Answer<GetPairResponse> {
        self.enter(None).await?;
        let mut state = self.state();
        let pair = state.pair.as_mut().ok_or(Status::failed_precondition("this device is not one of a pair"))?;
        what(pair);
        Ok(Response::new(pair.clone()))
    }
}
