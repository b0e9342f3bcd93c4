//! What tests are made of: frames, namespaces, waits. For development only; nothing that ships depends on it.

pub mod authority;
pub mod etcd;
pub mod frames;
pub mod halt;
pub mod headers;
pub mod netns;
pub mod packet;
pub mod require;
pub mod wait;
