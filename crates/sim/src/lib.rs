//! The simulated world: a session table as it is in a daemon, with firewalls that ask, packets that come, a plane that fails, delays and
//! reorders, and a disk that fails and tears what was written. Time is virtual; one seed makes a whole run, and the same one again.
//!
//! After each step it is compared with a model of a few numbers. What lives here: the world, the model, the search for seeds that
//! break something. What must not: any of the code that is under test.

mod bell;
mod choice;
mod governed;
pub mod ledger;
pub mod limits;
pub mod pair;
pub mod search;
pub mod traffic;
mod watch;
pub mod world;

pub use search::{Finding, Of, Passed, Searched, run, search};
