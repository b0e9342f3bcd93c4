//! The engine against a plane of a few lines that answers when it is told to.

mod model;
mod nat;
mod plane;
mod routing;
mod stories;
