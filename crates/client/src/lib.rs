//! The client library of the open offload server: hand sessions to an offload device, follow them, take them back.
//!
//! What lives here: connections, deadlines, batches, pages, and errors that say what to do. What must not:
//! protobuf types in the public interface, decisions about which sessions are worth offloading.
//!
//! # Adding, asking, taking back
//!
//! ```no_run
//! use opof_client::{Client, ClientConfig, Session, Transport};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig::new("https://localhost:3443").ca_pem(std::fs::read("cert.pem")?);
//! let mut client = Client::connect(config).await?;
//!
//! let session = Session::new(1, Transport::Tcp, "10.0.0.1:12345".parse()?, "10.1.0.3:80".parse()?)?;
//! let outcome = client.add([session.timeout_seconds(30)]).await?;
//! for refused in &outcome.refused {
//!     eprintln!("session {}: {}", refused.id, refused.message.as_deref().unwrap_or(refused.reason.name()));
//! }
//! if let Some(session) = client.get(1).await? {
//!     println!("{} packets in so far", session.inward.packets);
//! }
//! client.delete(1).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] is one connection; clones share it, and calls of clones run side by side. It comes back by itself after
//! the device has been away.
//!
//! Of a pair of devices one is active. [`ClientConfig::or`] names the other one; the client asks the one that is active, and goes
//! on with the other when that changes.
//!
//! # Many sessions
//!
//! [`Client::add`] takes what is there already. [`Client::add_stream`] takes sessions as a firewall decides on them,
//! and only as fast as the device accepts them: put a bounded channel in front of it, and a slow device slows down the
//! sender.
//! [`Client::list`] has the table in pages, or as a stream:
//!
//! ```no_run
//! # use opof_client::{Client, ClientConfig, Session};
//! use tokio_stream::StreamExt;
//! use tokio_stream::wrappers::ReceiverStream;
//!
//! # use opof_client::Error;
//! # async fn example(client: Client, decided: tokio::sync::mpsc::Receiver<Session>) -> Result<(), Error> {
//! let mut adding = client.add_stream(ReceiverStream::new(decided));
//! while let Some(outcome) = adding.next().await {
//!     println!("{} more", outcome?.accepted);
//! }
//! let mut sessions = client.list().into_stream();
//! while let Some(session) = sessions.next().await {
//!     println!("{}", session?.id);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What sessions carried
//!
//! A session that closes by itself is told once, with its final counters. [`Client::subscribe_closed`] waits for them
//! for as long as anybody asks, over servers that go away and come back; [`Subscription`] says what a reader may lose.
//!
//! ```no_run
//! # use opof_client::{Client, SubscribeConfig};
//! # async fn example(client: Client) -> Result<(), opof_client::Error> {
//! let mut closed = client.subscribe_closed(SubscribeConfig::new().follow(true));
//! loop {
//!     let session = closed.next().await?;
//!     println!("{} carried {} packets in", session.id, session.inward.packets);
//! }
//! # }
//! ```
//!
//! # Dialects and profiles
//!
//! Devices speak one or several of the published [`Dialect`]s, and read what these leave open in one of several ways: a
//! [`Profile`]. Both are settings of [`ClientConfig`]; a wrong profile is not noticed by the client, so it must be
//! known. What a dialect has no words for is an error that names it ([`Error::Inexpressible`],
//! [`Error::NoSuchCall`]), never left out. Routed sessions, for one, need v1beta1:
//!
//! ```no_run
//! use opof_client::{
//!     Client, ClientConfig, Dialect, Family, Link, MacAddress, Nat, NextHop, NextHopId, Profile, Session, Transport,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig::new("unix:/run/opof.sock").dialect(Dialect::V1Beta1).profile(Profile::BLUEFIELD);
//! let mut client = Client::connect(config).await?;
//! let id = NextHopId::new(7).ok_or("not 0")?;
//! let [source, destination] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]].map(MacAddress);
//! client.set_next_hop(NextHop { id, family: Family::V4, source, destination }).await?;
//!
//! let snat = Some(Nat { address: "192.0.2.1".parse()?, port: 4000.try_into().ok() });
//! let session = Session::new(1, Transport::Udp, "10.0.0.1:5000".parse()?, "198.51.100.1:53".parse()?)?
//!     .link_out(Link { next_hop: Some(id), snat, ..Link::default() })?;
//! client.add([session]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! Every [`Error`] says where, what, and what to do. [`Error::is_retryable`] tells whether the same call may succeed
//! later; [`Error::retry_after`] when, if the device says so. To add a session again does no harm: the device answers
//! [`Refusal::AlreadyExists`].
//!
//! The folder `examples` has whole programs.

mod add;
mod backoff;
mod call;
mod client;
mod closed;
mod config;
mod connect;
mod device;
mod error;
mod health;
pub mod limits;
mod paging;
mod pair;
mod pem;
mod route;
mod routed;
mod session;
mod status;
mod subscribe;

pub use add::{AddFailed, AddOutcome, Adding, Refused};
pub use client::Client;
pub use closed::Closed;
pub use config::ClientConfig;
pub use device::{Device, Fault, Port, PortRole, RefusedTally, SlowPathTally, Tally};
pub use error::Error;
pub use health::Health;
pub use opof_api::dialect::Method;
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
pub use pair::{Pair, PairPeer, PairRole, PairStanding};
pub use routed::ServiceVersion;
pub use session::{Session, SessionError};
pub use subscribe::{SubscribeConfig, Subscription};
