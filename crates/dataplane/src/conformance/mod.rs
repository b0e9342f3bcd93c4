//! The suite that every data plane passes, without knowing which it is.
//!
//! A plane comes with a [`Rig`]: the plane, and something that puts frames into its ports and takes them out.
//! [`run_all`] runs every case on one rig, one after the other; each leaves the plane empty. To give each case a rig
//! of its own, call [`run`] for each of [`CASES`].
//!
//! Each frame of the suite carries its mark ([`is_marked`]) in its MAC addresses. What comes out without it, such as
//! the router solicitations of a kernel, is ignored; a frame that comes out damaged is still noticed, for the one that
//! was expected is missing.
//!
//! What lives here: cases, and what they need. What must not: any plane, any system call.

mod bench;
mod copies;
mod failure;
mod forwarding;
pub(crate) mod frames;
mod gtpu;
mod lifecycle;
mod matching;
mod one_armed;
mod routing;
mod session;
mod slow_path;
mod term;
#[cfg(test)]
mod tests;
mod tunnel;

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use opof_session::types::{Lif, Moment};

use opof_wire::encap::Tunnel;

use crate::DataPlane;
use crate::pipeline::Port;

pub use bench::Bench;
pub use failure::Failure;
pub use frames::is_marked;

/// A plane under test, with its ports.
pub trait Rig {
    /// The plane, with at least [`crate::limits::CONFORMANCE_SESSIONS`] of room and nothing installed.
    fn plane(&mut self) -> &mut dyn DataPlane;

    /// What a packet of now may be stamped with, as exactly as the plane's clock is known. A packet that is sent after one call
    /// and received before another is stamped from the first one's earliest to the second one's latest.
    fn now(&self) -> RangeInclusive<Moment>;

    /// Two interfaces, all that there are.
    fn lifs(&self) -> [Lif; 2];

    /// Puts a frame into a port from outside.
    fn send(&mut self, port: Port, frame: &[u8]);

    /// Every frame that came out of any port since the last call, in any order. It waits until `expected` marked
    /// frames have come, or for as long as this plane may need; then for as long as it takes to see one too many.
    fn received(&mut self, expected: usize) -> Vec<(Port, Vec<u8>)>;

    /// Collectors that sessions can copy to; `None` when the rig has none.
    fn collectors(&mut self) -> Option<Collectors> {
        None
    }

    /// Waits until the plane has found the way to a reachable collector, now that a session copies to it.
    fn await_way(&mut self, collector: IpAddr) {
        let _ = collector;
    }

    /// Every copy that came out to a collector since the last call, outer headers included, in any order. It waits as
    /// [`Rig::received`] does.
    fn copies(&mut self, expected: usize) -> Vec<Vec<u8>> {
        let _ = expected;
        Vec::new()
    }

    /// For each of [`Rig::lifs`] the largest frame, in bytes, that goes through the tunnel to its firewall; `None` when firewalls are
    /// at ports. What enters a tunnel comes out of [`Rig::received`] without the outer headers.
    fn tunnels(&self) -> Option<[usize; 2]> {
        None
    }

    /// False for a frame that the rig itself can't send or can't see, for instance because its sockets take no frames
    /// of less than 14 bytes, or because the kernel behind them discards a frame that ends within a tag. Such frames
    /// are left out and counted in the report.
    fn carries(&self, frame: &[u8]) -> bool {
        let _ = frame;
        true
    }

    /// True when frames of others may come in: the ports' counters are then compared with at least what was sent.
    fn has_strays(&self) -> bool {
        false
    }
}

/// Where copies can go on a rig.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Collectors {
    /// Addresses that the plane has a way to, each with the tunnel that its copies are to take.
    pub reachable: Vec<(IpAddr, Tunnel)>,
    /// One that it has none to.
    pub unreachable: IpAddr,
    /// The largest frame that is copied to the first that is reachable, in bytes.
    pub frame_len_max: usize,
}

/// One thing that a plane has to do right.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name in snake case, unique.
    pub name: &'static str,
    run: fn(&mut Bench<'_>) -> Result<Verdict, Failure>,
}

/// How a case ended that found nothing wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The plane does it right.
    Passed,
    /// The plane does not claim to do it.
    NotApplicable(&'static str),
}

/// What a case found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaseReport {
    /// The case's name.
    pub name: &'static str,
    /// What came of it.
    pub result: Result<Verdict, Failure>,
    /// Frames that were left out because the rig does not carry them.
    pub not_carried: usize,
}

/// What the suite found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// In the order of [`CASES`].
    pub cases: Vec<CaseReport>,
}

macro_rules! cases {
    ($($module:ident::$name:ident,)*) => {
        /// All cases.
        pub const CASES: &[Case] = &[$(Case { name: stringify!($name), run: $module::$name },)*];
    };
}

cases! {
    forwarding::miss_goes_to_the_firewall,
    forwarding::firewall_port_goes_to_the_wire,
    forwarding::hit_is_forwarded_both_ways,
    forwarding::drop_discards_and_counts,
    forwarding::padding_is_forwarded_and_counted,
    forwarding::large_frames_are_forwarded,
    forwarding::last_seen_follows_the_packets,
    forwarding::tcp_control_goes_to_the_firewall,
    slow_path::fragments_go_to_the_firewall,
    slow_path::ipv4_options_go_to_the_firewall,
    slow_path::ipv6_extensions_go_to_the_firewall,
    slow_path::other_protocols_go_to_the_firewall,
    slow_path::other_ether_types_go_to_the_firewall,
    slow_path::reserved_vids_go_to_the_firewall,
    slow_path::three_tags_go_to_the_firewall,
    slow_path::malformed_ip_goes_to_the_firewall,
    slow_path::malformed_transport_goes_to_the_firewall,
    slow_path::frames_cut_at_every_byte_go_to_the_firewall,
    matching::every_bit_of_the_key_counts,
    matching::other_lif_is_a_miss,
    matching::other_vlan_is_a_miss,
    matching::qinq_matches_the_outer_tag,
    matching::priority_tag_is_untagged,
    matching::pcp_and_dei_are_kept,
    matching::vlan_is_rewritten,
    routing::next_hop_rewrites_macs_and_ttl,
    routing::an_expiring_packet_is_not_sent_on,
    routing::a_next_hop_is_replaced_and_removed_for_all,
    routing::nat_translates_there_and_back,
    routing::everything_is_changed_at_once,
    routing::vlan_flow_steers_the_slow_path,
    gtpu::gtpu_hit_is_forwarded_both_ways,
    gtpu::gtpu_session_and_plain_session_are_two,
    gtpu::gtpu_vlan_is_rewritten,
    gtpu::gtpu_messages_go_to_the_firewall,
    gtpu::gtpu_tcp_control_goes_to_the_firewall,
    gtpu::malformed_gtpu_goes_to_the_firewall,
    gtpu::gtpu_cut_at_every_byte_goes_to_the_firewall,
    gtpu::the_port_of_gtpu_has_no_plain_key,
    one_armed::one_armed_hit_goes_back,
    one_armed::one_armed_drop_discards,
    one_armed::one_armed_vlan_is_rewritten,
    copies::mirror_copies_what_came,
    copies::snoop_copies_what_leaves,
    copies::a_copy_that_can_not_be_sent_is_counted,
    tunnel::what_does_not_fit_through_a_tunnel_is_answered_or_dropped,
    lifecycle::removed_session_misses,
    lifecycle::slot_reuse_starts_at_zero,
    lifecycle::reinstall_in_one_submit,
    lifecycle::removed_again_says_the_same_and_leaves_others_alone,
    lifecycle::reads_carry_their_tokens,
    lifecycle::many_sessions,
    term::forwards_until_the_moment_it_was_told,
    term::sessions_come_and_go_when_nothing_is_forwarded,
}

/// Runs one case and clears up after it.
pub fn run(case: &Case, rig: &mut dyn Rig) -> CaseReport {
    let mut bench = Bench::new(rig);
    let result = (case.run)(&mut bench);
    let cleared = bench.clear();
    let result = result.and_then(|verdict| cleared.map(|()| verdict));
    CaseReport { name: case.name, result, not_carried: bench.not_carried }
}

/// Runs all cases, also behind one that failed.
pub fn run_all(rig: &mut dyn Rig) -> Report {
    Report { cases: CASES.iter().map(|case| run(case, rig)).collect() }
}

impl Report {
    /// True when no case failed.
    pub fn passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The names of the cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.cases.iter().filter(|case| case.result.is_err()).map(|case| case.name)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for CaseReport { name, result, not_carried } in &self.cases {
            match result {
                Ok(Verdict::Passed) => write!(f, "passed  {name}")?,
                Ok(Verdict::NotApplicable(why)) => write!(f, "none    {name}: {why}")?,
                Err(failure) => write!(f, "FAILED  {name}: {failure}")?,
            }
            match not_carried {
                0 => writeln!(f)?,
                _ => writeln!(f, " ({not_carried} frames left out: the rig does not carry them)")?,
            }
        }
        Ok(())
    }
}
