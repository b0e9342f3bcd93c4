//! What leads to a session or a next hop may lead to another's: half of a hash is the same, or the kernel reuses the memory of a
//! value that was replaced while a program is still reading it. What a program then sees is put there.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

use aya::maps::{Array, HashMap, Map, MapData};
use opof_dataplane_linux::XdpPlane;
use opof_dataplane_linux::probe::Probe;
use opof_session::l3::{Family, NextHop, NextHopId};
use opof_session::plane::{Command, Completion, FastAction, PacketChange, Route, RouteToken};
use opof_testkit::packet::Packet;
use opof_wire::ethernet::MacAddress;
use opof_wire::{Addresses, FlowKey, SlowPath};

mod common;
use common::{Lab, command, flow, forward, install, lifs};

/// Flips a bit of one byte after the other, those `checked`, in every value of a pinned map. `verdict` has to be a miss while
/// one is flipped, and a hit before and after.
fn spoil<const KEY: usize, const VALUE: usize>(
    lab: &Lab,
    map: &str,
    checked: std::ops::Range<usize>,
    mut verdict: impl FnMut() -> Result<(), SlowPath>,
) {
    let data = MapData::from_pin(lab.pin_dir.join(map)).unwrap();
    let mut map = HashMap::<_, [u8; KEY], [u8; VALUE]>::try_from(Map::HashMap(data)).unwrap();
    let all: Vec<_> = map.iter().map(Result::unwrap).collect();
    assert_eq!(verdict(), Ok(()));
    for at in checked {
        for (key, value) in &all {
            let mut bent = *value;
            bent[at] ^= 0x10;
            map.insert(key, bent, 0).unwrap();
        }
        assert_eq!(verdict(), Err(SlowPath::Miss), "byte {at} is another's");
        for (key, value) in &all {
            map.insert(key, value, 0).unwrap();
        }
        assert_eq!(verdict(), Ok(()));
    }
}

fn judged(plane: &XdpPlane, flow: &FlowKey) -> impl FnMut() -> Result<(), SlowPath> {
    let frame = Packet::with_key(flow).pad_to(60).build();
    let mut probe = Probe::new(plane, lifs()[0]).unwrap();
    move || probe.judge(plane, &frame).unwrap().verdict.map(|_| ())
}

/// Every bit of a key in the table counts, and none of what stands beside it.
#[test]
fn an_entry_that_leads_to_another_key_is_a_miss() {
    let lab = Lab::new();
    let mut plane = lab.plane(16);
    let four = flow(1, 0);
    let six = FlowKey { addresses: Addresses::V6 { source: [0xFD; 16], destination: [0xFC; 16] }, ..four };
    install(&mut plane, 0, forward(four));
    install(&mut plane, 1, forward(six));
    let data = MapData::from_pin(lab.pin_dir.join("flows")).unwrap();
    let mut flows = Array::<_, [u8; 64]>::try_from(Map::Array(data)).unwrap();
    // Addresses; ports, VLAN, what it is of and the LIF. Behind those is the LIF to leave by.
    for (key, slot, compared) in [(four, 0, [0..8, 32..39]), (six, 1, [0..32, 32..39])] {
        let mut verdict = judged(&plane, &key);
        let written = flows.get(&(2 * slot), 0).unwrap();
        for (at, bit) in compared.into_iter().flatten().flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bent = written;
            bent[at] ^= 1 << bit;
            flows.set(2 * slot, bent, 0).unwrap();
            assert_eq!(verdict(), Err(SlowPath::Miss), "bit {bit} of byte {at} is another's");
            flows.set(2 * slot, written, 0).unwrap();
            assert_eq!(verdict(), Ok(()));
        }
    }
}

#[test]
fn a_next_hop_with_a_part_of_another_is_not_there() {
    let lab = Lab::new();
    let mut plane = lab.plane(16);
    let [source, destination] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]].map(MacAddress);
    let hop = NextHop { id: NextHopId::new(7).unwrap(), family: Family::V4, source, destination };
    let set = Command::Route { route: Route::SetNextHop(hop), token: RouteToken(0) };
    assert!(matches!(command(&mut plane, &[set])[..], [Completion::Routed { result: Ok(()), .. }]));
    let rules = forward(flow(1, 0)).map(|mut rule| {
        let FastAction::Forward { change, .. } = &mut rule.action else { unreachable!("it forwards") };
        *change = PacketChange { next_hop: Some(hop.id), ..PacketChange::default() };
        rule
    });
    install(&mut plane, 0, rules);
    // The check, and both addresses.
    spoil::<4, 24>(&lab, "next_hops", 0..20, judged(&plane, &flow(1, 0)));
}
