//! Domain values to messages of `opof.peer.v1`. Nothing here can fail.

use core::net::IpAddr;
use core::num::NonZeroU16;

use opof_session::ha::change::{Change, Fate, Name, Part};
use opof_session::ha::message::{Begin, Message, Payload, Segment};
use opof_session::ha::term::{Position, Role};
use opof_session::l3::{Family, Link, Nat, NextHop, NextHopId, Tunnel, VlanFlow};
use opof_session::types::{Action, CloseReason, ClosedRecord, Moment, SessionSpec};
use opof_wire::Addresses;

use crate::peer;
use crate::peer::change::Change as ChangeKind;
use crate::peer::segment::Frame;
use crate::peer::session::{Action as ActionKind, Addresses as AddressesKind};

pub(super) fn envelope(message: Message) -> peer::Envelope {
    let Message { run, term, role, now, echo, grants, position: at, segment: frames } = message;
    let role = match role {
        Role::Active => peer::Role::Active,
        Role::Standby => peer::Role::Standby,
    };
    peer::Envelope {
        run,
        term: term.0,
        role: role.into(),
        now: now.0,
        echo: echo.map(|(run, now)| peer::Echo { run, now: now.0 }),
        grants,
        position: Some(position(at)),
        segment: frames.map(segment),
        version: super::VERSION,
    }
}

const fn position(position: Position) -> peer::Position {
    peer::Position { term: position.term.0, change: position.change }
}

fn segment(segment: Segment) -> peer::Segment {
    let Segment { conversation, through, done, frame: numbered } = segment;
    let (number, payload) = numbered.unzip();
    peer::Segment {
        term: conversation.term.0,
        conversation: conversation.number,
        through,
        done,
        number: number.unwrap_or_default(),
        frame: payload.map(|payload| frame(&payload)),
    }
}

fn frame(payload: &Payload) -> Frame {
    match *payload {
        Payload::Begin(Begin::Anew) => Frame::Anew(peer::Anew {}),
        Payload::Begin(Begin::Behind { position: at, term, ahead }) => {
            Frame::Behind(peer::Behind { position: Some(position(at)), term: term.0, ahead })
        }
        Payload::Changes { first, ref changes } => {
            Frame::Changes(peer::Changes { first, changes: changes.iter().map(change).collect() })
        }
        Payload::Rows(ref rows) => Frame::Rows(peer::Rows { rows: rows.iter().map(change).collect() }),
        Payload::End { change } => Frame::End(change),
        Payload::Counters { ref parts, is_last } => {
            Frame::Counters(peer::Counters { parts: parts.iter().copied().map(part).collect(), is_last })
        }
        Payload::LetGo(ref parts) => Frame::LetGo(peer::LetGo { parts: parts.iter().copied().map(part).collect() }),
        Payload::Yield { position: at } => Frame::Yield(position(at)),
    }
}

fn part(part: Part) -> peer::Part {
    let Part { name: of, counters } = part;
    peer::Part {
        name: Some(name(of)),
        in_packets: counters.inward.packets,
        in_bytes: counters.inward.bytes,
        out_packets: counters.outward.packets,
        out_bytes: counters.outward.bytes,
        last_seen: counters.last_seen.map(|seen| seen.0),
    }
}

const fn name(name: Name) -> peer::Name {
    peer::Name { id: name.id.0, version: name.version.0 }
}

fn fate(fate: Fate) -> i32 {
    match fate {
        Fate::Lives => peer::Fate::Lives.into(),
        Fate::Waits => peer::Fate::Waits.into(),
        Fate::Closes(why) => reason(why),
    }
}

fn reason(reason: CloseReason) -> i32 {
    let fate = match reason {
        CloseReason::Timeout => peer::Fate::Timeout,
        CloseReason::Deleted => peer::Fate::Deleted,
        CloseReason::Reset => peer::Fate::Reset,
        CloseReason::NextHopGone => peer::Fate::NextHopGone,
    };
    fate.into()
}

fn change(change: &Change) -> peer::Change {
    let kind = match *change {
        Change::Session { ref spec, started, fate: what } => ChangeKind::Session(session(spec, started, what)),
        Change::Fate { name: of, fate: what } => {
            ChangeKind::Fate(peer::NewFate { name: Some(name(of)), fate: fate(what) })
        }
        Change::Gone { name: of, record: by } => {
            ChangeKind::Gone(peer::Gone { name: Some(name(of)), record: by.map(record) })
        }
        Change::Record(closed) => ChangeKind::Record(record(closed)),
        Change::Ended { sequence } => ChangeKind::Ended(sequence),
        Change::NextHop(hop) => ChangeKind::NextHop(next_hop(hop)),
        Change::NextHopGone(id) => ChangeKind::NextHopGone(id.get()),
        Change::NextHopsGone => ChangeKind::NextHopsGone(peer::Anew {}),
        Change::VlanFlow(VlanFlow { vlan, lif }) => {
            ChangeKind::VlanFlow(peer::VlanFlow { vlan: vlan.get().into(), lif: lif.get().into() })
        }
        Change::VlanFlowGone(vlan) => ChangeKind::VlanFlowGone(vlan.get().into()),
        Change::VlanFlowsGone => ChangeKind::VlanFlowsGone(peer::Anew {}),
    };
    peer::Change { change: Some(kind) }
}

fn record(record: ClosedRecord) -> peer::Record {
    let ClosedRecord { sequence, id, counters, started, ended, reason: why } = record;
    let counted = Part { name: Name { id, version: started }, counters };
    peer::Record { sequence, part: Some(part(counted)), ended: ended.0, reason: reason(why) }
}

fn next_hop(hop: NextHop) -> peer::NextHop {
    peer::NextHop {
        id: hop.id.get(),
        v6: hop.family == Family::V6,
        source: hop.source.0.to_vec(),
        destination: hop.destination.0.to_vec(),
    }
}

fn session(spec: &SessionSpec, started: Moment, what: Fate) -> peer::Session {
    let SessionSpec { id, in_lif, out_lif, flow, out_vlan, action: ref asked, timeout_seconds } = *spec;
    peer::Session {
        name: Some(name(Name { id, version: started })),
        fate: fate(what),
        in_lif: in_lif.get().into(),
        out_lif: out_lif.get().into(),
        vlan: flow.vlan.get().into(),
        out_vlan: out_vlan.get().into(),
        gtpu: flow.tunnel == Tunnel::Gtpu,
        protocol: flow.transport.number().into(),
        addresses: Some(addresses(flow.addresses)),
        source_port: flow.source_port.into(),
        destination_port: flow.destination_port.into(),
        timeout: timeout_seconds,
        action: Some(action(asked)),
    }
}

fn addresses(addresses: Addresses) -> AddressesKind {
    match addresses {
        Addresses::V4 { source, destination } => {
            let [source, destination] = [source, destination].map(u32::from_be_bytes);
            AddressesKind::V4(peer::Ipv4 { source, destination })
        }
        Addresses::V6 { source, destination } => {
            let [[source_high, source_low], [destination_high, destination_low]] = [source, destination].map(halves);
            AddressesKind::V6(peer::Ipv6 { source_high, source_low, destination_high, destination_low })
        }
    }
}

fn halves(address: [u8; 16]) -> [u64; 2] {
    [0, 8].map(|from| address[from..from + 8].iter().fold(0, |half, octet| (half << 8) | u64::from(*octet)))
}

fn action(action: &Action) -> ActionKind {
    match action {
        Action::Drop => ActionKind::Drop(peer::Anew {}),
        Action::Forward => ActionKind::Forward(peer::Anew {}),
        Action::Route(links) => ActionKind::Route(peer::Route {
            towards_in: Some(link(&links.towards_in)),
            towards_out: Some(link(&links.towards_out)),
        }),
        Action::Mirror { collector } => ActionKind::Mirror(address(*collector)),
        Action::Snoop { collector } => ActionKind::Snoop(address(*collector)),
    }
}

fn link(link: &Link) -> peer::Link {
    peer::Link {
        next_hop: link.next_hop.map_or(0, NextHopId::get),
        snat: link.snat.map(nat),
        dnat: link.dnat.map(nat),
        vlan: link.vlan.map(|vlan| vlan.get().into()),
    }
}

fn nat(nat: Nat) -> peer::Nat {
    peer::Nat { address: address(nat.address), port: nat.port.map_or(0, NonZeroU16::get).into() }
}

fn address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
