//! Writes an envelope of a peer with each kind of frame and of change into a folder, one a file: what a fuzzer begins with.

use std::error::Error;
use std::path::PathBuf;

use opof_api::peer::change::Change as Kind;
use opof_api::peer::segment::Frame;
use opof_api::peer::session::{Action, Addresses};
use opof_api::peer::{
    Anew, Behind, Change, Changes, Counters, Echo, Envelope, Fate, Gone, Ipv4, Ipv6, LetGo, Link, Name, Nat, NewFate,
    NextHop, Part, Position, Record, Role, Route, Rows, Segment, Session, VlanFlow,
};
use opof_api::peer_message;
use prost::Message as _;

const NAME: Name = Name { id: 9, version: 500 };
const POSITION: Position = Position { term: 2, change: 77 };
const PART: Part =
    Part { name: Some(NAME), in_packets: 1, in_bytes: 60, out_packets: 2, out_bytes: 120, last_seen: Some(700) };
const V4: Addresses = Addresses::V4(Ipv4 { source: 0x0a00_0001, destination: 0x0a01_0003 });
const V6: Addresses = Addresses::V6(Ipv6 {
    source_high: 0x2001_0db8_0000_0000,
    source_low: 1,
    destination_high: 0x2001_0db8_0000_0001,
    destination_low: 2,
});
const RECORD: Record = Record { sequence: 4, part: Some(PART), ended: 900, reason: Fate::Timeout as i32 };

fn session(addresses: Addresses, action: Action) -> Kind {
    Kind::Session(Session {
        name: Some(NAME),
        fate: Fate::Lives.into(),
        in_lif: 1,
        out_lif: 2,
        vlan: 10,
        out_vlan: 20,
        gtpu: false,
        protocol: 6,
        addresses: Some(addresses),
        source_port: 12345,
        destination_port: 80,
        timeout: 30,
        action: Some(action),
    })
}

fn route(address: &[u8]) -> Action {
    let nat = || Some(Nat { address: address.to_vec(), port: 1 });
    let link = || Some(Link { next_hop: 5, snat: nat(), dnat: nat(), vlan: Some(30) });
    Action::Route(Route { towards_in: link(), towards_out: link() })
}

fn changes() -> Vec<(&'static str, Kind)> {
    let mac = || vec![2, 0, 0, 0, 0, 1];
    vec![
        ("drop", session(V4, Action::Drop(Anew {}))),
        ("forward", session(V6, Action::Forward(Anew {}))),
        ("route", session(V4, route(&[11; 4]))),
        ("route-v6", session(V6, route(&[33; 16]))),
        ("mirror", session(V4, Action::Mirror(vec![32; 16]))),
        ("snoop", session(V4, Action::Snoop(vec![10; 4]))),
        ("fate", Kind::Fate(NewFate { name: Some(NAME), fate: Fate::Waits.into() })),
        ("gone", Kind::Gone(Gone { name: Some(NAME), record: Some(RECORD) })),
        ("record", Kind::Record(RECORD)),
        ("ended", Kind::Ended(4)),
        ("next-hop", Kind::NextHop(NextHop { id: 5, v6: true, source: mac(), destination: mac() })),
        ("next-hop-gone", Kind::NextHopGone(5)),
        ("next-hops-gone", Kind::NextHopsGone(Anew {})),
        ("vlan-flow", Kind::VlanFlow(VlanFlow { vlan: 10, lif: 1 })),
        ("vlan-flow-gone", Kind::VlanFlowGone(10)),
        ("vlan-flows-gone", Kind::VlanFlowsGone(Anew {})),
    ]
}

fn frames() -> Vec<(&'static str, Frame)> {
    let parts = || vec![PART; 2];
    let rows = || changes().into_iter().map(|(_, kind)| Change { change: Some(kind) }).collect();
    let mut frames = vec![
        ("anew", Frame::Anew(Anew {})),
        ("behind", Frame::Behind(Behind { position: Some(POSITION), term: 4, ahead: Some(-5) })),
        ("changes", Frame::Changes(Changes { first: 1, changes: rows() })),
        ("end", Frame::End(77)),
        ("counters", Frame::Counters(Counters { parts: parts(), is_last: true })),
        ("let-go", Frame::LetGo(LetGo { parts: parts() })),
        ("yield", Frame::Yield(POSITION)),
    ];
    let row = |kind| Frame::Rows(Rows { rows: vec![Change { change: Some(kind) }] });
    frames.extend(changes().into_iter().map(|(name, kind)| (name, row(kind))));
    frames
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: seed_peer_messages FOLDER")?);
    for (name, frame) in frames() {
        let envelope = Envelope {
            run: 7,
            term: 2,
            role: Role::Active.into(),
            now: 1_000,
            echo: Some(Echo { run: 8, now: 999 }),
            grants: true,
            position: Some(POSITION),
            segment: Some(Segment { term: 2, conversation: 1, through: 5, done: 6, number: 3, frame: Some(frame) }),
            version: peer_message::VERSION,
        };
        let bytes = envelope.encode_to_vec();
        peer_message::message(envelope).map_err(|error| format!("{name}: {error}"))?;
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
