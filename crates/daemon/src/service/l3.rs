//! What v1beta1 adds: version, reset, next hops, VLAN flows.

use std::fmt::Display;

use opof_api::profile::Absence;
use opof_api::v1beta1::{
    NextHopParameters, NextHopResponse, RequestStatus, SessionResponse, VersionResponse, VlanFlowDef, VlanFlowList,
};
use opof_api::{FieldError, Refusal, link};
use opof_session::l3::L3Error;
use opof_session::request::L3Request;
use tonic::{Code, Request, Response, Status};

use super::sessions::{self, SessionTableService};
use super::status;

pub(super) fn version() -> VersionResponse {
    VersionResponse {
        vendor: "opof".to_owned(),
        name: "opofd".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        copyright: "The opof authors, Apache-2.0".to_owned(),
    }
}

/// What is wrong with a request: its message, or what it refers to.
enum Wrong {
    Field(FieldError),
    Engine(L3Error),
}

impl Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(error) => error.fmt(f),
            Self::Engine(error) => error.fmt(f),
        }
    }
}

impl SessionTableService {
    pub(super) async fn reset(&self) -> Result<SessionResponse, Status> {
        match self.table.driver.reset().await? {
            Ok(closed) => {
                tracing::info!(closed, "all sessions were closed by request");
                Ok(SessionResponse::default())
            }
            Err(busy) => Err(status::unavailable(busy.to_string())),
        }
    }

    pub(super) async fn set_next_hop(
        &self,
        request: Request<NextHopParameters>,
    ) -> Result<Response<NextHopResponse>, Status> {
        let wanted = link::next_hop(request.get_ref()).map(L3Request::SetNextHop);
        self.next_hop(&request, wanted).await
    }

    pub(super) async fn destroy_next_hop(
        &self,
        request: Request<NextHopParameters>,
    ) -> Result<Response<NextHopResponse>, Status> {
        let wanted = link::next_hop_id(request.get_ref()).map(L3Request::DestroyNextHop);
        self.next_hop(&request, wanted).await
    }

    pub(super) async fn clear_next_hops(
        &self,
        request: Request<NextHopParameters>,
    ) -> Result<Response<NextHopResponse>, Status> {
        self.next_hop(&request, Ok(L3Request::ClearNextHops)).await
    }

    async fn next_hop(
        &self,
        request: &Request<NextHopParameters>,
        wanted: Result<L3Request, FieldError>,
    ) -> Result<Response<NextHopResponse>, Status> {
        let id = request.get_ref().next_hop_id;
        let outcome = self.ask(wanted).await?;
        let status = outcome.as_ref().err().map_or(0, |wrong| {
            let refusal = match wrong {
                Wrong::Field(error) => Refusal::from(error),
                Wrong::Engine(error) => Refusal::from(error),
            };
            refusal.code(self.table.profile.add_errors)
        });
        let mut response = Response::new(NextHopResponse { next_hop_id: id, error_status: status });
        self.told(request, &mut response, outcome.err(), &format!("next hop {id}"));
        Ok(response)
    }

    pub(super) async fn add_vlan_flow(
        &self,
        request: Request<VlanFlowDef>,
    ) -> Result<Response<SessionResponse>, Status> {
        let wanted = link::vlan_flow(request.get_ref()).map(L3Request::AddVlanFlow);
        self.vlan_flow(&request, wanted).await
    }

    pub(super) async fn remove_vlan_flow(
        &self,
        request: Request<VlanFlowDef>,
    ) -> Result<Response<SessionResponse>, Status> {
        let wanted = link::flow_vlan(request.get_ref()).map(L3Request::RemoveVlanFlow);
        self.vlan_flow(&request, wanted).await
    }

    async fn vlan_flow(
        &self,
        request: &Request<VlanFlowDef>,
        wanted: Result<L3Request, FieldError>,
    ) -> Result<Response<SessionResponse>, Status> {
        let outcome = self.ask(wanted).await?;
        let what = format!("VLAN {}", request.get_ref().vlan_id);
        let status = match &outcome {
            Ok(()) => RequestStatus::Accepted,
            Err(Wrong::Engine(L3Error::NoVlanFlow(_))) => {
                if self.table.profile.unknown_id == Absence::NotFound {
                    return Err(Status::new(Code::NotFound, format!("{what} has no flow")));
                }
                RequestStatus::RejectedSessionNonexistent
            }
            Err(Wrong::Engine(L3Error::VlanFlowExists { .. })) => RequestStatus::RejectedSessionAlreadyExists,
            Err(_) => RequestStatus::Rejected,
        };
        let mut response =
            Response::new(SessionResponse { request_status: status.into(), ..SessionResponse::default() });
        self.told(request, &mut response, outcome.err(), &what);
        Ok(response)
    }

    pub(super) async fn vlan_flows(&self) -> Result<VlanFlowList, Status> {
        let flows = self.table.driver.vlan_flows().await?;
        Ok(VlanFlowList { flow_defs: flows.iter().map(link::vlan_flow_def).collect() })
    }

    pub(super) async fn clear_vlan_flows(&self) -> Result<SessionResponse, Status> {
        match self.ask(Ok(L3Request::ClearVlanFlows)).await? {
            Ok(()) => Ok(SessionResponse::default()),
            Err(wrong) => Err(Status::internal(wrong.to_string())),
        }
    }

    async fn ask(&self, wanted: Result<L3Request, FieldError>) -> Result<Result<(), Wrong>, Status> {
        match wanted {
            Ok(request) => match self.table.driver.l3(request).await? {
                Err(busy @ (L3Error::Busy | L3Error::Unavailable)) => Err(status::unavailable(busy.to_string())),
                outcome => Ok(outcome.map_err(Wrong::Engine)),
            },
            Err(error) => Ok(Err(Wrong::Field(error))),
        }
    }

    /// The reason of a refusal, to the log and to the client.
    fn told<Q, A>(&self, request: &Request<Q>, response: &mut Response<A>, wrong: Option<Wrong>, what: &str) {
        let Some(wrong) = wrong else { return };
        if let Some(suppressed) = self.table.may_log_refusal() {
            tracing::warn!(peer = sessions::caller(request), suppressed, "{what} refused: {wrong}");
        }
        sessions::tell(response, [format!("{what}: {wrong}")]);
    }
}
