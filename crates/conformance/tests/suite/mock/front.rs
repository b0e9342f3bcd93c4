//! The server's front: which services there are, and what becomes of calls that none of them takes.

use std::pin::Pin;
use std::task::{Context, Poll};

use opof_api::{DESCRIPTORS, v1, v1_1, v1beta1, v2};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, Uri};
use tonic::transport::Server;
use tonic::transport::server::Router;
use tower::layer::util::{Identity, Stack};
use tower::{Layer, Service};

use super::{Fault, Mock};

pub(super) fn router(mock: &Mock) -> Router<Stack<Meddling, Identity>> {
    let (reporter, health) = tonic_health::server::health_reporter();
    drop(reporter);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1()
        .expect("the descriptors are good");
    Server::builder()
        .layer(Meddling(mock.clone()))
        .add_service(v1::session_table_server::SessionTableServer::new(mock.clone()))
        .add_service(v1_1::session_table_server::SessionTableServer::new(mock.clone()))
        .add_service(v1beta1::session_table_server::SessionTableServer::new(mock.clone()))
        .add_service(v2::session_table_server::SessionTableServer::new(mock.clone()))
        .add_optional_service((!mock.is(Fault::NoHealth)).then_some(health))
        .add_optional_service((!mock.is(Fault::NoReflection)).then_some(reflection))
}

/// Meddles with calls before and after they are served, where the fault is there.
#[derive(Clone, Debug)]
pub(super) struct Meddling(Mock);

impl<S> Layer<S> for Meddling {
    type Service = Meddled<S>;

    fn layer(&self, inner: S) -> Meddled<S> {
        Meddled { mock: self.0.clone(), inner }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Meddled<S> {
    mock: Mock,
    inner: S,
}

type Boxed<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl<S> Service<Request<Body>> for Meddled<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Boxed<Response<Body>, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if self.mock.is(Fault::CasingIsIgnored) {
            respell(request.uri_mut());
        }
        let (mock, answer) = (self.mock.clone(), self.inner.call(request));
        Box::pin(async move {
            let mut response = answer.await?;
            let status = response.headers().get("grpc-status").map(|status| status.as_bytes().to_vec());
            match status.as_deref() {
                Some(b"12") if mock.is(Fault::UnknownCallIsUnknown) => {
                    response.headers_mut().insert("grpc-status", "2".parse().expect("digits"));
                }
                // What does not decode.
                Some(b"13") if mock.is(Fault::MalformedHangs) => std::future::pending::<()>().await,
                Some(b"13") if mock.is(Fault::MalformedEmptiesTheTable) => mock.table().reset(),
                _ => {}
            }
            Ok(response)
        })
    }
}

/// v2's spelling in the other packages, and theirs in v2.
fn respell(uri: &mut Uri) {
    let path = uri.path().to_owned();
    let Some((service, method)) = path.rsplit_once('/') else { return };
    let (first, rest) = method.split_at(1);
    let first = if service.contains(".v2.") { first.to_ascii_uppercase() } else { first.to_ascii_lowercase() };
    *uri = format!("{service}/{first}{rest}").parse().expect("a path like the one before");
}
