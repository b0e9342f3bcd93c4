//! The driver's loop: what came in goes to the engine, what the engine wants goes to the plane and to those who asked.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::task::{Context, Waker};
use std::time::Duration;

use opof_dataplane::DataPlane;
use opof_session::engine::{Engine, Event, Input};
use opof_session::ha::Settings;
use opof_session::plane::Completion;
use opof_session::request::{Reply, ReplyBody, Request, RequestBody, SessionView, Ticket};
use opof_session::types::Moment;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::yield_now;

use super::loan::{Lent, Settle};
use super::pair::{Arrival, Lines, Pair};
use super::{Answer, Question};
use crate::clock::Clock;
use crate::limits;
use crate::log::RateLimit;
use crate::store::ClosedStore;
use crate::watchdog::Pulse;

pub(crate) struct Driver {
    engine: Engine,
    plane: Box<dyn DataPlane>,
    clock: Clock,
    /// What goes first: nobody waits long for it.
    calls: Lane,
    /// Sessions to be added, which may be very many.
    adds: Lane,
    settles: mpsc::Receiver<Settle>,
    /// Goes along with each loan.
    settle: mpsc::Sender<Settle>,
    closings: watch::Sender<u64>,
    /// Closed records that could ever be collected, as last told to `closings`.
    closed_ever: u64,
    /// Where closed records are stored, if they are.
    store: Option<ClosedStore>,
    /// The batches that the engine knows to be stored.
    stored: u64,
    /// Asked, not yet answered.
    waiting: HashMap<Ticket, oneshot::Sender<Answer>>,
    next_ticket: u64,
    completions: Vec<Completion>,
    clamps: RateLimit,
    /// When the device is one of two.
    pair: Option<Pair>,
    pulse: Pulse,
    /// Sees the engine behind each turn.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) watcher: Option<crate::simulation::Watcher>,
}

/// Questions, in their order.
struct Lane {
    channel: mpsc::Receiver<Question>,
    /// Taken from the channel, not yet asked.
    taken: VecDeque<Question>,
}

impl Lane {
    const fn new(channel: mpsc::Receiver<Question>) -> Self {
        Self { channel, taken: VecDeque::new() }
    }

    /// Takes what is there, up to a batch.
    fn fill(&mut self) {
        while self.taken.len() < limits::REQUEST_BATCH {
            let Ok(question) = self.channel.try_recv() else { return };
            self.taken.push_back(question);
        }
    }

    /// True when no question is left.
    fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.channel.is_empty()
    }

    /// True when more can be taken, now or later.
    fn takes_more(&self) -> bool {
        self.taken.is_empty() && !(self.channel.is_closed() && self.channel.is_empty())
    }
}

/// Waits until something has come for a device of a pair.
async fn arrival(pair: &mut Option<Pair>) -> Option<Arrival> {
    match pair {
        Some(pair) => pair.arrival().await,
        None => std::future::pending().await,
    }
}

/// Waits until the store gets on.
async fn stored(store: &mut Option<ClosedStore>) {
    match store {
        Some(store) => store.changed().await,
        None => std::future::pending().await,
    }
}

impl Driver {
    pub(super) fn new(
        engine: Engine,
        plane: Box<dyn DataPlane>,
        clock: Clock,
        [calls, adds]: [mpsc::Receiver<Question>; 2],
        closings: watch::Sender<u64>,
        store: Option<ClosedStore>,
        pulse: Pulse,
    ) -> Self {
        let (settle, settles) = mpsc::channel(limits::SETTLES);
        Self {
            engine,
            plane,
            clock,
            calls: Lane::new(calls),
            adds: Lane::new(adds),
            settles,
            settle,
            closings,
            closed_ever: 0,
            store,
            stored: 0,
            waiting: HashMap::new(),
            next_ticket: 0,
            completions: Vec::new(),
            clamps: RateLimit::new(limits::CLAMPS_LOGGED),
            pair: None,
            pulse,
            #[cfg(any(test, feature = "simulation"))]
            watcher: None,
        }
    }

    /// The device is one of two from here on. Before it runs.
    pub(super) fn join_pair(&mut self, pair: Option<(Settings, Lines)>) {
        self.pair = pair.map(|(settings, lines)| Pair::new(self.clock.now(), settings, lines, &mut self.engine));
    }

    /// Runs until told to stop, then until everybody has their answer or the grace is over.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<Option<Duration>>) {
        // What the engine wanted before it had a driver: nobody else would give it to the plane, and it might wait for that alone.
        self.advance();
        while stopping.borrow().is_none() {
            tokio::select! {
                biased;
                changed = stopping.changed() => if changed.is_err() { break },
                () = self.step() => {}
            }
        }
        // Requests that are already in a channel are still answered; new ones find it closed.
        self.calls.channel.close();
        self.adds.channel.close();
        let grace = stopping.borrow().unwrap_or(limits::STOP_GRACE);
        let end = self.clock.now().saturating_add(grace);
        let clock = self.clock.clone();
        while !(self.calls.is_empty() && self.adds.is_empty() && self.waiting.is_empty() && self.is_stored()) {
            tokio::select! {
                biased;
                () = clock.sleep_until(end) => {
                    let unstored = !self.is_stored();
                    tracing::warn!(unanswered = self.waiting.len(), unstored, "stopped before everything was done");
                    break;
                }
                () = self.step() => {}
            }
        }
        if self.store.is_none() {
            self.log_leftovers();
        }
    }

    /// True when nothing is left to be stored.
    fn is_stored(&self) -> bool {
        self.store.as_ref().is_none_or(|store| !store.is_busy()) && !self.engine.has_unstored()
    }

    /// Closed records that nobody has collected go with the daemon; the log has them.
    fn log_leftovers(&mut self) {
        let now = self.clock.now();
        while let Ok(settle) = self.settles.try_recv() {
            self.settle(settle);
        }
        // A reader that is still there has had what it has had; what it did not say that it has is told here.
        let reclaim = Request { ticket: Ticket(u64::MAX), body: RequestBody::Reclaim };
        self.engine.handle(now, Input::Request(reclaim));
        let Some(records) = NonZeroU32::new(limits::LEFTOVERS) else { return };
        loop {
            let request = Request { ticket: Ticket(u64::MAX), body: RequestBody::Collect { records } };
            self.engine.handle(now, Input::Request(request));
            let Some(Reply { body: ReplyBody::Collected { loan: Some(loan), records }, .. }) = self.engine.poll_reply()
            else {
                return;
            };
            for record in &records {
                self.log(now, &Event::RecordLost(*record));
            }
            let delivered = u32::try_from(records.len()).unwrap_or(u32::MAX);
            let request = Request { ticket: Ticket(u64::MAX), body: RequestBody::Settle { loan, delivered } };
            self.engine.handle(now, Input::Request(request));
        }
    }

    /// Waits until something happens and deals with it. Cut off while it waits, it has done nothing.
    async fn step(&mut self) {
        self.wait().await;
        self.advance();
        self.pulse.beat();
        // It may share its thread with those who ask.
        yield_now().await;
    }

    async fn wait(&mut self) {
        let of_pair = self.pair.as_ref().and_then(|pair| pair.poll_timeout(&self.engine));
        let timeout = [self.engine.poll_timeout(), of_pair].into_iter().flatten().min();
        let has_room = self.engine.commands_len() == 0 && self.waiting.len() < limits::UNDER_WAY;
        let takes_calls = has_room && self.calls.takes_more();
        let takes_adds = has_room && self.adds.takes_more();
        let is_ready = has_room && !(self.calls.taken.is_empty() && self.adds.taken.is_empty());
        let (mut calls, mut adds, mut arrived) = (Vec::new(), Vec::new(), None);
        // In whatever order: what else is there is taken behind it.
        tokio::select! {
            biased;
            () = poll_fn(|context| self.plane.poll(context, &mut self.completions)) => {}
            Some(settle) = self.settles.recv() => self.settle(settle),
            _ = self.calls.channel.recv_many(&mut calls, limits::REQUEST_BATCH), if takes_calls => {}
            _ = self.adds.channel.recv_many(&mut adds, limits::REQUEST_BATCH), if takes_adds => {}
            arrival = arrival(&mut self.pair) => arrived = arrival,
            () = stored(&mut self.store) => {}
            () = self.clock.sleep_until(timeout.unwrap_or_default()), if timeout.is_some() => {}
            () = std::future::ready(()), if is_ready => {}
        }
        self.calls.taken.extend(calls);
        self.adds.taken.extend(adds);
        if let Some(pair) = &mut self.pair {
            pair.take(self.clock.now(), &mut self.engine, arrived);
        }
    }

    fn advance(&mut self) {
        let now = self.clock.now();
        let has_room = self.engine.commands_len() < limits::PENDING_COMMANDS;
        self.feed_completions(now);
        // Before anything is asked: the device may not be active any more.
        self.work_in_pair(now);
        self.calls.fill();
        self.adds.fill();
        // Between taking the questions and asking them: one who gave records back and then asks is to see them.
        while let Ok(settle) = self.settles.try_recv() {
            self.settle(settle);
        }
        if has_room {
            self.ask_some(now);
        }
        // Behind the questions: however many sessions are due, those who ask have their turn.
        if self.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.feed(now, Input::Tick);
        }
        self.exchange(now);
        if self.pair.is_some() {
            self.work_in_pair(now);
            self.exchange(now);
            self.work_in_pair(now);
        }
        self.store_records(now);
        if let Some(pair) = &mut self.pair {
            pair.speak(now, &self.engine, self.plane.as_mut());
        }
        self.tell_closings(false);
        #[cfg(any(test, feature = "simulation"))]
        if let Some(watcher) = &mut self.watcher {
            watcher(&self.engine);
        }
    }

    /// What the device has to do as one of two, and what comes of it here.
    fn work_in_pair(&mut self, now: Moment) {
        let is_quiet = self.waiting.is_empty();
        let Some(pair) = &mut self.pair else { return };
        pair.work(now, &mut self.engine, is_quiet);
        if pair.tell(&self.engine) {
            for (_, asker) in self.waiting.drain() {
                // One who has gone away is no fault.
                let _ = asker.send(Answer::NotActive);
            }
            // Nor does whoever waits for records: he asks, and is told.
            self.tell_closings(true);
        }
        self.hear_engine(now);
        while let Some(reply) = self.pair.as_mut().and_then(Pair::release) {
            self.deliver(reply);
        }
    }

    /// Calls, and then sessions to be added.
    fn ask_some(&mut self, now: Moment) {
        self.ask_from(now, |driver| driver.calls.taken.pop_front());
        self.ask_from(now, |driver| driver.adds.taken.pop_front());
    }

    /// Until they have caused as many commands as a turn may.
    fn ask_from(&mut self, now: Moment, next: fn(&mut Self) -> Option<Question>) {
        let most = self.engine.commands_len() + limits::PENDING_COMMANDS;
        while self.engine.commands_len() < most && self.waiting.len() < limits::UNDER_WAY {
            let Some(question) = next(self) else { break };
            self.ask(now, question);
        }
    }

    /// What is stored lets the plane forget its sessions; then the next batch is given.
    fn store_records(&mut self, now: Moment) {
        let Some(store) = self.store.as_ref().filter(|store| !store.is_busy()) else { return };
        // Before others are given: everything that was, is stored.
        let (batches, through) = store.stored();
        if batches > self.stored {
            self.stored = batches;
            self.feed(now, Input::Stored { through });
            self.exchange(now);
        }
        let Some(store) = &mut self.store else { return };
        let records: Vec<_> = std::iter::from_fn(|| self.engine.poll_unstored()).take(limits::STORE_BATCH).collect();
        let ended: Vec<_> = std::iter::from_fn(|| self.engine.poll_ended()).take(limits::STORE_BATCH).collect();
        if !records.is_empty() || !ended.is_empty() {
            store.give(&records, ended);
        }
    }

    /// Gives the plane its commands, and takes the answers that are there at once. What it wants because of these goes to the plane,
    /// too, so that nothing is left lying when the driver waits.
    fn exchange(&mut self, now: Moment) {
        for answers_left in (0..limits::PLANE_ROUNDS).rev() {
            if self.engine.commands_len() > 0 {
                let taken = self.plane.submit(now, self.engine.commands());
                self.engine.commands_taken(taken);
            }
            // Whoever waits for the plane asks it again, with a waker, before it waits.
            let mut context = Context::from_waker(Waker::noop());
            if answers_left == 0 || self.plane.poll(&mut context, &mut self.completions).is_pending() {
                break;
            }
            self.feed_completions(now);
        }
    }

    fn feed_completions(&mut self, now: Moment) {
        let mut completions = std::mem::take(&mut self.completions);
        for completion in completions.drain(..) {
            self.feed(now, Input::Completion(completion));
        }
        self.completions = completions;
    }

    fn ask(&mut self, now: Moment, question: Question) {
        match question {
            // Nobody waits for it any more, and nothing was promised.
            Question::Session { body: RequestBody::Get(_) | RequestBody::Delete { .. }, answer }
                if answer.is_closed() => {}
            Question::Session { answer, .. }
                if self.pair.as_ref().is_some_and(|pair| !pair.takes_calls(&self.engine)) =>
            {
                let _ = answer.send(Answer::NotActive);
            }
            Question::Session { body, answer } => {
                let ticket = Ticket(self.next_ticket);
                self.next_ticket += 1;
                self.waiting.insert(ticket, answer);
                self.feed(now, Input::Request(Request { ticket, body }));
            }
            // Those who asked may be gone; nothing hangs on their answer.
            Question::Statistics(answer) => drop(answer.send(self.engine.statistics())),
            Question::Describe(answer) => drop(answer.send(self.plane.describe())),
        }
    }

    fn settle(&mut self, Settle { loan, delivered }: Settle) {
        // Nobody waits for this ticket: a settle has no reply.
        let request = Request { ticket: Ticket(u64::MAX), body: RequestBody::Settle { loan, delivered } };
        self.feed(self.clock.now(), Input::Request(request));
        // Records may have come back, for whoever waits for some.
        self.tell_closings(true);
    }

    /// One input, and everything the engine has to say to it but commands, which wait with it until the plane takes them.
    fn feed(&mut self, now: Moment, input: Input) {
        self.engine.handle(now, input);
        self.hear_engine(now);
    }

    fn hear_engine(&mut self, now: Moment) {
        while let Some(reply) = self.engine.poll_reply() {
            // Behind the changes that it is about.
            let reply = match &mut self.pair {
                Some(pair) => {
                    pair.note_changes(&mut self.engine);
                    pair.hold(reply)
                }
                None => Some(reply),
            };
            if let Some(reply) = reply {
                self.deliver(reply);
            }
        }
        while let Some(event) = self.engine.poll_event() {
            self.log(now, &event);
        }
    }

    fn deliver(&mut self, Reply { ticket, body }: Reply) {
        let answer = match body {
            ReplyBody::Collected { loan, records } => {
                // From here on the loan settles itself when it is dropped, be it because nobody waits for it any more.
                Answer::Lent(loan.map(|loan| Lent::new(loan, records, self.settle.clone())))
            }
            body => Answer::Reply(body),
        };
        if let Some(asker) = self.waiting.remove(&ticket) {
            // One who has gone away is no fault; but the final counters of a session must not go with him.
            if let Err(Answer::Reply(ReplyBody::Deleted(Some(view)))) = asker.send(answer) {
                log_undelivered(&view);
            }
        } else {
            tracing::error!(ticket = ticket.0, "an answer that nobody asked for");
        }
    }

    fn tell_closings(&mut self, anyway: bool) {
        let statistics = self.engine.statistics();
        let ever = self.engine.closed_ready() as u64 + statistics.closed_delivered + statistics.closed_lost;
        if anyway || ever != self.closed_ever {
            self.closed_ever = ever;
            self.closings.send_modify(|generation| *generation = generation.wrapping_add(1));
        }
    }

    fn log(&mut self, now: Moment, event: &Event) {
        match event {
            Event::RecordLost(record) => tracing::warn!(
                session = record.id.0,
                sequence = record.sequence,
                in_packets = record.counters.inward.packets,
                in_bytes = record.counters.inward.bytes,
                out_packets = record.counters.outward.packets,
                out_bytes = record.counters.outward.bytes,
                seconds = record.ended.saturating_since(record.started).as_secs(),
                reason = ?record.reason,
                "closed session lost: nobody collected it before the daemon ended, or sessions.closed_max were waiting"
            ),
            Event::VlanFlowIdle(flow) => tracing::warn!(
                lif = flow.lif.get(),
                "VLAN flow of {} stored, but this data plane sends every miss to the firewall port of its own interface",
                flow.vlan
            ),
            Event::NotFollowed { id, why } => tracing::error!(
                session = id.0,
                why = why.map_or_else(|| "the data plane refuses it".to_owned(), |why| why.to_string()),
                "a session of the active device can't be taken in here: are both set up alike?"
            ),
            Event::TimeoutClamped { id, asked } => {
                if let Some(suppressed) = self.clamps.admit(now) {
                    tracing::info!(session = id.0, asked, suppressed, "cacheTimeout clamped to sessions.max_timeout");
                }
            }
        }
    }
}

/// The only copy of these counters was in an answer that nobody waits for: its caller's deadline has passed, or its connection
/// is gone.
fn log_undelivered(view: &SessionView) {
    tracing::warn!(
        session = view.spec.id.0,
        in_packets = view.counters.inward.packets,
        in_bytes = view.counters.inward.bytes,
        out_packets = view.counters.outward.packets,
        out_bytes = view.counters.outward.bytes,
        "session deleted, but nobody waited for its final counters"
    );
}
