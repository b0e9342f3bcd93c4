//! One listener: its services, and the HTTP/2 server that serves them.

use std::sync::{Arc, Mutex};

use opof_api::device::device_server::DeviceServer;
use opof_api::ha::PairFacts;
use opof_api::pair::pair_server::PairServer;
use opof_api::v1::session_table_server::SessionTableServer as V1;
use opof_api::v1_1::session_table_server::SessionTableServer as V1_1;
use opof_api::v1beta1::session_table_server::SessionTableServer as V1Beta1;
use opof_api::v2::session_table_server::SessionTableServer as V2;
use opof_api::{DESCRIPTORS, Dialect};
use opof_session::types::Moment;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;

use crate::account::Accounts;
use crate::clock::Clock;
use crate::config::{ClientLimits, KnownClient, Listener};
use crate::driver::{DriverHandle, PairHandle};
use crate::health::Health;
use crate::limits;
use crate::listen::{self, Grants, Listening, Reception};
use crate::log::RateLimit;
use crate::service::{DeviceService, GuardLayer, PairService, SessionTableService, Table};
use crate::shutdown::Lifecycle;
use crate::tls::Tls;

/// What all listeners share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    driver: DriverHandle,
    /// Of one of a pair.
    pair: Option<(PairHandle, PairFacts)>,
    clock: Clock,
    started: Moment,
    lifecycle: Lifecycle,
    limits: ClientLimits,
    clients: Arc<[KnownClient]>,
    accounts: Arc<Accounts>,
    denials: Arc<Mutex<RateLimit>>,
    health: Health,
}

impl Shared {
    pub(crate) fn new(
        driver: DriverHandle,
        pair: Option<(PairHandle, PairFacts)>,
        clock: Clock,
        started: Moment,
        lifecycle: Lifecycle,
        limits: ClientLimits,
        clients: &[KnownClient],
    ) -> Self {
        let driver = match &pair {
            Some((handle, facts)) => driver.in_pair(handle, &facts.peer_api),
            None => driver,
        };
        Self {
            driver,
            pair,
            health: Health::new(clock.clone()),
            clock,
            started,
            lifecycle,
            limits,
            clients: clients.into(),
            accounts: Arc::new(Accounts::new(limits)),
            denials: Arc::new(Mutex::new(RateLimit::new(limits::DENIALS_LOGGED))),
        }
    }

    /// Its session table, without gRPC in between.
    pub(crate) const fn driver(&self) -> &DriverHandle {
        &self.driver
    }

    /// Its pair, if it is one of two.
    pub(crate) fn pair(&self) -> Option<&PairHandle> {
        self.pair.as_ref().map(|(handle, _)| handle)
    }

    /// Its clock.
    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Its stage.
    pub(crate) const fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// How it is.
    pub(crate) const fn health(&self) -> &Health {
        &self.health
    }

    /// Serves a listener until the daemon stops.
    pub(crate) async fn serve(
        self,
        config: Listener,
        listening: Listening,
        tls: Option<Arc<Tls>>,
    ) -> Result<(), tonic::transport::Error> {
        let routes = self.routes(&config);
        let guard = GuardLayer::new(self.clock.clone(), Arc::clone(&self.denials));
        let reception = Reception {
            tls,
            grants: Grants { clients: self.clients, role: config.role, shutdown: config.shutdown },
            limits: self.limits,
            accounts: self.accounts,
            clock: self.clock,
            failures: Mutex::new(RateLimit::new(limits::DENIALS_LOGGED)),
        };
        let stop = async move { self.lifecycle.stopping().await };
        server(&self.limits)
            .layer(guard)
            .serve_with_incoming_shutdown(routes, listen::connections(listening, reception), stop)
            .await
    }

    fn routes(&self, config: &Listener) -> Routes {
        let Self { driver, clock, lifecycle, limits, .. } = self;
        let (profile, same_tuple) = (config.profile, config.same_tuple);
        let table =
            Table::new(driver.clone(), clock.clone(), lifecycle.clone(), profile, same_tuple, limits.stream_sessions);
        let table = Arc::new(table);
        let bytes = limits.message_bytes as usize;
        let dialect = |dialect| SessionTableService::new(Arc::clone(&table), dialect);
        let device = DeviceService::new(driver.clone(), clock.clone(), self.started, self.health.clone());
        let pair = PairService::new(self.pair.clone(), clock.clone());
        let mut routes = Routes::builder();
        routes
            .add_service(V1::new(dialect(Dialect::V1)).max_decoding_message_size(bytes))
            .add_service(V1_1::new(dialect(Dialect::V1_1)).max_decoding_message_size(bytes))
            .add_service(V1Beta1::new(dialect(Dialect::V1Beta1)).max_decoding_message_size(bytes))
            .add_service(V2::new(dialect(Dialect::V2)).max_decoding_message_size(bytes))
            .add_service(DeviceServer::new(device).max_decoding_message_size(bytes))
            .add_service(PairServer::new(pair).max_decoding_message_size(bytes))
            .add_service(
                HealthServer::new(HealthService::from_health_reporter(self.health.reporter().clone()))
                    .max_decoding_message_size(bytes),
            );
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Both versions: deployed tools still ask for the older.
        let (new, old) = (reflection().build_v1(), reflection().build_v1alpha());
        routes
            .add_service(new.expect("our own descriptors").max_decoding_message_size(bytes))
            .add_service(old.expect("our own descriptors").max_decoding_message_size(bytes));
        routes.clone().routes()
    }
}

fn server(limits: &ClientLimits) -> Server {
    // A live peer has answered a ping by the time a silent one is given up.
    let (interval, timeout) = (limits.idle_timeout / 2, limits.idle_timeout / 3);
    Server::builder()
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .http2_max_header_list_size(limits::HEADER_BYTES)
        .http2_keepalive_interval(Some(interval))
        .http2_keepalive_timeout(Some(timeout))
}
