//! What sessions refer to by number, as another table has it: put here and on the plane, which is asked again where it fails.

use std::collections::BTreeMap;

use opof_wire::Vid;

use super::{Routing, Undo};
use crate::engine::Engine;
use crate::ha::rest::Rest;
use crate::l3::{NextHop, NextHopId, VlanFlow};
use crate::limits;
use crate::plane::Route;
use crate::types::{ClosedRecord, Moment};

impl Routing {
    /// Everything, for a table that begins to follow this one.
    pub(in crate::engine) fn rest(&self, records: BTreeMap<u64, ClosedRecord>) -> Rest {
        let next_hops = self.next_hops.iter().map(|(&id, &hop)| (id, hop)).collect();
        Rest { next_hops, vlan_flows: self.vlan_flows.clone(), records }
    }

    /// True for what is to be done still, when the plane is asked again.
    fn wants(&self, route: &Route) -> bool {
        match route {
            Route::SetNextHop(hop) => self.next_hops.get(&hop.id) == Some(hop),
            Route::RemoveNextHop(id) => !self.next_hops.contains_key(id),
            Route::SetVlanFlow(flow) => self.vlan_flows.get(&flow.vlan) == Some(&flow.lif),
            Route::RemoveVlanFlow(vlan) => !self.vlan_flows.contains_key(vlan),
            Route::ClearVlanFlows => true,
        }
    }
}

impl Engine {
    pub(in crate::engine) fn follow_next_hop(&mut self, hop: NextHop) {
        let is_new = !self.routing.next_hops.contains_key(&hop.id);
        if is_new && self.routing.next_hops.len() >= self.routing.next_hops_max {
            self.statistics.unfollowed += 1;
            return;
        }
        self.routing.next_hops.insert(hop.id, hop);
        self.route_until_done(Route::SetNextHop(hop));
    }

    pub(in crate::engine) fn follow_next_hop_gone(&mut self, now: Moment, id: NextHopId) {
        if self.routing.next_hops.remove(&id).is_some() && self.policy.can.next_hops {
            self.routing.doomed.single.push_back(id);
            self.advance_removals(now);
        }
    }

    pub(in crate::engine) fn follow_next_hops_gone(&mut self, now: Moment) {
        let cleared = std::mem::take(&mut self.routing.next_hops);
        if !cleared.is_empty() && self.policy.can.next_hops {
            self.routing.doomed.cleared.push_back(cleared.into_iter());
            self.advance_removals(now);
        }
    }

    pub(in crate::engine) fn follow_vlan_flow(&mut self, flow: VlanFlow) {
        if self.policy.has_lif(flow.lif) {
            self.routing.vlan_flows.insert(flow.vlan, flow.lif);
            self.route_until_done(Route::SetVlanFlow(flow));
        } else {
            self.statistics.unfollowed += 1;
        }
    }

    pub(in crate::engine) fn follow_vlan_flow_gone(&mut self, vlan: Vid) {
        if self.routing.vlan_flows.remove(&vlan).is_some() {
            self.route_until_done(Route::RemoveVlanFlow(vlan));
        }
    }

    pub(in crate::engine) fn follow_vlan_flows_gone(&mut self) {
        if !std::mem::take(&mut self.routing.vlan_flows).is_empty() {
            self.route_until_done(Route::ClearVlanFlows);
        }
    }

    /// Everything is gone: another table's takes its place.
    pub(in crate::engine) fn clear_routes(&mut self, now: Moment) {
        self.follow_next_hops_gone(now);
        self.follow_vlan_flows_gone();
    }

    fn route_until_done(&mut self, route: Route) {
        if self.can_route(&route) {
            self.route(route, None, Undo::Again(route));
        }
    }

    /// What the plane could not do for another table is tried again.
    pub(super) fn advance_again(&mut self, now: Moment) {
        if self.routing.not_before > now {
            return;
        }
        for _ in 0..self.routing.again.len().min(limits::SWEEP_STEP) {
            let Some(route) = self.routing.again.pop_front() else { return };
            if !self.routing.wants(&route) {
                continue;
            }
            self.route_until_done(route);
            if route == Route::ClearVlanFlows {
                // Those that were stored since would go with the others.
                let flows: Vec<_> =
                    self.routing.vlan_flows.iter().map(|(&vlan, &lif)| VlanFlow { vlan, lif }).collect();
                for flow in flows {
                    self.route_until_done(Route::SetVlanFlow(flow));
                }
            }
        }
    }
}
