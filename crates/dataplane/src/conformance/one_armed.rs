//! Cases: sessions that leave by the interface they came in on.

use opof_wire::{FlowKey, SlowPath, Vid};

use super::Verdict;
use super::bench::{Bench, Step};
use super::failure::Failure;
use super::frames::{every_kind, packet};
use super::session::Session;

/// Both keys are on one interface, and the other one knows nothing of the session.
pub(super) fn one_armed_hit_goes_back(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let [a, b] = bench.lifs();
    for (lif, other) in [(a, b), (b, a)] {
        for (slot, flow) in (0..).zip(every_kind(1)) {
            let session = Session::forward(slot, flow, [lif, lif]);
            bench.install(session.slot, session.rules())?;
            let inward = vec![packet(&flow, 8), packet(&flow, 900)];
            let outward = vec![packet(&session.answer(), 30)];
            let mut steps = Vec::new();
            steps.extend(inward.iter().map(|frame| Step::hit(format!("{flow}, back"), lif, lif, frame.clone())));
            steps.extend(outward.iter().map(|frame| Step::hit(format!("{flow}, answer"), lif, lif, frame.clone())));
            for frame in inward.iter().chain(&outward) {
                let what = format!("{flow}, one-armed, elsewhere");
                steps.push(Step::slow(what, other, frame.clone(), SlowPath::Miss));
            }
            bench.exchange(steps)?;
            bench.check_counters(&format!("{flow}, one-armed"), session.slot, [&inward, &outward])?;
        }
        bench.clear()?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn one_armed_drop_discards(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let [lif, _] = bench.lifs();
    for (slot, flow) in (0..).zip(every_kind(1)) {
        let session = Session::drop(slot, flow, [lif, lif]);
        bench.install(session.slot, session.rules())?;
        let (inward, outward) = (vec![packet(&flow, 5)], vec![packet(&session.answer(), 77)]);
        let frames = inward.iter().chain(&outward);
        bench.exchange(frames.map(|frame| Step::dropped(format!("{flow}, DROP"), lif, frame.clone())).collect())?;
        bench.check_counters(&format!("{flow}, one-armed, DROP"), session.slot, [&inward, &outward])?;
    }
    Ok(Verdict::Passed)
}

/// Between two VLANs of one interface. A tuple that is its own mirror image has two keys there all the same.
pub(super) fn one_armed_vlan_is_rewritten(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().vlan_rewrite {
        return Ok(Verdict::NotApplicable("the plane does not rewrite VLANs"));
    }
    let [lif, _] = bench.lifs();
    let far = Vid::new(4094).expect("the largest VID");
    let tagged = every_kind(1).into_iter().filter(|flow| !flow.vlan.is_untagged());
    for (slot, flow) in (0..).zip(tagged.flat_map(|flow| [flow, mirrored(&flow)])) {
        let session = Session::rewrite(slot, flow, far, [lif, lif]);
        bench.install(session.slot, session.rules())?;
        let on = |vlan, flow: &FlowKey| packet(&FlowKey { vlan, ..*flow }, 8);
        let answer = session.answer();
        let (there, back) = (packet(&flow, 8), packet(&answer, 8));
        let what = format!("{flow}, one-armed, between VLANs");
        bench.exchange(vec![
            Step::rewritten(&what, lif, lif, there.clone(), on(far, &flow)),
            Step::rewritten(&what, lif, lif, back.clone(), on(flow.vlan, &answer)),
        ])?;
        bench.check_counters(&what, session.slot, [&[there], &[back]])?;
        bench.remove(session.slot)?;
    }
    Ok(Verdict::Passed)
}

/// The flow with its source in place of its destination.
fn mirrored(flow: &FlowKey) -> FlowKey {
    use opof_wire::Addresses::{V4, V6};
    let addresses = match flow.addresses {
        V4 { source, .. } => V4 { source, destination: source },
        V6 { source, .. } => V6 { source, destination: source },
    };
    FlowKey { addresses, destination_port: flow.source_port, ..*flow }
}
