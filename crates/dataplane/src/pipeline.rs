//! The fast path as a pure function: a frame on a port, a table to look up in, and what becomes of the frame.
//!
//! This is the executable specification of every plane: the simulated one runs it, the others are compared with it
//! frame by frame. What must not be here: state, counters, time.

use std::fmt;
use std::net::IpAddr;

use opof_session::l3::NextHopId;
use opof_session::plane::{CopyMoment, FastAction, PacketChange, PacketCopy, Slot};
use opof_session::types::{Direction, Lif, MatchKey};
use opof_wire::encap;
use opof_wire::geneve::Metadata;
use opof_wire::{Edit, FlowKey, Macs, SlowPath, Vid, classify, edit, outer_vid};

use crate::tunnel::{Encapsulation, FirewallTunnel, Passage, TunnelPath, enter, too_big};
use crate::{PortRole, limits};

/// One of a LIF's ports. Several wire ports of one LIF are one here: which of them a frame came in on decides nothing,
/// and which it leaves by is a matter of links.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Port {
    /// The interface it belongs to.
    pub lif: Lif,
    /// Its part in it.
    pub role: PortRole,
}

impl Port {
    /// The port of `lif` towards the network.
    pub const fn wire(lif: Lif) -> Self {
        Self { lif, role: PortRole::Wire }
    }

    /// The port of `lif` towards the firewall.
    pub const fn firewall(lif: Lif) -> Self {
        Self { lif, role: PortRole::Firewall }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            PortRole::Wire => "wire",
            PortRole::Firewall => "firewall",
            PortRole::Uplink => "uplink",
        };
        write!(f, "lif {} {role}", self.lif)
    }
}

/// What the table has for a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hit {
    /// The session.
    pub slot: Slot,
    /// Which of its two keys it was.
    pub direction: Direction,
    /// What to do with the packet.
    pub action: FastAction,
}

/// What a device has been told, to look things up in.
pub trait Tables {
    /// False when the device has no right to forward any more: [`DataPlane::forward_until`](crate::DataPlane::forward_until).
    fn may_forward(&self) -> bool;

    /// The session that has this key.
    fn session(&self, key: &MatchKey) -> Option<Hit>;

    /// The MAC addresses of a next hop, as they are now.
    fn next_hop(&self, id: NextHopId) -> Option<Macs>;

    /// The interface whose firewall port gets the slow-path frames of a VLAN, where that is not the one they came in by.
    fn vlan_flow(&self, vlan: Vid) -> Option<Lif>;

    /// The way to a collector.
    fn collector(&self, address: IpAddr) -> Option<TunnelPath>;

    /// The tunnel that the firewall of an interface is behind, where its firewall port is none.
    fn firewall(&self, lif: Lif) -> Option<FirewallTunnel>;
}

/// A copy of a frame that is forwarded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FrameCopy {
    /// It can't be sent.
    Lost,
    /// It goes to the collector.
    Sent(Box<SentCopy>),
}

/// A copy on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SentCopy {
    /// What it travels in.
    pub outer: Encapsulation,
    /// Which form of the frame.
    pub moment: CopyMoment,
}

/// What becomes of a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// From a wire port to a firewall port, untouched.
    SlowPath {
        /// Why.
        reason: SlowPath,
        /// The interface whose firewall port gets it: the one it came in by, or that of its VLAN's flow.
        to: Lif,
        /// What it travels in, where that firewall is behind a tunnel.
        tunnel: Option<Box<Encapsulation>>,
    },
    /// It would take the slow path, and does not fit through the tunnel to its firewall: discarded.
    TooBig {
        /// Its sender is told that IP packets of so many bytes do, by the wire port it came in on.
        answer: Option<u16>,
    },
    /// It would take the slow path, and there is no way through the tunnel to its firewall: discarded.
    Unreachable,
    /// A hit: out of the wire port of `to`, counted for the session.
    Forward {
        /// Whose packet it is.
        slot: Slot,
        /// In which direction it goes.
        direction: Direction,
        /// The interface it leaves by.
        to: Lif,
        /// What is changed on the way.
        edit: Edit,
        /// The copy, where its session asks for one.
        copy: Option<FrameCopy>,
    },
    /// A hit: discarded, counted for the session.
    Drop {
        /// Whose packet it is.
        slot: Slot,
        /// In which direction it went.
        direction: Direction,
    },
    /// From a firewall port to the wire port of the same interface, untouched and without a look at it.
    FromFirewall,
}

/// What is left of a frame after the device.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It came out.
    Out {
        /// Where.
        port: Port,
        /// As it left: with the outer headers, where it went into a tunnel; or the answer to it.
        frame: Vec<u8>,
        /// What went to a collector, outer headers included.
        copy: Option<Vec<u8>>,
    },
    /// It didn't.
    Dropped,
}

/// What becomes of `frame` (whole L2 frame without FCS), received on `ingress`:
///
/// 1. From a firewall port it goes out of the wire port, without a look at it.
/// 2. [`classify()`] says why it has no key: slow path.
/// 3. No session has its key, or the device may not forward any more: [`SlowPath::Miss`].
/// 4. The session drops: dropped.
/// 5. The session translates to addresses of another family than the outermost packet's, or its next hop is not there:
///    [`SlowPath::Miss`].
/// 6. The TTL would reach 0 at the next hop: [`SlowPath::TtlExpired`].
/// 7. It is forwarded.
///
/// What takes the slow path goes through a tunnel where its firewall is behind one: [`Decision::Unreachable`] while there is no way,
/// [`Decision::TooBig`] when it does not fit. How often answers are given is for the caller to bound.
///
/// What is forwarded is copied, where its session asks for that: [`FrameCopy::Lost`] when the collector can't be reached or the frame is
/// larger than goes there, or than [`limits::COPY_LEN`].
///
/// Only 4 and 7 are packets of the session, for its counters and its timeout. `tables` is asked for a session only for a frame of a wire
/// port that has a key.
pub fn decide(ingress: Port, frame: &[u8], tables: &impl Tables) -> Decision {
    if ingress.role == PortRole::Firewall {
        return Decision::FromFirewall;
    }
    hit(ingress, frame, tables).unwrap_or_else(|reason| {
        let to = tables.vlan_flow(outer_vid(frame)).unwrap_or(ingress.lif);
        let Some(FirewallTunnel { path, .. }) = tables.firewall(to) else {
            return Decision::SlowPath { reason, to, tunnel: None };
        };
        match enter(path.as_ref(), ingress.lif, frame) {
            Passage::Sent(outer) => Decision::SlowPath { reason, to, tunnel: Some(Box::new(outer)) },
            Passage::TooBig(answer) => Decision::TooBig { answer },
            Passage::NoWay => Decision::Unreachable,
        }
    })
}

/// What a session has to say about a frame, or why none has.
fn hit(ingress: Port, frame: &[u8], tables: &impl Tables) -> Result<Decision, SlowPath> {
    let flow = classify(frame)?;
    let found = tables.session(&MatchKey { lif: ingress.lif, flow }).filter(|_| tables.may_forward());
    let Hit { slot, direction, action } = found.ok_or(SlowPath::Miss)?;
    match action {
        FastAction::Drop => Ok(Decision::Drop { slot, direction }),
        FastAction::Forward { to, change, copy } => {
            let edit = resolve(&change, tables)?;
            if !edit.fits(frame) {
                return Err(SlowPath::Miss);
            }
            if edit::ttl(frame).is_some_and(|ttl| edit.expires(ttl)) {
                return Err(SlowPath::TtlExpired);
            }
            let copy = copy.map(|copy| copied(&copy, ingress.lif, to, &flow, frame.len(), tables));
            Ok(Decision::Forward { slot, direction, to, edit, copy })
        }
    }
}

fn copied(copy: &PacketCopy, from: Lif, to: Lif, flow: &FlowKey, len: usize, tables: &impl Tables) -> FrameCopy {
    match tables.collector(copy.collector) {
        Some(path) if len <= path.frame_len_max.min(limits::COPY_LEN) => FrameCopy::Sent(Box::new(SentCopy {
            outer: Encapsulation {
                template: path.template,
                source_port: encap::source_port(encap::flow_hash(encap::flow_words(flow))),
                metadata: Metadata { in_lif: from.get().into(), out_lif: to.get().into(), key: copy.key },
            },
            moment: copy.moment,
        })),
        _ => FrameCopy::Lost,
    }
}

/// With the MAC addresses that the next hop has now.
fn resolve(change: &PacketChange, tables: &impl Tables) -> Result<Edit, SlowPath> {
    let PacketChange { vlan, next_hop, source, destination } = *change;
    let macs = match next_hop {
        Some(id) => Some(tables.next_hop(id).ok_or(SlowPath::Miss)?),
        None => None,
    };
    Ok(Edit { vlan, macs, source, destination })
}

impl Decision {
    /// The port that a frame which came in on `ingress` leaves by, or what it is answered with; `None` when it is dropped.
    pub const fn egress(&self, ingress: Port) -> Option<Port> {
        match self {
            Self::SlowPath { to, .. } => Some(Port::firewall(*to)),
            Self::Forward { to, .. } => Some(Port::wire(*to)),
            Self::TooBig { answer: Some(_) } => Some(ingress),
            Self::Drop { .. } | Self::TooBig { answer: None } | Self::Unreachable => None,
            Self::FromFirewall => Some(Port::wire(ingress.lif)),
        }
    }

    /// The decision carried out on `frame`, the one it was made for.
    pub fn apply(&self, ingress: Port, frame: &[u8]) -> Outcome {
        let Some(port) = self.egress(ingress) else { return Outcome::Dropped };
        let (edit, copy) = match self {
            Self::Forward { edit, copy, .. } => (edit, copy),
            Self::SlowPath { tunnel: Some(outer), .. } => {
                return Outcome::Out { port, frame: outer.apply(frame), copy: None };
            }
            Self::TooBig { answer: Some(mtu) } => {
                return Outcome::Out { port, frame: too_big(frame, *mtu), copy: None };
            }
            _ => return Outcome::Out { port, frame: frame.to_vec(), copy: None },
        };
        let mut edited = frame.to_vec();
        edit.apply(&mut edited);
        let copy = match copy {
            Some(FrameCopy::Sent(copy)) => {
                Some(copy.outer.apply(if copy.moment == CopyMoment::AsItCame { frame } else { &edited }))
            }
            Some(FrameCopy::Lost) | None => None,
        };
        Outcome::Out { port, frame: edited, copy }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use std::net::Ipv4Addr;

    use opof_wire::decap::TunnelEnd;
    use opof_wire::encap::{Template, Tunnel};
    use opof_wire::ethernet::MacAddress;
    use opof_wire::geneve::OptionId;
    use opof_wire::{Addresses, Endpoint};

    use super::*;

    const LIFS: [Lif; 2] = [Lif::new(1).unwrap(), Lif::new(2).unwrap()];

    /// UDP from 10.0.0.1:1 to 10.0.0.2:2 without payload, on VLAN 100 with PCP 5 and DEI.
    #[rustfmt::skip]
    const UDP: [u8; 46] = [
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0x00, 0xB0, 0x64, 0x08, 0x00,
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        0, 1, 0, 2, 0, 8, 0, 0,
    ];

    /// One session for every key.
    #[derive(Default)]
    struct One {
        action: Option<FastAction>,
        macs: Option<Macs>,
        flow: Option<(u16, Lif)>,
        collector: Option<TunnelPath>,
        firewall: Option<FirewallTunnel>,
        is_over: bool,
        looked_up: RefCell<Vec<String>>,
    }

    impl Tables for One {
        fn may_forward(&self) -> bool {
            !self.is_over
        }

        fn session(&self, key: &MatchKey) -> Option<Hit> {
            self.looked_up.borrow_mut().push(key.to_string());
            self.action.map(|action| Hit { slot: Slot(7), direction: Direction::Out, action })
        }

        fn next_hop(&self, id: NextHopId) -> Option<Macs> {
            assert_eq!(id, HOP);
            self.macs
        }

        fn vlan_flow(&self, vlan: Vid) -> Option<Lif> {
            self.flow.filter(|(vid, _)| *vid == vlan.get()).map(|(_, lif)| lif)
        }

        fn collector(&self, address: IpAddr) -> Option<TunnelPath> {
            assert_eq!(address, COLLECTOR);
            self.collector
        }

        /// That of the first interface.
        fn firewall(&self, lif: Lif) -> Option<FirewallTunnel> {
            self.firewall.filter(|_| lif == LIFS[0])
        }
    }

    const HOP: NextHopId = NextHopId::MIN;
    const COLLECTOR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
    const WIRE: Port = Port::wire(LIFS[0]);
    const MACS: Macs = Macs { source: MacAddress([2, 0, 0, 0, 0, 8]), destination: MacAddress([2, 0, 0, 0, 0, 9]) };

    fn one(action: FastAction) -> One {
        One { action: Some(action), ..One::default() }
    }

    fn forward(change: PacketChange) -> One {
        one(FastAction::Forward { to: LIFS[1], change, copy: None })
    }

    fn routed() -> One {
        let change = PacketChange { next_hop: Some(HOP), ..PacketChange::default() };
        One { macs: Some(MACS), ..forward(change) }
    }

    fn out(port: Port, frame: &[u8]) -> Outcome {
        Outcome::Out { port, frame: frame.to_vec(), copy: None }
    }

    fn slow(reason: SlowPath) -> Decision {
        Decision::SlowPath { reason, to: LIFS[0], tunnel: None }
    }

    #[test]
    fn the_key_has_the_interface_and_the_flow() {
        let tables = One::default();
        assert_eq!(decide(WIRE, &UDP, &tables), slow(SlowPath::Miss));
        assert_eq!(*tables.looked_up.borrow(), ["udp 10.0.0.1:1 > 10.0.0.2:2 vlan 100 lif 1"]);
    }

    #[test]
    fn a_miss_goes_to_the_firewall_untouched() {
        let outcome = decide(WIRE, &UDP, &One::default()).apply(WIRE, &UDP);
        assert_eq!(outcome, out(Port::firewall(LIFS[0]), &UDP));
    }

    #[test]
    fn a_hit_is_forwarded_untouched() {
        let decision = decide(WIRE, &UDP, &forward(PacketChange::default()));
        let (slot, direction, edit) = (Slot(7), Direction::Out, Edit::default());
        assert_eq!(decision, Decision::Forward { slot, direction, to: LIFS[1], edit, copy: None });
        assert_eq!(decision.apply(WIRE, &UDP), out(Port::wire(LIFS[1]), &UDP));
    }

    #[test]
    fn a_rewrite_changes_the_vid_and_nothing_else() {
        let outcome = decide(WIRE, &UDP, &forward(PacketChange::vlan(Vid::new(0xABC)))).apply(WIRE, &UDP);
        let mut expected = UDP;
        expected[14..16].copy_from_slice(&[0xBA, 0xBC]);
        assert_eq!(outcome, out(Port::wire(LIFS[1]), &expected));
    }

    #[test]
    fn a_next_hop_is_looked_up_for_each_packet() {
        let mut tables = routed();
        let mut expected = UDP;
        expected[..12].copy_from_slice(&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8]);
        (expected[26], expected[28]) = (63, 1);
        assert_eq!(decide(WIRE, &UDP, &tables).apply(WIRE, &UDP), out(Port::wire(LIFS[1]), &expected));
        tables.macs = Some(Macs { source: MACS.destination, destination: MACS.source });
        (expected[5], expected[11]) = (8, 9);
        assert_eq!(decide(WIRE, &UDP, &tables).apply(WIRE, &UDP), out(Port::wire(LIFS[1]), &expected));
        tables.macs = None;
        assert_eq!(decide(WIRE, &UDP, &tables), slow(SlowPath::Miss));
    }

    #[test]
    fn what_would_expire_at_the_next_hop_goes_to_the_firewall_untouched() {
        for ttl in [0, 1] {
            let mut frame = UDP;
            frame[26] = ttl;
            let decision = decide(WIRE, &frame, &routed());
            assert_eq!(decision, slow(SlowPath::TtlExpired));
            assert_eq!(decision.apply(WIRE, &frame), out(Port::firewall(LIFS[0]), &frame));
            assert!(matches!(decide(WIRE, &frame, &forward(PacketChange::default())), Decision::Forward { .. }));
        }
    }

    #[test]
    fn a_translation_to_another_family_is_not_made() {
        let source = Some(Endpoint { address: [0xFD00, 0, 0, 0, 0, 0, 0, 1].into(), port: None });
        let change = PacketChange { source, ..PacketChange::default() };
        assert_eq!(decide(WIRE, &UDP, &forward(change)), slow(SlowPath::Miss));
    }

    #[test]
    fn a_vlan_flow_leads_slow_path_frames_to_its_firewall_port() {
        let with_flow = |tables: One| One { flow: Some((100, LIFS[1])), ..tables };
        for frame in [&UDP[..], &UDP[..45], &UDP[..18]] {
            let decision = decide(WIRE, frame, &with_flow(One::default()));
            assert_eq!(decision.egress(WIRE), Some(Port::firewall(LIFS[1])), "{frame:?}");
        }
        assert_eq!(decide(WIRE, &UDP[..17], &with_flow(One::default())), slow(SlowPath::Truncated), "no whole tag");
        let hit = decide(WIRE, &UDP, &with_flow(forward(PacketChange::default())));
        assert_eq!(hit.egress(WIRE), Some(Port::wire(LIFS[1])));
        let other = One { flow: Some((101, LIFS[1])), ..One::default() };
        assert_eq!(decide(WIRE, &UDP, &other), slow(SlowPath::Miss));
    }

    /// To 192.0.2.9.
    fn path(frame_len_max: usize) -> TunnelPath {
        let addresses = Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 9] };
        let (source_mac, destination_mac) = (MACS.source, MACS.destination);
        let tunnel = Tunnel { source_mac, destination_mac, addresses, vni: 5, option: OptionId::DEFAULT };
        TunnelPath { template: Template::new(&tunnel).unwrap(), frame_len_max }
    }

    /// Forwarded with another VID and copied.
    fn copied(moment: CopyMoment, frame_len_max: usize) -> One {
        let copy = Some(PacketCopy { collector: COLLECTOR, moment, key: 0x0102_0304 });
        let tables = one(FastAction::Forward { to: LIFS[1], change: PacketChange::vlan(Vid::new(7)), copy });
        One { collector: Some(path(frame_len_max)), ..tables }
    }

    /// The firewall of the first interface is behind a tunnel.
    fn tunnelled(tables: One, path: Option<TunnelPath>) -> One {
        let addresses = Addresses::V4 { source: [192, 0, 2, 9], destination: [192, 0, 2, 1] };
        let end = TunnelEnd { addresses, vni: 5, option: OptionId::DEFAULT };
        One { firewall: Some(FirewallTunnel { end, path }), ..tables }
    }

    #[test]
    fn the_slow_path_leads_through_the_tunnel_of_the_firewall_that_gets_the_frame() {
        let tables = tunnelled(One::default(), Some(path(UDP.len())));
        let decision = decide(WIRE, &UDP, &tables);
        let Outcome::Out { port, frame, copy: None } = decision.apply(WIRE, &UDP) else { panic!("{decision:?}") };
        assert_eq!((port, frame.len(), &frame[66..]), (Port::firewall(LIFS[0]), 66 + UDP.len(), &UDP[..]));
        assert_eq!(frame[54..62], [0, 0, 0, 1, 0, 0, 0, 0], "in, out");
        // What comes in elsewhere gets there by its VLAN.
        let other = Port::wire(LIFS[1]);
        assert_eq!(decide(other, &UDP, &tables).apply(other, &UDP), out(Port::firewall(LIFS[1]), &UDP));
        let steered = One { flow: Some((100, LIFS[0])), ..tables };
        let Outcome::Out { port, frame, .. } = decide(other, &UDP, &steered).apply(other, &UDP) else { panic!() };
        assert_eq!((port, &frame[54..62]), (Port::firewall(LIFS[0]), &[0, 0, 0, 2, 0, 0, 0, 0][..]));
        // The session's own packets never see it.
        let hit = tunnelled(forward(PacketChange::default()), None);
        assert_eq!(decide(WIRE, &UDP, &hit).apply(WIRE, &UDP), out(Port::wire(LIFS[1]), &UDP));
    }

    #[test]
    fn what_does_not_get_through_the_tunnel_is_answered_or_lost() {
        let lost = decide(WIRE, &UDP, &tunnelled(One::default(), None));
        assert_eq!((&lost, lost.apply(WIRE, &UDP)), (&Decision::Unreachable, Outcome::Dropped));
        let tables = tunnelled(One::default(), Some(path(200)));
        let mut large = [&UDP[..], &[0; 300]].concat();
        large[20..22].copy_from_slice(&328_u16.to_be_bytes());
        large[42..44].copy_from_slice(&308_u16.to_be_bytes());
        let dropped = decide(WIRE, &large, &tables);
        assert_eq!((&dropped, dropped.apply(WIRE, &large)), (&Decision::TooBig { answer: None }, Outcome::Dropped));
        large[24] = 0x40;
        opof_wire::ipv4::Packet::new_unchecked(&mut large[18..]).fill_checksum();
        let told = decide(WIRE, &large, &tables);
        assert_eq!(told, Decision::TooBig { answer: Some(182) });
        let Outcome::Out { port, frame, .. } = told.apply(WIRE, &large) else { panic!("{told:?}") };
        assert_eq!((port, &frame[..6]), (WIRE, &UDP[6..12]));
    }

    fn outcome(tables: &One) -> (Vec<u8>, Option<Vec<u8>>) {
        match decide(WIRE, &UDP, tables).apply(WIRE, &UDP) {
            Outcome::Out { port, frame, copy } if port == Port::wire(LIFS[1]) => (frame, copy),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_copy_goes_to_the_collector_as_the_frame_came_or_as_it_leaves() {
        let mut rewritten = UDP;
        rewritten[14..16].copy_from_slice(&[0xB0, 7]);
        for (moment, inner) in [(CopyMoment::AsItCame, UDP), (CopyMoment::AsItLeaves, rewritten)] {
            let (frame, copy) = outcome(&copied(moment, UDP.len()));
            let copy = copy.unwrap();
            assert_eq!((frame, &copy[66..]), (rewritten.to_vec(), &inner[..]));
            assert_eq!((&copy[30..34], &copy[36..38]), (&[192, 0, 2, 9][..], &6081_u16.to_be_bytes()[..]));
            assert_eq!(copy[54..66], [0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4], "in, out, key");
            let hash = encap::flow_hash(encap::flow_words(&classify(&UDP).unwrap()));
            assert_eq!(copy[34..36], encap::source_port(hash).to_be_bytes());
        }
    }

    #[test]
    fn a_copy_that_can_not_be_sent_is_lost_and_the_packet_is_not() {
        let small = copied(CopyMoment::AsItCame, UDP.len() - 1);
        let unknown = One { collector: None, ..copied(CopyMoment::AsItCame, 2000) };
        for tables in [small, unknown] {
            let decision = decide(WIRE, &UDP, &tables);
            assert!(matches!(decision, Decision::Forward { copy: Some(FrameCopy::Lost), .. }), "{decision:?}");
            let (frame, copy) = outcome(&tables);
            assert_eq!((frame.len(), copy), (UDP.len(), None));
        }
    }

    #[test]
    fn a_drop_is_counted_for_its_session_and_goes_nowhere() {
        let decision = decide(WIRE, &UDP, &one(FastAction::Drop));
        assert_eq!(decision, Decision::Drop { slot: Slot(7), direction: Direction::Out });
        assert_eq!(decision.egress(WIRE), None);
        assert_eq!(decision.apply(WIRE, &UDP), Outcome::Dropped);
    }

    #[test]
    fn a_device_that_may_not_forward_any_more_has_no_hits() {
        for tables in [one(FastAction::Drop), forward(PacketChange::default()), copied(CopyMoment::AsItCame, 2000)] {
            let over = One { is_over: true, ..tables };
            let decision = decide(WIRE, &UDP, &over);
            assert_eq!(decision, slow(SlowPath::Miss));
            assert_eq!(decision.apply(WIRE, &UDP), out(Port::firewall(LIFS[0]), &UDP));
            let from_firewall = Port::firewall(LIFS[0]);
            assert_eq!(decide(from_firewall, &UDP, &over), Decision::FromFirewall);
        }
    }

    #[test]
    fn what_has_no_key_is_not_looked_up() {
        let tables = one(FastAction::Drop);
        assert_eq!(decide(WIRE, &UDP[..45], &tables), slow(SlowPath::Truncated));
        assert!(tables.looked_up.borrow().is_empty());
    }

    #[test]
    fn what_the_firewall_sends_is_not_looked_at() {
        let ingress = Port::firewall(LIFS[1]);
        for frame in [&UDP[..], &UDP[..3], &[]] {
            let tables = one(FastAction::Drop);
            let decision = decide(ingress, frame, &tables);
            assert_eq!(decision, Decision::FromFirewall);
            assert_eq!(decision.apply(ingress, frame), out(Port::wire(LIFS[1]), frame));
            assert!(tables.looked_up.borrow().is_empty());
        }
    }
}
