//! addSession, getSession, deleteSession, getAllSessions.

use opof_api::profile::ListCursor;
use opof_api::v1::{
    AddSessionResponse, RequestStatus, SessionId, SessionRequest, SessionRequestArgs, SessionResponse, SessionResponses,
};
use tonic::Code;

use super::{Answer, Bench, said};
use crate::case::{Check, Stop, holds, same, short};
use crate::limits;

impl Bench {
    /// Notes the ids, so that they are taken away at the end.
    pub(crate) fn name(&mut self, sessions: &[SessionRequest]) {
        self.named.extend(sessions.iter().map(|session| session.session_id));
    }

    /// addSession with these messages.
    pub(crate) async fn try_add(&mut self, sessions: Vec<SessionRequest>) -> Result<Answer<AddSessionResponse>, Stop> {
        self.name(&sessions);
        let mut rpc = self.rpc();
        let call = rpc.add_session(tokio_stream::iter(sessions));
        Ok(self.within("addSession", call).await?.map(tonic::Response::into_inner))
    }

    /// The same, where a reply is expected.
    pub(crate) async fn add(&mut self, sessions: Vec<SessionRequest>) -> Result<AddSessionResponse, Stop> {
        self.try_add(sessions).await?.map_err(|status| Stop::failed("a reply to addSession", said(&status)))
    }

    /// The same, where all sessions have to be accepted.
    pub(crate) async fn accepted(&mut self, sessions: Vec<SessionRequest>) -> Check {
        let response = self.add(sessions).await?;
        same("sessions refused by addSession", &failed(&response), &Vec::new())
    }

    /// The same, where exactly the sessions with these ids have to be refused.
    pub(crate) async fn refused(&mut self, sessions: Vec<SessionRequest>, ids: &[u64]) -> Check {
        let response = self.add(sessions).await?;
        let seen: Vec<u64> = failed(&response).iter().map(|(id, _)| *id).collect();
        same("ids in responseError", &seen, &ids.to_vec())
    }

    /// getSession.
    pub(crate) async fn try_get(&mut self, session_id: u64) -> Result<Answer<SessionResponse>, Stop> {
        let mut rpc = self.rpc();
        let call = rpc.get_session(SessionId { session_id });
        Ok(self.within("getSession", call).await?.map(tonic::Response::into_inner))
    }

    /// The session that getSession finds.
    pub(crate) async fn get(&mut self, id: u64) -> Result<Option<SessionResponse>, Stop> {
        let answer = self.try_get(id).await?;
        found("getSession", id, answer)
    }

    /// The same, where there has to be one.
    pub(crate) async fn live(&mut self, id: u64) -> Result<SessionResponse, Stop> {
        self.get(id).await?.ok_or_else(|| Stop::failed(format!("getSession to find session {id}"), "no such session"))
    }

    /// The same, where there must be none.
    pub(crate) async fn gone(&mut self, id: u64) -> Check {
        let seen = self.get(id).await?;
        holds(seen.is_none(), || format!("getSession to find no session {id}"), || short(&seen))
    }

    /// deleteSession.
    pub(crate) async fn try_delete(&mut self, session_id: u64) -> Result<Answer<SessionResponse>, Stop> {
        let mut rpc = self.rpc();
        let call = rpc.delete_session(SessionId { session_id });
        Ok(self.within("deleteSession", call).await?.map(tonic::Response::into_inner))
    }

    /// The session that deleteSession took away.
    pub(crate) async fn delete(&mut self, id: u64) -> Result<Option<SessionResponse>, Stop> {
        let answer = self.try_delete(id).await?;
        found("deleteSession", id, answer)
    }

    /// The same, where there has to be one.
    pub(crate) async fn deleted(&mut self, id: u64) -> Result<SessionResponse, Stop> {
        let seen = self.delete(id).await?;
        seen.ok_or_else(|| Stop::failed(format!("deleteSession to find session {id}"), "no such session"))
    }

    /// The `startSession` of the first page.
    pub(crate) const fn start(&self) -> u64 {
        self.terms.profile.list_cursor.start()
    }

    /// getAllSessions from a cursor on.
    pub(crate) async fn try_page(
        &mut self,
        page_size: u32,
        start_session: u64,
    ) -> Result<Answer<SessionResponses>, Stop> {
        self.try_list(SessionRequestArgs { page_size, page: 0, start_session }).await
    }

    /// The same, where an answer is expected.
    pub(crate) async fn page(&mut self, page_size: u32, start_session: u64) -> Result<SessionResponses, Stop> {
        self.listed(SessionRequestArgs { page_size, page: 0, start_session }).await
    }

    /// getAllSessions.
    pub(crate) async fn listed(&mut self, args: SessionRequestArgs) -> Result<SessionResponses, Stop> {
        let answer = self.try_list(args).await?;
        answer.map_err(|status| Stop::failed("an answer to getAllSessions", said(&status)))
    }

    async fn try_list(&mut self, args: SessionRequestArgs) -> Result<Answer<SessionResponses>, Stop> {
        let mut rpc = self.rpc();
        let call = rpc.get_all_sessions(args);
        Ok(self.within("getAllSessions", call).await?.map(tonic::Response::into_inner))
    }

    /// The cursor of the page behind this one, as the profile has it.
    pub(crate) fn next(&self, page: &SessionResponses) -> Option<u64> {
        match self.terms.profile.list_cursor {
            ListCursor::Inclusive => (page.nextkey != 0).then_some(page.nextkey),
            ListCursor::Exclusive => (!page.session_info.is_empty()).then_some(page.nextkey),
        }
    }

    /// Every page of a list, with this size, from the first to the last.
    pub(crate) async fn pages(&mut self, page_size: u32) -> Result<Vec<SessionResponses>, Stop> {
        let mut pages = Vec::new();
        let mut cursor = Some(self.start());
        while let Some(from) = cursor {
            let page = self.page(page_size, from).await?;
            cursor = self.next(&page);
            pages.push(page);
            if cursor == Some(from) || pages.len() > limits::PAGES {
                let seen = format!("nextkey {from} again after {} pages", pages.len());
                return Err(Stop::failed("a list that comes to its end", seen));
            }
        }
        Ok(pages)
    }

    /// The case's own sessions in a list of all.
    pub(crate) async fn list(&mut self) -> Result<Vec<SessionResponse>, Stop> {
        let pages = self.pages(limits::PAGE).await?;
        Ok(pages.into_iter().flat_map(|page| page.session_info).filter(|row| self.owns(row)).collect())
    }

    /// Their ids.
    pub(crate) async fn list_ids(&mut self) -> Result<Vec<u64>, Stop> {
        Ok(ids(&self.list().await?))
    }

    /// True for a session of this case.
    pub(crate) fn owns(&self, row: &SessionResponse) -> bool {
        self.named.contains(&row.session_id)
    }

    /// The ids of the case's own sessions among these.
    pub(crate) fn own_ids(&self, rows: &[SessionResponse]) -> Vec<u64> {
        rows.iter().filter(|row| self.owns(row)).map(|row| row.session_id).collect()
    }
}

/// Ids, in order.
pub(crate) fn ids(rows: &[SessionResponse]) -> Vec<u64> {
    rows.iter().map(|row| row.session_id).collect()
}

/// What responseError says: ids and codes.
pub(crate) fn failed(response: &AddSessionResponse) -> Vec<(u64, i32)> {
    response.response_error.iter().map(|error| (error.session_id, error.error_status)).collect()
}

/// Either way of saying that there is no such session is one.
fn found(call: &str, id: u64, answer: Answer<SessionResponse>) -> Result<Option<SessionResponse>, Stop> {
    match answer {
        Ok(response) if response.request_status() == RequestStatus::RejectedSessionNonexistent => Ok(None),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Ok(response) if response.request_status == i32::from(RequestStatus::Accepted) => Ok(Some(response)),
        Ok(response) => Err(Stop::failed(
            format!("{call} of session {id} to find it or not"),
            format!("requestStatus {}", response.request_status),
        )),
        Err(status) => Err(Stop::failed(format!("an answer to {call} of session {id}"), said(&status))),
    }
}
