//! The calls, in each dialect.

use std::pin::Pin;
use std::time::Duration;

use opof_api::profile::{Absence, AddStatus, ListCursor};
use opof_api::v1::{
    AddSessionResponse, NextHopParameters, NextHopResponse, RequestStatus, ResetRequest, SessionId, SessionRequest,
    SessionRequestArgs, SessionResponse, SessionResponses, VersionRequest, VersionResponse, VlanFlowDef, VlanFlowList,
    VlanFlowListRequest,
};
use opof_api::v1_1::{ShutdownRequest, ShutdownResponse};
use opof_api::{AddReport, Dialect, Refusal, link, metadata, nonexistent, session_spec};
use opof_session::types::{Action, SessionSpec};
use opof_wire::Vid;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::table::next_hops;
use super::{Fault, Mock, TICK};

type Answer<T> = Result<Response<T>, Status>;
type Records = Pin<Box<dyn Stream<Item = Result<SessionResponse, Status>> + Send>>;

/// Takes a stream's sessions back where it ends before its time.
struct TakenBack {
    mock: Mock,
    ids: Vec<u64>,
    armed: bool,
}

impl Drop for TakenBack {
    fn drop(&mut self) {
        if self.armed {
            self.mock.table().forget(&self.ids);
        }
    }
}

impl Mock {
    fn judge(&self, mut message: SessionRequest, dialect: Dialect) -> Result<SessionSpec, Refusal> {
        if self.is_refused(&message) {
            return Err(Refusal::Rejected);
        }
        self.bend(&mut message, dialect);
        let mut spec = session_spec(&message, dialect, &self.profile).map_err(|_| Refusal::Rejected)?;
        if self.is(Fault::InsideAloneIsPopped) && message.out_lif >> 16 == 0 {
            spec.out_vlan = Vid::UNTAGGED;
        }
        let has = |lif| (1..=2).contains(&lif);
        if !has(spec.in_lif.get()) || !has(spec.out_lif.get()) || spec.in_lif == spec.out_lif {
            return Err(Refusal::Rejected);
        }
        if matches!(spec.action, Action::Mirror { .. } | Action::Snoop { .. }) {
            return Err(Refusal::Rejected);
        }
        let known = |hop: &u32| self.is(Fault::AnyNextHop) || self.table().hops.contains(hop);
        if !next_hops(&spec).iter().all(known) {
            return Err(Refusal::FailedPrecondition);
        }
        Ok(spec)
    }

    async fn add_one(&self, message: SessionRequest, dialect: Dialect) -> Result<(), Refusal> {
        let spec = self.judge(message, dialect)?;
        if self.is(Fault::RaceIsLost) {
            let free = self.table().get(spec.id.0).is_none();
            tokio::time::sleep(Duration::from_millis(100)).await;
            // Whoever came between is overlooked.
            let _ = self.table().add(&spec, self.same_tuple);
            return if free { Ok(()) } else { Err(Refusal::AlreadyExists) };
        }
        self.table().add(&spec, self.same_tuple)
    }

    async fn add(&self, dialect: Dialect, mut stream: Streaming<SessionRequest>) -> Answer<AddSessionResponse> {
        let mut taken = TakenBack { mock: self.clone(), ids: Vec::new(), armed: self.is(Fault::BrokenOffIsTakenBack) };
        let mut errors: Vec<(u64, u64, Refusal)> = Vec::new();
        let mut late = Vec::new();
        let mut position = 0;
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(status) => {
                    taken.armed |= self.is(Fault::MalformedIsTakenBack);
                    return Err(status);
                }
            };
            let id = message.session_id;
            taken.ids.push(id);
            let spoiled = self.is(Fault::OneBadSpoilsTheRest) && !errors.is_empty();
            let outcome = match () {
                () if position >= 64 && self.is(Fault::MessagesPast64AreLost) => Ok(()),
                () if message.encap_type == 1 && self.is(Fault::GtpuIsLost) => Ok(()),
                () if spoiled => Err(Refusal::Rejected),
                () if self.is(Fault::JudgesAtTheEnd) => {
                    late.push(message);
                    Ok(())
                }
                () => self.add_one(message, dialect).await,
            };
            if let Err(refusal) = outcome {
                match refusal {
                    Refusal::Rejected if self.is(Fault::BadEndsTheCall) => {
                        return Err(Status::invalid_argument("a session is wrong"));
                    }
                    Refusal::TableFull if self.is(Fault::FullEndsTheCall) => {
                        return Err(Status::resource_exhausted("the table is full"));
                    }
                    _ => errors.push((position, id, refusal)),
                }
            }
            position += 1;
            if self.is(Fault::AnswersEarly) {
                break;
            }
        }
        for message in late {
            let _ = self.add_one(message, dialect).await;
        }
        taken.armed = false;
        self.reply(position, errors).map(Response::new)
    }

    fn reply(&self, messages: u64, mut errors: Vec<(u64, u64, Refusal)>) -> Result<AddSessionResponse, Status> {
        if self.is(Fault::StreamsShareErrors) {
            let mut table = self.table();
            table.errors.extend(errors.iter().map(|(_, id, refusal)| (*id, *refusal)));
            errors = (0..).zip(&table.errors).map(|(n, (id, refusal))| (n, *id, *refusal)).collect();
        }
        if self.profile.page_cap.is_some_and(|cap| errors.len() > cap as usize) {
            return Err(Status::resource_exhausted("more errors than a reply may have"));
        }
        let mut report = AddReport::new(usize::MAX);
        let first = errors.first().map(|(_, _, refusal)| *refusal);
        for (position, id, refusal) in errors {
            report.refuse(position, opof_session::types::SessionId(id), refusal);
        }
        let now = self.table().now();
        let mut reply = report.response(now, &self.profile);
        let tells = self.profile.add_status == AddStatus::WorstAndMask;
        match (self.fault, first) {
            (Some(Fault::EmptyStreamIsRefused), _) if messages == 0 => reply.request_status = 1,
            (Some(Fault::ErrorsAreReversed), _) => reply.response_error.reverse(),
            (Some(Fault::NoStartTime), _) => reply.start_time = None,
            (Some(Fault::MaskIsShifted), _) => reply.error_status <<= 1,
            (Some(Fault::FirstErrorIsTheWorst), Some(first)) if tells => {
                reply.request_status = first.code(opof_api::profile::AddErrors::AddSessionStatus);
            }
            _ => {}
        }
        Ok(reply)
    }

    fn one(&self, id: u64, session: Option<SessionResponse>) -> Answer<SessionResponse> {
        match (session, self.profile.unknown_id) {
            (Some(session), _) => Ok(Response::new(session)),
            (None, Absence::NotFound) => Err(Status::not_found("no such session")),
            (None, Absence::Message) => Ok(Response::new(nonexistent(opof_session::types::SessionId(id)))),
        }
    }

    async fn get(&self, id: u64) -> Answer<SessionResponse> {
        if self.is(Fault::GetHangs) {
            std::future::pending::<()>().await;
        }
        if self.is(Fault::GetIsSlow) {
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        let session = self.table().get(id);
        self.one(id, session)
    }

    fn delete(&self, id: u64) -> Answer<SessionResponse> {
        let mut session = self.table().delete(id, self.profile.report_deleted);
        if let Some(session) = &mut session {
            match self.fault {
                Some(Fault::DeleteSaysEstablished) => session.session_state = 0,
                Some(Fault::DeleteSaysTimeout) => session.session_close_code = 3,
                _ => {}
            }
        }
        self.one(id, session)
    }

    fn list(&self, args: SessionRequestArgs) -> SessionResponses {
        let mut table = self.table();
        table.pages += 1;
        let cap = self.profile.page_cap.unwrap_or(u32::MAX) as usize;
        let mut size = if args.page_size == 0 { cap } else { cap.min(args.page_size as usize) };
        let cursor = self.profile.list_cursor;
        let from_start = args.start_session == cursor.start();
        let mut rows: Vec<_> = table.all();
        rows.retain(|row| match cursor {
            _ if from_start => true,
            ListCursor::Inclusive => row.session_id >= args.start_session,
            ListCursor::Exclusive => row.session_id > args.start_session,
        });
        if self.is(Fault::CursorIsOffByOne) && !from_start && !rows.is_empty() {
            rows.remove(0);
        }
        let page = args.page.saturating_sub(u32::from(!self.is(Fault::PagesCountFromZero)));
        if from_start && !self.is(Fault::PageNumberIsIgnored) {
            rows.drain(..rows.len().min(page as usize * args.page_size as usize));
        }
        if self.is(Fault::PageHasOneMore) {
            size = size.saturating_add(1);
        }
        let behind = rows.split_off(rows.len().min(size));
        let nextkey = match cursor {
            ListCursor::Inclusive => behind.first().map_or(0, |row| row.session_id),
            ListCursor::Exclusive => rows.last().map_or(args.start_session, |row| row.session_id),
        };
        if self.is(Fault::PagesLoseARow) && table.pages.is_multiple_of(10) && rows.len() > 2 {
            rows.remove(1);
        }
        if self.is(Fault::ListIsDescending) {
            rows.reverse();
        }
        SessionResponses { session_info: rows, nextkey }
    }

    fn closed(&self, request: &Request<SessionRequestArgs>) -> Answer<Records> {
        let follow = request.metadata().get(metadata::FOLLOW).is_some_and(|value| value == "true");
        if (follow && !self.is(Fault::FollowIsIgnored)) || self.is(Fault::ClosedNeverEnds) {
            return Ok(Response::new(self.following()));
        }
        let asked = match request.get_ref().page_size {
            0 => usize::MAX,
            _ if self.is(Fault::ClosedPageIsIgnored) => usize::MAX,
            asked => asked as usize,
        };
        let most = self.profile.page_cap.map_or(usize::MAX, |cap| cap as usize).min(asked);
        let mut table = self.table();
        if self.is(Fault::NewestFirst) {
            table.closed.make_contiguous().reverse();
        }
        let most = most.min(table.closed.len());
        let records: Vec<_> = if self.is(Fault::ReadersGetTheSame) {
            let mock = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let mut table = mock.table();
                let most = most.min(table.closed.len());
                table.closed.drain(..most);
            });
            table.closed.iter().take(most).copied().collect()
        } else {
            table.closed.drain(..most).collect()
        };
        if self.is(Fault::CapDropsTheRest) {
            table.closed.clear();
        }
        if records.is_empty() && self.profile.no_closed == Absence::NotFound {
            return Err(Status::not_found("no session has closed"));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(records).map(Ok))))
    }

    fn following(&self) -> Records {
        let (sender, receiver) = mpsc::channel(16);
        let mock = self.clone();
        tokio::spawn(async move {
            while !sender.is_closed() {
                let next = mock.table().closed.pop_front();
                match next {
                    Some(record) => drop(sender.send(Ok(record)).await),
                    None => tokio::time::sleep(TICK).await,
                }
            }
        });
        Box::pin(ReceiverStream::new(receiver))
    }

    fn set_hop(&self, hop: &NextHopParameters) -> NextHopResponse {
        let id = hop.next_hop_id;
        if link::next_hop(hop).is_err() && !self.is(Fault::AnyMac) {
            return NextHopResponse { next_hop_id: id, error_status: Refusal::Rejected.code(self.profile.add_errors) };
        }
        let mut table = self.table();
        table.hops.insert(id);
        if self.is(Fault::SetClosesSessions) {
            table.close_through(&[id].into());
        }
        NextHopResponse { next_hop_id: id, error_status: 0 }
    }

    fn destroy_hop(&self, id: u32) -> NextHopResponse {
        let mut table = self.table();
        let known = table.hops.remove(&id);
        table.close_through(&[id].into());
        let refusal = Refusal::FailedPrecondition.code(self.profile.add_errors);
        NextHopResponse { next_hop_id: id, error_status: if known { 0 } else { refusal } }
    }

    fn clear_hops(&self) -> NextHopResponse {
        let mut table = self.table();
        let hops = table.hops.clone();
        if !self.is(Fault::ClearKeepsHops) {
            table.hops.clear();
        }
        table.close_through(&hops);
        NextHopResponse::default()
    }

    fn add_flow(&self, flow: VlanFlowDef) -> SessionResponse {
        let is_good = link::vlan_flow(&flow).is_ok_and(|flow| flow.lif.get() <= 2) || self.is(Fault::AnyFlow);
        if is_good && !self.is(Fault::FlowsAreLost) {
            self.table().flows.insert(flow.vlan_id, flow.internal_lif);
        }
        requested(is_good)
    }
}

fn requested(done: bool) -> SessionResponse {
    let status = if done { RequestStatus::Accepted } else { RequestStatus::Rejected };
    SessionResponse { request_status: status.into(), ..SessionResponse::default() }
}

macro_rules! service {
    ($module:ident, $dialect:ident, $stream:ident, { $($more:tt)* }) => {
        #[tonic::async_trait]
        impl opof_api::$module::session_table_server::SessionTable for Mock {
            async fn add_session(&self, request: Request<Streaming<SessionRequest>>) -> Answer<AddSessionResponse> {
                self.add(Dialect::$dialect, request.into_inner()).await
            }
            async fn get_session(&self, request: Request<SessionId>) -> Answer<SessionResponse> {
                self.get(request.get_ref().session_id).await
            }
            async fn delete_session(&self, request: Request<SessionId>) -> Answer<SessionResponse> {
                self.delete(request.get_ref().session_id)
            }
            async fn get_all_sessions(&self, request: Request<SessionRequestArgs>) -> Answer<SessionResponses> {
                Ok(Response::new(self.list(*request.get_ref())))
            }
            type $stream = Records;
            async fn get_closed_sessions(&self, request: Request<SessionRequestArgs>) -> Answer<Records> {
                self.closed(&request)
            }
            $($more)*
        }
    };
}

service!(v1, V1, getClosedSessionsStream, {});
service!(v2, V2, GetClosedSessionsStream, {});
service!(v1_1, V1_1, getClosedSessionsStream, {
    async fn shutdown_server(&self, _: Request<ShutdownRequest>) -> Answer<ShutdownResponse> {
        Ok(Response::new(ShutdownResponse { error_status: u64::from(self.is(Fault::ShutdownFails)) }))
    }
});
service!(v1beta1, V1Beta1, getClosedSessionsStream, {
    async fn get_service_version(&self, _: Request<VersionRequest>) -> Answer<VersionResponse> {
        if self.is(Fault::NoVersion) {
            return Ok(Response::new(VersionResponse::default()));
        }
        let (name, version) = ("mock".to_owned(), "1".to_owned());
        Ok(Response::new(VersionResponse { name, version, ..VersionResponse::default() }))
    }
    async fn reset(&self, _: Request<ResetRequest>) -> Answer<SessionResponse> {
        self.table().reset();
        Ok(Response::new(requested(true)))
    }
    async fn set_next_hop(&self, request: Request<NextHopParameters>) -> Answer<NextHopResponse> {
        Ok(Response::new(self.set_hop(request.get_ref())))
    }
    async fn destroy_next_hop(&self, request: Request<NextHopParameters>) -> Answer<NextHopResponse> {
        Ok(Response::new(self.destroy_hop(request.get_ref().next_hop_id)))
    }
    async fn clear_next_hops(&self, _: Request<NextHopParameters>) -> Answer<NextHopResponse> {
        Ok(Response::new(self.clear_hops()))
    }
    async fn add_vlan_flow(&self, request: Request<VlanFlowDef>) -> Answer<SessionResponse> {
        Ok(Response::new(self.add_flow(*request.get_ref())))
    }
    async fn remove_vlan_flow(&self, request: Request<VlanFlowDef>) -> Answer<SessionResponse> {
        let known = self.table().flows.remove(&request.get_ref().vlan_id).is_some();
        Ok(Response::new(requested(known)))
    }
    async fn get_vlan_flows(&self, _: Request<VlanFlowListRequest>) -> Answer<VlanFlowList> {
        let flow =
            |(vlan_id, internal_lif): (&u32, &u32)| VlanFlowDef { vlan_id: *vlan_id, internal_lif: *internal_lif };
        let flow_defs = self.table().flows.iter().map(flow).collect();
        Ok(Response::new(VlanFlowList { flow_defs }))
    }
    async fn clear_vlan_flows(&self, _: Request<VlanFlowListRequest>) -> Answer<SessionResponse> {
        if !self.is(Fault::ClearKeepsFlows) {
            self.table().flows.clear();
        }
        Ok(Response::new(requested(true)))
    }
});
