//! Any message that can be said, for property tests. The larger parts are behind pointers: all in one, they are too much for a stack.

use std::sync::Arc;

use core::net::IpAddr;
use core::num::NonZeroU16;

use proptest::prelude::*;

use opof_session::ha::change::{Change, Fate, Name, Part};
use opof_session::ha::message::{Begin, Conversation, Message, Payload, Segment};
use opof_session::ha::term::{Position, Role, Term};
use opof_session::l3::{Family, Link, Links, Nat, NextHop, NextHopId, Tunnel, VlanFlow};
use opof_session::limits::LAST_TERM;
use opof_session::types::{
    Action, CloseReason, ClosedRecord, Counters, DirectionCounters, Lif, Moment, SessionId, SessionSpec,
};
use opof_wire::ethernet::MacAddress;
use opof_wire::{Addresses, FlowKey, Transport, Vid};

/// Items of a frame at most; how many there are changes nothing.
const ITEMS: usize = 8;

/// Numbers as they are, and those at both ends.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..3_u64, any::<u64>(), Just(u64::MAX)]
}

fn moment() -> impl Strategy<Value = Moment> {
    number().prop_map(Moment)
}

fn vid(least: u16) -> impl Strategy<Value = Vid> {
    (least..=Vid::MAX.get()).prop_map(|vid| Vid::new(vid).unwrap())
}

fn lif() -> impl Strategy<Value = Lif> {
    (1..=u16::MAX).prop_map(|lif| Lif::new(lif).unwrap())
}

fn next_hop_id() -> impl Strategy<Value = NextHopId> {
    (1..=u32::MAX).prop_map(|id| NextHopId::new(id).unwrap())
}

fn nat(family: Option<Family>) -> impl Strategy<Value = Option<Nat>> {
    let address = match family {
        Some(Family::V4) => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Some(Family::V6) => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
        None => any::<IpAddr>().boxed(),
    };
    prop::option::of((address, any::<u16>()).prop_map(|(address, port)| Nat { address, port: NonZeroU16::new(port) }))
}

fn link(family: Option<Family>) -> BoxedStrategy<Link> {
    (prop::option::of(next_hop_id()), nat(family), nat(family), prop::option::of(vid(0)))
        .prop_map(|(next_hop, snat, dnat, vlan)| Link { next_hop, snat, dnat, vlan })
        .boxed()
}

fn action(family: Option<Family>) -> impl Strategy<Value = Action> {
    let links = [link(family), link(family)];
    prop_oneof![
        Just(Action::Drop),
        Just(Action::Forward),
        links.prop_map(|[towards_in, towards_out]| Action::Route(Box::new(Links { towards_in, towards_out }))),
        any::<IpAddr>().prop_map(|collector| Action::Mirror { collector }),
        any::<IpAddr>().prop_map(|collector| Action::Snoop { collector }),
    ]
}

fn flow() -> impl Strategy<Value = FlowKey> {
    let addresses = prop_oneof![
        any::<[[u8; 4]; 2]>().prop_map(|[source, destination]| Addresses::V4 { source, destination }),
        any::<[[u8; 16]; 2]>().prop_map(|[source, destination]| Addresses::V6 { source, destination }),
    ];
    (vid(0), any::<bool>(), addresses, any::<[u16; 2]>(), any::<bool>()).prop_map(
        |(vlan, gtpu, addresses, [source_port, destination_port], udp)| FlowKey {
            vlan,
            tunnel: if gtpu { Tunnel::Gtpu } else { Tunnel::None },
            addresses,
            source_port,
            destination_port,
            transport: if udp { Transport::Udp } else { Transport::Tcp },
        },
    )
}

fn spec() -> BoxedStrategy<SessionSpec> {
    let asked = flow().prop_flat_map(|flow| {
        let family = if flow.addresses.source().is_ipv4() { Family::V4 } else { Family::V6 };
        (Just(flow), action((flow.tunnel == Tunnel::None).then_some(family)))
    });
    (number(), [lif(), lif()], asked, vid(0), any::<u32>())
        .prop_map(|(id, [in_lif, out_lif], (flow, action), out_vlan, timeout_seconds)| SessionSpec {
            id: SessionId(id),
            in_lif,
            out_lif,
            flow,
            out_vlan,
            action,
            timeout_seconds,
        })
        .boxed()
}

fn name() -> impl Strategy<Value = Name> {
    (number(), moment()).prop_map(|(id, version)| Name { id: SessionId(id), version })
}

fn counters() -> impl Strategy<Value = Counters> {
    let direction = || [number(), number()].prop_map(|[packets, bytes]| DirectionCounters { packets, bytes });
    (direction(), direction(), prop::option::of(moment())).prop_map(|(inward, outward, last_seen)| Counters {
        inward,
        outward,
        last_seen,
    })
}

fn part() -> BoxedStrategy<Part> {
    (name(), counters()).prop_map(|(name, counters)| Part { name, counters }).boxed()
}

fn reason() -> impl Strategy<Value = CloseReason> {
    use CloseReason::{Deleted, NextHopGone, Reset, Timeout};
    prop_oneof![Just(Timeout), Just(Deleted), Just(Reset), Just(NextHopGone)]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Lives), Just(Fate::Waits), reason().prop_map(Fate::Closes)]
}

fn record() -> BoxedStrategy<ClosedRecord> {
    (number(), part(), moment(), reason())
        .prop_map(|(sequence, Part { name, counters }, ended, reason)| ClosedRecord {
            sequence,
            id: name.id,
            counters,
            started: name.version,
            ended,
            reason,
        })
        .boxed()
}

fn next_hop() -> impl Strategy<Value = NextHop> {
    (next_hop_id(), any::<bool>(), any::<[[u8; 6]; 2]>()).prop_map(|(id, v6, macs)| {
        let [source, destination] = macs.map(MacAddress);
        NextHop { id, family: if v6 { Family::V6 } else { Family::V4 }, source, destination }
    })
}

fn change() -> BoxedStrategy<Change> {
    let session = (spec(), moment(), fate());
    prop_oneof![
        4 => session.prop_map(|(spec, started, fate)| Change::Session { spec, started, fate }),
        1 => (name(), fate()).prop_map(|(name, fate)| Change::Fate { name, fate }),
        1 => (name(), prop::option::of(record())).prop_map(|(name, record)| Change::Gone { name, record }),
        1 => record().prop_map(Change::Record),
        1 => number().prop_map(|sequence| Change::Ended { sequence }),
        1 => next_hop().prop_map(Change::NextHop),
        1 => next_hop_id().prop_map(Change::NextHopGone),
        1 => Just(Change::NextHopsGone),
        1 => (vid(1), lif()).prop_map(|(vlan, lif)| Change::VlanFlow(VlanFlow { vlan, lif })),
        1 => vid(1).prop_map(Change::VlanFlowGone),
        1 => Just(Change::VlanFlowsGone),
    ]
    .boxed()
}

fn term() -> impl Strategy<Value = Term> {
    (1..=LAST_TERM).prop_map(Term)
}

fn position() -> impl Strategy<Value = Position> {
    (term(), number()).prop_map(|(term, change)| Position { term, change })
}

fn payload() -> BoxedStrategy<Payload> {
    let changes = || prop::collection::vec(change(), 0..ITEMS);
    let parts = || prop::collection::vec(part(), 0..ITEMS);
    let first = 1..=u64::MAX - ITEMS as u64;
    let behind = (position(), term(), any::<Option<i64>>());
    prop_oneof![
        Just(Payload::Begin(Begin::Anew)),
        behind.prop_map(|(position, term, ahead)| Payload::Begin(Begin::Behind { position, term, ahead })),
        (first, changes()).prop_map(|(first, changes)| Payload::Changes { first, changes }),
        changes().prop_map(Payload::Rows),
        number().prop_map(|change| Payload::End { change }),
        (parts(), any::<bool>()).prop_map(|(parts, is_last)| Payload::Counters { parts, is_last }),
        parts().prop_map(Payload::LetGo),
        position().prop_map(|position| Payload::Yield { position }),
    ]
    .boxed()
}

fn segment() -> BoxedStrategy<Segment> {
    let frame = prop::option::weighted(0.9, (1..=u64::MAX, payload().prop_map(Arc::new)));
    (term(), 1..=u64::MAX, number(), number(), frame)
        .prop_map(|(term, number, through, done, frame)| Segment {
            conversation: Conversation { term, number },
            through,
            done,
            frame,
        })
        .boxed()
}

/// Any message.
pub(super) fn message() -> impl Strategy<Value = Message> {
    let sender = prop_oneof![(term(), Just(Role::Active)), ((0..=LAST_TERM).prop_map(Term), Just(Role::Standby))];
    let position = prop_oneof![Just(Position::default()), position()];
    let echo = prop::option::of((number(), moment()));
    let segment = prop::option::weighted(0.9, segment());
    (number(), sender, moment(), echo, any::<bool>(), position, segment).prop_map(
        |(run, (term, role), now, echo, grants, position, segment)| Message {
            run,
            term,
            role,
            now,
            echo,
            grants,
            position,
            segment,
        },
    )
}
