//! A connection, and the calls that every dialect has. Those of v1beta1 are in `routed`.

use std::time::Duration;

use opof_api::dialect::Method;
use opof_api::{Dialect, Profile, SessionReport, device, v1_1, v1beta1};
use tokio_stream::Stream;

use crate::add::{AddFailed, AddOutcome, Adder, Adding};
use crate::call::Call;
use crate::closed::Closed;
use crate::config::ClientConfig;
use crate::device::Device;
use crate::error::Error;
use crate::health::{self, Health};
use crate::paging::Pages;
use crate::route::Route;
use crate::session::Session;
use crate::subscribe::{SubscribeConfig, Subscription};

/// A connection to a device. It is cheap to clone, clones share the connection, and it comes back by itself after the
/// device has been away. Of a pair it asks the active one: see [`ClientConfig::or`].
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) call: Call,
}

impl Client {
    /// Connects to a device, of several to the first that is there.
    ///
    /// # Errors
    /// [`Error::Uri`], [`Error::Pem`], [`Error::Connect`], [`Error::Tls`].
    pub async fn connect(config: ClientConfig) -> Result<Self, Error> {
        Ok(Self { call: Call::new(&config, Route::connect(&config).await?) })
    }

    /// Connects when the first call is made, so that the device need not be there yet. Must be called on a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`Error::Uri`], [`Error::Pem`].
    pub fn connect_lazy(config: &ClientConfig) -> Result<Self, Error> {
        Ok(Self { call: Call::new(config, Route::lazy(config)?) })
    }

    /// What is spoken.
    pub const fn dialect(&self) -> Dialect {
        self.call.dialect
    }

    /// How it is meant.
    pub const fn profile(&self) -> &Profile {
        &self.call.profile
    }

    /// Offloads sessions, in their order, one batch after the other. When this returns, the next packet of every
    /// session that is not among the refused takes the fast path.
    ///
    /// # Errors
    /// When a call as a whole fails, with what became of the sessions before: they are the first of those that were given.
    /// To add the others again does no harm ([`crate::Refusal::AlreadyExists`]).
    pub async fn add(&mut self, sessions: impl IntoIterator<Item = Session>) -> Result<AddOutcome, AddFailed> {
        let adder = self.adder();
        let size = adder.batch_size();
        let mut sessions = sessions.into_iter();
        let mut outcome = AddOutcome::default();
        loop {
            let messages = sessions.by_ref().take(size).map(|session| adder.message(&session));
            let answer = match messages.collect::<Result<Vec<_>, _>>() {
                Ok(batch) if batch.is_empty() => return Ok(outcome),
                Ok(batch) => adder.send(batch).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(later) => outcome.append(later),
                Err(error) => return Err(AddFailed { error, outcome }),
            }
        }
    }

    /// Offloads sessions as they come, and takes them from the stream only as fast as the device accepts them: at most
    /// [`limits::ADD_IN_FLIGHT`](crate::limits::ADD_IN_FLIGHT) batches wait for their answer, and one more is being gathered. What has been gathered
    /// goes when the batch is full, or when nothing else is under way: a slow stream has small batches, and a slow
    /// device large ones.
    ///
    /// Batches that are under way together reach the device in any order; see [`Adding::in_order`].
    pub fn add_stream<S: Stream<Item = Session>>(&self, sessions: S) -> Adding<S> {
        Adding::new(self.adder(), sessions)
    }

    /// Calls that only some dialects have are refused here: to a server, they would be unknown.
    pub(crate) fn has(&self, method: Method) -> Result<(), Error> {
        let dialect = self.dialect();
        if dialect.has(method) { Ok(()) } else { Err(Error::NoSuchCall { dialect, method }) }
    }

    fn adder(&self) -> Adder {
        Adder::new(self.call.clone())
    }

    /// One session with its live counters; `None` when there is none with this id.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn get(&mut self, id: u64) -> Result<Option<SessionReport>, Error> {
        let id = v1beta1::SessionId { session_id: id };
        self.call.report(|at| async move { at.rpc().get_session(at.request(id)).await }).await
    }

    /// Takes a session off the fast path; the answer has its final counters (where the profile has `report_deleted`,
    /// they come with the closed sessions instead). `None` when there is none with this id.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn delete(&mut self, id: u64) -> Result<Option<SessionReport>, Error> {
        let id = v1beta1::SessionId { session_id: id };
        self.call.report(|at| async move { at.rpc().delete_session(at.request(id)).await }).await
    }

    /// Sessions with live counters in ascending id, a page at a time; [`Pages::into_stream`] has them one by one.
    pub fn list(&self) -> Pages {
        Pages::new(self.call.clone())
    }

    /// Sessions that have closed and that nobody has collected, oldest first: at most `limit`, or all with 0. Each is
    /// told once: what is taken from the stream won't come again. The stream ends when no more are waiting;
    /// [`subscribe_closed`](Self::subscribe_closed) goes on.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn closed(&mut self, limit: u32) -> Result<Closed, Error> {
        let args = v1beta1::SessionRequestArgs { page_size: limit, ..v1beta1::SessionRequestArgs::default() };
        // No deadline for the device: it would end a long stream in the middle. Each session has one by itself.
        Closed::open(&self.call, || tonic::Request::new(args)).await
    }

    /// Sessions as they close, for as long as anybody asks. It begins when it is first asked, and comes back by itself
    /// after the device has been away.
    pub fn subscribe_closed(&self, config: SubscribeConfig) -> Subscription {
        Subscription::new(self.call.clone(), config)
    }

    /// v1.1: ends the server, within `deadline`, in whole seconds. It takes no new sessions from then on, and its
    /// supervisor is expected to start it again.
    ///
    /// # Errors
    /// When the call fails, such as with [`Error::PermissionDenied`] on a device that does not let itself be ended;
    /// [`Error::NoSuchCall`] in other dialects.
    pub async fn shutdown_server(&mut self, deadline: Duration) -> Result<(), Error> {
        self.has(Method::ShutdownServer)?;
        let deadline = i32::try_from(deadline.as_secs()).unwrap_or(i32::MAX);
        let request = v1_1::ShutdownRequest { deadline };
        let answer = self.call.answer(|at| async move { at.rpc().shutdown_server(at.request(request)).await }).await?;
        match answer.error_status {
            0 => Ok(()),
            code => Err(self.call.rejected("the shutdown".to_owned(), format!("errorStatus {code}"), None)),
        }
    }

    /// Whether the device serves (`grpc.health.v1`, of the server as a whole). Of a pair, whether one of them does.
    ///
    /// # Errors
    /// When the call fails; [`Error::Unimplemented`] where the device does not say such things.
    pub async fn health(&mut self) -> Result<Health, Error> {
        health::check(&self.call).await
    }

    /// The device itself: version, ports, figures. A call of opof's own.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn device(&mut self) -> Result<Device, Error> {
        let answer = self.call.answer(|at| async move {
            let mut device = device::device_client::DeviceClient::new(at.channel());
            device.get_device(at.request(device::GetDeviceRequest {})).await
        });
        Ok(Device::from_message(answer.await?))
    }
}
