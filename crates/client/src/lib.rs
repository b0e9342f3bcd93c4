//! The client library of the open offload server: hand sessions to an offload device, follow them, take them back.
//!
//! What lives here: connections, deadlines, batches, pages, and errors that say what to do. What must not:
//! protobuf types in the public interface, decisions about which sessions are worth offloading.
//!
//! ```no_run
//! use opof_client::{Client, ClientConfig, Session, Transport};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig::new("https://localhost:3443").ca_pem(std::fs::read("cert.pem")?);
//! let mut client = Client::connect(config).await?;
//!
//! let session = Session::new(1, Transport::Tcp, "10.0.0.1:12345".parse()?, "10.1.0.3:80".parse()?)?.timeout_seconds(30);
//! let outcome = client.add([session]).await?;
//! for refused in &outcome.refused {
//!     eprintln!("session {}: {}", refused.id, refused.reason);
//! }
//!
//! let mut closed = client.closed(0).await?;
//! while let Some(session) = closed.next().await? {
//!     println!("{} carried {} packets in", session.id, session.inward.packets);
//! }
//! # Ok(())
//! # }
//! ```

mod add;
mod backoff;
mod call;
mod client;
mod closed;
mod config;
mod device;
mod error;
mod health;
pub mod limits;
mod paging;
mod pem;
mod routed;
mod session;
mod status;
mod subscribe;

pub use add::{AddOutcome, Adding, Refused};
pub use client::Client;
pub use closed::Closed;
pub use config::ClientConfig;
pub use device::{Device, Port, PortRole, SlowPathTally, Tally};
pub use error::Error;
pub use health::Health;
pub use opof_api::profile::{self, Profile};
pub use opof_api::report::{CloseCode, SessionReport, SessionState};
pub use opof_api::status::Refusal;
pub use opof_api::{Dialect, Inexpressible};
pub use opof_session::engine::Statistics;
pub use opof_session::l3::{Family, Link, Links, Nat, NextHop, NextHopId, Tunnel, VlanFlow};
pub use opof_session::types::{Action, DirectionCounters, Lif, SessionId, SessionSpec};
pub use opof_wire::ethernet::MacAddress;
pub use opof_wire::{Transport, Vid};
pub use paging::{Pages, SessionStream};
pub use routed::ServiceVersion;
pub use session::{Session, SessionError};
pub use subscribe::{SubscribeConfig, Subscription};
