//! The XDP data plane: programs in `bpf/`, loaded once a port, and everything that drives them.
//!
//! What lives here: system calls, and all `unsafe` of the workspace, in [`mod@sys`] alone. What must not: decisions about
//! sessions (the engine makes them), time (an argument), protobuf.
//!
//! # What happens to the wire
//!
//! - While the plane is open, every frame leaves by a port of its LIF or as its session asks.
//! - [`XdpPlane::close`], or dropping the plane, detaches the programs and removes all pins: the ports are plain
//!   interfaces again, and the wire is cut until something else connects them. Not so when it was told to
//!   [`stay`](opof_dataplane::DataPlane::stay): [`remove()`] takes down what it leaves.
//! - A LIF of several wire ports follows their links: what leaves it takes a port whose link is up.
//! - `kill -9` leaves programs, tables and attachments in the kernel, for they are pinned: installed sessions keep
//!   flowing by the fast path, everything else through the firewall. The next [`XdpPlane::open`] with the same pin
//!   directory and a table of the same layout goes on with it; with another one it begins with an empty table, and all
//!   sessions take the slow path until they are installed again. Its new programs take the place of the old ones, port
//!   by port and without a moment between.
//! - What was [allowed](opof_dataplane::DataPlane::forward_until) ends by itself, whoever is there: from that moment on every frame goes
//!   to the firewall. It holds until a plane on the same maps is told something else.

pub mod abi;
mod assembly;
mod attach;
mod clock;
mod collectors;
mod config;
mod error;
mod exits;
mod firewalls;
mod grace;
mod kept;
mod layout;
pub mod limits;
mod links;
mod loader;
pub mod neighbour;
mod netlink;
mod pin;
mod plane;
mod ports;
pub mod probe;
mod redirect;
mod remove;
mod routes;
mod settings;
#[allow(unsafe_code, reason = "the one place for it in the workspace")]
pub mod sys;
mod table;
mod term;
pub mod traffic;
mod visit;
mod ways;

pub use config::{AttachMode, Bond, Firewall, LifPorts, TunnelConfig, UplinkConfig, XdpConfig};
pub use error::OpenError;
pub use plane::XdpPlane;
pub use remove::{Removed, remove};
