//! What sessions refer to by number: next hops, with who uses them, and VLAN flows. The plane is told of each change, and the
//! answer goes out when the plane has it.

mod following;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque, hash_map};

use opof_wire::Vid;

use super::sweep::Scope;
use super::{Engine, Event};
use crate::ha::change::Change;
use crate::l3::{Family, L3Error, Link, Links, NextHop, NextHopId, VlanFlow};
use crate::limits;
use crate::plane::{Command, Route, RouteError, RouteToken, Slot};
use crate::request::{L3Request, ReplyBody, Ticket};
use crate::types::{CloseReason, Lif, Moment};

/// The stores. They have what was asked for as soon as it was; what the plane then fails to do is undone.
#[derive(Debug, Default)]
pub(super) struct Routing {
    next_hops_max: usize,
    next_hops: HashMap<NextHopId, NextHop>,
    /// Sessions by the next hops that they refer to.
    users: BTreeSet<(NextHopId, Slot)>,
    vlan_flows: BTreeMap<Vid, Lif>,
    under_way: HashMap<RouteToken, UnderWay>,
    next_token: u64,
    /// Next hops that are gone here and not yet from the plane. One that was set again meanwhile is passed over.
    doomed: Doomed,
    /// What the plane could not do, and has to.
    again: VecDeque<Route>,
    removals: usize,
    /// After a failed removal none is tried before this.
    not_before: Moment,
}

#[derive(Debug, Default)]
struct Doomed {
    single: VecDeque<NextHopId>,
    /// Whole stores: to sort millions into another one would hold everybody else up.
    cleared: VecDeque<hash_map::IntoIter<NextHopId, NextHop>>,
}

impl Doomed {
    fn len(&self) -> usize {
        self.single.len() + self.cleared.iter().map(ExactSizeIterator::len).sum::<usize>()
    }

    fn pop(&mut self) -> Option<NextHopId> {
        if let Some(id) = self.single.pop_front() {
            return Some(id);
        }
        let (id, _) = self.cleared.front_mut()?.next()?;
        if self.cleared.front().is_some_and(|rest| rest.len() == 0) {
            self.cleared.pop_front();
        }
        Some(id)
    }
}

/// What the plane was asked to do.
#[derive(Debug)]
struct UnderWay {
    /// Who waits for it.
    ticket: Option<Ticket>,
    undo: Undo,
}

/// How the store gets back to what it was, if nothing else has changed it since.
#[derive(Debug)]
enum Undo {
    NextHop {
        set: NextHop,
        before: Option<NextHop>,
    },
    Removal(NextHopId),
    VlanFlow {
        vlan: Vid,
        set: Option<Lif>,
        before: Option<Lif>,
    },
    VlanFlows(BTreeMap<Vid, Lif>),
    /// It stays as it is: another table has it so.
    Again(Route),
}

impl Routing {
    /// Stores for so many next hops.
    pub(super) fn new(next_hops_max: usize) -> Self {
        assert!((1..=limits::NEXT_HOPS).contains(&next_hops_max), "there are 1 to 2^21 next hops");
        Self { next_hops_max, ..Self::default() }
    }

    /// Has these, as the plane does.
    pub(super) fn adopt(
        &mut self,
        next_hops: impl IntoIterator<Item = NextHop>,
        vlan_flows: impl IntoIterator<Item = VlanFlow>,
    ) {
        for hop in next_hops {
            if self.next_hops.len() < self.next_hops_max {
                self.next_hops.insert(hop.id, hop);
            } else {
                self.doomed.single.push_back(hop.id);
            }
        }
        self.vlan_flows.extend(vlan_flows.into_iter().map(|flow| (flow.vlan, flow.lif)));
    }

    /// True for one that takes packets of `family`, where that is known.
    pub(super) fn has_next_hop(&self, id: NextHopId, family: Option<Family>) -> bool {
        self.next_hops.get(&id).is_some_and(|hop| family.is_none_or(|family| hop.family == family))
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

    /// When removals can go on; `None` while there are none, or as many as may be under way.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        let is_due = self.has_removals() || !self.again.is_empty();
        is_due.then_some(self.not_before)
    }

    fn has_removals(&self) -> bool {
        self.doomed.len() > 0 && self.removals < limits::NEXT_HOP_REMOVALS
    }

    fn set(&mut self, hop: NextHop) -> Result<Undo, L3Error> {
        let before = self.next_hops.get(&hop.id).copied();
        match before {
            None if self.next_hops.len() >= self.next_hops_max => return Err(L3Error::NextHopsFull),
            // The plane knows those that are doomed still.
            None if self.next_hops.len() + self.doomed.len() >= self.next_hops_max => return Err(L3Error::Busy),
            Some(before) if before.family != hop.family && self.next_user((hop.id, None), hop.id).is_some() => {
                return Err(L3Error::OtherFamily { id: hop.id, used_by: before.family });
            }
            _ => {}
        }
        self.next_hops.insert(hop.id, hop);
        Ok(Undo::NextHop { set: hop, before })
    }

    fn add_vlan_flow(&mut self, flow: VlanFlow) -> Result<Undo, L3Error> {
        if let Some(lif) = self.vlan_flows.get(&flow.vlan) {
            return Err(L3Error::VlanFlowExists { vlan: flow.vlan, lif: *lif });
        }
        self.vlan_flows.insert(flow.vlan, flow.lif);
        Ok(Undo::VlanFlow { vlan: flow.vlan, set: Some(flow.lif), before: None })
    }

    /// What has changed by it.
    fn undo(&mut self, undo: Undo) -> Vec<Change> {
        match undo {
            Undo::NextHop { set, before } if self.next_hops.get(&set.id) == Some(&set) => {
                if let Some(before) = before {
                    self.next_hops.insert(set.id, before);
                    return vec![Change::NextHop(before)];
                }
                // Sessions that were added meanwhile and refer to it stay on the slow path, until it is set.
                self.next_hops.remove(&set.id);
                return vec![Change::NextHopGone(set.id)];
            }
            Undo::Removal(id) if !self.next_hops.contains_key(&id) => {
                self.doomed.single.push_back(id);
            }
            Undo::VlanFlow { vlan, set, before } if self.vlan_flows.get(&vlan).copied() == set => {
                if let Some(lif) = before {
                    self.vlan_flows.insert(vlan, lif);
                    return vec![Change::VlanFlow(VlanFlow { vlan, lif })];
                }
                self.vlan_flows.remove(&vlan);
                return vec![Change::VlanFlowGone(vlan)];
            }
            Undo::VlanFlows(before) if self.vlan_flows.is_empty() => {
                self.vlan_flows = before;
                let flows = self.vlan_flows.iter().map(|(&vlan, &lif)| Change::VlanFlow(VlanFlow { vlan, lif }));
                return flows.collect();
            }
            Undo::Again(route) => self.again.push_back(route),
            _ => {}
        }
        Vec::new()
    }
}

/// The next hops that links refer to.
fn hops(links: &Links) -> impl Iterator<Item = NextHopId> {
    let of = |link: &Link| link.next_hop;
    [of(&links.towards_in), of(&links.towards_out)].into_iter().flatten()
}

impl Engine {
    pub(super) fn handle_l3(&mut self, now: Moment, ticket: Ticket, request: L3Request) {
        let wanted = match request {
            L3Request::SetNextHop(hop) => self.routing.set(hop).map(|undo| {
                self.tell(Change::NextHop(hop));
                (Route::SetNextHop(hop), undo)
            }),
            L3Request::DestroyNextHop(id) => {
                if !self.routing.next_hops.contains_key(&id) {
                    Err(L3Error::NoNextHop(id))
                } else if self.sweeps.are_full() {
                    Err(L3Error::Busy)
                } else {
                    self.routing.next_hops.remove(&id);
                    self.routing.doomed.single.push_back(id);
                    self.tell(Change::NextHopGone(id));
                    return self.close_routed(now, ticket, (id, None), id);
                }
            }
            L3Request::ClearNextHops
                if self.sweeps.are_full() || self.routing.doomed.cleared.len() >= limits::SWEEPS =>
            {
                Err(L3Error::Busy)
            }
            L3Request::ClearNextHops => {
                let cleared = std::mem::take(&mut self.routing.next_hops);
                if !cleared.is_empty() {
                    self.routing.doomed.cleared.push_back(cleared.into_iter());
                }
                self.tell(Change::NextHopsGone);
                return self.close_routed(now, ticket, (NextHopId::MIN, None), NextHopId::MAX);
            }
            L3Request::AddVlanFlow(flow) if !self.policy.has_lif(flow.lif) => Err(L3Error::UnknownLif(flow.lif)),
            L3Request::AddVlanFlow(flow) => {
                let added = self.routing.add_vlan_flow(flow);
                if added.is_ok() && !self.policy.can.vlan_flows {
                    self.events.push_back(Event::VlanFlowIdle(flow));
                }
                added.map(|undo| {
                    self.tell(Change::VlanFlow(flow));
                    (Route::SetVlanFlow(flow), undo)
                })
            }
            L3Request::RemoveVlanFlow(vlan) => match self.routing.vlan_flows.remove(&vlan) {
                Some(before) => {
                    self.tell(Change::VlanFlowGone(vlan));
                    let undo = Undo::VlanFlow { vlan, set: None, before: Some(before) };
                    Ok((Route::RemoveVlanFlow(vlan), undo))
                }
                None => Err(L3Error::NoVlanFlow(vlan)),
            },
            L3Request::ListVlanFlows => {
                let flows = self.routing.vlan_flows.iter().map(|(&vlan, &lif)| VlanFlow { vlan, lif }).collect();
                return self.reply(ticket, ReplyBody::VlanFlows(flows));
            }
            L3Request::ClearVlanFlows => {
                let before = std::mem::take(&mut self.routing.vlan_flows);
                self.tell(Change::VlanFlowsGone);
                Ok((Route::ClearVlanFlows, Undo::VlanFlows(before)))
            }
        };
        match wanted {
            Ok((route, undo)) if self.can_route(&route) => self.route(route, Some(ticket), undo),
            // Stored, and nothing more to be done about it.
            Ok(_) => self.reply(ticket, ReplyBody::Done(Ok(()))),
            Err(error) => self.reply(ticket, ReplyBody::Done(Err(error))),
        }
    }

    const fn can_route(&self, route: &Route) -> bool {
        match route {
            Route::SetNextHop(_) | Route::RemoveNextHop(_) => self.policy.can.next_hops,
            Route::SetVlanFlow(_) | Route::RemoveVlanFlow(_) | Route::ClearVlanFlows => self.policy.can.vlan_flows,
        }
    }

    fn route(&mut self, route: Route, ticket: Option<Ticket>, undo: Undo) {
        let token = RouteToken(self.routing.next_token);
        self.routing.next_token += 1;
        self.routing.under_way.insert(token, UnderWay { ticket, undo });
        self.commands.push_back(Command::Route { route, token });
    }

    /// Closes those that refer to next hops which are gone. The plane forgets the next hops first: from then on their packets are on
    /// the slow path.
    fn close_routed(&mut self, now: Moment, ticket: Ticket, after: (NextHopId, Option<Slot>), last: NextHopId) {
        if !self.policy.can.next_hops {
            self.routing.doomed = Doomed::default();
        }
        self.advance_removals(now);
        self.sweep(now, ticket, CloseReason::NextHopGone, Scope::NextHops { after, last });
    }

    /// Has the plane forget next hops, as many at once as it may.
    pub(super) fn advance_removals(&mut self, now: Moment) {
        self.advance_again(now);
        for _ in 0..limits::SWEEP_STEP {
            if !self.routing.has_removals() || self.routing.not_before > now {
                return;
            }
            let Some(id) = self.routing.doomed.pop() else { return };
            if !self.routing.next_hops.contains_key(&id) {
                self.routing.removals += 1;
                self.route(Route::RemoveNextHop(id), None, Undo::Removal(id));
            }
        }
    }

    pub(super) fn handle_routed(&mut self, now: Moment, token: RouteToken, result: Result<(), RouteError>) {
        let Some(UnderWay { ticket, undo }) = self.routing.under_way.remove(&token) else { return };
        if matches!(undo, Undo::Removal(_)) {
            self.routing.removals -= 1;
        }
        let outcome = result.map_err(|error| match error {
            RouteError::Full => L3Error::NextHopsFull,
            RouteError::Unavailable => L3Error::Unavailable,
        });
        if outcome.is_err() {
            if matches!(undo, Undo::Removal(_) | Undo::Again(_)) {
                self.routing.not_before = now.saturating_add(limits::REMOVE_RETRY);
            }
            for change in self.routing.undo(undo) {
                self.tell(change);
            }
        }
        if let Some(ticket) = ticket {
            self.reply(ticket, ReplyBody::Done(outcome));
        }
        self.advance_removals(now);
    }

    /// The session of this slot is gone.
    pub(super) fn forget_links(&mut self, slot: Slot, links: Option<&Links>) {
        if let Some(links) = links {
            self.routing.release(slot, links);
        }
    }
}
