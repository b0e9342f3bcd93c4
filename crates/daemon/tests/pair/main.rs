//! Two daemons of a pair in one process, over simulated planes: the line between them, what is answered when, and who takes over.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod roles;
mod sessions;
