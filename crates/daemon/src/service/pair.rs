//! `opof.pair.v1.Pair`: how a pair stands, and what an operator does about it.
//!
//! What must not be here: who is active, and why (`opof_session::ha`).

use opof_api::ha::{PairFacts, pair_response, role};
use opof_api::pair::pair_server::Pair;
use opof_api::pair::{BecomeRequest, GetPairRequest, GetPairResponse, ResyncRequest, SwitchoverRequest};
use opof_session::ha::term::Role;
use opof_session::ha::{Command, CommandError};
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};

use super::status;
use crate::clock::Clock;
use crate::driver::{DriverError, PairHandle};
use crate::limits;

/// The device as one of a pair, if it is.
#[derive(Clone, Debug)]
pub struct PairService {
    pair: Option<(PairHandle, PairFacts)>,
    clock: Clock,
}

impl PairService {
    /// Of a device that is one of `pair`; `None`: it is alone.
    pub const fn new(pair: Option<(PairHandle, PairFacts)>, clock: Clock) -> Self {
        Self { pair, clock }
    }

    fn handle(&self) -> Result<&PairHandle, Status> {
        self.pair.as_ref().map(|(handle, _)| handle).ok_or_else(alone)
    }

    async fn status(&self) -> Result<Response<GetPairResponse>, Status> {
        let (handle, facts) = self.pair.as_ref().ok_or_else(alone)?;
        let status = handle.status().await?;
        Ok(Response::new(pair_response(&status, facts, self.clock.now())))
    }

    async fn command(&self, command: Command) -> Result<(), Status> {
        let refused = |why: CommandError| Status::failed_precondition(why.to_string());
        self.handle()?.command(command).await?.map_err(refused)
    }

    /// Waits until a handover that was begun is over.
    async fn handed_over(&self) -> Result<(), Status> {
        let handle = self.handle()?;
        let mut state = handle.state();
        loop {
            let status = handle.status().await?;
            if status.role == Role::Standby {
                return Ok(());
            }
            if !status.is_handing_over {
                return Err(Status::aborted("the handover was given up; this device goes on as the active one"));
            }
            state.changed().await.map_err(|_| DriverError::Stopped)?;
        }
    }
}

fn alone() -> Status {
    Status::failed_precondition("this device is not one of a pair")
}

#[tonic::async_trait]
impl Pair for PairService {
    async fn get_pair(&self, _: Request<GetPairRequest>) -> Result<Response<GetPairResponse>, Status> {
        self.status().await
    }

    async fn switchover(&self, _: Request<SwitchoverRequest>) -> Result<Response<GetPairResponse>, Status> {
        let end = Instant::now() + limits::SWITCHOVER;
        self.command(Command::Switchover).await?;
        let Ok(outcome) = timeout_at(end, self.handed_over()).await else {
            return Err(Status::deadline_exceeded(format!(
                "not handed over within {} s; GetPair tells what has become of it",
                limits::SWITCHOVER.as_secs()
            )));
        };
        outcome?;
        self.status().await
    }

    async fn r#become(&self, request: Request<BecomeRequest>) -> Result<Response<GetPairResponse>, Status> {
        self.handle()?;
        let role =
            role(request.get_ref().role()).ok_or_else(|| status::bad_request("role", "must be active or standby"))?;
        self.command(Command::Become(role)).await?;
        self.status().await
    }

    async fn resync(&self, _: Request<ResyncRequest>) -> Result<Response<GetPairResponse>, Status> {
        self.command(Command::Resync).await?;
        self.status().await
    }
}

#[cfg(test)]
mod tests;
