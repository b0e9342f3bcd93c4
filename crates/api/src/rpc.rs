//! The calls of `SessionTable` as they are, in any dialect: messages in, messages out, statuses untouched.
//!
//! The generated clients have a type for each dialect, which share nothing but their shape. Here the dialect is a value: it
//! gives the path of each call. What a call means, and what to do when it fails, is not here.

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{IntoRequest, IntoStreamingRequest, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::dialect::{Dialect, Method};
use crate::v1_1::{ShutdownRequest, ShutdownResponse};
use crate::v1beta1::{
    AddSessionResponse, NextHopParameters, NextHopResponse, ResetRequest, SessionId, SessionRequest,
    SessionRequestArgs, SessionResponse, SessionResponses, VersionRequest, VersionResponse, VlanFlowDef, VlanFlowList,
    VlanFlowListRequest,
};

/// `SessionTable` behind a channel. Cheap to clone; clones share the channel.
#[derive(Clone, Debug)]
pub struct Rpc {
    grpc: Grpc<Channel>,
    dialect: Dialect,
}

/// A call that a dialect does not have ends with UNIMPLEMENTED, as a server would end it.
impl Rpc {
    /// The service of a dialect.
    pub fn new(channel: Channel, dialect: Dialect) -> Self {
        Self { grpc: Grpc::new(channel), dialect }
    }

    /// Takes answers of up to this many bytes, instead of 4 MiB.
    #[must_use]
    pub fn max_decoding_message_size(mut self, bytes: usize) -> Self {
        self.grpc = self.grpc.max_decoding_message_size(bytes);
        self
    }

    /// What is spoken.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// `addSession`.
    pub async fn add_session(
        &mut self,
        sessions: impl IntoStreamingRequest<Message = SessionRequest>,
    ) -> Result<Response<AddSessionResponse>, Status> {
        let path = self.path(Method::AddSession)?;
        self.ready().await?;
        self.grpc.client_streaming(sessions.into_streaming_request(), path, ProstCodec::default()).await
    }

    /// `getSession`.
    pub async fn get_session(&mut self, id: impl IntoRequest<SessionId>) -> Result<Response<SessionResponse>, Status> {
        self.unary(Method::GetSession, id.into_request()).await
    }

    /// `deleteSession`.
    pub async fn delete_session(
        &mut self,
        id: impl IntoRequest<SessionId>,
    ) -> Result<Response<SessionResponse>, Status> {
        self.unary(Method::DeleteSession, id.into_request()).await
    }

    /// `getAllSessions`.
    pub async fn get_all_sessions(
        &mut self,
        args: impl IntoRequest<SessionRequestArgs>,
    ) -> Result<Response<SessionResponses>, Status> {
        self.unary(Method::GetAllSessions, args.into_request()).await
    }

    /// `getClosedSessions`.
    pub async fn get_closed_sessions(
        &mut self,
        args: impl IntoRequest<SessionRequestArgs>,
    ) -> Result<Response<Streaming<SessionResponse>>, Status> {
        let path = self.path(Method::GetClosedSessions)?;
        self.ready().await?;
        self.grpc.server_streaming(args.into_request(), path, ProstCodec::default()).await
    }

    /// `shutdownServer`, of v1.1.
    pub async fn shutdown_server(
        &mut self,
        request: impl IntoRequest<ShutdownRequest>,
    ) -> Result<Response<ShutdownResponse>, Status> {
        self.unary(Method::ShutdownServer, request.into_request()).await
    }

    /// `getServiceVersion`, of v1beta1.
    pub async fn get_service_version(
        &mut self,
        request: impl IntoRequest<VersionRequest>,
    ) -> Result<Response<VersionResponse>, Status> {
        self.unary(Method::GetServiceVersion, request.into_request()).await
    }

    /// `reset`, of v1beta1.
    pub async fn reset(
        &mut self,
        request: impl IntoRequest<ResetRequest>,
    ) -> Result<Response<SessionResponse>, Status> {
        self.unary(Method::Reset, request.into_request()).await
    }

    /// `setNextHop`, of v1beta1.
    pub async fn set_next_hop(
        &mut self,
        hop: impl IntoRequest<NextHopParameters>,
    ) -> Result<Response<NextHopResponse>, Status> {
        self.unary(Method::SetNextHop, hop.into_request()).await
    }

    /// `destroyNextHop`, of v1beta1.
    pub async fn destroy_next_hop(
        &mut self,
        hop: impl IntoRequest<NextHopParameters>,
    ) -> Result<Response<NextHopResponse>, Status> {
        self.unary(Method::DestroyNextHop, hop.into_request()).await
    }

    /// `clearNextHops`, of v1beta1.
    pub async fn clear_next_hops(
        &mut self,
        hop: impl IntoRequest<NextHopParameters>,
    ) -> Result<Response<NextHopResponse>, Status> {
        self.unary(Method::ClearNextHops, hop.into_request()).await
    }

    /// `addVlanFlow`, of v1beta1.
    pub async fn add_vlan_flow(
        &mut self,
        flow: impl IntoRequest<VlanFlowDef>,
    ) -> Result<Response<SessionResponse>, Status> {
        self.unary(Method::AddVlanFlow, flow.into_request()).await
    }

    /// `removeVlanFlow`, of v1beta1.
    pub async fn remove_vlan_flow(
        &mut self,
        flow: impl IntoRequest<VlanFlowDef>,
    ) -> Result<Response<SessionResponse>, Status> {
        self.unary(Method::RemoveVlanFlow, flow.into_request()).await
    }

    /// `getVlanFlows`, of v1beta1.
    pub async fn get_vlan_flows(
        &mut self,
        request: impl IntoRequest<VlanFlowListRequest>,
    ) -> Result<Response<VlanFlowList>, Status> {
        self.unary(Method::GetVlanFlows, request.into_request()).await
    }

    /// `clearVlanFlows`, of v1beta1.
    pub async fn clear_vlan_flows(
        &mut self,
        request: impl IntoRequest<VlanFlowListRequest>,
    ) -> Result<Response<SessionResponse>, Status> {
        self.unary(Method::ClearVlanFlows, request.into_request()).await
    }

    async fn unary<Q, A>(&mut self, method: Method, request: Request<Q>) -> Result<Response<A>, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let path = self.path(method)?;
        self.ready().await?;
        self.grpc.unary(request, path, ProstCodec::default()).await
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.grpc.ready().await.map_err(|error| Status::from_error(error.into()))
    }

    fn path(&self, method: Method) -> Result<PathAndQuery, Status> {
        if !self.dialect.has(method) {
            let (dialect, method) = (self.dialect, self.dialect.method(method));
            return Err(Status::unimplemented(format!("{dialect} has no {method}")));
        }
        Ok(self.dialect.path(method).parse().expect("names of services and methods are letters, digits, dots"))
    }
}
