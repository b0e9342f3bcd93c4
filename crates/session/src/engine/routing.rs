//! What sessions refer to by number: next hops, with who uses them, and VLAN flows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use opof_wire::Vid;

use super::sweep::Scope;
use super::{Engine, Event};
use crate::l3::{Family, L3Error, Link, Links, NextHop, NextHopId, VlanFlow};
use crate::limits;
use crate::plane::Slot;
use crate::request::{L3Request, ReplyBody, Ticket};
use crate::types::{Action, CloseReason, Lif, Moment, SessionSpec};

/// The stores.
#[derive(Debug, Default)]
pub(super) struct Routing {
    next_hops: HashMap<NextHopId, NextHop>,
    /// Sessions by the next hops that they refer to.
    users: BTreeSet<(NextHopId, Slot)>,
    vlan_flows: BTreeMap<Vid, Lif>,
}

impl Routing {
    pub(super) fn has_next_hop(&self, id: NextHopId, family: Family) -> bool {
        self.next_hops.get(&id).is_some_and(|hop| hop.family == family)
    }

    /// The session in `slot` has these links.
    pub(super) fn refer(&mut self, slot: Slot, links: &Links) {
        self.users.extend(hops(links).map(|id| (id, slot)));
    }

    fn release(&mut self, slot: Slot, links: &Links) {
        for id in hops(links) {
            self.users.remove(&(id, slot));
        }
    }

    /// The first user after `after`, up to and including those of `last`.
    pub(super) fn next_user(&self, after: (NextHopId, Option<Slot>), last: NextHopId) -> Option<(NextHopId, Slot)> {
        use core::ops::Bound::{Excluded, Included};
        let from = match after {
            (id, Some(slot)) => Excluded((id, slot)),
            (id, None) => Included((id, Slot(0))),
        };
        self.users.range((from, Included((last, Slot(u32::MAX))))).next().copied()
    }

    fn set(&mut self, hop: NextHop) -> Result<(), L3Error> {
        if self.next_hops.len() >= limits::NEXT_HOPS && !self.next_hops.contains_key(&hop.id) {
            return Err(L3Error::NextHopsFull);
        }
        self.next_hops.insert(hop.id, hop);
        Ok(())
    }

    fn add_vlan_flow(&mut self, flow: VlanFlow) -> Result<(), L3Error> {
        if let Some(lif) = self.vlan_flows.get(&flow.vlan) {
            return Err(L3Error::VlanFlowExists { vlan: flow.vlan, lif: *lif });
        }
        self.vlan_flows.insert(flow.vlan, flow.lif);
        Ok(())
    }
}

/// The next hops that links refer to.
fn hops(links: &Links) -> impl Iterator<Item = NextHopId> {
    let of = |link: &Link| link.next_hop;
    [of(&links.towards_in), of(&links.towards_out)].into_iter().flatten()
}

impl Engine {
    pub(super) fn handle_l3(&mut self, now: Moment, ticket: Ticket, request: L3Request) {
        let outcome = match request {
            L3Request::SetNextHop(hop) => self.routing.set(hop),
            L3Request::DestroyNextHop(id) => {
                if !self.routing.next_hops.contains_key(&id) {
                    Err(L3Error::NoNextHop(id))
                } else if self.sweeps.are_full() {
                    Err(L3Error::Busy)
                } else {
                    self.routing.next_hops.remove(&id);
                    let scope = Scope::NextHops { after: (id, None), last: id };
                    return self.sweep(now, ticket, CloseReason::NextHopGone, scope);
                }
            }
            L3Request::ClearNextHops if self.sweeps.are_full() => Err(L3Error::Busy),
            L3Request::ClearNextHops => {
                self.routing.next_hops.clear();
                let scope = Scope::NextHops { after: (NextHopId::MIN, None), last: NextHopId::MAX };
                return self.sweep(now, ticket, CloseReason::NextHopGone, scope);
            }
            L3Request::AddVlanFlow(flow) if !self.policy.has_lif(flow.lif) => Err(L3Error::UnknownLif(flow.lif)),
            L3Request::AddVlanFlow(flow) => {
                let added = self.routing.add_vlan_flow(flow);
                if added.is_ok() && !self.policy.can.vlan_flows {
                    self.events.push_back(Event::VlanFlowIdle(flow));
                }
                added
            }
            L3Request::RemoveVlanFlow(vlan) => {
                self.routing.vlan_flows.remove(&vlan).map(|_| ()).ok_or(L3Error::NoVlanFlow(vlan))
            }
            L3Request::ListVlanFlows => {
                let flows = self.routing.vlan_flows.iter().map(|(&vlan, &lif)| VlanFlow { vlan, lif }).collect();
                return self.reply(ticket, ReplyBody::VlanFlows(flows));
            }
            L3Request::ClearVlanFlows => {
                self.routing.vlan_flows.clear();
                Ok(())
            }
        };
        self.reply(ticket, ReplyBody::Done(outcome));
    }

    /// The session of this slot is gone.
    pub(super) fn forget_links(&mut self, slot: Slot, spec: &SessionSpec) {
        if let Action::Route(links) = &spec.action {
            self.routing.release(slot, links);
        }
    }
}
