//! Metadata of calls that opof adds to the API. Peers that don't know it are not bothered by it.

/// In a request for closed sessions, `true` keeps the stream open: sessions come as they close.
pub const FOLLOW: &str = "opof-follow";
/// In the answer to an add, once for each of the first few refused sessions: which one, and what is wrong with which field.
pub const REFUSED: &str = "opof-refused";
/// With UNAVAILABLE, of a device that is the standby of a pair: where the active one's API is, as `host:port`.
pub const ACTIVE: &str = "opof-active";
