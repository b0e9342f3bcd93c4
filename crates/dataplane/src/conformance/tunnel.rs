//! Cases: firewalls behind tunnels. That everything else goes through as through a port is shown by all other cases, on a rig
//! with tunnels.

use opof_wire::packet_too_big::{MAX_LEN, answer};
use opof_wire::{FlowKey, SlowPath, Transport};

use super::Verdict;
use super::bench::{Bench, Step};
use super::failure::Failure;
use super::frames::{ETHERTYPE_IPV4, ethernet, every_kind, ipv4, packet, tagged, tags_of, transport, with_checksums};

/// "Don't fragment" (RFC 791, 3.1).
const DF: u16 = 0x4000;

/// A frame of `length` bytes whose sender has to be told when it does not fit, and for IPv4 one whose sender has not.
fn frames(flow: &FlowKey, length: usize) -> (Vec<u8>, Option<Vec<u8>>) {
    let payload = length - packet(flow, 0).len();
    let is_udp = flow.transport == Transport::Udp;
    let plain = with_checksums(&tagged(&tags_of(flow), flow, payload), is_udp);
    if !flow.addresses.source().is_ipv4() {
        return (plain, None);
    }
    let body = transport(flow, payload);
    let whole = ipv4(flow, flow.transport.number(), DF, &[], &body);
    (with_checksums(&ethernet(&tags_of(flow), ETHERTYPE_IPV4, &whole), is_udp), Some(plain))
}

pub(super) fn what_does_not_fit_through_a_tunnel_is_answered_or_dropped(
    bench: &mut Bench<'_>,
) -> Result<Verdict, Failure> {
    let Some(most) = bench.tunnels() else {
        return Ok(Verdict::NotApplicable("the firewalls of this rig are not behind tunnels"));
    };
    for (lif, most) in bench.lifs().into_iter().zip(most) {
        let mut steps = Vec::new();
        for flow in every_kind(1) {
            let (fits, _) = frames(&flow, most);
            steps.push(Step::slow(format!("{flow}, as large as may be"), lif, fits, SlowPath::Miss));
            let (told, untold) = frames(&flow, most + 1);
            let link = 14 + 4 * tags_of(&flow).len();
            let mtu = u16::try_from(most - link).expect("a rig's tunnels are for frames of Ethernet");
            let mut out = [0; MAX_LEN];
            let len = answer(&told, mtu, &mut out).expect("its sender has to be told");
            let what = format!("{flow}, a byte too large");
            steps.push(Step::too_big(what.clone(), lif, told, Some(out[..len].to_vec())));
            steps.extend(untold.map(|frame| Step::too_big(format!("{what}, without DF"), lif, frame, None)));
        }
        bench.exchange(steps)?;
    }
    Ok(Verdict::Passed)
}
