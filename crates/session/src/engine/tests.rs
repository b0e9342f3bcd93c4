//! The engine against a plane of a few lines that answers when it is told to.

mod adopt;
mod model;
mod nat;
mod pair;
pub(crate) mod plane;
mod routing;
mod stories;
