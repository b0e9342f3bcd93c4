//! Before any call: may this client make it, has it asked too much? And until its answer is sent: what it costs the client.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use opof_api::dialect::{Dialect, Method};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Timeout;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tower::{Layer, Service};

use super::status;
use crate::account::{Account, Failures};
use crate::clock::Clock;
use crate::limits;
use crate::listen::{Denial, Peer, log_denial};
use crate::log::RateLimit;

/// Puts a [`Guard`] in front of services.
#[derive(Clone, Debug)]
pub(crate) struct GuardLayer {
    clock: Clock,
    denials: Arc<Mutex<RateLimit>>,
}

impl GuardLayer {
    pub(crate) const fn new(clock: Clock, denials: Arc<Mutex<RateLimit>>) -> Self {
        Self { clock, denials }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, rules: self.clone() }
    }
}

/// Lets through what is allowed, before a byte of the message is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Guard<S> {
    inner: S,
    rules: GuardLayer,
}

impl GuardLayer {
    fn judge(&self, request: &Request<Body>) -> Result<Arc<Account>, Status> {
        // Every connection of ours brings its peer along.
        let peer = request.extensions().get::<Peer>().ok_or_else(|| Status::internal("nobody knows who calls"))?;
        let path = request.uri().path();
        // Not settled before it may: one that may do nothing must not keep a place.
        peer.may(path).and_then(|()| peer.settle()).map_err(|denial| {
            log_denial(peer, &denial, &self.denials, &self.clock);
            denied(&denial)
        })?;
        // A stream of sessions is slowed down instead, session by session.
        if method(path) != Some(Method::AddSession) {
            peer.account().rate.take(self.clock.now(), 1).map_err(status::too_fast)?;
        }
        Ok(Arc::clone(peer.account()))
    }
}

fn method(path: &str) -> Option<Method> {
    Dialect::of_path(path).map(|(_, method)| method)
}

/// What a call takes of its client's account until its answer is sent, however long the client takes to read it.
#[derive(Default)]
struct Kept {
    failures: Option<Failures>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Kept {
    async fn take(method: Option<Method>, account: Arc<Account>) -> Result<Self, Status> {
        let mut kept = Self::default();
        match method {
            Some(Method::AddSession) => kept.failures = Some(Failures::of(account)),
            Some(Method::GetAllSessions) => {
                let lists = Arc::clone(&account.lists).acquire_owned().await;
                kept.permit = Some(lists.map_err(|_| Status::unavailable("stopping"))?);
            }
            Some(Method::GetClosedSessions) => {
                let text = || format!("one client may have {} such streams open", limits::CLIENT_CLOSED_STREAMS);
                let streams = Arc::clone(&account.closed_streams).try_acquire_owned();
                kept.permit = Some(streams.map_err(|_| status::too_many("getClosedSessions", text()))?);
            }
            _ => {}
        }
        Ok(kept)
    }

    /// Until the body is sent, or nobody takes it any more.
    fn until_sent(self, response: Response<Body>) -> Response<Body> {
        if self.failures.is_none() && self.permit.is_none() {
            return response;
        }
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _kept = &self;
                frame
            }))
        })
    }
}

/// How long the client waits for the answer: `grpc-timeout` of gRPC over HTTP/2, "Requests". The transport knows it too, but calls
/// its end "cancelled".
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number.saturating_mul(3600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

async fn within<E>(
    patience: Duration,
    answer: Timeout<impl Future<Output = Result<Response<Body>, E>>>,
) -> Result<Response<Body>, E> {
    answer.await.unwrap_or_else(|_| Ok(status::too_late(patience).into_http()))
}

fn denied(denial: &Denial) -> Status {
    match denial {
        Denial::Unidentified(_) => Status::unauthenticated(denial.to_string()),
        Denial::NoRole(_) | Denial::Role { .. } | Denial::Shutdown => Status::permission_denied(denial.to_string()),
        Denial::Places(_) => status::too_many("connections", denial.to_string()),
    }
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let account = match self.rules.judge(&request) {
            Ok(account) => account,
            Err(status) => return Box::pin(std::future::ready(Ok(status.into_http()))),
        };
        let patience = deadline(request.headers());
        let method = method(request.uri().path());
        // The clone has not been asked whether it is ready, so it is the other that is called.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let answer = async move {
            let kept = match Kept::take(method, account).await {
                Ok(kept) => kept,
                Err(status) => return Ok(status.into_http()),
            };
            if let Some(failures) = &kept.failures {
                request.extensions_mut().insert(failures.clone());
            }
            inner.call(request).await.map(|response| kept.until_sent(response))
        };
        match patience {
            // The clock runs from here on, not from when somebody looks.
            Some(patience) => Box::pin(within(patience, tokio::time::timeout(patience, answer))),
            None => Box::pin(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use opof_session::types::Moment;

    use super::*;
    use crate::account::Accounts;
    use crate::config::ClientLimits;

    #[tokio::test]
    async fn a_list_counts_until_its_answer_is_sent_or_nobody_takes_it() {
        let account = Accounts::new(ClientLimits::default()).of("a", Moment(0));
        let mut answers = Vec::new();
        for _ in 0..limits::CLIENT_LISTS {
            let kept = Kept::take(Some(Method::GetAllSessions), Arc::clone(&account)).await.unwrap();
            answers.push(kept.until_sent(Response::new(Body::new("rows".to_owned()))));
        }
        let one_more = Kept::take(Some(Method::GetAllSessions), Arc::clone(&account));
        assert!(tokio::time::timeout(Duration::from_millis(20), one_more).await.is_err(), "it waits");
        let sent = answers.pop().unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&sent[..], b"rows");
        assert_eq!(account.lists.available_permits(), 1);
        answers.clear();
        assert_eq!(account.lists.available_permits(), limits::CLIENT_LISTS);
    }

    #[tokio::test]
    async fn what_is_not_done_in_time_ends_with_the_code_for_that() {
        let code = async |answer: Pin<Box<dyn Future<Output = Result<Response<Body>, ()>>>>| {
            let patience = Duration::from_millis(20);
            let response = within(patience, tokio::time::timeout(patience, answer)).await.unwrap();
            Status::from_header_map(response.headers()).map(|status| status.code())
        };
        assert_eq!(code(Box::pin(std::future::pending())).await, Some(tonic::Code::DeadlineExceeded));
        assert_eq!(code(Box::pin(async { Ok(Response::default()) })).await, None);
    }

    #[test]
    fn deadlines_are_read_as_grpc_writes_them() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            deadline(&headers)
        };
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        assert_eq!(read("99999999u"), Some(Duration::from_micros(99_999_999)));
        assert_eq!(read("7n"), Some(Duration::from_nanos(7)));
        assert_eq!((read("5S"), read("2M")), (Some(Duration::from_secs(5)), Some(Duration::from_secs(120))));
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        for wrong in ["", "5", "S", "5s", "-5S", "5 S", "five S"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(deadline(&HeaderMap::new()), None);
    }
}
