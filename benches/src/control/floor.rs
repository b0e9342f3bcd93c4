//! The least that a server of this API can do: decode, and keep in a hash map. What opofd takes beyond that is its own.
//!
//! One thread, no data plane, no aging, no checks, no limits. What must not be here: anything that would make it a better server.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use opof_api::v1::session_table_server::{SessionTable, SessionTableServer};
use opof_api::v1beta1::{
    AddSessionResponse, SessionId, SessionRequest, SessionRequestArgs, SessionResponse, SessionResponses,
};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::subject::{ADDRESS, READY};

#[derive(Default)]
struct Floor {
    sessions: Mutex<HashMap<u64, SessionRequest>>,
}

impl Floor {
    fn sessions(&self) -> MutexGuard<'_, HashMap<u64, SessionRequest>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until it is killed.
pub(crate) fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("make a runtime")?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(ADDRESS).await.with_context(|| format!("listen on {ADDRESS}"))?;
        println!("{READY}");
        let incoming = TcpListenerStream::new(listener).map(|stream| {
            let stream = stream?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(stream)
        });
        let server = Server::builder().add_service(SessionTableServer::new(Floor::default()));
        server.serve_with_incoming(incoming).await.context("serve")
    })
}

#[tonic::async_trait]
impl SessionTable for Floor {
    async fn add_session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<AddSessionResponse>, Status> {
        let mut stream = request.into_inner();
        while let Some(session) = stream.message().await? {
            self.sessions().insert(session.session_id, session);
        }
        Ok(Response::new(AddSessionResponse::default()))
    }

    async fn get_session(&self, request: Request<SessionId>) -> Result<Response<SessionResponse>, Status> {
        let id = request.into_inner().session_id;
        let known = self.sessions().contains_key(&id);
        let session_id = if known { id } else { 0 };
        Ok(Response::new(SessionResponse { session_id, ..SessionResponse::default() }))
    }

    async fn delete_session(&self, request: Request<SessionId>) -> Result<Response<SessionResponse>, Status> {
        let id = request.into_inner().session_id;
        let session_id = self.sessions().remove(&id).map_or(0, |session| session.session_id);
        Ok(Response::new(SessionResponse { session_id, ..SessionResponse::default() }))
    }

    async fn get_all_sessions(&self, _: Request<SessionRequestArgs>) -> Result<Response<SessionResponses>, Status> {
        Err(Status::unimplemented("not measured here"))
    }

    type getClosedSessionsStream = Pin<Box<dyn Stream<Item = Result<SessionResponse, Status>> + Send>>;

    async fn get_closed_sessions(
        &self,
        _: Request<SessionRequestArgs>,
    ) -> Result<Response<Self::getClosedSessionsStream>, Status> {
        Err(Status::unimplemented("not measured here"))
    }
}
