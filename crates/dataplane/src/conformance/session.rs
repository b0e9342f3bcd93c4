//! Sessions as the cases install them.
//!
//! What must not be here: frames, expectations.

use opof_session::plane::{Command, FastAction, Note, PacketChange, Rule, Slot};
use opof_session::types::{Lif, MatchKey};
use opof_wire::{FlowKey, Vid};

/// A session between the two interfaces of a rig, or on one of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Session {
    pub(super) slot: Slot,
    /// The "in" direction, as it is on the side where it enters.
    pub(super) flow: FlowKey,
    /// The VLAN on the other side.
    pub(super) out_vlan: Vid,
    pub(super) in_lif: Lif,
    pub(super) out_lif: Lif,
    drop: bool,
}

impl Session {
    /// Forwards, with the same VLAN on both sides.
    pub(super) fn forward(slot: u32, flow: FlowKey, [in_lif, out_lif]: [Lif; 2]) -> Self {
        Self { slot: Slot(slot), flow, out_vlan: flow.vlan, in_lif, out_lif, drop: false }
    }

    /// Discards.
    pub(super) fn drop(slot: u32, flow: FlowKey, lifs: [Lif; 2]) -> Self {
        Self { drop: true, ..Self::forward(slot, flow, lifs) }
    }

    /// Forwards, with the tag rewritten to `out_vlan` on the way and back on the way back.
    pub(super) fn rewrite(slot: u32, flow: FlowKey, out_vlan: Vid, lifs: [Lif; 2]) -> Self {
        Self { out_vlan, ..Self::forward(slot, flow, lifs) }
    }

    /// The flow of the "out" direction, as it is on the side where it enters.
    pub(super) fn answer(&self) -> FlowKey {
        FlowKey { vlan: self.out_vlan, ..self.flow.reversed() }
    }

    pub(super) fn keys(&self) -> [MatchKey; 2] {
        [MatchKey { lif: self.in_lif, flow: self.flow }, MatchKey { lif: self.out_lif, flow: self.answer() }]
    }

    pub(super) fn rules(&self) -> [Rule; 2] {
        let rewritten = self.flow.vlan != self.out_vlan;
        let action = |to, vlan| {
            let change = PacketChange::vlan(rewritten.then_some(vlan));
            if self.drop { FastAction::Drop } else { FastAction::Forward { to, change, copy: None } }
        };
        let [inward, outward] = self.keys();
        [
            Rule { key: inward, action: action(self.out_lif, self.out_vlan) },
            Rule { key: outward, action: action(self.in_lif, self.flow.vlan) },
        ]
    }

    pub(super) fn install(&self) -> Command {
        Command::Install { slot: self.slot, rules: self.rules(), note: Note::default() }
    }

    pub(super) fn remove(&self) -> Command {
        Command::Remove { slot: self.slot, keys: self.keys(), note: Note::default() }
    }
}
