//! A pair of devices: what they tell each other, and who of them is active. Sans-IO, as the engine: no sockets, no clock.
//!
//! What lives here: messages, roles, how changes get to the peer. What must not: what a change does to a session table (`engine`), and how
//! messages and questions to a store of roles travel.

pub mod change;
mod channel;
mod count;
mod log;
pub mod message;
mod node;
mod office;
pub mod rest;
mod sink;
mod source;
mod status;
pub mod store;
pub mod term;

pub use node::Node;
pub use office::Election;
pub use source::Standing;
pub use status::{Answers, Command, CommandError, Event, Input, Settings, Status, Why};
pub use term::Term;
