//! Every bound of the wire contract that is not in the .proto files, in one place.

use opof_session::limits::{COUNT_STEP, PEER_FRAME};
use opof_wire::Vid;

/// Bytes of an IPv4 address (RFC 791, 3.1).
pub const IPV4_BYTES: usize = 4;
/// Bytes of an IPv6 address (RFC 4291, 2).
pub const IPV6_BYTES: usize = 16;
/// Bytes of a MAC address (IEEE 802, 8.1).
pub const MAC_BYTES: usize = 6;
/// The largest port (RFC 9293, 3.1; RFC 768).
pub const PORT: u32 = u16::MAX as u32;
/// Messages of an addSession stream that `errorStatus` has a bit for.
pub const ERROR_BITS: u64 = u64::BITS as u64;
/// The largest VLAN identifier (IEEE 802.1Q, table 9-2).
pub const VLAN: u16 = Vid::MAX.get();
/// Changes, rows or sessions' counters in a frame of a peer: twice as many changes as are put into one, and all that is counted at once.
pub const PEER_ITEMS: usize = PEER_FRAME * 2;
/// Bytes of an envelope of a peer: one with as many of the largest changes as it may have fits.
pub const PEER_ENVELOPE: usize = 1 << 18;

const _: () = assert!(COUNT_STEP as usize <= PEER_ITEMS, "what is counted at once is told at once");
