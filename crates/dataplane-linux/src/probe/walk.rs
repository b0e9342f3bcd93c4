//! A wire port's program on frames of many flows, many a system call: how it is measured where its memory is.
//!
//! What must not be here: what is measured, and what is made of the times.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use opof_dataplane::PortRole;
use opof_session::types::Lif;
use opof_wire::ethernet::EtherType;
use opof_wire::{ethernet, ipv4, ipv6};
