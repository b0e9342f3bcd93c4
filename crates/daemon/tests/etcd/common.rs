//! Two nodes and their etcd.

use std::sync::LazyLock;
use std::time::Duration;

use opof_daemon::ha::etcd::{Etcd, EtcdConfig};
use opof_session::ha::Term;
use opof_session::ha::store::{StoreAnswer, StoreRequest};
use tokio::runtime::Runtime;

/// The shortest lease that there is.
pub(crate) const TTL: Duration = Duration::from_secs(1);
/// What a busy machine may take beyond what should be.
pub(crate) const SLACK: Duration = Duration::from_secs(10);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// Waits for it; waits of the test kit are not for tasks of a runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// A node's side of the election.
pub(crate) struct Node {
    pub(crate) etcd: Etcd,
    pub(crate) api: String,
}

impl Node {
    /// One with this name, in the pair that has no name.
    pub(crate) fn new(name: &str, endpoint: &str) -> Self {
        Self::with(&config(name, &[endpoint]))
    }

    pub(crate) fn with(config: &EtcdConfig) -> Self {
        Self { etcd: Etcd::new(config).unwrap(), api: config.api.clone() }
    }

    pub(crate) fn ask(&mut self, request: StoreRequest) -> StoreAnswer {
        block_on(self.etcd.ask(request))
    }

    pub(crate) fn claim(&mut self) -> StoreAnswer {
        self.ask(CLAIM)
    }

    pub(crate) fn renew(&mut self, term: Term) -> StoreAnswer {
        self.ask(StoreRequest::Renew { term })
    }

    pub(crate) fn resign(&mut self, term: Term) -> StoreAnswer {
        self.ask(StoreRequest::Resign { term })
    }

    /// Claims, and has to become the holder.
    pub(crate) fn hold(&mut self) -> Term {
        held(&self.claim())
    }
}

/// Any term, for the shortest time.
pub(crate) const CLAIM: StoreRequest = StoreRequest::Claim { at_least: Term(0), ttl: TTL };

/// Of a node with this name.
pub(crate) fn config(name: &str, endpoints: &[&str]) -> EtcdConfig {
    EtcdConfig {
        endpoints: endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect(),
        prefix: "/opof/pair".to_owned(),
        node: name.to_owned(),
        api: format!("{name}.example:3443"),
        tls: None,
    }
}

/// The term that was won or gone on with.
pub(crate) fn held(answer: &StoreAnswer) -> Term {
    match answer {
        StoreAnswer::Held { term, ttl } if *ttl == TTL => *term,
        other => panic!("is not the holder: {other:?}"),
    }
}

/// That this node is the holder, with this term.
pub(crate) fn taken(node: &Node, term: Term) -> StoreAnswer {
    StoreAnswer::Taken { term, holder: node.api.clone() }
}

/// Why it failed.
pub(crate) fn failed(answer: &StoreAnswer) -> &str {
    match answer {
        StoreAnswer::Failed { why } => why,
        other => panic!("did not fail: {other:?}"),
    }
}
