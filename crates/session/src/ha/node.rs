//! One device of a pair: its role, its session table's part in it, and what it says to the other one.

use core::time::Duration;
use std::collections::VecDeque;

use super::count::Count;
use super::message::{Conversation, Message, Saying};
use super::office::{Election, Office, Verdict, stretched};
use super::sink::{Sink, Told};
use super::source::{Source, Standing};
use super::status::{Answers, Command, CommandError, Event, Input, Settings, Status, Why};
use super::store::{StoreAnswer, StoreRequest};
use super::term::{Role, Term};
use crate::engine::Engine;
use crate::limits;
use crate::types::Moment;

#[derive(Clone, Copy, Debug)]
struct Peer {
    run: u64,
    /// Its clock in its newest message.
    now: Moment,
    heard: Moment,
    term: Term,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Handover {
    /// Until everything is done.
    Draining { until: Moment },
    /// The store is asked.
    Resigning { until: Moment },
}

/// One device of a pair.
///
/// - Inputs: [`handle`](Self::handle). Behind each input of the engine, and behind these, [`work`](Self::work).
/// - Outputs: [`poll_message`](Self::poll_message), [`poll_store`](Self::poll_store), [`poll_event`](Self::poll_event),
///   [`poll_timeout`](Self::poll_timeout): when to call [`work`](Self::work) again.
/// - Getters: what the device may do.
///
/// Before anything is asked of the engine, [`work`](Self::work): the device may not be active any more.
#[derive(Debug)]
pub struct Node {
    settings: Settings,
    office: Office,
    source: Option<Source>,
    sink: Sink,
    /// That of a device that has handed over, until the other one knows.
    parting: Option<(Source, Moment)>,
    count: Count,
    /// In which conversation: another one knows nothing of what was told in it.
    counts_in: Option<Conversation>,
    peer: Option<Peer>,
    handover: Option<Handover>,
    /// Nobody waits for an answer of the engine.
    is_quiet: bool,
    requests: VecDeque<StoreRequest>,
    events: VecDeque<Event>,
    beat: Moment,
    /// Last; `None`: there is something to say, whatever that was.
    said: Option<Saying>,
    split: Option<Term>,
    standing: Standing,
    since: Moment,
    why: Why,
}

impl Node {
    /// A standby, whose engine follows from here on.
    pub fn new(now: Moment, settings: Settings, engine: &mut Engine) -> Self {
        engine.follow();
        Self {
            office: Office::new(now, settings.election, settings.side, settings.last),
            settings,
            source: None,
            sink: Sink::new(now),
            parting: None,
            count: Count::new(now),
            counts_in: None,
            peer: None,
            handover: None,
            is_quiet: true,
            requests: VecDeque::new(),
            events: VecDeque::new(),
            beat: now,
            said: None,
            split: None,
            standing: Standing::Out,
            since: now,
            why: Why::Start,
        }
    }

    /// Its role.
    pub const fn role(&self) -> Role {
        self.office.role()
    }

    /// Why it has its role.
    pub const fn why(&self) -> Why {
        self.why
    }

    /// An active's own, or the highest that a standby knows of.
    pub const fn term(&self) -> Term {
        self.office.known()
    }

    /// True when firewalls are answered: it is active and not handing over, and what it does not know to be right is off its plane.
    pub fn takes_calls(&self, engine: &Engine) -> bool {
        matches!(self.office.role(), Role::Active) && self.handover.is_none() && !engine.is_purging()
    }

    /// Until when its plane may forward: no longer than anybody else believes it to, should this process end.
    pub fn forward_until(&self, now: Moment, engine: &Engine) -> Moment {
        match self.office.role() {
            _ if engine.is_purging() => Moment(0),
            Role::Active => self.office.until().min(now.saturating_add(self.settings.hold)),
            Role::Standby => self.sink.current_until(),
        }
    }

    /// The last change here, for [`is_answerable`](Self::is_answerable).
    pub fn last_change(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| source.position().change)
    }

    /// True when what was made known with this change need not wait for the standby any longer.
    pub fn is_answerable(&self, change: u64, answers: Answers) -> bool {
        let Some(source) = &self.source else { return true };
        match (source.standing(), answers) {
            (_, Answers::Taken) if !self.settings.sync => true,
            (Standing::Leaving, Answers::Taken) => !source.is_expecting(),
            (Standing::Out, _) => true,
            (Standing::In | Standing::Entering { .. } | Standing::Leaving, _) => source.done() >= change,
        }
    }

    /// For an operator.
    pub fn status(&self, engine: &Engine) -> Status {
        let position = self.source.as_ref().map_or(self.sink.position(), Source::position);
        Status {
            role: self.role(),
            term: self.office.known(),
            peer: self.peer.map(|peer| (peer.role, peer.heard)),
            standing: self.source.as_ref().map(Source::standing),
            position,
            lag: self.source.as_ref().map_or(0, |source| source.position().change - source.done()),
            awaiting: engine.awaiting(),
            current_until: self.sink.current_until(),
            is_handing_over: self.handover.is_some(),
            since: self.since,
            why: self.why,
        }
    }

    /// One thing that happened.
    pub fn handle(&mut self, now: Moment, engine: &mut Engine, input: Input) -> Result<(), CommandError> {
        self.watch(now, engine);
        match input {
            Input::Message(message) => self.receive(now, engine, *message),
            Input::Store(answer) => self.hear_store(now, engine, &answer),
            Input::Command(command) => return self.obey(now, engine, command),
        }
        Ok(())
    }

    /// Whether somebody waits for an answer of the engine, or has records on loan: until nobody does, the device is not handed over.
    pub const fn set_quiet(&mut self, is_quiet: bool) {
        self.is_quiet = is_quiet;
    }

    /// Whatever there is to be done.
    pub fn work(&mut self, now: Moment, engine: &mut Engine) {
        self.watch(now, engine);
        if let Some(request) = self.office.ask(now) {
            self.requests.push_back(request);
        }
        self.note_changes(engine);
        let conversation = self.source.as_ref().map_or(self.sink.conversation(), Source::conversation);
        if conversation != self.counts_in {
            (self.counts_in, self.count) = (conversation, Count::new(now));
        }
        if let Some(source) = &mut self.source {
            source.work(now, engine);
            if source.wants_counters() {
                self.count.hurry(now);
            }
            if source.has_room()
                && self.handover.is_none()
                && let Some((parts, is_last)) = self.count.work(now, engine)
            {
                source.tell_counters(parts, is_last);
            }
            let standing = source.standing();
            if core::mem::discriminant(&standing) != core::mem::discriminant(&self.standing) {
                self.standing = standing;
                self.events.push_back(Event::Standing(standing));
            }
            // What came of sessions that need not wait any more.
            self.note_changes(engine);
            self.hand_over(now, engine);
        } else {
            match self.sink.work(now, engine) {
                Some(Told::Invited) => self.be_invited(now, engine),
                Some(Told::Diverged(diverged)) => self.events.push_back(Event::Diverged(diverged)),
                None => {}
            }
        }
        if self.source.is_none() {
            let counted = if self.sink.has_room() { self.count.work(now, engine) } else { None };
            self.sink.collect(engine, &counted.map(|(parts, _)| parts).unwrap_or_default());
        }
        if self.parting.as_ref().is_some_and(|(source, until)| source.is_heard() || *until <= now) {
            self.parting = None;
        }
    }

    /// What the engine has changed gets its numbers.
    pub fn note_changes(&mut self, engine: &mut Engine) {
        while let Some(change) = engine.poll_change() {
            if let Some(source) = &mut self.source {
                source.push(change);
            }
        }
    }

    /// Before anything else: what has changed until now has its number before a snapshot of it is begun, or the device steps down; and its right
    /// may be over.
    fn watch(&mut self, now: Moment, engine: &mut Engine) {
        self.note_changes(engine);
        if self.role() == Role::Active && self.office.until() <= now {
            self.step_down(now, engine, Why::LeaseOver, Moment(0));
        }
        let is_to_lead = self.office.election == Election::Fixed(Role::Active) && self.role() == Role::Standby;
        // Both may be configured so: then the higher term has it, as long as it is heard of.
        let other = self.peer.filter(|peer| peer.role == Role::Active);
        let is_led = other.is_some_and(|peer| now.saturating_since(peer.heard) < limits::PEER_FORGOTTEN);
        if is_to_lead && !is_led {
            self.take_over(now, engine, Why::Start);
        }
    }

    /// Becomes active with a term of its own side, where no store deals them out.
    fn take_over(&mut self, now: Moment, engine: &mut Engine, why: Why) {
        let term = self.office.own_term();
        let keeps = self.keeps(now, term);
        self.promote(now, engine, term, keeps, why);
    }

    /// Whether what is here is what the last active had.
    fn keeps(&self, now: Moment, term: Term) -> bool {
        self.sink.current_until() > now || self.office.is_successor_of_itself(term)
    }

    /// It is active. The other one may be forwarding for a while, whatever it hears: it may have handed over.
    fn promote(&mut self, now: Moment, engine: &mut Engine, term: Term, keeps: bool, why: Why) {
        let lit_until = now.saturating_add(stretched(self.settings.hold));
        self.office.take(term);
        let position = self.sink.position();
        let is_known = keeps && self.sink.is_whole(engine);
        let parent = is_known.then(|| (position, self.sink.ahead().map(i64::wrapping_neg)));
        let heard = self.peer.map(|peer| peer.heard.saturating_add(limits::PEER_PATIENCE));
        self.source = Some(Source::new(term, parent, lit_until, heard.unwrap_or_default()));
        self.sink = Sink::new(now);
        self.parting = None;
        self.standing = Standing::Out;
        engine.begin_records_at(term.0 << limits::TERM_SHIFT);
        engine.lead(now, keeps, true);
        self.turn_into(now, Role::Active, why, keeps);
    }

    /// It is standby. What it has is good until then, if nobody says anything else.
    fn step_down(&mut self, now: Moment, engine: &mut Engine, why: Why, current_until: Moment) {
        self.office.leave(now);
        let position = self.source.as_ref().map(Source::position).unwrap_or_default();
        self.sink = Sink::behind(now, engine, position, current_until);
        if let Some(source) = self.source.take()
            && why == Why::Handover
        {
            self.parting = Some((source, now.saturating_add(limits::SWITCH_PATIENCE)));
        }
        self.handover = None;
        engine.set_draining(false);
        engine.follow();
        self.turn_into(now, Role::Standby, why, true);
    }

    fn turn_into(&mut self, now: Moment, role: Role, why: Why, keeps: bool) {
        (self.since, self.why) = (now, why);
        self.events.push_back(Event::Role { role, term: self.office.known(), why, keeps });
        // The other one is to know at once.
        self.said = None;
    }

    fn obey(&mut self, now: Moment, engine: &mut Engine, command: Command) -> Result<(), CommandError> {
        let role = self.role();
        let is_fixed = matches!(self.office.election, Election::Fixed(_));
        match command {
            Command::Become(_) | Command::Switchover if is_fixed => Err(CommandError::Fixed),
            Command::Become(wanted) if wanted == role => {
                self.office.set_stays_out(wanted == Role::Standby);
                Ok(())
            }
            Command::Become(Role::Active) => {
                self.office.set_stays_out(false);
                if self.office.election == Election::External {
                    self.take_over(now, engine, Why::Told);
                }
                // Where there is a store, it may be elected from here on: what it has promised it keeps.
                Ok(())
            }
            Command::Become(Role::Standby) => {
                self.office.set_stays_out(true);
                // Without a store whoever comes next waits that long; with one it does not wait, and this device is dark.
                let is_external = self.office.election == Election::External;
                let until = if is_external { now.saturating_add(self.settings.hold) } else { Moment(0) };
                if let (false, Some(request)) = (is_external, self.office.resign(now)) {
                    self.requests.push_back(request);
                }
                self.step_down(now, engine, Why::Told, until);
                Ok(())
            }
            Command::Switchover if role != Role::Active => Err(CommandError::Role(role)),
            Command::Switchover if self.handover.is_some() => Err(CommandError::HandingOver),
            Command::Switchover => {
                if self.source.as_ref().is_none_or(|source| source.standing() != Standing::In) {
                    return Err(CommandError::NotCurrent);
                }
                self.handover = Some(Handover::Draining { until: now.saturating_add(limits::SWITCH_PATIENCE) });
                engine.set_draining(true);
                Ok(())
            }
            Command::Resync if role == Role::Active => Err(CommandError::Role(role)),
            Command::Resync => {
                self.sink = Sink::new(now);
                Ok(())
            }
        }
    }

    /// As far as a handover can go on.
    fn hand_over(&mut self, now: Moment, engine: &mut Engine) {
        match self.handover {
            Some(Handover::Draining { until }) if until <= now => {
                self.handover = None;
                engine.set_draining(false);
                self.events.push_back(Event::HandoverFailed);
            }
            // Nobody knows whether the term was given back, so this device has none any more.
            Some(Handover::Resigning { until }) if until <= now => self.invite_peer(now, engine),
            Some(Handover::Draining { until }) => {
                let is_done = self.source.as_ref().is_some_and(Source::is_done);
                if !(self.is_quiet && is_done && engine.is_settled()) {
                    return;
                }
                if matches!(self.office.election, Election::Elected { .. }) {
                    if let Some(request) = self.office.resign(now) {
                        self.requests.push_back(request);
                        self.handover = Some(Handover::Resigning { until });
                    }
                } else {
                    self.invite_peer(now, engine);
                }
            }
            Some(Handover::Resigning { .. }) | None => {}
        }
    }

    /// Nothing is left to be done here.
    fn invite_peer(&mut self, now: Moment, engine: &mut Engine) {
        if let Some(source) = &mut self.source {
            source.invite(engine);
        }
        let until = now.saturating_add(self.settings.hold);
        self.step_down(now, engine, Why::Handover, until);
    }

    fn be_invited(&mut self, now: Moment, engine: &mut Engine) {
        match self.office.election {
            Election::Elected { .. } => self.office.invite(now),
            Election::External => self.take_over(now, engine, Why::Handover),
            Election::Fixed(_) => {}
        }
    }

    fn hear_store(&mut self, now: Moment, engine: &mut Engine, answer: &StoreAnswer) {
        if let StoreAnswer::Failed { why } = answer {
            self.events.push_back(Event::StoreFailed(why.clone()));
        }
        match self.office.answered(answer) {
            Verdict::Won(term) if self.office.until() > now => {
                let keeps = self.keeps(now, term);
                let why = if keeps { Why::Elected } else { Why::ElectedAnew };
                self.promote(now, engine, term, keeps, why);
            }
            Verdict::Lost if self.role() == Role::Active => {
                self.step_down(now, engine, Why::HigherTerm, Moment(0));
            }
            // Or perhaps: that nobody knows, and this device has none any more.
            Verdict::Resigned if matches!(self.handover, Some(Handover::Resigning { .. })) => {
                self.invite_peer(now, engine);
            }
            _ => {}
        }
    }

    fn receive(&mut self, now: Moment, engine: &mut Engine, message: Message) {
        // One of a process that is no more comes late. After a while nobody knows, and a clock may have been set back.
        let is_late = self
            .peer
            .is_some_and(|peer| message.run < peer.run && now.saturating_since(peer.heard) < limits::PEER_FORGOTTEN);
        if message.run == self.settings.run || is_late {
            return;
        }
        let is_newest = self.peer.is_none_or(|peer| peer.run != message.run || message.now >= peer.now);
        if is_newest {
            let Message { run, term, role, now: theirs, .. } = message;
            self.peer = Some(Peer { run, now: theirs, heard: now, term, role });
        }
        if self.role() == Role::Active {
            let mine = self.office.known();
            if message.role == Role::Active && is_newest && self.split != Some(message.term) {
                self.split = Some(message.term);
                self.events.push_back(Event::SplitBrain { mine, theirs: message.term });
            }
            if message.term > mine {
                self.office.learn(message.term);
                self.step_down(now, engine, Why::HigherTerm, Moment(0));
            } else if message.role == Role::Standby {
                if message.grants
                    && let Some((run, sent)) = message.echo
                    && run == self.settings.run
                {
                    self.office.promised(sent);
                }
                if let Some(source) = &mut self.source {
                    source.receive(now, engine, self.settings.run, &message, is_newest);
                }
                return;
            } else {
                return;
            }
        }
        if message.term > self.office.known() {
            self.office.learn(message.term);
            // A new active waits for whoever was heard of a moment ago.
            self.said = None;
        }
        if let Some((source, _)) = &mut self.parting {
            source.hear(now, &message);
        }
        let is_active = message.role == Role::Active && message.term == self.office.known();
        if is_active {
            // Whoever has been handed over to knows.
            self.parting = None;
        }
        // A standby may have handed over, and say so.
        if let Some(segment) = message.segment
            && (is_active || message.role == Role::Standby)
        {
            let conversation = segment.conversation;
            self.sink.receive(now, engine, message.now, segment);
            if is_active {
                let heard = message.echo.filter(|(run, _)| message.grants && *run == self.settings.run);
                self.sink.granted(conversation, heard.map(|(_, sent)| sent), self.settings.hold);
            }
        }
    }

    /// The next thing to say to the other one.
    pub fn poll_message(&mut self, now: Moment, engine: &Engine) -> Option<Message> {
        let saying = match &self.source {
            Some(source) => source.saying(),
            None => self.sink.saying(engine),
        };
        let frames = match (&self.source, &self.parting) {
            (Some(source), _) | (None, Some((source, _))) => source.frame_due(),
            (None, None) => self.sink.poll_timeout(),
        };
        if frames.is_none_or(|due| due > now) && self.said == Some(saying) && self.beat > now {
            return None;
        }
        (self.said, self.beat) = (Some(saying), now.saturating_add(limits::PEER_BEAT));
        let (segment, grants) = match (&mut self.source, &mut self.parting) {
            (Some(source), _) => source.segment(now, self.settings.hold),
            (None, Some((source, _))) => (source.segment(now, Duration::ZERO).0, false),
            (None, None) => {
                let active = self.peer.filter(|peer| peer.role == Role::Active && peer.term == self.office.known());
                let promises = active.is_some_and(|active| self.office.promise(active.heard));
                (self.sink.segment(now, engine), promises)
            }
        };
        Some(Message {
            run: self.settings.run,
            term: self.office.known(),
            role: self.role(),
            now,
            echo: self.peer.map(|peer| (peer.run, peer.now)),
            grants,
            position: self.source.as_ref().map_or(self.sink.position(), Source::position),
            segment,
        })
    }

    /// The next question to the store of roles.
    pub fn poll_store(&mut self) -> Option<StoreRequest> {
        self.requests.pop_front()
    }

    /// The next thing that the outside should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When there is something to be done, or to be said, at the latest.
    pub fn poll_timeout(&self, engine: &Engine) -> Option<Moment> {
        let channel = match (&self.source, &self.parting) {
            (Some(source), _) => source.poll_timeout(),
            (None, Some((source, _))) => source.frame_due(),
            (None, None) => self.sink.poll_timeout(),
        };
        let count = match &self.source {
            Some(source) if source.has_room() && self.handover.is_none() => self.count.poll_timeout(engine),
            None if self.sink.has_room() => self.count.poll_timeout(engine),
            _ => None,
        };
        let handover = self.handover.map(|(Handover::Draining { until } | Handover::Resigning { until })| until);
        [Some(self.beat), self.office.poll_timeout(), channel, count, handover].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
