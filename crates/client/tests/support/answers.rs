//! What the device answers, whatever dialect the question is in.

use std::pin::Pin;

use opof_api::profile::{Absence, ListCursor};
use opof_api::v1beta1::{
    AddSessionResponse, NextHopParameters, NextHopResponse, RequestStatus, SessionId, SessionRequest,
    SessionRequestArgs, SessionResponse, SessionResponses, SessionState, VlanFlowDef,
};
use opof_api::{AddReport, Dialect, Profile, Refusal, metadata, nonexistent, session_spec};
use opof_session::types::Action;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::{LOOK, STARTED, Served, State, live};

pub(super) type Answer<T> = Result<Response<T>, Status>;
pub(super) type ClosedStream = Pin<Box<dyn Stream<Item = Result<SessionResponse, Status>> + Send>>;

impl Served {
    /// Before every answer: what the test wants to know of the call, and how it wants it to fail.
    pub(super) async fn enter(&self, dialect: Option<Dialect>) -> Result<(), Status> {
        if let Some(dialect) = dialect.filter(|dialect| self.state().spoken.last() != Some(dialect)) {
            self.state().spoken.push(dialect);
        }
        while self.state().stalls {
            tokio::time::sleep(LOOK).await;
        }
        self.state().fails.clone().map_or(Ok(()), Err)
    }

    pub(super) async fn add(
        &self,
        dialect: Dialect,
        request: Request<Streaming<SessionRequest>>,
    ) -> Answer<AddSessionResponse> {
        self.enter(Some(dialect)).await?;
        let mut stream = request.into_inner();
        let mut report = AddReport::new(100_000);
        let mut said = MetadataMap::new();
        let mut position = 0;
        while let Some(message) = stream.message().await? {
            let mut state = self.state();
            let id = message.session_id;
            match judge(&message, dialect, &state) {
                Ok(()) => drop(state.sessions.insert(id, message)),
                Err((refusal, why)) => {
                    report.refuse(position, opof_session::types::SessionId(id), refusal);
                    if state.speaks {
                        said.append(metadata::REFUSED, format!("session {id}: {why}").parse().expect("ASCII"));
                    }
                }
            }
            position += 1;
        }
        let mut state = self.state();
        state.streams += 1;
        state.batches.push(usize::try_from(position).expect("a test has few sessions"));
        if state.profile.page_cap.is_some_and(|cap| report.refused() > cap.into()) {
            return Err(Status::resource_exhausted("more errors than fit"));
        }
        Ok(Response::from_parts(said, report.response(STARTED, &state.profile), tonic::Extensions::default()))
    }

    pub(super) async fn get(&self, dialect: Dialect, request: Request<SessionId>) -> Answer<SessionResponse> {
        self.enter(Some(dialect)).await?;
        let id = request.into_inner().session_id;
        let session = self.state().sessions.contains_key(&id).then(|| live(id));
        self.found(id, session)
    }

    pub(super) async fn delete(&self, dialect: Dialect, request: Request<SessionId>) -> Answer<SessionResponse> {
        self.enter(Some(dialect)).await?;
        let id = request.into_inner().session_id;
        let mut state = self.state();
        let report_deleted = state.profile.report_deleted;
        let session = state.sessions.remove(&id).map(|_| {
            let mut last = live(id);
            last.set_session_state(SessionState::Closed);
            if report_deleted {
                state.closed.push_back(last);
                last = SessionResponse { session_id: id, ..SessionResponse::default() };
                last.set_session_state(SessionState::Closed);
            }
            last
        });
        drop(state);
        self.found(id, session)
    }

    fn found(&self, id: u64, session: Option<SessionResponse>) -> Answer<SessionResponse> {
        match session {
            Some(session) => Ok(Response::new(session)),
            None if self.state().profile.unknown_id == Absence::NotFound => Err(Status::not_found("no such session")),
            None => Ok(Response::new(nonexistent(opof_session::types::SessionId(id)))),
        }
    }

    pub(super) async fn list(
        &self,
        dialect: Dialect,
        request: Request<SessionRequestArgs>,
    ) -> Answer<SessionResponses> {
        self.enter(Some(dialect)).await?;
        let args = request.into_inner();
        let mut state = self.state();
        state.pages.push(args.page_size);
        let size = size(args.page_size, &state.profile);
        let (first, cursor) = match (state.profile.list_cursor, args.start_session) {
            (ListCursor::Exclusive, ListCursor::START) => (Some(0), ListCursor::Exclusive),
            (ListCursor::Exclusive, last) => (last.checked_add(1), ListCursor::Exclusive),
            (ListCursor::Inclusive, first) => (Some(first), ListCursor::Inclusive),
        };
        let mut from = first.into_iter().flat_map(|first| state.sessions.range(first..)).map(|(id, _)| *id);
        let session_info: Vec<_> = from.by_ref().take(size).map(live).collect();
        let nextkey = match cursor {
            _ if state.endless => args.start_session.max(1),
            ListCursor::Inclusive => from.next().unwrap_or(0),
            ListCursor::Exclusive => session_info.last().map_or(0, |last| last.session_id),
        };
        Ok(Response::new(SessionResponses { session_info, nextkey }))
    }

    pub(super) async fn collect(&self, dialect: Dialect, request: Request<SessionRequestArgs>) -> Answer<ClosedStream> {
        self.state().collections += 1;
        self.enter(Some(dialect)).await?;
        let mut state = self.state();
        if state.follows && request.metadata().get(metadata::FOLLOW).is_some_and(|value| value == "true") {
            drop(state);
            return Ok(Response::new(self.follow()));
        }
        if state.closed.is_empty() && state.profile.no_closed == Absence::NotFound {
            return Err(Status::not_found("no closed sessions"));
        }
        let wanted = state.closed.len().min(size(request.into_inner().page_size, &state.profile));
        let mut closed: Vec<_> = state.closed.drain(..wanted).map(Ok).collect();
        if let Some(whole) = state.breaks_after.filter(|whole| *whole < closed.len()) {
            closed.truncate(whole);
            closed.push(Err(Status::unavailable("it breaks here")));
        }
        let pause = state.pause;
        let closed = tokio_stream::iter(closed.into_iter().enumerate()).then(move |(before, record)| async move {
            if before > 0 {
                tokio::time::sleep(pause).await;
            }
            record
        });
        if state.hangs {
            return Ok(Response::new(Box::pin(closed.chain(tokio_stream::pending()))));
        }
        Ok(Response::new(Box::pin(closed)))
    }

    /// Sessions as they close, for as long as anybody takes them.
    fn follow(&self) -> ClosedStream {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let served = self.clone();
        tokio::spawn(async move {
            while !sender.is_closed() {
                let next = served.state().closed.pop_front();
                match next {
                    Some(session) => drop(sender.send(Ok(session)).await),
                    None => tokio::time::sleep(LOOK).await,
                }
                if served.state().breaks_soon {
                    drop(sender.send(Err(Status::unavailable("it breaks soon"))).await);
                }
            }
        });
        Box::pin(ReceiverStream::new(receiver))
    }

    /// v1beta1: about one next hop, or all of them.
    pub(super) async fn hop(
        &self,
        request: Request<NextHopParameters>,
        what: impl FnOnce(&mut State, NextHopParameters) -> Result<(), Refusal>,
    ) -> Answer<NextHopResponse> {
        self.enter(Some(Dialect::V1Beta1)).await?;
        let parameters = request.into_inner();
        let next_hop_id = parameters.next_hop_id;
        let mut state = self.state();
        let errors = state.profile.add_errors;
        let error_status = what(&mut state, parameters).err().map_or(0, |refusal| refusal.code(errors));
        let mut response = Response::new(NextHopResponse { next_hop_id, error_status });
        if state.speaks && error_status != 0 {
            let said = format!("next hop {next_hop_id}: nextHopId: no next hop {next_hop_id}");
            response.metadata_mut().insert(metadata::REFUSED, said.parse().expect("ASCII"));
        }
        Ok(response)
    }

    /// v1beta1: whatever is answered by a status.
    pub(super) async fn done(&self, what: impl FnOnce(&mut State) -> RequestStatus) -> Answer<SessionResponse> {
        self.enter(Some(Dialect::V1Beta1)).await?;
        let status = what(&mut self.state());
        Ok(Response::new(SessionResponse { request_status: status.into(), ..SessionResponse::default() }))
    }
}

fn judge(message: &SessionRequest, dialect: Dialect, state: &State) -> Result<(), (Refusal, String)> {
    let spec = session_spec(message, dialect, &state.profile).map_err(|why| (Refusal::Rejected, why.to_string()))?;
    if let Action::Route(links) = &spec.action {
        for (fields, link) in links.named() {
            if let Some(hop) = link.next_hop.filter(|hop| !state.hops.contains_key(&hop.get())) {
                return Err((Refusal::FailedPrecondition, format!("{}: no next hop {hop}", fields.next_hop)));
            }
        }
    }
    if state.sessions.contains_key(&message.session_id) {
        Err((Refusal::AlreadyExists, "sessionId: in use".to_owned()))
    } else if state.capacity.is_some_and(|capacity| state.sessions.len() >= capacity) {
        Err((Refusal::TableFull, "no room".to_owned()))
    } else {
        Ok(())
    }
}

fn size(asked: u32, profile: &Profile) -> usize {
    let asked = if asked == 0 { u32::MAX } else { asked };
    asked.min(profile.page_cap.unwrap_or(u32::MAX)) as usize
}

/// As the device stores a VLAN flow.
pub(super) fn put_flow(state: &mut State, flow: VlanFlowDef) -> RequestStatus {
    if state.flows.contains_key(&flow.vlan_id) {
        return RequestStatus::RejectedSessionAlreadyExists;
    }
    state.flows.insert(flow.vlan_id, flow);
    RequestStatus::Accepted
}
