//! Cases: sessions come and go, commands are answered, counters begin and end where they must.

use opof_session::plane::{Command, Completion, ReadToken};
use opof_session::types::Lif;
use opof_wire::{SlowPath, Transport};

use super::Verdict;
use super::bench::{Bench, Step, check_installed, compare_counters};
use super::failure::Failure;
use super::frames::{Family, every_kind, flow, packet};
use super::session::Session;
use crate::limits::CONFORMANCE_SESSIONS;

/// One packet in each direction, forwarded; of different lengths, so that mixed-up directions show.
fn both_ways(session: &Session, payload: usize) -> ([Vec<u8>; 2], Vec<Step>) {
    let frames = [packet(&session.flow, payload), packet(&session.answer(), payload + 3)];
    let [there, back] = frames.clone();
    let steps = vec![
        Step::hit(format!("{}, in", session.flow), session.in_lif, session.out_lif, there),
        Step::hit(format!("{}, out", session.flow), session.out_lif, session.in_lif, back),
    ];
    (frames, steps)
}

/// The same packets where the session is not installed.
fn both_miss(session: &Session, payload: usize) -> Vec<Step> {
    let miss = |flow, lif: Lif| Step::slow(format!("{flow}, removed"), lif, packet(flow, payload), SlowPath::Miss);
    vec![miss(&session.flow, session.in_lif), miss(&session.answer(), session.out_lif)]
}

pub(super) fn removed_session_misses(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let flows = every_kind(1);
    let sessions: Vec<_> = (0..).zip(&flows).map(|(slot, flow)| Session::forward(slot, *flow, lifs)).collect();
    for session in &sessions {
        bench.install(session.slot, session.rules())?;
    }
    for session in &sessions {
        let (frames, steps) = both_ways(session, 40);
        bench.exchange(steps)?;
        let last = bench.read(session.slot)?;
        let found = bench.remove(session.slot)?;
        let what = format!("final counters of {}", session.flow);
        compare_counters(&what, found, [&frames[..1], &frames[1..]])?;
        if found != last {
            return Err(Failure::SessionCounters { what, found, expected: last });
        }
        bench.exchange(both_miss(session, 40))?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn slot_reuse_starts_at_zero(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let flows = every_kind(1);
    // The same flow again, and then another in its place.
    for flow in flows.iter().flat_map(|flow| [flow, flow]) {
        let session = Session::forward(3, *flow, lifs);
        bench.install(session.slot, session.rules())?;
        bench.check_counters(&format!("{flow}, new in a used slot"), session.slot, [&[], &[]])?;
        let (frames, steps) = both_ways(&session, 40);
        bench.exchange(steps)?;
        let found = bench.remove(session.slot)?;
        compare_counters(&format!("{flow}, in a used slot"), found, [&frames[..1], &frames[1..]])?;
    }
    Ok(Verdict::Passed)
}

/// Out and in again under the same keys without waiting for an answer between: the newer session has the packets.
pub(super) fn reinstall_in_one_submit(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let [a, b] = bench.lifs();
    let flow = flow(Family::V4, Transport::Tcp, 100, 1);
    let old = Session::forward(0, flow, [a, b]);
    let new = Session::forward(1, flow, [a, b]);
    let answers = bench.command(&[old.install(), old.remove(), new.install()])?;
    for answer in &answers {
        check_installed(answer)?;
        if let Completion::Removed { slot, result } = *answer {
            let found = result.map_err(|error| Failure::NotRemoved { slot, error })?;
            compare_counters("a session that saw nothing", found, [&[], &[]])?;
        }
    }
    let (frames, steps) = both_ways(&new, 40);
    bench.exchange(steps)?;
    bench.check_counters("the newer session", new.slot, [&frames[..1], &frames[1..]])?;
    // And over a session that has seen packets.
    let answers = bench.command(&[new.remove(), old.install()])?;
    answers.iter().try_for_each(check_installed)?;
    for answer in answers {
        if let Completion::Removed { slot, result } = answer {
            let found = result.map_err(|error| Failure::NotRemoved { slot, error })?;
            compare_counters("the session before", found, [&frames[..1], &frames[1..]])?;
        }
    }
    bench.check_counters("the session after", old.slot, [&[], &[]])?;
    Ok(Verdict::Passed)
}

/// Once more what is removed and not forgotten: to write another note, when its keys may be another's.
pub(super) fn removed_again_says_the_same_and_leaves_others_alone(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let flow = flow(Family::V4, Transport::Tcp, 0, 1);
    let old = Session::forward(0, flow, lifs);
    let new = Session::forward(1, flow, lifs);
    bench.install(old.slot, old.rules())?;
    let (frames, steps) = both_ways(&old, 40);
    bench.exchange(steps)?;
    let expected = bench.remove(old.slot)?;
    compare_counters("a session that is superseded", expected, [&frames[..1], &frames[1..]])?;
    bench.install(new.slot, new.rules())?;
    for answer in bench.command(&[old.remove()])? {
        if let Completion::Removed { slot, result } = answer {
            let found = result.map_err(|error| Failure::NotRemoved { slot, error })?;
            if found != expected {
                let what = "a session that is removed again".to_owned();
                return Err(Failure::SessionCounters { what, found, expected });
            }
        }
    }
    let (frames, steps) = both_ways(&new, 20);
    bench.exchange(steps)?;
    bench.check_counters("the session that took its keys", new.slot, [&frames[..1], &frames[1..]])?;
    Ok(Verdict::Passed)
}

/// The bench itself holds each answer against the command that it answers; here there are many to mix up.
pub(super) fn reads_carry_their_tokens(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let sessions: Vec<_> = (0..).zip(every_kind(1)).map(|(slot, flow)| Session::forward(slot, flow, lifs)).collect();
    let mut frames = Vec::new();
    for (index, session) in sessions.iter().enumerate() {
        bench.install(session.slot, session.rules())?;
        let (sent, steps) = both_ways(session, 10 * index);
        bench.exchange(steps)?;
        frames.push(sent);
    }
    let tokens = [0, u64::MAX, 7, 1 << 32, 7].map(ReadToken);
    let commands: Vec<_> = tokens
        .iter()
        .flat_map(|&token| sessions.iter().map(move |session| Command::Read { slot: session.slot, token }))
        .collect();
    for answer in bench.command(&commands)? {
        if let Completion::Read { slot, counters, .. } = answer {
            let [there, back] = &frames[slot.0 as usize];
            let (there, back) = (std::slice::from_ref(there), std::slice::from_ref(back));
            compare_counters(&format!("a read of {slot:?}"), counters, [there, back])?;
        }
    }
    Ok(Verdict::Passed)
}

pub(super) fn many_sessions(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    bench.needs_sessions(CONFORMANCE_SESSIONS)?;
    let lifs = bench.lifs();
    let kinds = every_kind(0);
    let sessions: Vec<_> = (0..CONFORMANCE_SESSIONS)
        .map(|n| {
            let kind = &kinds[n as usize % kinds.len()];
            let family = if kind.addresses.source().is_ipv4() { Family::V4 } else { Family::V6 };
            Session::forward(n, flow(family, kind.transport, kind.vlan.get(), 1 + n), lifs)
        })
        .collect();
    let installs: Vec<_> = sessions.iter().map(Session::install).collect();
    bench.command(&installs)?.iter().try_for_each(check_installed)?;

    let mut frames = Vec::new();
    let mut steps = Vec::new();
    for session in &sessions {
        let (sent, both) = both_ways(session, session.slot.0 as usize % 50);
        frames.push(sent);
        steps.extend(both);
    }
    bench.exchange(steps)?;

    // Every second one goes; the others must not notice.
    let (going, staying): (Vec<Session>, Vec<Session>) =
        sessions.iter().copied().partition(|session| session.slot.0.is_multiple_of(2));
    let removals: Vec<_> = going.iter().map(Session::remove).collect();
    for answer in bench.command(&removals)? {
        if let Completion::Removed { slot, result } = answer {
            let found = result.map_err(|error| Failure::NotRemoved { slot, error })?;
            let [there, back] = &frames[slot.0 as usize];
            let (there, back) = (std::slice::from_ref(there), std::slice::from_ref(back));
            compare_counters(&format!("{slot:?} of many"), found, [there, back])?;
        }
    }
    let mut steps: Vec<_> = going.iter().flat_map(|session| both_miss(session, 1)).collect();
    steps.extend(staying.iter().flat_map(|session| both_ways(session, 1).1));
    bench.exchange(steps)?;
    for session in &staying {
        let [there, back] = &frames[session.slot.0 as usize];
        let (_, again) = both_ways(session, 1);
        let packets = [vec![there.clone(), again[0].frame.clone()], vec![back.clone(), again[1].frame.clone()]];
        bench.check_counters("one of those that stay", session.slot, [&packets[0], &packets[1]])?;
    }
    Ok(Verdict::Passed)
}
