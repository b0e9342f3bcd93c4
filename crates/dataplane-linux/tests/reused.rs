//! The kernel reuses the memory of a value that is deleted or replaced, while a program may still be reading it. What such
//! a program then sees is a value with the check of another; here it is put there.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

use aya::maps::{HashMap, Map, MapData};
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

#[test]
fn an_entry_with_the_check_of_another_key_is_a_miss() {
    let lab = Lab::new();
    let mut plane = lab.plane(16);
    let four = flow(1, 0);
    let six = FlowKey { addresses: Addresses::V6 { source: [0xFD; 16], destination: [0xFC; 16] }, ..four };
    install(&mut plane, 0, forward(four));
    install(&mut plane, 1, forward(six));
    spoil::<20, 16>(&lab, "sessions4", 0..8, judged(&plane, &four));
    spoil::<44, 16>(&lab, "sessions6", 0..8, judged(&plane, &six));
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
