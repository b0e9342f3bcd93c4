//! Planes that do the wrong thing to frames.

use opof_session::types::Moment;
use opof_wire::{SlowPath, classify};

use super::rig::{SimRig, WireSide, honest, lifs};
use super::{device, red};
use crate::conformance::{CASES, Failure, run_all};
use crate::{Port, PortRole, SimPorts};

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
fn as_if(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8], instead: &[u8]) -> Out {
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
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
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
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
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
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let whole = [frame, &[0; 64]].concat();
        as_if(ports, now, ingress, frame, if classify(frame).is_err() { &whole } else { frame })
    }
    caught(wire_side, "frames_cut_at_every_byte_go_to_the_firewall");
}

#[test]
fn drops_misses() {
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut out = honest(ports, now, ingress, frame);
        out.retain(|(port, _)| port.role == PortRole::Wire);
        out
    }
    let failure = caught(wire_side, "miss_goes_to_the_firewall");
    assert!(failure.to_string().ends_with("but nothing came"), "{failure}");
}

#[test]
fn drops_what_the_firewall_sends() {
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let out = honest(ports, now, ingress, frame);
        if ingress.role == PortRole::Firewall { Vec::new() } else { out }
    }
    caught(wire_side, "firewall_port_goes_to_the_wire");
}

#[test]
fn looks_up_what_the_firewall_sends() {
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let out = honest(ports, now, Port::wire(ingress.lif), frame);
        if out.iter().all(|(port, _)| port.role == PortRole::Wire) { out } else { honest(ports, now, ingress, frame) }
    }
    caught(wire_side, "firewall_port_goes_to_the_wire");
}

#[test]
fn strips_tags() {
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
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
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
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
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
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
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let mut out = honest(ports, now, ingress, frame);
        out.retain(|(_, frame)| frame.len() < 1514);
        out
    }
    caught(wire_side, "large_frames_are_forwarded");
}

#[test]
fn does_not_rewrite() {
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        as_if(ports, now, ingress, frame, frame)
    }
    caught(wire_side, "vlan_is_rewritten");
}

#[test]
fn ignores_the_vlan() {
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let untagged = frame.get(12..14) == Some(&[0x81, 0]) && frame.len() > 18;
        let instead = if untagged { [&frame[..12], &frame[16..]].concat() } else { frame.to_vec() };
        as_if(ports, now, ingress, frame, &instead)
    }
    caught(wire_side, "other_vlan_is_a_miss");
    caught(wire_side, "every_bit_of_the_key_counts");
}

#[test]
fn matches_the_inner_tag() {
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let is_tag = |at: usize| matches!(frame.get(at..at + 2), Some([0x81, 0] | [0x88, 0xA8]));
        let instead = if is_tag(12) && is_tag(16) { [&frame[..12], &frame[16..]].concat() } else { frame.to_vec() };
        as_if(ports, now, ingress, frame, &instead)
    }
    caught(wire_side, "qinq_matches_the_outer_tag");
    caught(wire_side, "three_tags_go_to_the_firewall");
}

#[test]
fn ignores_where_a_frame_came_in() {
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
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
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
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
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let [a, b] = lifs();
        let across = |port: Port| if port == ingress { Port::wire(if port.lif == a { b } else { a }) } else { port };
        honest(ports, now, ingress, frame).into_iter().map(|(port, frame)| (across(port), frame)).collect()
    }
    caught(wire_side, "one_armed_hit_goes_back");
}

#[test]
fn compares_too_few_address_bytes() {
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        // Whatever the lowest bit of an IPv6 source is, it is taken for that of the suite's first flow.
        let ipv6 = frame.get(12..14) == Some(&[0x86, 0xDD]);
        let instead = if ipv6 { with_byte(frame, 37, |byte| byte | 1) } else { frame.to_vec() };
        as_if(ports, now, ingress, frame, &instead)
    }
    caught(wire_side, "every_bit_of_the_key_counts");
}

#[test]
fn sends_everything_twice() {
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let out = honest(ports, now, ingress, frame);
        [out.clone(), out].concat()
    }
    let failure = caught(wire_side, "miss_goes_to_the_firewall");
    assert!(matches!(failure, Failure::FrameUnexpected { .. }), "{failure}");
}

#[test]
fn shows_hits_to_the_firewall_too() {
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
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
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let out = honest(ports, now, ingress, frame);
        if ingress.role == PortRole::Wire && classify(frame).is_err() { Vec::new() } else { out }
    }
    let cases = CASES.iter().map(|case| case.name).filter(|name| name.ends_with("to_the_firewall"));
    let mut count = 0;
    for case in cases.filter(|name| !name.starts_with("miss")) {
        caught(wire_side, case);
        count += 1;
    }
    assert_eq!(count, 11, "tcp control, and each kind of frame without a key");
}

#[test]
fn a_frame_without_the_mark_is_nobodys_business() {
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
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
    fn wire_side(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
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
