//! Messages of `opof.peer.v1` to domain values. Everything that the other device says is looked at before it gets any further.

use core::net::IpAddr;
use core::num::NonZeroU16;
use std::sync::Arc;

use opof_session::ha::change::{Change, Fate, Name, Part};
use opof_session::ha::message::{Begin, Conversation, Message, Payload, Segment};
use opof_session::ha::term::{Position, Role, Term};
use opof_session::l3::{Family, Link, Links, Nat, NextHop, NextHopId, Tunnel, VlanFlow};
use opof_session::types::{
    Action, CloseReason, ClosedRecord, Counters, DirectionCounters, Lif, Moment, SessionId, SessionSpec,
};
use opof_wire::ethernet::MacAddress;
use opof_wire::{Addresses, FlowKey, Transport, Vid};

use super::error::{Path, PeerMessageError};
use crate::limits;
use crate::peer;
use crate::peer::change::Change as ChangeKind;
use crate::peer::segment::Frame;
use crate::peer::session::{Action as ActionKind, Addresses as AddressesKind};

type Result<T> = core::result::Result<T, PeerMessageError>;

pub(super) fn message(envelope: peer::Envelope) -> Result<Message> {
    let peer::Envelope { run, term, role: what, now, echo, grants, position: at, segment: frames, version } = envelope;
    if version == 0 {
        return Err(PeerMessageError::Zero { field: Path::to("version").to_string() });
    }
    let role = role(what)?;
    let term = any_term(Path::to("term").to_string(), term)?;
    if role == Role::Active && term == Term(0) {
        return Err(PeerMessageError::Zero { field: Path::to("term").to_string() });
    }
    Ok(Message {
        run,
        term,
        role,
        now: Moment(now),
        echo: echo.map(|peer::Echo { run, now }| (run, Moment(now))),
        grants,
        position: position(&Path::to("position"), at)?,
        segment: frames.map(segment).transpose()?,
    })
}

fn role(number: i32) -> Result<Role> {
    match peer::Role::try_from(number) {
        Ok(peer::Role::Active) => Ok(Role::Active),
        Ok(peer::Role::Standby) => Ok(Role::Standby),
        Ok(peer::Role::Unspecified) | Err(_) => {
            Err(PeerMessageError::Value { field: Path::to("role").to_string(), number })
        }
    }
}

/// Of somebody, or of nobody.
fn position(path: &Path<'_>, position: Option<peer::Position>) -> Result<Position> {
    let Some(peer::Position { term, change }) = position else {
        return Err(PeerMessageError::Missing { field: path.to_string() });
    };
    if term == 0 && change != 0 {
        return Err(PeerMessageError::Nobody { field: path.field("change"), change });
    }
    Ok(Position { term: any_term(path.field("term"), term)?, change })
}

/// Of somebody.
fn position_of_active(path: &Path<'_>, at: Option<peer::Position>) -> Result<Position> {
    let position = position(path, at)?;
    one_or_more(path, "term", position.term.0)?;
    Ok(position)
}

fn one_or_more(path: &Path<'_>, name: &'static str, number: u64) -> Result<u64> {
    if number == 0 { Err(PeerMessageError::Zero { field: path.field(name) }) } else { Ok(number) }
}

/// Of somebody, or of nobody.
fn any_term(field: String, term: u64) -> Result<Term> {
    Term::new(term).ok_or(PeerMessageError::Term { field, term })
}

/// Of somebody.
fn term_of_active(path: &Path<'_>, term: u64) -> Result<Term> {
    any_term(path.field("term"), one_or_more(path, "term", term)?)
}

fn segment(segment: peer::Segment) -> Result<Segment> {
    let path = Path::to("segment");
    let peer::Segment { term, conversation, through, done, number, frame: said } = segment;
    let conversation =
        Conversation { term: term_of_active(&path, term)?, number: one_or_more(&path, "conversation", conversation)? };
    let frame = match (number, said) {
        (0, None) => None,
        (0, Some(_)) => return Err(PeerMessageError::Unnumbered { field: path.field("number") }),
        (_, None) => return Err(PeerMessageError::Kind { field: path.field("frame") }),
        (_, Some(said)) => Some((number, Arc::new(frame(&path, said)?))),
    };
    Ok(Segment { conversation, through, done, frame })
}

fn frame(path: &Path<'_>, frame: Frame) -> Result<Payload> {
    Ok(match frame {
        Frame::Anew(_) => Payload::Begin(Begin::Anew),
        Frame::Behind(peer::Behind { position: at, term, ahead }) => {
            let path = path.then("behind");
            let position = position_of_active(&path.then("position"), at)?;
            Payload::Begin(Begin::Behind { position, term: term_of_active(&path, term)?, ahead })
        }
        Frame::Changes(peer::Changes { first, changes }) => {
            let path = path.then("changes");
            one_or_more(&path, "first", first)?;
            if first.checked_add(changes.len() as u64).is_none() {
                return Err(PeerMessageError::Numbers { field: path.field("first"), first, count: changes.len() });
            }
            Payload::Changes { first, changes: each(&path, "changes", changes, change)? }
        }
        Frame::Rows(peer::Rows { rows }) => Payload::Rows(each(&path.then("rows"), "rows", rows, change)?),
        Frame::End(change) => Payload::End { change },
        Frame::Counters(peer::Counters { parts, is_last }) => {
            Payload::Counters { parts: each(&path.then("counters"), "parts", parts, part)?, is_last }
        }
        Frame::LetGo(peer::LetGo { parts }) => Payload::LetGo(each(&path.then("let_go"), "parts", parts, part)?),
        Frame::Yield(at) => Payload::Yield { position: position_of_active(&path.then("yield"), Some(at))? },
    })
}

/// All of a list, or the first that is wrong.
fn each<T, U>(
    path: &Path<'_>,
    name: &'static str,
    items: Vec<T>,
    read: impl Fn(&Path<'_>, T) -> Result<U>,
) -> Result<Vec<U>> {
    if items.len() > limits::PEER_ITEMS {
        return Err(PeerMessageError::TooMany { field: path.field(name), count: items.len() });
    }
    let mut all = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        all.push(read(&path.item(name, at), item)?);
    }
    Ok(all)
}

fn name(path: &Path<'_>, name: Option<peer::Name>) -> Result<Name> {
    let peer::Name { id, version } = name.ok_or_else(|| PeerMessageError::Missing { field: path.field("name") })?;
    Ok(Name { id: SessionId(id), version: Moment(version) })
}

fn part(path: &Path<'_>, part: peer::Part) -> Result<Part> {
    let counters = Counters {
        inward: DirectionCounters { packets: part.in_packets, bytes: part.in_bytes },
        outward: DirectionCounters { packets: part.out_packets, bytes: part.out_bytes },
        last_seen: part.last_seen.map(Moment),
    };
    Ok(Part { name: name(path, part.name)?, counters })
}

fn fate(path: &Path<'_>, number: i32) -> Result<Fate> {
    match peer::Fate::try_from(number) {
        Ok(peer::Fate::Lives) => Ok(Fate::Lives),
        Ok(peer::Fate::Waits) => Ok(Fate::Waits),
        _ => reason(path, "fate", number).map(Fate::Closes),
    }
}

fn reason(path: &Path<'_>, name: &'static str, number: i32) -> Result<CloseReason> {
    match peer::Fate::try_from(number) {
        Ok(peer::Fate::Timeout) => Ok(CloseReason::Timeout),
        Ok(peer::Fate::Deleted) => Ok(CloseReason::Deleted),
        Ok(peer::Fate::Reset) => Ok(CloseReason::Reset),
        Ok(peer::Fate::NextHopGone) => Ok(CloseReason::NextHopGone),
        Ok(peer::Fate::Unspecified | peer::Fate::Lives | peer::Fate::Waits) | Err(_) => {
            Err(PeerMessageError::Value { field: path.field(name), number })
        }
    }
}

fn change(path: &Path<'_>, change: peer::Change) -> Result<Change> {
    let kind = change.change.ok_or_else(|| PeerMessageError::Kind { field: path.to_string() })?;
    Ok(match kind {
        ChangeKind::Session(new) => session(&path.then("session"), &new)?,
        ChangeKind::Fate(peer::NewFate { name: of, fate: what }) => {
            let path = path.then("fate");
            Change::Fate { name: name(&path, of)?, fate: fate(&path, what)? }
        }
        ChangeKind::Gone(peer::Gone { name: of, record: by }) => {
            let path = path.then("gone");
            let read = |by| record(&path.then("record"), by);
            Change::Gone { name: name(&path, of)?, record: by.map(read).transpose()? }
        }
        ChangeKind::Record(closed) => Change::Record(record(&path.then("record"), closed)?),
        ChangeKind::Ended(sequence) => Change::Ended { sequence },
        ChangeKind::NextHop(hop) => Change::NextHop(next_hop(&path.then("next_hop"), &hop)?),
        ChangeKind::NextHopGone(id) => Change::NextHopGone(next_hop_id(path, "next_hop_gone", id)?),
        ChangeKind::NextHopsGone(_) => Change::NextHopsGone,
        ChangeKind::VlanFlow(peer::VlanFlow { vlan, lif: internal }) => {
            let path = path.then("vlan_flow");
            Change::VlanFlow(VlanFlow { vlan: tagged(&path, "vlan", vlan)?, lif: lif(&path, "lif", internal)? })
        }
        ChangeKind::VlanFlowGone(vlan) => Change::VlanFlowGone(tagged(path, "vlan_flow_gone", vlan)?),
        ChangeKind::VlanFlowsGone(_) => Change::VlanFlowsGone,
    })
}

fn record(path: &Path<'_>, record: peer::Record) -> Result<ClosedRecord> {
    let peer::Record { sequence, part: counted, ended, reason: why } = record;
    let counted = counted.ok_or_else(|| PeerMessageError::Missing { field: path.field("part") })?;
    let Part { name: Name { id, version: started }, counters } = part(&path.then("part"), counted)?;
    let reason = reason(path, "reason", why)?;
    Ok(ClosedRecord { sequence, id, counters, started, ended: Moment(ended), reason })
}

fn next_hop(path: &Path<'_>, hop: &peer::NextHop) -> Result<NextHop> {
    Ok(NextHop {
        id: next_hop_id(path, "id", hop.id)?,
        family: if hop.v6 { Family::V6 } else { Family::V4 },
        source: mac(path, "source", &hop.source)?,
        destination: mac(path, "destination", &hop.destination)?,
    })
}

fn next_hop_id(path: &Path<'_>, name: &'static str, number: u32) -> Result<NextHopId> {
    NextHopId::new(number).ok_or_else(|| PeerMessageError::Zero { field: path.field(name) })
}

fn mac(path: &Path<'_>, name: &'static str, bytes: &[u8]) -> Result<MacAddress> {
    let wrong = |_| PeerMessageError::Mac { field: path.field(name), len: bytes.len() };
    <[u8; limits::MAC_BYTES]>::try_from(bytes).map(MacAddress).map_err(wrong)
}

fn session(path: &Path<'_>, session: &peer::Session) -> Result<Change> {
    let Name { id, version: started } = name(path, session.name)?;
    let fate = fate(path, session.fate)?;
    let flow = FlowKey {
        vlan: vid(path, "vlan", session.vlan)?,
        tunnel: if session.gtpu { Tunnel::Gtpu } else { Tunnel::None },
        addresses: addresses(path, session.addresses)?,
        source_port: port(path, "source_port", session.source_port)?,
        destination_port: port(path, "destination_port", session.destination_port)?,
        transport: transport(path, session.protocol)?,
    };
    let asked = session.action.as_ref().ok_or_else(|| PeerMessageError::Kind { field: path.field("action") })?;
    let spec = SessionSpec {
        id,
        in_lif: lif(path, "in_lif", session.in_lif)?,
        out_lif: lif(path, "out_lif", session.out_lif)?,
        flow,
        out_vlan: vid(path, "out_vlan", session.out_vlan)?,
        action: action(path, asked, &flow)?,
        timeout_seconds: session.timeout,
    };
    Ok(Change::Session { spec, started, fate })
}

fn action(path: &Path<'_>, action: &ActionKind, flow: &FlowKey) -> Result<Action> {
    Ok(match action {
        ActionKind::Drop(_) => Action::Drop,
        ActionKind::Forward(_) => Action::Forward,
        ActionKind::Route(route) => {
            let path = path.then("route");
            Action::Route(Box::new(Links {
                towards_in: link(&path, "towards_in", route.towards_in.as_ref(), flow)?,
                towards_out: link(&path, "towards_out", route.towards_out.as_ref(), flow)?,
            }))
        }
        ActionKind::Mirror(bytes) => Action::Mirror { collector: address(path, "mirror", bytes)? },
        ActionKind::Snoop(bytes) => Action::Snoop { collector: address(path, "snoop", bytes)? },
    })
}

fn link(path: &Path<'_>, name: &'static str, link: Option<&peer::Link>, flow: &FlowKey) -> Result<Link> {
    let link = link.ok_or_else(|| PeerMessageError::Missing { field: path.field(name) })?;
    let path = path.then(name);
    let nat = |name, asked: Option<&peer::Nat>| asked.map(|asked| nat(&path.then(name), asked, flow)).transpose();
    Ok(Link {
        next_hop: NextHopId::new(link.next_hop),
        snat: nat("snat", link.snat.as_ref())?,
        dnat: nat("dnat", link.dnat.as_ref())?,
        vlan: link.vlan.map(|vlan| vid(&path, "vlan", vlan)).transpose()?,
    })
}

fn nat(path: &Path<'_>, nat: &peer::Nat, flow: &FlowKey) -> Result<Nat> {
    let address = address(path, "address", &nat.address)?;
    // What goes through a tunnel is translated at its outermost headers, whose family the session does not say.
    if flow.tunnel == Tunnel::None && address.is_ipv4() != flow.addresses.source().is_ipv4() {
        return Err(PeerMessageError::Family { field: path.field("address") });
    }
    Ok(Nat { address, port: NonZeroU16::new(port(path, "port", nat.port)?) })
}

fn addresses(path: &Path<'_>, addresses: Option<AddressesKind>) -> Result<Addresses> {
    match addresses.ok_or_else(|| PeerMessageError::Kind { field: path.field("addresses") })? {
        AddressesKind::V4(peer::Ipv4 { source, destination }) => {
            Ok(Addresses::V4 { source: source.to_be_bytes(), destination: destination.to_be_bytes() })
        }
        AddressesKind::V6(of) => {
            let whole = |high, low| ((u128::from(high) << 64) | u128::from(low)).to_be_bytes();
            Ok(Addresses::V6 {
                source: whole(of.source_high, of.source_low),
                destination: whole(of.destination_high, of.destination_low),
            })
        }
    }
}

fn address(path: &Path<'_>, name: &'static str, bytes: &[u8]) -> Result<IpAddr> {
    if let Ok(v4) = <[u8; limits::IPV4_BYTES]>::try_from(bytes) {
        return Ok(IpAddr::from(v4));
    }
    let wrong = |_| PeerMessageError::Address { field: path.field(name), len: bytes.len() };
    <[u8; limits::IPV6_BYTES]>::try_from(bytes).map(IpAddr::from).map_err(wrong)
}

fn port(path: &Path<'_>, name: &'static str, number: u32) -> Result<u16> {
    u16::try_from(number).map_err(|_| PeerMessageError::Port { field: path.field(name), number })
}

fn transport(path: &Path<'_>, number: u32) -> Result<Transport> {
    let transport = u8::try_from(number).ok().and_then(Transport::from_number);
    transport.ok_or_else(|| PeerMessageError::Protocol { field: path.field("protocol"), number })
}

fn lif(path: &Path<'_>, name: &'static str, number: u32) -> Result<Lif> {
    let lif = u16::try_from(number).ok().and_then(Lif::new);
    lif.ok_or_else(|| PeerMessageError::Lif { field: path.field(name), number })
}

fn vid(path: &Path<'_>, name: &'static str, number: u32) -> Result<Vid> {
    let vid = u16::try_from(number).ok().and_then(Vid::new);
    vid.ok_or_else(|| PeerMessageError::Vlan { field: path.field(name), number })
}

/// One that is a VLAN.
fn tagged(path: &Path<'_>, name: &'static str, number: u32) -> Result<Vid> {
    let vlan = vid(path, name, number)?;
    if vlan.is_untagged() { Err(PeerMessageError::Zero { field: path.field(name) }) } else { Ok(vlan) }
}
