//! A suite that any OpenOffload server can be tested with, over gRPC alone.
//!
//! A [`Target`] is a server and the terms on which it is spoken to: dialect, profile, what it does with two ids for one
//! tuple. [`run`] runs the cases that a [`Choice`] takes, one after the other. Each uses ids and tuples of its own and
//! takes them away again; each is bounded in time, so that a server which hangs fails a case and not the suite.
//!
//! **Not for a device in service.** The suite collects closed sessions, fills the table, closes every session, takes
//! next hops and VLAN flows away. It refuses to start where sessions are listed, unless it is forced.
//!
//! What lives here: cases, and what they need. What must not: anything of a server, ours included. What can only be
//! seen in packets is not here either; the data plane's own suite is for that.

mod bench;
mod case;
mod cases;
mod limits;
mod output;
mod raw;
mod runner;
mod target;

pub use case::{Case, CaseResult, Failure, Family, Level, Outcome, Scope};
pub use cases::cases;
pub use opof_api::{Dialect, Profile};
pub use opof_session::request::SameTuple;
pub use output::{json_line, list, summary, table};
pub use runner::{Choice, Report, RunError, run};
pub use target::{Target, Terms};
