//! What there is besides sessions, as it was at one moment, for a standby that is told everything anew: told bit by bit, less what has changed
//! since.

use std::collections::BTreeMap;

use opof_wire::Vid;

use super::change::Change;
use crate::l3::{NextHop, NextHopId, VlanFlow};
use crate::types::{ClosedRecord, Lif};

/// What sessions refer to, and closed records by their sequences.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// Next hops.
    pub next_hops: BTreeMap<NextHopId, NextHop>,
    /// VLAN flows.
    pub vlan_flows: BTreeMap<Vid, Lif>,
    /// Closed records.
    pub records: BTreeMap<u64, ClosedRecord>,
}

impl Rest {
    /// This has changed since, and is told by itself.
    pub(super) fn outdate(&mut self, change: &Change) {
        match change {
            Change::Ended { sequence } => drop(self.records.remove(sequence)),
            Change::NextHop(NextHop { id, .. }) | Change::NextHopGone(id) => drop(self.next_hops.remove(id)),
            Change::NextHopsGone => self.next_hops.clear(),
            Change::VlanFlow(VlanFlow { vlan, .. }) | Change::VlanFlowGone(vlan) => drop(self.vlan_flows.remove(vlan)),
            Change::VlanFlowsGone => self.vlan_flows.clear(),
            Change::Session { .. } | Change::Fate { .. } | Change::Gone { .. } | Change::Record(_) => {}
        }
    }

    fn next(&mut self) -> Option<Change> {
        if let Some((_, hop)) = self.next_hops.pop_first() {
            return Some(Change::NextHop(hop));
        }
        if let Some((vlan, lif)) = self.vlan_flows.pop_first() {
            return Some(Change::VlanFlow(VlanFlow { vlan, lif }));
        }
        self.records.pop_first().map(|(_, record)| Change::Record(record))
    }

    /// The next ones, so many at most.
    pub(super) fn take(&mut self, most: usize) -> Vec<Change> {
        std::iter::from_fn(|| self.next()).take(most).collect()
    }
}
