//! A session as the table keeps it: of what the firewall asked for, what every session has, in 40 bytes without a hole, and behind a
//! pointer what is large or rare. There are millions of them.
//!
//! What must not be here: what a session is doing, and anything that decides.

use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};

use crate::l3::{Family, Links};
use crate::types::{Action, Direction, Lif, MatchKey, SessionId, SessionSpec, match_key};

/// All of a [`SessionSpec`] but its timeout.
#[derive(Debug)]
pub(crate) struct Packed {
    id: SessionId,
    /// Source and destination; zeros where the family is another.
    v4: [[u8; 4]; 2],
    rest: Option<Box<Rest>>,
    source_port: u16,
    destination_port: u16,
    in_lif: Lif,
    out_lif: Lif,
    vlan: Vid,
    out_vlan: Vid,
    transport: Transport,
    tunnel: Tunnel,
    family: Family,
    is_dropped: bool,
}

/// What few sessions have, or those of the larger family.
#[derive(Debug)]
struct Rest {
    /// Source and destination; zeros where the family is another.
    v6: [[u8; 16]; 2],
    /// What is neither to drop nor to forward and nothing else.
    action: Option<Box<Action>>,
}

impl Packed {
    pub(crate) fn new(spec: SessionSpec) -> Self {
        let SessionSpec { id, in_lif, out_lif, flow, out_vlan, action, timeout_seconds: _ } = spec;
        let FlowKey { vlan, tunnel, addresses, source_port, destination_port, transport } = flow;
        let is_dropped = action == Action::Drop;
        let action = if matches!(action, Action::Drop | Action::Forward) { None } else { Some(Box::new(action)) };
        let (family, v4, v6) = match addresses {
            Addresses::V4 { source, destination } => (Family::V4, [source, destination], None),
            Addresses::V6 { source, destination } => (Family::V6, [[0; 4]; 2], Some([source, destination])),
        };
        let rest = (v6.is_some() || action.is_some()).then(|| Box::new(Rest { v6: v6.unwrap_or_default(), action }));
        Self {
            id,
            v4,
            rest,
            source_port,
            destination_port,
            in_lif,
            out_lif,
            vlan,
            out_vlan,
            transport,
            tunnel,
            family,
            is_dropped,
        }
    }

    pub(crate) const fn id(&self) -> SessionId {
        self.id
    }

    fn action(&self) -> Option<&Action> {
        self.rest.as_ref()?.action.as_deref()
    }

    /// What happens on its links, where the firewall has said so.
    pub(crate) fn links(&self) -> Option<&Links> {
        if let Action::Route(links) = self.action()? { Some(links) } else { None }
    }

    fn flow(&self) -> FlowKey {
        let addresses = match (self.family, &self.rest) {
            (Family::V6, Some(rest)) => {
                let [source, destination] = rest.v6;
                Addresses::V6 { source, destination }
            }
            (Family::V4 | Family::V6, _) => {
                let [source, destination] = self.v4;
                Addresses::V4 { source, destination }
            }
        };
        let Self { vlan, tunnel, source_port, destination_port, transport, .. } = *self;
        FlowKey { vlan, tunnel, addresses, source_port, destination_port, transport }
    }

    /// Those that its keys know of.
    fn translation(&self) -> Option<&Links> {
        self.links().filter(|links| links.change_keys(self.tunnel))
    }

    /// True when its tuple is another one on the far side.
    pub(crate) fn is_translated(&self) -> bool {
        self.translation().is_some()
    }

    /// [`SessionSpec::match_key`].
    pub(crate) fn match_key(&self, direction: Direction) -> MatchKey {
        match_key(direction, [self.in_lif, self.out_lif], self.flow(), self.out_vlan, self.translation())
    }

    /// What it was made from, with this timeout.
    pub(crate) fn spec(&self, timeout_seconds: u32) -> SessionSpec {
        let action = match self.action() {
            Some(action) => action.clone(),
            None if self.is_dropped => Action::Drop,
            None => Action::Forward,
        };
        let Self { id, in_lif, out_lif, out_vlan, .. } = *self;
        SessionSpec { id, in_lif, out_lif, flow: self.flow(), out_vlan, action, timeout_seconds }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use core::net::IpAddr;
    use core::num::NonZeroU16;

    use proptest::prelude::*;

    use super::*;
    use crate::l3::{Link, Nat, NextHopId};

    const _: () = assert!(size_of::<Packed>() == 40);

    fn addresses() -> impl Strategy<Value = Addresses> {
        prop_oneof![
            any::<[[u8; 4]; 2]>().prop_map(|[source, destination]| Addresses::V4 { source, destination }),
            any::<[[u8; 16]; 2]>().prop_map(|[source, destination]| Addresses::V6 { source, destination }),
        ]
    }

    fn nat() -> impl Strategy<Value = Option<Nat>> {
        let nat =
            (any::<IpAddr>(), any::<u16>()).prop_map(|(address, port)| Nat { address, port: NonZeroU16::new(port) });
        prop::option::of(nat)
    }

    fn link() -> impl Strategy<Value = Link> {
        (any::<u32>(), nat(), nat(), 0..4095_u16).prop_map(|(hop, snat, dnat, vlan)| Link {
            next_hop: NextHopId::new(hop),
            snat,
            dnat,
            vlan: Vid::new(vlan),
        })
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            Just(Action::Drop),
            Just(Action::Forward),
            [link(), link()]
                .prop_map(|[towards_in, towards_out]| Action::Route(Box::new(Links { towards_in, towards_out }))),
            any::<IpAddr>().prop_map(|collector| Action::Mirror { collector }),
            any::<IpAddr>().prop_map(|collector| Action::Snoop { collector }),
        ]
    }

    /// Any session that can be said.
    pub(crate) fn spec() -> impl Strategy<Value = SessionSpec> {
        let numbers =
            (any::<u64>(), [1..=u16::MAX, 1..=u16::MAX], [0..4095_u16, 0..4095], any::<[u16; 2]>(), any::<u32>());
        (numbers, addresses(), action(), any::<[bool; 2]>()).prop_map(|(numbers, addresses, action, [udp, gtpu])| {
            let (id, [in_lif, out_lif], [vlan, out_vlan], [source_port, destination_port], timeout_seconds) = numbers;
            let flow = FlowKey {
                vlan: Vid::new(vlan).unwrap(),
                tunnel: if gtpu { Tunnel::Gtpu } else { Tunnel::None },
                addresses,
                source_port,
                destination_port,
                transport: if udp { Transport::Udp } else { Transport::Tcp },
            };
            let [in_lif, out_lif] = [in_lif, out_lif].map(|lif| Lif::new(lif).unwrap());
            let out_vlan = Vid::new(out_vlan).unwrap();
            SessionSpec { id: SessionId(id), in_lif, out_lif, flow, out_vlan, action, timeout_seconds }
        })
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out(spec in spec()) {
            let keys = |of: &dyn Fn(Direction) -> MatchKey| [Direction::In, Direction::Out].map(of);
            let packed = Packed::new(spec.clone());
            prop_assert_eq!(packed.spec(spec.timeout_seconds), spec.clone());
            prop_assert_eq!((packed.id(), packed.is_translated()), (spec.id, spec.is_translated()));
            prop_assert_eq!(keys(&|direction| packed.match_key(direction)), keys(&|direction| spec.match_key(direction)));
        }
    }
}
