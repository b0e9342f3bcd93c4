use std::sync::Arc;

use proptest::prelude::*;
use prost::Message as _;

use opof_session::ha::change::{Change, Fate, Name};
use opof_session::ha::message::{Begin, Conversation, Payload, Segment};
use opof_session::ha::term::{Position, Role, Term};
use opof_session::l3::{Link, NextHopId};
use opof_session::limits::LAST_TERM;
use opof_session::types::{CloseReason, ClosedRecord, Counters, DirectionCounters, Moment, SessionId};
use opof_wire::Vid;

use super::*;
use crate::peer::change::Change as Kind;
use crate::peer::segment::Frame;
use crate::peer::session::{Action, Addresses};
use crate::{limits, peer};

/// A standby that has heard of nobody.
fn standby() -> Envelope {
    let position = Some(peer::Position::default());
    Envelope { version: 1, run: 7, role: 2, now: 1_000, position, ..Envelope::default() }
}

fn active(frame: Frame) -> Envelope {
    let segment = peer::Segment { term: 2, conversation: 1, number: 3, frame: Some(frame), ..peer::Segment::default() };
    Envelope { role: 1, term: 2, segment: Some(segment), ..standby() }
}

fn row(kind: Kind) -> Envelope {
    active(Frame::Rows(peer::Rows { rows: vec![peer::Change { change: Some(kind) }] }))
}

/// 10.0.0.1:12345 > 10.1.0.3:80 TCP, forward, from LIF 1 to LIF 2.
fn session() -> peer::Session {
    peer::Session {
        name: Some(peer::Name { id: 9, version: 500 }),
        fate: 1,
        in_lif: 1,
        out_lif: 2,
        protocol: 6,
        addresses: Some(Addresses::V4(peer::Ipv4 { source: 0x0a00_0001, destination: 0x0a01_0003 })),
        source_port: 12345,
        destination_port: 80,
        timeout: 30,
        action: Some(Action::Forward(peer::Anew {})),
        ..peer::Session::default()
    }
}

fn nat(address: &[u8]) -> peer::Nat {
    peer::Nat { address: address.to_vec(), port: 1 }
}

/// To a next hop, with both addresses and the VLAN changed.
fn link(address: &[u8]) -> peer::Link {
    peer::Link { next_hop: 5, snat: Some(nat(address)), dnat: Some(nat(address)), vlan: Some(4094) }
}

fn routed(towards_in: Option<peer::Link>, towards_out: Option<peer::Link>) -> peer::Session {
    peer::Session { action: Some(Action::Route(peer::Route { towards_in, towards_out })), ..session() }
}

fn part() -> peer::Part {
    peer::Part {
        name: Some(peer::Name { id: 9, version: 500 }),
        in_packets: 1,
        in_bytes: 60,
        out_packets: 2,
        out_bytes: 120,
        last_seen: Some(700),
    }
}

fn record() -> peer::Record {
    peer::Record { sequence: 4, part: Some(part()), ended: 900, reason: 3 }
}

fn said(envelope: Envelope) -> String {
    message(envelope).unwrap_err().to_string()
}

fn said_of(kind: Kind) -> String {
    said(row(kind)).strip_prefix("segment.rows.rows[0]").unwrap().to_owned()
}

fn said_of_session(session: peer::Session) -> String {
    said_of(Kind::Session(session)).strip_prefix(".session.").unwrap().to_owned()
}

#[test]
fn a_standby_that_has_heard_of_nobody() {
    let read = message(standby()).unwrap();
    let expected = Message {
        run: 7,
        term: Term(0),
        role: Role::Standby,
        now: Moment(1_000),
        echo: None,
        grants: false,
        position: Position::default(),
        segment: None,
    };
    assert_eq!(read, expected);
    assert_eq!(envelope(read), standby());
}

/// Of two devices one is of a later version while a pair is being upgraded.
#[test]
fn what_only_a_later_version_knows_is_passed_over() {
    let known = row(Kind::Session(session()));
    let mut bytes = known.encode_to_vec();
    // Field 100, a number, and field 101, bytes.
    bytes.extend([0xa0, 0x06, 0x05, 0xaa, 0x06, 0x02, 0x01, 0x02]);
    let later = Envelope { version: VERSION + 1, ..Envelope::decode(bytes.as_slice()).unwrap() };
    assert_eq!(message(later).unwrap(), message(known).unwrap());
}

#[test]
fn an_active_that_goes_on() {
    let position = peer::Position { term: 2, change: 77 };
    let mut said = active(Frame::Behind(peer::Behind { position: Some(position), term: 4, ahead: Some(-5) }));
    said.echo = Some(peer::Echo { run: 8, now: 999 });
    let read = message(said.clone()).unwrap();
    assert_eq!((read.role, read.term, read.echo), (Role::Active, Term(2), Some((8, Moment(999)))));
    let begin = Begin::Behind { position: Position { term: Term(2), change: 77 }, term: Term(4), ahead: Some(-5) };
    let conversation = Conversation { term: Term(2), number: 1 };
    let expected = Segment { conversation, through: 0, done: 0, frame: Some((3, Arc::new(Payload::Begin(begin)))) };
    assert_eq!(read.segment, Some(expected));
    assert_eq!(envelope(read), said);
}

#[test]
fn every_field_of_a_session_finds_its_place() {
    let asked = routed(Some(peer::Link::default()), Some(link(&[192, 0, 2, 1])));
    let said = row(Kind::Session(peer::Session { vlan: 10, out_vlan: 20, fate: 2, ..asked }));
    let read = message(said.clone()).unwrap();
    let Some(Segment { frame: Some((3, payload)), .. }) = &read.segment else { panic!("{read:?}") };
    let Payload::Rows(rows) = &**payload else { panic!("{read:?}") };
    let [Change::Session { spec, started: Moment(500), fate: Fate::Waits }] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!(
        format!("{} {} {} {} {}", spec.id, spec.in_lif, spec.out_lif, spec.out_vlan, spec.flow),
        "9 1 2 vlan 20 tcp 10.0.0.1:12345 > 10.1.0.3:80 vlan 10"
    );
    let opof_session::types::Action::Route(links) = &spec.action else { panic!("{spec:?}") };
    assert_eq!(links.towards_in, Link::default());
    let out = links.towards_out;
    assert_eq!(
        (out.next_hop.map(NextHopId::get), out.vlan.map(Vid::get), out.snat == out.dnat, spec.timeout_seconds),
        (Some(5), Some(4094), true, 30)
    );
    assert_eq!(envelope(read), said);
}

#[test]
fn a_record_has_its_session_and_when_that_began() {
    let gone = peer::Gone { name: Some(peer::Name { id: 9, version: 500 }), record: Some(record()) };
    let said = row(Kind::Gone(gone));
    let read = message(said.clone()).unwrap();
    let counters = Counters {
        inward: DirectionCounters { packets: 1, bytes: 60 },
        outward: DirectionCounters { packets: 2, bytes: 120 },
        last_seen: Some(Moment(700)),
    };
    let (id, started, ended) = (SessionId(9), Moment(500), Moment(900));
    let record = ClosedRecord { sequence: 4, id, counters, started, ended, reason: CloseReason::Timeout };
    let gone = Change::Gone { name: Name { id, version: started }, record: Some(record) };
    assert_eq!(read.segment.as_ref().unwrap().frame, Some((3, Arc::new(Payload::Rows(vec![gone])))));
    assert_eq!(envelope(read), said);
}

#[test]
fn each_wrong_field_of_an_envelope_is_named() {
    assert_eq!(said(Envelope { version: 0, ..standby() }), "version: 0, the smallest is 1");
    assert_eq!(said(Envelope { role: 0, ..standby() }), "role: 0, which this version does not know there");
    assert_eq!(said(Envelope { role: 3, ..standby() }), "role: 3, which this version does not know there");
    assert_eq!(said(Envelope { role: 1, ..standby() }), "term: 0, the smallest is 1");
    assert_eq!(said(Envelope { term: LAST_TERM + 1, ..standby() }), "term: 8388609, the last one is 8388608");
    assert_eq!(said(Envelope { position: None, ..standby() }), "position: missing");
    let position = Some(peer::Position { term: 0, change: 1 });
    assert_eq!(said(Envelope { position, ..standby() }), "position.change: 1, but in term 0 nobody changes anything");
}

#[test]
fn each_wrong_field_of_a_segment_is_named() {
    let with = |change: fn(&mut peer::Segment)| {
        let mut envelope = active(Frame::Anew(peer::Anew {}));
        change(envelope.segment.as_mut().unwrap());
        said(envelope)
    };
    assert_eq!(with(|segment| segment.term = 0), "segment.term: 0, the smallest is 1");
    assert_eq!(with(|segment| segment.term = u64::MAX), format!("segment.term: {}, the last one is 8388608", u64::MAX));
    assert_eq!(with(|segment| segment.conversation = 0), "segment.conversation: 0, the smallest is 1");
    assert_eq!(with(|segment| segment.number = 0), "segment.number: 0, a frame is numbered from 1 on");
    assert_eq!(with(|segment| segment.frame = None), "segment.frame: of no kind that this version knows");
}

#[test]
fn each_wrong_field_of_a_frame_is_named() {
    let (nobody, somebody) = (Some(peer::Position::default()), Some(peer::Position { term: 1, change: 0 }));
    let behind = |position, term| said(active(Frame::Behind(peer::Behind { position, term, ahead: None })));
    assert_eq!(behind(None, 1), "segment.behind.position: missing");
    assert_eq!(behind(nobody, 1), "segment.behind.position.term: 0, the smallest is 1");
    assert_eq!(behind(somebody, 0), "segment.behind.term: 0, the smallest is 1");
    assert_eq!(said(active(Frame::Yield(peer::Position::default()))), "segment.yield.term: 0, the smallest is 1");
    let changes = |first| {
        let gone = peer::Change { change: Some(Kind::NextHopsGone(peer::Anew {})) };
        message(active(Frame::Changes(peer::Changes { first, changes: vec![gone; 2] }))).map(|_| ())
    };
    assert_eq!(changes(0).unwrap_err().to_string(), "segment.changes.first: 0, the smallest is 1");
    assert_eq!(changes(u64::MAX - 2), Ok(()));
    assert_eq!(
        changes(u64::MAX - 1).unwrap_err().to_string(),
        "segment.changes.first: 18446744073709551614, and no numbers for 2 changes from there on"
    );
    let mut parts = vec![part(); 3];
    parts[2].name = None;
    let counters = peer::Counters { parts: parts.clone(), is_last: false };
    assert_eq!(said(active(Frame::Counters(counters))), "segment.counters.parts[2].name: missing");
    assert_eq!(said(active(Frame::LetGo(peer::LetGo { parts }))), "segment.let_go.parts[2].name: missing");
}

#[test]
fn a_frame_has_so_much_and_no_more() {
    let parts = |count| message(active(Frame::LetGo(peer::LetGo { parts: vec![part(); count] }))).map(|_| ());
    assert_eq!(parts(limits::PEER_ITEMS), Ok(()));
    let error = parts(limits::PEER_ITEMS + 1).unwrap_err().to_string();
    assert_eq!(error, "segment.let_go.parts: 1025, a frame has 1024 at most");
}

#[test]
fn each_wrong_field_of_a_change_is_named() {
    let nothing = active(Frame::Rows(peer::Rows { rows: vec![peer::Change { change: None }] }));
    assert_eq!(said(nothing), "segment.rows.rows[0]: of no kind that this version knows");
    let name = Some(peer::Name { id: 9, version: 500 });
    assert_eq!(said_of(Kind::Fate(peer::NewFate { name: None, fate: 1 })), ".fate.name: missing");
    let unknown = "which this version does not know there";
    assert_eq!(said_of(Kind::Fate(peer::NewFate { name, fate: 0 })), format!(".fate.fate: 0, {unknown}"));
    assert_eq!(said_of(Kind::Fate(peer::NewFate { name, fate: 7 })), format!(".fate.fate: 7, {unknown}"));
    assert_eq!(said_of(Kind::Gone(peer::Gone { name: None, record: None })), ".gone.name: missing");
    let bare = peer::Record { part: None, ..record() };
    assert_eq!(said_of(Kind::Gone(peer::Gone { name, record: Some(bare) })), ".gone.record.part: missing");
    let nameless = peer::Record { part: Some(peer::Part { name: None, ..part() }), ..record() };
    assert_eq!(said_of(Kind::Record(nameless)), ".record.part.name: missing");
    for reason in [0, 1, 2, 7] {
        let error = said_of(Kind::Record(peer::Record { reason, ..record() }));
        assert_eq!(error, format!(".record.reason: {reason}, {unknown}"));
    }
    assert_eq!(said_of(Kind::NextHopGone(0)), ".next_hop_gone: 0, the smallest is 1");
    assert_eq!(said_of(Kind::VlanFlowGone(0)), ".vlan_flow_gone: 0, the smallest is 1");
    assert_eq!(said_of(Kind::VlanFlowGone(4095)), ".vlan_flow_gone: VLAN 4095, the largest is 4094");
    let flow = |vlan, lif| said_of(Kind::VlanFlow(peer::VlanFlow { vlan, lif }));
    assert_eq!(flow(0, 1), ".vlan_flow.vlan: 0, the smallest is 1");
    assert_eq!(flow(65_536, 1), ".vlan_flow.vlan: VLAN 65536, the largest is 4094");
    assert_eq!(flow(1, 0), ".vlan_flow.lif: 0, interfaces are numbered from 1 to 65535");
    let hop = |id, source: usize, destination: usize| {
        let [source, destination] = [source, destination].map(|len| vec![2; len]);
        said_of(Kind::NextHop(peer::NextHop { id, v6: false, source, destination }))
    };
    assert_eq!(hop(0, 6, 6), ".next_hop.id: 0, the smallest is 1");
    assert_eq!(hop(1, 5, 6), ".next_hop.source: 5 bytes, a MAC address has 6");
    assert_eq!(hop(1, 6, 7), ".next_hop.destination: 7 bytes, a MAC address has 6");
}

#[test]
fn each_wrong_field_of_a_session_is_named() {
    let with = |change: fn(&mut peer::Session)| {
        let mut session = session();
        change(&mut session);
        said_of_session(session)
    };
    assert_eq!(with(|session| session.name = None), "name: missing");
    assert_eq!(with(|session| session.fate = -1), "fate: -1, which this version does not know there");
    assert_eq!(with(|session| session.in_lif = 0), "in_lif: 0, interfaces are numbered from 1 to 65535");
    assert_eq!(with(|session| session.out_lif = 65_536), "out_lif: 65536, interfaces are numbered from 1 to 65535");
    assert_eq!(with(|session| session.vlan = 4095), "vlan: VLAN 4095, the largest is 4094");
    assert_eq!(with(|session| session.out_vlan = u32::MAX), "out_vlan: VLAN 4294967295, the largest is 4094");
    assert_eq!(with(|session| session.protocol = 1), "protocol: 1, only TCP (6) and UDP (17) are offloaded");
    assert_eq!(with(|session| session.protocol = 262), "protocol: 262, only TCP (6) and UDP (17) are offloaded");
    assert_eq!(with(|session| session.addresses = None), "addresses: of no kind that this version knows");
    assert_eq!(with(|session| session.source_port = 65_536), "source_port: 65536, the largest port is 65535");
    assert_eq!(with(|session| session.destination_port = 65_536), "destination_port: 65536, the largest port is 65535");
    assert_eq!(with(|session| session.action = None), "action: of no kind that this version knows");
    let mirror = |session: &mut peer::Session| session.action = Some(Action::Mirror(vec![1; 3]));
    assert_eq!(with(mirror), "mirror: 3 bytes, an address has 4 or 16");
    let snoop = |session: &mut peer::Session| session.action = Some(Action::Snoop(vec![1; 17]));
    assert_eq!(with(snoop), "snoop: 17 bytes, an address has 4 or 16");
}

#[test]
fn each_wrong_field_of_a_link_is_named() {
    let good = Some(peer::Link::default());
    assert_eq!(said_of_session(routed(None, good.clone())), "route.towards_in: missing");
    assert_eq!(said_of_session(routed(good.clone(), None)), "route.towards_out: missing");
    let vlan = Some(peer::Link { vlan: Some(4095), ..peer::Link::default() });
    assert_eq!(said_of_session(routed(vlan, good.clone())), "route.towards_in.vlan: VLAN 4095, the largest is 4094");
    let snat = |nat| Some(peer::Link { snat: Some(nat), ..peer::Link::default() });
    let short = routed(snat(nat(&[1; 3])), good.clone());
    assert_eq!(said_of_session(short), "route.towards_in.snat.address: 3 bytes, an address has 4 or 16");
    let port = routed(good.clone(), snat(peer::Nat { port: 65_536, ..nat(&[1; 4]) }));
    assert_eq!(said_of_session(port), "route.towards_out.snat.port: 65536, the largest port is 65535");
    let family = "route.towards_out.dnat.address: not of the family of the session's source";
    let other = peer::Link { dnat: Some(nat(&[1; 16])), ..peer::Link::default() };
    let other = routed(good, Some(other));
    assert_eq!(said_of_session(other.clone()), family);
    // Its outermost headers may be of another family.
    assert!(message(row(Kind::Session(peer::Session { gtpu: true, ..other }))).is_ok());
}

#[test]
fn the_largest_envelope_is_not_too_large() {
    let [name, far] = [peer::Name { id: u64::MAX, version: u64::MAX }, peer::Name { id: u64::MAX, version: 1 }];
    let link = Some(peer::Link {
        next_hop: u32::MAX,
        snat: Some(peer::Nat { port: 65_535, ..nat(&[1; 16]) }),
        dnat: Some(peer::Nat { port: 65_535, ..nat(&[1; 16]) }),
        vlan: Some(4094),
    });
    let session = peer::Session {
        name: Some(name),
        fate: 6,
        in_lif: 65_535,
        out_lif: 65_535,
        vlan: 4094,
        out_vlan: 4094,
        gtpu: true,
        protocol: 17,
        addresses: Some(Addresses::V6(peer::Ipv6 {
            source_high: u64::MAX,
            source_low: u64::MAX,
            destination_high: u64::MAX,
            destination_low: u64::MAX,
        })),
        source_port: 65_535,
        destination_port: 65_535,
        timeout: u32::MAX,
        ..routed(link.clone(), link)
    };
    let part = peer::Part {
        name: Some(far),
        in_packets: u64::MAX,
        in_bytes: u64::MAX,
        out_packets: u64::MAX,
        out_bytes: u64::MAX,
        last_seen: Some(u64::MAX),
    };
    let record = peer::Record { sequence: u64::MAX, part: Some(part), ended: u64::MAX, reason: 6 };
    for kind in [Kind::Session(session), Kind::Gone(peer::Gone { name: Some(name), record: Some(record) })] {
        let changes = vec![peer::Change { change: Some(kind) }; limits::PEER_ITEMS];
        let first = u64::MAX - limits::PEER_ITEMS as u64;
        let mut said = active(Frame::Changes(peer::Changes { first, changes }));
        said.position = Some(peer::Position { term: LAST_TERM, change: u64::MAX });
        assert!(message(said.clone()).is_ok());
        assert!(said.encoded_len() <= limits::PEER_ENVELOPE, "{}", said.encoded_len());
    }
}

proptest! {
    #[test]
    fn what_is_said_is_read(said in strategies::message()) {
        let bytes = envelope(said.clone()).encode_to_vec();
        prop_assert_eq!(message(Envelope::decode(bytes.as_slice()).unwrap()), Ok(said));
    }

    #[test]
    fn any_bytes_are_a_message_or_wrong(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = Envelope::decode(bytes.as_slice()).map(message);
    }

    /// Most of it is right: so more of it is looked at.
    #[test]
    fn a_message_with_wrong_bytes_is_one_or_wrong(
        said in strategies::message(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = envelope(said).encode_to_vec();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(Ok(read)) = Envelope::decode(bytes.as_slice()).map(message) {
            prop_assert_eq!(message(envelope(read.clone())), Ok(read));
        }
    }
}
