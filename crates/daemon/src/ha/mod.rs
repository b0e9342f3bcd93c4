//! High availability: what a pair needs besides its own decisions.
//!
//! What lives here: what carries the requests of `opof_session::ha` to the store that elects, and its answers back. What must not:
//! who is active, and when to ask.

pub mod etcd;
