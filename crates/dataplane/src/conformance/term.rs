//! Cases: a plane forwards as long as it was told, and ends by itself.

use opof_session::types::Moment;
use opof_wire::{SlowPath, Transport};

use super::Verdict;
use super::bench::{Bench, Step, compare_counters};
use super::failure::Failure;
use super::frames::{Family, SYN, every_kind, flow, packet, with_flags};
use super::session::Session;
use crate::limits::CONFORMANCE_TERM;

/// An hour, in nanoseconds: longer than any case takes.
const LONG: u64 = 3_600_000_000_000;

/// Sessions of every kind, of which one drops; with the packets of each that were forwarded.
struct Traffic {
    sessions: Vec<(Session, [Vec<Vec<u8>>; 2])>,
    packets: usize,
}

impl Traffic {
    fn install(bench: &mut Bench<'_>) -> Result<Self, Failure> {
        let lifs = bench.lifs();
        let forwarded = (1..).zip(every_kind(1)).map(|(slot, flow)| Session::forward(slot, flow, lifs));
        let dropped = Session::drop(0, flow(Family::V4, Transport::Udp, 0, 9), lifs);
        let sessions: Vec<_> =
            [dropped].into_iter().chain(forwarded).map(|session| (session, [vec![], vec![]])).collect();
        for (session, _) in &sessions {
            bench.install(session.slot, session.rules())?;
        }
        Ok(Self { sessions, packets: 0 })
    }

    /// A packet of each session in each direction, no two of one length.
    fn exchange(&mut self, bench: &mut Bench<'_>, when: &str, forwards: bool) -> Result<(), Failure> {
        let mut steps = Vec::new();
        for (session, counted) in &mut self.sessions {
            let ways =
                [(session.flow, session.in_lif, session.out_lif), (session.answer(), session.out_lif, session.in_lif)];
            for ((flow, from, to), counted) in ways.into_iter().zip(counted) {
                self.packets += 1;
                let (what, frame) = (format!("{flow}, {when}"), packet(&flow, self.packets));
                if forwards {
                    counted.push(frame.clone());
                }
                steps.push(match forwards {
                    false => Step::slow(what, from, frame, SlowPath::Miss),
                    true if session.slot.0 == 0 => Step::dropped(what, from, frame),
                    true => Step::hit(what, from, to, frame),
                });
            }
        }
        bench.exchange(steps)?;
        self.sessions.iter().try_for_each(|(session, [inward, outward])| {
            bench.check_counters(&format!("{}, {when}", session.flow), session.slot, [inward, outward])
        })
    }
}

pub(super) fn forwards_until_the_moment_it_was_told(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let mut traffic = Traffic::install(bench)?;
    traffic.exchange(bench, "before anything was said", true)?;
    let long = Moment(bench.now().end().0 + LONG);
    bench.forward_until(long);
    traffic.exchange(bench, "long before the end", true)?;
    // By itself: it hears nothing from here to the packet.
    let soon = Moment(bench.now().end().0 + CONFORMANCE_TERM);
    bench.forward_until(soon);
    bench.await_moment(soon);
    traffic.exchange(bench, "after the end", false)?;
    bench.forward_until(long);
    traffic.exchange(bench, "with a later end", true)?;
    // A moment that is past already ends it at once.
    for past in [*bench.now().end(), Moment(0)] {
        bench.forward_until(past);
        traffic.exchange(bench, "ended at once", false)?;
    }
    bench.forward_until(Moment(u64::MAX));
    traffic.exchange(bench, "without end", true)?;
    Ok(Verdict::Passed)
}

/// Nothing else ends: what the firewall sends goes out, TCP control is told from misses, and sessions are installed and removed.
pub(super) fn sessions_come_and_go_when_nothing_is_forwarded(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let [old, new] = [1, 2].map(|n| Session::forward(n, flow(Family::V6, Transport::Tcp, 100, n), lifs));
    let frame = |session: &Session| packet(&session.flow, 30);
    let miss = |session: &Session| Step::slow("not forwarded", lifs[0], frame(session), SlowPath::Miss);
    let hit = |session: &Session| Step::hit("forwarded again", lifs[0], lifs[1], frame(session));
    bench.install(old.slot, old.rules())?;
    bench.exchange(vec![hit(&old)])?;
    bench.forward_until(*bench.now().end());
    bench.install(new.slot, new.rules())?;
    let syn = with_flags(&old.flow, SYN);
    bench.exchange(vec![
        miss(&old),
        miss(&new),
        Step::slow("a SYN", lifs[0], syn, SlowPath::TcpControl),
        Step::from_firewall("the firewall's", lifs[1], frame(&old)),
    ])?;
    let found = bench.remove(old.slot)?;
    compare_counters("removed while nothing is forwarded", found, [&[frame(&old)], &[]])?;
    bench.check_counters("installed while nothing is forwarded", new.slot, [&[], &[]])?;
    bench.forward_until(Moment(u64::MAX));
    bench.exchange(vec![hit(&new), miss(&old)])?;
    bench.check_counters("forwarded at last", new.slot, [&[frame(&new)], &[]])?;
    Ok(Verdict::Passed)
}
