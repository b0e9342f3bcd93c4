//! Sessions and their frames, as the tests use them.

use opof_testkit::netns::RawSocket;
use opof_testkit::packet::Packet;
use opof_testkit::wait::Pacer;
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};

use crate::Error;

/// Frames a second that lose none on a busy machine.
pub const RATE: u32 = 10_000;

/// A session of each kind that the fast path tells apart: TCP and UDP, IPv4 and IPv6, untagged and in a VLAN.
///
/// # Panics
/// Never: the VLAN is a valid one.
pub fn keys() -> Vec<FlowKey> {
    let ipv6 = |last| {
        let mut address = [0; 16];
        (address[0], address[15]) = (0xfd, last);
        address
    };
    let v4 = Addresses::V4 { source: [10, 1, 0, 1], destination: [10, 2, 0, 2] };
    let v6 = Addresses::V6 { source: ipv6(1), destination: ipv6(2) };
    let vlan = Vid::new(100).expect("100 is below 4095");
    let mut keys = Vec::new();
    for transport in [Transport::Tcp, Transport::Udp] {
        for addresses in [v4, v6] {
            for vlan in [Vid::UNTAGGED, vlan] {
                let (tunnel, source_port, destination_port) = (Tunnel::None, 40_000, 443);
                keys.push(FlowKey { vlan, tunnel, addresses, source_port, destination_port, transport });
            }
        }
    }
    keys
}

/// A data packet of `key`, and where it has a tag the same with a second one behind it.
pub fn packets(key: &FlowKey) -> Vec<Packet> {
    let packet = Packet::with_key(key);
    if key.vlan.is_untagged() { vec![packet] } else { vec![packet.clone(), packet.vlan(7)] }
}

/// Sends `count` frames evenly, each of `frames` in turn. Returns how many bytes that were.
pub fn send(socket: &RawSocket, frames: &[Vec<u8>], count: usize) -> Result<u64, Error> {
    let mut pacer = Pacer::new(RATE);
    let mut bytes = 0;
    for frame in frames.iter().cycle().take(count) {
        pacer.wait();
        socket.send(frame)?;
        bytes += frame.len() as u64;
    }
    Ok(bytes)
}
