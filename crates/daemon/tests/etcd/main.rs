//! The election of a pair's active node, by an etcd that is really there.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

mod common;
mod election;
mod failure;
mod values;
