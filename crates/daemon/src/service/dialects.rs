//! The generated service of each dialect, as calls of the one that knows no dialect but by name.
//!
//! Nothing is decided here: each method is a line.

use std::pin::Pin;

use opof_api::{v1, v1_1, v1beta1, v2};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::closed::ClosedStream;
use super::{add, l3, sessions::SessionTableService};

type Answer<T> = Result<Response<T>, Status>;
type ClosedSessions = Pin<Box<dyn Stream<Item = Result<v1beta1::SessionResponse, Status>> + Send>>;

/// The calls that every dialect has, as `$dialect` declares them, and `$more` of its own.
macro_rules! serve {
    ($dialect:ident, $stream:ident { $($more:tt)* }) => {
        #[tonic::async_trait]
        impl $dialect::session_table_server::SessionTable for SessionTableService {
            async fn add_session(
                &self,
                request: Request<Streaming<v1beta1::SessionRequest>>,
            ) -> Answer<v1beta1::AddSessionResponse> {
                add::run(self, request).await
            }

            async fn get_session(&self, request: Request<v1beta1::SessionId>) -> Answer<v1beta1::SessionResponse> {
                self.get(request.into_inner()).await.map(Response::new)
            }

            async fn delete_session(&self, request: Request<v1beta1::SessionId>) -> Answer<v1beta1::SessionResponse> {
                self.delete(request.into_inner()).await.map(Response::new)
            }

            async fn get_all_sessions(
                &self,
                request: Request<v1beta1::SessionRequestArgs>,
            ) -> Answer<v1beta1::SessionResponses> {
                self.list(request.get_ref()).await.map(Response::new)
            }

            type $stream = ClosedSessions;

            async fn get_closed_sessions(
                &self,
                request: Request<v1beta1::SessionRequestArgs>,
            ) -> Answer<ClosedSessions> {
                let stream = ClosedStream::open(&self.table, request).await?;
                Ok(Response::new(Box::pin(stream)))
            }

            $($more)*
        }
    };
}

serve!(v1, getClosedSessionsStream {});

serve!(v2, GetClosedSessionsStream {});

serve!(v1_1, getClosedSessionsStream {
    async fn shutdown_server(&self, request: Request<v1_1::ShutdownRequest>) -> Answer<v1_1::ShutdownResponse> {
        Ok(Response::new(self.shut_down(request.into_inner())))
    }
});

serve!(v1beta1, getClosedSessionsStream {
    async fn get_service_version(&self, _: Request<v1beta1::VersionRequest>) -> Answer<v1beta1::VersionResponse> {
        Ok(Response::new(l3::version()))
    }

    async fn reset(&self, _: Request<v1beta1::ResetRequest>) -> Answer<v1beta1::SessionResponse> {
        self.reset().await.map(Response::new)
    }

    async fn set_next_hop(&self, request: Request<v1beta1::NextHopParameters>) -> Answer<v1beta1::NextHopResponse> {
        self.set_next_hop(request).await
    }

    async fn destroy_next_hop(
        &self,
        request: Request<v1beta1::NextHopParameters>,
    ) -> Answer<v1beta1::NextHopResponse> {
        self.destroy_next_hop(request).await
    }

    async fn clear_next_hops(
        &self,
        request: Request<v1beta1::NextHopParameters>,
    ) -> Answer<v1beta1::NextHopResponse> {
        self.clear_next_hops(request).await
    }

    async fn add_vlan_flow(&self, request: Request<v1beta1::VlanFlowDef>) -> Answer<v1beta1::SessionResponse> {
        self.add_vlan_flow(request).await
    }

    async fn remove_vlan_flow(&self, request: Request<v1beta1::VlanFlowDef>) -> Answer<v1beta1::SessionResponse> {
        self.remove_vlan_flow(request).await
    }

    async fn get_vlan_flows(&self, _: Request<v1beta1::VlanFlowListRequest>) -> Answer<v1beta1::VlanFlowList> {
        self.vlan_flows().await.map(Response::new)
    }

    async fn clear_vlan_flows(&self, _: Request<v1beta1::VlanFlowListRequest>) -> Answer<v1beta1::SessionResponse> {
        self.clear_vlan_flows().await.map(Response::new)
    }
});
