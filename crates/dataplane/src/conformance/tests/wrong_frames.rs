//! Planes that do the wrong thing to frames.

use opof_session::types::Moment;
use opof_wire::{SlowPath, classify};

use super::rig::{CopySide, RigPorts, SimRig, WireSide, honest, lifs, tunnelled};
use super::{device, red};
use crate::conformance::{CASES, Failure, Verdict, run_all};
use crate::{Port, PortRole};

type Out = Vec<(Port, Vec<u8>)>;

/// The fault, and a case that has to find it.
fn caught(wire_side: WireSide, case: &str) -> Failure {
    let (plane, ports) = device();
    let failure = red(case, &mut SimRig::new(Box::new(plane), ports, wire_side));
    let by_frames = matches!(failure, Failure::FrameMissing { .. } | Failure::FrameUnexpected { .. });
    assert!(by_frames, "{case} finds something else: {failure}");
    failure
}

/// The device decides about `instead`, but it is `frame` that leaves.
fn as_if(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8], instead: &[u8]) -> Out {
    honest(ports, now, ingress, instead).into_iter().map(|(port, _)| (port, frame.to_vec())).collect()
}

/// A copy of an untagged frame with one byte changed.
fn with_byte(frame: &[u8], at: usize, change: impl Fn(u8) -> u8) -> Vec<u8> {
    let mut copy = frame.to_vec();
    if let Some(byte) = copy.get_mut(at) {
        *byte = change(*byte);
    }
    copy
}

#[test]
fn forwards_syn() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let instead = match classify(frame) {
            Err(SlowPath::TcpControl) => with_byte(frame, 47, |flags| flags & !0x02),
            _ => frame.to_vec(),
        };
        as_if(ports, now, ingress, frame, &instead)
    }
    let failure = caught(wire_side, "tcp_control_goes_to_the_firewall");
    assert!(failure.to_string().contains("with flags 0x02"), "{failure}");
}

#[test]
fn forwards_first_fragments() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let instead = match classify(frame) {
            Err(SlowPath::Fragment) => with_byte(frame, 20, |flags| flags & !0x20),
            _ => frame.to_vec(),
        };
        as_if(ports, now, ingress, frame, &instead)
    }
    caught(wire_side, "fragments_go_to_the_firewall");
}

#[test]
fn believes_that_cut_frames_are_whole() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let whole = [frame, &[0; 64]].concat();
        as_if(ports, now, ingress, frame, if classify(frame).is_err() { &whole } else { frame })
    }
    caught(wire_side, "frames_cut_at_every_byte_go_to_the_firewall");
}

#[test]
fn drops_misses() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut out = honest(ports, now, ingress, frame);
        out.retain(|(port, _)| port.role == PortRole::Wire);
        out
    }
    let failure = caught(wire_side, "miss_goes_to_the_firewall");
    assert!(failure.to_string().ends_with("but nothing came"), "{failure}");
}

#[test]
fn drops_what_the_firewall_sends() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let out = honest(ports, now, ingress, frame);
        if ingress.role == PortRole::Firewall { Vec::new() } else { out }
    }
    caught(wire_side, "firewall_port_goes_to_the_wire");
}

#[test]
fn looks_up_what_the_firewall_sends() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let out = honest(ports, now, Port::wire(ingress.lif), frame);
        if out.iter().all(|(port, _)| port.role == PortRole::Wire) { out } else { honest(ports, now, ingress, frame) }
    }
    caught(wire_side, "firewall_port_goes_to_the_wire");
}

#[test]
fn strips_tags() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut out = honest(ports, now, ingress, frame);
        for (_, frame) in &mut out {
            if frame.get(12..14) == Some(&[0x81, 0]) && frame.len() > 16 {
                frame.drain(12..16);
            }
        }
        out
    }
    caught(wire_side, "hit_is_forwarded_both_ways");
    caught(wire_side, "miss_goes_to_the_firewall");
    caught(wire_side, "priority_tag_is_untagged");
}

#[test]
fn loses_pcp() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut out = honest(ports, now, ingress, frame);
        for (_, frame) in &mut out {
            if frame.get(12..14) == Some(&[0x81, 0]) {
                frame[14] &= 0x0F;
            }
        }
        out
    }
    caught(wire_side, "pcp_and_dei_are_kept");
}

#[test]
fn strips_padding() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut out = honest(ports, now, ingress, frame);
        for (_, frame) in &mut out {
            while frame.last() == Some(&0xEE) {
                frame.pop();
            }
        }
        out
    }
    caught(wire_side, "padding_is_forwarded_and_counted");
}

#[test]
fn loses_large_frames() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut out = honest(ports, now, ingress, frame);
        out.retain(|(_, frame)| frame.len() < 1514);
        out
    }
    caught(wire_side, "large_frames_are_forwarded");
}

#[test]
fn does_not_rewrite() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        as_if(ports, now, ingress, frame, frame)
    }
    caught(wire_side, "vlan_is_rewritten");
}

#[test]
fn ignores_the_vlan() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let untagged = frame.get(12..14) == Some(&[0x81, 0]) && frame.len() > 18;
        let instead = if untagged { [&frame[..12], &frame[16..]].concat() } else { frame.to_vec() };
        as_if(ports, now, ingress, frame, &instead)
    }
    caught(wire_side, "other_vlan_is_a_miss");
    caught(wire_side, "every_bit_of_the_key_counts");
}

#[test]
fn matches_the_inner_tag() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let is_tag = |at: usize| matches!(frame.get(at..at + 2), Some([0x81, 0] | [0x88, 0xA8]));
        let instead = if is_tag(12) && is_tag(16) { [&frame[..12], &frame[16..]].concat() } else { frame.to_vec() };
        as_if(ports, now, ingress, frame, &instead)
    }
    caught(wire_side, "qinq_matches_the_outer_tag");
    caught(wire_side, "three_tags_go_to_the_firewall");
}

#[test]
fn ignores_where_a_frame_came_in() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let [a, b] = lifs();
        let other = Port { lif: if ingress.lif == a { b } else { a }, role: ingress.role };
        let out = honest(ports, now, ingress, frame);
        let missed = out.iter().any(|(port, _)| port.role == PortRole::Firewall);
        if missed { honest(ports, now, other, frame) } else { out }
    }
    caught(wire_side, "other_lif_is_a_miss");
}

/// As a switch does: never out of the port that a frame came in on.
#[test]
fn sends_nothing_back() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut out = honest(ports, now, ingress, frame);
        out.retain(|(port, _)| *port != ingress);
        out
    }
    caught(wire_side, "one_armed_hit_goes_back");
    caught(wire_side, "one_armed_vlan_is_rewritten");
}

/// A session is from one side to the other, whatever it says.
#[test]
fn takes_a_one_armed_session_for_one_across() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let [a, b] = lifs();
        let across = |port: Port| if port == ingress { Port::wire(if port.lif == a { b } else { a }) } else { port };
        honest(ports, now, ingress, frame).into_iter().map(|(port, frame)| (across(port), frame)).collect()
    }
    caught(wire_side, "one_armed_hit_goes_back");
}

#[test]
fn compares_too_few_address_bytes() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        // Whatever the lowest bit of an IPv6 source is, it is taken for that of the suite's first flow.
        let ipv6 = frame.get(12..14) == Some(&[0x86, 0xDD]);
        let instead = if ipv6 { with_byte(frame, 37, |byte| byte | 1) } else { frame.to_vec() };
        as_if(ports, now, ingress, frame, &instead)
    }
    caught(wire_side, "every_bit_of_the_key_counts");
}

#[test]
fn sends_everything_twice() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let out = honest(ports, now, ingress, frame);
        [out.clone(), out].concat()
    }
    let failure = caught(wire_side, "miss_goes_to_the_firewall");
    assert!(matches!(failure, Failure::FrameUnexpected { .. }), "{failure}");
}

#[test]
fn shows_hits_to_the_firewall_too() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut out = honest(ports, now, ingress, frame);
        if ingress.role == PortRole::Wire && out.iter().all(|(port, _)| port.role == PortRole::Wire) {
            out.push((Port::firewall(ingress.lif), frame.to_vec()));
        }
        out
    }
    caught(wire_side, "hit_is_forwarded_both_ways");
    caught(wire_side, "drop_discards_and_counts");
}

#[test]
fn loses_what_has_no_flow_key() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let out = honest(ports, now, ingress, frame);
        if ingress.role == PortRole::Wire && classify(frame).is_err() { Vec::new() } else { out }
    }
    let cases = CASES.iter().map(|case| case.name).filter(|name| name.ends_with("to_the_firewall"));
    let mut count = 0;
    for case in cases.filter(|name| !name.starts_with("miss")) {
        caught(wire_side, case);
        count += 1;
    }
    assert_eq!(count, 15, "tcp control, and each kind of frame without a key");
}

/// Where things are in an untagged frame of IPv4 within GTP-U over IPv4 with 8 bytes of header.
const GTPU: usize = 14 + 20 + 8;
const INNER: usize = GTPU + 8;

/// The frame without what is around its packet.
fn unwrapped(frame: &[u8]) -> Option<Vec<u8>> {
    let in_gtpu = frame.get(36..38) == Some(&2152_u16.to_be_bytes()) && frame.get(GTPU..GTPU + 2) == Some(&[0x30, 255]);
    let version = frame.get(INNER).filter(|_| in_gtpu)? >> 4;
    let ether_type = if version == 6 { [0x86, 0xDD] } else { [0x08, 0x00] };
    Some([&frame[..12], &ether_type, &frame[INNER..]].concat())
}

#[test]
fn takes_packets_in_gtpu_for_plain_ones() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let instead = unwrapped(frame).unwrap_or_else(|| frame.to_vec());
        as_if(ports, now, ingress, frame, &instead)
    }
    caught(wire_side, "gtpu_hit_is_forwarded_both_ways");
    caught(wire_side, "gtpu_session_and_plain_session_are_two");
    caught(wire_side, "every_bit_of_the_key_counts");
}

#[test]
fn takes_the_tunnel_off() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let out = honest(ports, now, ingress, frame);
        out.into_iter().map(|(port, frame)| (port, unwrapped(&frame).unwrap_or(frame))).collect()
    }
    caught(wire_side, "gtpu_hit_is_forwarded_both_ways");
    caught(wire_side, "gtpu_tcp_control_goes_to_the_firewall");
}

#[test]
fn forwards_end_markers() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let end_marker = classify(frame) == Err(SlowPath::GtpuControl) && frame[GTPU + 1] == 254;
        let instead = if end_marker { with_byte(frame, GTPU + 1, |_| 255) } else { frame.to_vec() };
        as_if(ports, now, ingress, frame, &instead)
    }
    let failure = caught(wire_side, "gtpu_messages_go_to_the_firewall");
    assert!(failure.to_string().contains("message type 254"), "{failure}");
}

#[test]
fn forwards_syn_in_gtpu() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let control = classify(frame) == Err(SlowPath::TcpControl) && unwrapped(frame).is_some();
        let instead = if control { with_byte(frame, INNER + 33, |flags| flags & !0x02) } else { frame.to_vec() };
        as_if(ports, now, ingress, frame, &instead)
    }
    let failure = caught(wire_side, "gtpu_tcp_control_goes_to_the_firewall");
    assert!(failure.to_string().contains("with flags 0x02"), "{failure}");
}

#[test]
fn looks_behind_no_extension_header() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let extended = frame.get(36..38) == Some(&2152_u16.to_be_bytes()) && frame.get(GTPU) == Some(&0x34);
        let instead = if extended { with_byte(frame, GTPU, |_| 0x54) } else { frame.to_vec() };
        as_if(ports, now, ingress, frame, &instead)
    }
    caught(wire_side, "gtpu_hit_is_forwarded_both_ways");
}

#[test]
fn believes_any_length_of_gtpu() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut instead = frame.to_vec();
        if frame.get(36..38) == Some(&2152_u16.to_be_bytes()) && frame.len() > INNER {
            let length = u16::try_from(frame.len() - INNER).unwrap();
            instead[GTPU + 2..GTPU + 4].copy_from_slice(&length.to_be_bytes());
        }
        as_if(ports, now, ingress, frame, &instead)
    }
    caught(wire_side, "malformed_gtpu_goes_to_the_firewall");
}

#[test]
fn takes_the_port_of_gtpu_for_any_port() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        // The case has a session for the same ports of TCP: to this device it is that of UDP as well.
        let gtpu = frame.get(23) == Some(&17) && frame.get(36..38) == Some(&2152_u16.to_be_bytes());
        if !gtpu {
            return honest(ports, now, ingress, frame);
        }
        // ACK, in a header of 20 bytes.
        let segment = with_byte(&with_byte(&with_byte(frame, 23, |_| 6), 46, |_| 0x50), 47, |_| 0x10);
        as_if(ports, now, ingress, frame, &segment)
    }
    caught(wire_side, "the_port_of_gtpu_has_no_plain_key");
}

#[test]
fn rewrites_no_tag_in_front_of_gtpu() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let gtpu = frame.get(40..42) == Some(&2152_u16.to_be_bytes());
        if gtpu { as_if(ports, now, ingress, frame, frame) } else { honest(ports, now, ingress, frame) }
    }
    caught(wire_side, "gtpu_vlan_is_rewritten");
}

#[test]
fn a_plane_that_claims_no_gtpu_is_not_asked_for_it() {
    struct Modest(crate::SimPlane);
    impl crate::DataPlane for Modest {
        fn capabilities(&self) -> opof_session::plane::Capabilities {
            opof_session::plane::Capabilities { gtpu: false, ..self.0.capabilities() }
        }
        fn submit(&mut self, now: Moment, commands: &[opof_session::plane::Command]) -> usize {
            self.0.submit(now, commands)
        }
        fn poll(
            &mut self,
            context: &mut std::task::Context<'_>,
            completions: &mut Vec<opof_session::plane::Completion>,
        ) -> std::task::Poll<()> {
            self.0.poll(context, completions)
        }
        fn forward_until(&mut self, until: Moment) {
            self.0.forward_until(until);
        }
        fn describe(&self) -> crate::Description {
            self.0.describe()
        }
    }
    let (plane, ports) = device();
    let report = run_all(&mut SimRig::new(Box::new(Modest(plane)), ports, honest));
    assert!(report.passed(), "{report}");
    let left_out = report.cases.iter().filter(|case| matches!(case.result, Ok(Verdict::NotApplicable(_))));
    assert_eq!(left_out.filter(|case| case.name.contains("gtpu")).count(), 8, "{report}");
}

/// The fault of a plane whose firewalls are behind tunnels.
fn caught_behind_a_tunnel(wire_side: WireSide) -> Failure {
    let (plane, ports) = device();
    let mut rig = SimRig::behind_tunnels(Box::new(plane), ports, [1400, 1320]);
    rig.wire_side = wire_side;
    red("what_does_not_fit_through_a_tunnel_is_answered_or_dropped", &mut rig)
}

#[test]
fn is_silent_about_what_does_not_fit() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut out = tunnelled(ports, now, ingress, frame);
        out.retain(|(port, _)| *port != ingress);
        out
    }
    let failure = caught_behind_a_tunnel(wire_side);
    assert!(matches!(failure, Failure::FrameMissing { .. }), "{failure}");
}

#[test]
fn lets_what_does_not_fit_pass_the_firewall_by() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let out = tunnelled(ports, now, ingress, frame);
        let [a, b] = lifs();
        let past = Port::wire(if ingress.lif == a { b } else { a });
        if out.is_empty() { vec![(past, frame.to_vec())] } else { out }
    }
    let failure = caught_behind_a_tunnel(wire_side);
    assert!(matches!(failure, Failure::FrameUnexpected { .. }), "{failure}");
}

#[test]
fn a_frame_without_the_mark_is_nobodys_business() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut out = honest(ports, now, ingress, frame);
        out.push((Port::wire(ingress.lif), vec![0x33; 90]));
        out
    }
    let (plane, ports) = device();
    let report = run_all(&mut SimRig::new(Box::new(plane), ports, wire_side));
    assert!(report.passed(), "{report}");
}

#[test]
fn frames_of_others_are_counted_and_forgiven_only_where_the_rig_says_so() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let stray = honest(ports, now, ingress, &[0x33; 90]);
        [honest(ports, now, ingress, frame), stray].concat()
    }
    let (plane, ports) = device();
    let mut rig = SimRig::new(Box::new(plane), ports, wire_side);
    let failure = red("miss_goes_to_the_firewall", &mut rig);
    assert!(matches!(failure, Failure::PortCounters { .. }), "{failure}");
    rig.strays = true;
    let report = run_all(&mut rig);
    assert!(report.passed(), "{report}");
}

/// What leaves by a wire port other than it came in on has `change` made to it.
fn bent(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8], change: fn(&[u8], &mut Vec<u8>)) -> Out {
    let mut out = honest(ports, now, ingress, frame);
    for (port, left) in &mut out {
        if port.role == PortRole::Wire && port.lif != ingress.lif {
            change(frame, left);
        }
    }
    out
}

#[test]
fn routes_without_a_hop() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        bent(ports, now, ingress, frame, |came, left| left[14..].copy_from_slice(&came[14..]))
    }
    caught(wire_side, "next_hop_rewrites_macs_and_ttl");
}

#[test]
fn forgets_the_checksum_of_a_hop() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        bent(ports, now, ingress, frame, |came, left| left[24..26].copy_from_slice(&came[24..26]))
    }
    caught(wire_side, "next_hop_rewrites_macs_and_ttl");
    caught(wire_side, "nat_translates_there_and_back");
}

#[test]
fn leaves_one_mac_address() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        bent(ports, now, ingress, frame, |came, left| left[6..12].copy_from_slice(&came[6..12]))
    }
    caught(wire_side, "a_next_hop_is_replaced_and_removed_for_all");
    caught(wire_side, "everything_is_changed_at_once");
}

#[test]
fn sends_expired_packets_on() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let instead = with_byte(&with_byte(frame, 22, |ttl| ttl.max(2)), 21, |hops| hops.max(2));
        as_if(ports, now, ingress, frame, &instead)
    }
    caught(wire_side, "an_expiring_packet_is_not_sent_on");
}

#[test]
fn translates_addresses_alone() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        bent(ports, now, ingress, frame, |came, left| left[34..38].copy_from_slice(&came[34..38]))
    }
    caught(wire_side, "nat_translates_there_and_back");
}

#[test]
fn makes_a_checksum_where_there_is_none() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        bent(ports, now, ingress, frame, |_, left| {
            if left.len() > 41 && left[23] == 17 && left[40..42] == [0, 0] {
                left[40..42].copy_from_slice(&[0xFF, 0xFF]);
            }
        })
    }
    caught(wire_side, "nat_translates_there_and_back");
}

#[test]
fn steers_misses_alone() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut out = honest(ports, now, ingress, frame);
        if classify(frame).is_err() {
            out.iter_mut()
                .filter(|(port, _)| port.role == PortRole::Firewall)
                .for_each(|(port, _)| port.lif = ingress.lif);
        }
        out
    }
    caught(wire_side, "vlan_flow_steers_the_slow_path");
}

/// A fault in what goes to collectors, and the cases that have to find it.
fn miscopies(copy_side: CopySide, cases: &[&str]) {
    for case in cases {
        let (plane, ports) = device();
        let mut rig = SimRig::new(Box::new(plane), ports, honest);
        rig.copy_side = copy_side;
        let failure = red(case, &mut rig);
        let by_copies = matches!(failure, Failure::CopyMissing { .. } | Failure::CopyUnexpected { .. });
        assert!(by_copies, "{case} finds something else: {failure}");
    }
}

#[test]
fn copies_wrongly() {
    const BOTH: [&str; 2] = ["mirror_copies_what_came", "snoop_copies_what_leaves"];
    miscopies(|_| None, &BOTH);
    // A bit of the option, of the length, of the frame, of the range of ports.
    miscopies(|copy| Some(with_byte(&copy, copy.len().min(60), |byte| byte ^ 1)), &BOTH);
    miscopies(|copy| Some(with_byte(&copy, 39, |byte| byte ^ 4)), &BOTH);
    miscopies(|copy| Some(with_byte(&copy, copy.len() - 1, |byte| byte ^ 1)), &BOTH);
    miscopies(|copy| Some(with_byte(&copy, 34, |byte| byte & 0x3F)), &BOTH);
}

#[test]
fn copies_the_other_form() {
    // The tag of the frame inside: 4094 and 100 take each other's place.
    let other: CopySide = |mut copy| {
        let tag = if copy[12] == 8 { 66 + 14 } else { 86 + 14 };
        match copy.get(tag..tag + 2) {
            Some([0xBF, 0xFE]) => copy[tag..tag + 2].copy_from_slice(&[0xB0, 100]),
            Some([0xB0, 100]) => copy[tag..tag + 2].copy_from_slice(&[0xBF, 0xFE]),
            _ => {}
        }
        Some(copy)
    };
    miscopies(other, &["mirror_copies_what_came", "snoop_copies_what_leaves"]);
}

#[test]
fn drops_what_it_can_not_copy() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        if frame.len() > crate::limits::COPY_LEN { vec![] } else { honest(ports, now, ingress, frame) }
    }
    caught(wire_side, "a_copy_that_can_not_be_sent_is_counted");
}
