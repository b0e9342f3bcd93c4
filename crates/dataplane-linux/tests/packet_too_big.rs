//! Whether a host believes the answer to a packet that does not fit: the kernel of a network namespace sends one, gets the
//! answer, and has a smaller path MTU from then on.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use opof_testkit::netns::{Capture, NetNs, PortOptions, RawSocket, veth};
use opof_testkit::{require, wait};
use opof_wire::ethernet::MacAddress;
use opof_wire::packet_too_big::{MAX_LEN, Silence, answer};

const BOUND: Duration = Duration::from_secs(10);
const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 9, 1];
/// Whom the host takes the far end for.
const PEER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 9, 2]);
/// What fits into the host's link and not into what is behind it.
const PAYLOAD: [u8; 1400] = [0x55; 1400];
const MTU: u16 = 1350;

#[test]
fn a_host_makes_its_packets_smaller() {
    require::require(require::NETWORK).unwrap();
    let host = Arc::new(NetNs::new("host").unwrap());
    let device = Arc::new(NetNs::new("device").unwrap());
    let options = |mac, ip| PortOptions { mac, ip, promiscuous: !ip, mtu: 1500 };
    let ends = [(&host, "eth0", options(HOST_MAC, true)), (&device, "wire", options([2, 0, 0, 0, 9, 9], false))];
    let [_, wire] = veth(ends).unwrap();
    for (address, peer, nodad) in [("10.9.0.1/24", "10.9.0.2", ""), ("fd09::1/64", "fd09::2", "nodad")] {
        host.ip(&format!("addr add {address} dev eth0 {nodad}")).unwrap();
        host.ip(&format!("neigh add {peer} lladdr {PEER_MAC} dev eth0 nud permanent")).unwrap();
    }
    let capture = Capture::start(&wire).unwrap();
    let back = RawSocket::open(&wire).unwrap();

    for (from, to) in [("10.9.0.1", "10.9.0.2"), ("fd09::1", "fd09::2")] {
        let address = |text: &str, port| SocketAddr::new(text.parse::<IpAddr>().unwrap(), port);
        let socket = host.run(|| {
            let socket = UdpSocket::bind(address(from, 5000)).unwrap();
            socket.connect(address(to, 6000)).unwrap();
            socket
        });
        let socket = socket.unwrap();
        let path = || host.ip(&format!("route get {to}")).unwrap();
        assert!(!path().contains("mtu"), "{}", path());

        socket.send(&PAYLOAD).unwrap();
        let mut out = [0; MAX_LEN];
        // Whatever else a host says of its own accord is shorter.
        let len = wait::until("the packet", BOUND, || {
            let frame = capture.next(BOUND).unwrap();
            match answer(&frame, MTU, &mut out) {
                Err(Silence::LinkGroup | Silence::NotIp | Silence::Fits) => None,
                answered => Some(answered.unwrap()),
            }
        });
        back.send(&out[..len.unwrap()]).unwrap();

        let believed = format!("mtu {MTU}");
        wait::until(&believed, BOUND, || path().contains(&believed).then_some(())).unwrap();
    }
}
