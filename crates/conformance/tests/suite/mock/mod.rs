//! A server without a fast path: the API over a map, on loopback, in the test's own process.
//!
//! It keeps to the contract in every dialect and profile, and can be told to break one rule.

mod bend;
mod fault;
mod front;
mod services;
mod table;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use opof_conformance::{Profile, SameTuple, Target, Terms};
use tokio::net::TcpListener;
use tonic::transport::Endpoint;
use tonic::transport::server::TcpIncoming;

pub(crate) use fault::Fault;
use table::Table;

/// Sessions that fit.
pub(crate) const CAPACITY: usize = 400;
/// How often timeouts are looked at.
const TICK: Duration = Duration::from_millis(10);

/// A running server. It ends with the test's runtime.
#[derive(Clone, Debug)]
pub(crate) struct Mock {
    table: Arc<Mutex<Table>>,
    profile: Profile,
    same_tuple: SameTuple,
    fault: Option<Fault>,
}

impl Mock {
    /// Starts one, and gives the target that it is to the suite: on the terms of `terms`, while the server itself has
    /// `profile`.
    pub(crate) async fn start(terms: Terms, profile: Profile, fault: Option<Fault>) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let address = listener.local_addr().expect("it is bound");
        let table = Arc::new(Mutex::new(Table::new(fault)));
        let mock = Self { table, profile, same_tuple: terms.same_tuple, fault };
        let aging = mock.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                aging.table().tick();
            }
        });
        tokio::spawn(front::router(&mock).serve_with_incoming(TcpIncoming::from(listener)));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is a URI");
        Target::new(endpoint.connect_lazy(), terms)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nobody panics with it")
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}
