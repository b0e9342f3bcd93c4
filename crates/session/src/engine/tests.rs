//! The engine against a plane of a few lines that answers when it is told to.

mod adopt;
mod model;
mod nat;
pub(super) mod plane;
mod routing;
mod stories;
