//! Paths to addresses as the kernel of a network namespace knows them: direct and through a gateway, IPv4 and IPv6, next
//! hops that are not known until they are asked for, and addresses that nothing can be sent to.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use opof_dataplane_linux::neighbour::{Path, Resolver, Unreachable};
use opof_testkit::netns::{NetNs, PortOptions, veth};
use opof_testkit::{require, wait};
use opof_wire::ethernet::MacAddress;

/// A neighbour answers in well under a second.
const BOUND: Duration = Duration::from_secs(10);

const NEAR_MAC: [u8; 6] = [2, 0, 0, 0, 9, 1];
const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 9, 2];
const OTHER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 9, 3]);
const MTU: u16 = 1450;

/// The device and what is at the other end of its wire: 10.9.0.1 and 10.9.0.2, fd09::1 and fd09::2.
struct Lab {
    device: Arc<NetNs>,
    far: Arc<NetNs>,
    resolver: Resolver,
}

impl Lab {
    fn new() -> Self {
        require::require(require::NETWORK).unwrap();
        let device = Arc::new(NetNs::new("device").unwrap());
        let far = Arc::new(NetNs::new("far").unwrap());
        let options = |mac| PortOptions { mac, ip: true, promiscuous: false, mtu: MTU };
        veth([(&device, "out0", options(NEAR_MAC)), (&far, "in0", options(FAR_MAC))]).unwrap();
        for (namespace, port, last) in [(&device, "out0", 1), (&far, "in0", 2)] {
            // Neighbour discovery is spoken from a link-local address (RFC 4861, 4.3).
            for address in [format!("10.9.0.{last}/24"), format!("fd09::{last}/64"), format!("fe80::{last}/64")] {
                let nodad = if address.contains(':') { "nodad" } else { "" };
                namespace.ip(&format!("addr add {address} dev {port} {nodad}")).unwrap();
            }
        }
        let resolver = device.run(Resolver::new).unwrap().unwrap();
        Self { device, far, resolver }
    }

    fn resolve(&mut self, to: &str) -> Result<Path, Unreachable> {
        self.resolver.resolve(to.parse().unwrap())
    }

    /// Asks until the next hop has answered.
    fn resolved(&mut self, to: &str) -> Path {
        let path = wait::until(&format!("a path to {to}"), BOUND, || match self.resolve(to) {
            Err(Unreachable::NoNeighbour { .. }) => None,
            answer => Some(answer.unwrap()),
        });
        path.unwrap()
    }

    fn index(&self) -> u32 {
        let link = self.device.ip("-o link show dev out0").unwrap();
        link.split(':').next().unwrap().parse().unwrap()
    }

    /// By `out0` to the far end, from the device's address of this family.
    fn path(&self, source: &str) -> Path {
        Path {
            interface: self.index(),
            source: source.parse().unwrap(),
            source_mac: MacAddress(NEAR_MAC),
            destination_mac: MacAddress(FAR_MAC),
            mtu: u32::from(MTU),
        }
    }

    /// The kernel's own word on a neighbour.
    fn state(&self, address: &str) -> String {
        self.device.ip(&format!("neigh show {address} dev out0")).unwrap().trim().to_owned()
    }
}

#[test]
fn an_unknown_neighbour_becomes_known_by_being_asked_for() {
    let mut lab = Lab::new();
    for (to, source) in [("10.9.0.2", "10.9.0.1"), ("fd09::2", "fd09::1")] {
        assert_eq!(lab.state(to), "", "nobody has asked yet");
        let error = lab.resolve(to).unwrap_err();
        let Unreachable::NoNeighbour { next_hop, interface } = &error else { panic!("{to}: {error}") };
        assert_eq!((*next_hop, interface.as_str()), (to.parse::<IpAddr>().unwrap(), "out0"));
        assert_eq!(lab.resolved(to), lab.path(source));
    }
}

#[test]
fn through_a_gateway_the_next_hop_is_the_gateway() {
    let mut lab = Lab::new();
    lab.device.ip("route add 192.0.2.0/24 via 10.9.0.2").unwrap();
    lab.device.ip("route add 2001:db8::/32 via fe80::2 dev out0").unwrap();
    // IPv4 by a gateway that is known by an IPv6 address (RFC 8950).
    lab.device.ip("route add 198.51.100.0/24 via inet6 fd09::2 dev out0").unwrap();
    let cases = [
        ("192.0.2.7", "10.9.0.2", "10.9.0.1"),
        ("2001:db8::7", "fe80::2", "fd09::1"),
        ("198.51.100.7", "fd09::2", "10.9.0.1"),
    ];
    for (to, gateway, source) in cases {
        let error = lab.resolve(to).unwrap_err();
        let Unreachable::NoNeighbour { next_hop, .. } = &error else { panic!("{to}: {error}") };
        assert_eq!(*next_hop, gateway.parse::<IpAddr>().unwrap());
        assert_eq!(lab.resolved(to), lab.path(source));
        assert_eq!(lab.state(to), "", "the address itself is no neighbour");
    }
}

#[test]
fn the_smaller_mtu_of_interface_and_route_counts() {
    let mut lab = Lab::new();
    lab.device.ip("route add 192.0.2.0/24 via 10.9.0.2 mtu 1400").unwrap();
    lab.device.ip("route add 198.51.100.0/24 via 10.9.0.2 mtu 9000").unwrap();
    lab.device.ip("route add 2001:db8::/32 via fd09::2 mtu 1300").unwrap();
    let mtus = ["192.0.2.7", "198.51.100.7", "2001:db8::7"].map(|to| lab.resolved(to).mtu);
    assert_eq!(mtus, [1400, u32::from(MTU), 1300]);
}

#[test]
fn where_nothing_can_be_sent_is_said_why() {
    let mut lab = Lab::new();
    lab.device.ip("route add blackhole 203.0.113.0/25").unwrap();
    lab.device.ip("route add unreachable 203.0.113.128/25").unwrap();
    lab.device.ip("route add prohibit 2001:db8:1::/48").unwrap();
    lab.device.ip("route add blackhole 2001:db8:2::/48").unwrap();
    for to in ["192.0.2.7", "2001:db8::7", "203.0.113.1", "203.0.113.129", "2001:db8:1::1", "2001:db8:2::1"] {
        let error = lab.resolve(to).unwrap_err();
        assert!(matches!(error, Unreachable::NoRoute { .. }), "{to}: {error:?}");
        assert!(error.to_string().starts_with(&format!("no route to {to} (")), "{error}");
    }
    for to in ["10.9.0.1", "fd09::1", "127.0.0.1", "::1"] {
        let error = lab.resolve(to).unwrap_err();
        assert!(matches!(error, Unreachable::Local { .. }), "{to}: {error:?}");
    }
    for to in ["10.9.0.255", "255.255.255.255", "ff02::1", "fe80::2"] {
        let error = lab.resolve(to).unwrap_err();
        assert!(matches!(error, Unreachable::NotUnicast { .. }), "{to}: {error:?}");
    }
}

#[test]
fn an_interface_without_mac_addresses_is_named() {
    let mut lab = Lab::new();
    lab.device.ip("tuntap add dev tun0 mode tun").unwrap();
    lab.device.ip("addr add 10.10.0.1/24 dev tun0").unwrap();
    lab.device.ip("link set dev tun0 up").unwrap();
    let error = lab.resolve("10.10.0.2").unwrap_err();
    assert!(matches!(&error, Unreachable::NoHardwareAddress { interface, .. } if interface == "tun0"), "{error:?}");
}

#[test]
fn who_does_not_answer_stays_unknown() {
    let mut lab = Lab::new();
    for to in ["10.9.0.77", "fd09::77"] {
        let error = lab.resolve(to).unwrap_err();
        assert!(matches!(error, Unreachable::NoNeighbour { .. }), "{error:?}");
        wait::until("the kernel to give up", BOUND, || lab.state(to).contains("FAILED").then_some(())).unwrap();
        let error = lab.resolve(to).unwrap_err();
        assert!(matches!(error, Unreachable::NoNeighbour { .. }), "{error:?}");
        assert!(lab.state(to).contains("INCOMPLETE"), "asked for again: {}", lab.state(to));
    }
}

#[test]
fn static_neighbours_are_taken_and_stale_ones_confirmed() {
    let mut lab = Lab::new();
    for (to, source) in [("10.9.0.50", "10.9.0.1"), ("fd09::50", "fd09::1")] {
        lab.device.ip(&format!("neigh add {to} lladdr {OTHER_MAC} dev out0 nud permanent")).unwrap();
        assert_eq!(lab.resolve(to).unwrap(), Path { destination_mac: OTHER_MAC, ..lab.path(source) });
        assert!(lab.state(to).contains("PERMANENT"));
    }
    let far = MacAddress(FAR_MAC);
    for to in ["10.9.0.2", "fd09::2"] {
        lab.device.ip(&format!("neigh add {to} lladdr {far} dev out0 nud stale")).unwrap();
        assert!(lab.state(to).contains("STALE"));
        assert_eq!(lab.resolve(to).unwrap().destination_mac, far);
        assert!(!lab.state(to).contains("STALE"), "{}", lab.state(to));
    }
}

/// The address has moved to another station, which has not said so.
#[test]
fn a_stale_neighbour_that_has_moved_is_found_again() {
    let mut lab = Lab::new();
    for key in ["ipv4", "ipv6"] {
        lab.device.sysctl(&format!("net/{key}/neigh/out0/delay_first_probe_time"), "0").unwrap();
    }
    for to in ["10.9.0.2", "fd09::2"] {
        lab.device.ip(&format!("neigh add {to} lladdr {OTHER_MAC} dev out0 nud stale")).unwrap();
        assert_eq!(lab.resolve(to).unwrap().destination_mac, OTHER_MAC);
        wait::until("the new address", BOUND, || {
            let found = lab.resolve(to).is_ok_and(|path| path.destination_mac == MacAddress(FAR_MAC));
            found.then_some(())
        })
        .unwrap();
    }
}

#[test]
fn a_link_that_goes_down_takes_its_routes_along() {
    let mut lab = Lab::new();
    lab.resolved("10.9.0.2");
    lab.device.ip("link set dev out0 down").unwrap();
    let error = lab.resolve("10.9.0.2").unwrap_err();
    assert!(matches!(error, Unreachable::NoRoute { .. }), "{error:?}");
    lab.device.ip("link set dev out0 up").unwrap();
    lab.far.ip("link set dev in0 up").unwrap();
    assert_eq!(lab.resolved("10.9.0.2"), lab.path("10.9.0.1"));
}
