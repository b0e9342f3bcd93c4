//! A standby's side: it takes the frames of the active, has the table go through what is in them, and says how far that is.
//!
//! What it has is as good as the active's for as long as that says so; each such word is good for a time that the active knows. What must not
//! be here: who is active (`node`), and what a change does to a table (`engine`).

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use super::change::Part;
use super::channel::{Arrival, Channel};
use super::message::{Begin, Conversation, Payload, Saying, Segment};
use super::term::Position;
use crate::engine::{Applied, Diverged, Engine};
use crate::limits;
use crate::plane::Slot;
use crate::types::Moment;

/// What a standby has of its active.
#[derive(Debug)]
pub(super) struct Sink {
    conversation: Option<Conversation>,
    channel: Channel<Arc<Payload>>,
    /// Taken, and not gone through.
    inbox: VecDeque<Payload>,
    /// How far this device's clock is ahead of the active's, for versions; of one that was active itself nobody has said that.
    ahead: Option<i64>,
    position: Position,
    /// Sessions that could not be taken in here, in all, when everything was told anew.
    unfollowed: u64,
    /// Changes whose slots the plane has not answered for.
    under_way: VecDeque<(u64, Slot)>,
    /// Until then what is here is what the active has.
    current_until: Moment,
    /// The active has said so last.
    is_granted: bool,
    /// What the plane has let go, not yet told.
    let_go: VecDeque<Part>,
}

/// What came of a frame that is not about sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// The active is none any more, and this device has everything that it had.
    Invited,
    /// Something was missed: everything has to be told anew.
    Diverged(Diverged),
}

impl Sink {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            conversation: None,
            channel: Channel::new(now),
            inbox: VecDeque::new(),
            ahead: None,
            position: Position::default(),
            unfollowed: 0,
            under_way: VecDeque::new(),
            current_until: Moment(0),
            is_granted: false,
            let_go: VecDeque::new(),
        }
    }

    /// One that has been active until now, whose table is at `position`, and is as good until then.
    pub(super) fn behind(now: Moment, engine: &Engine, position: Position, current_until: Moment) -> Self {
        Self { position, current_until, unfollowed: engine.statistics().unfollowed, ..Self::new(now) }
    }

    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// True when there is nothing that could not be taken in here.
    pub(super) fn is_whole(&self, engine: &Engine) -> bool {
        self.position != Position::default() && engine.statistics().unfollowed == self.unfollowed
    }

    /// That with the active.
    pub(super) const fn conversation(&self) -> Option<Conversation> {
        self.conversation
    }

    /// How far this device's clock was found to be ahead of the active's.
    pub(super) const fn ahead(&self) -> Option<i64> {
        self.ahead
    }

    /// Until when the table is as good as the active's.
    pub(super) const fn current_until(&self) -> Moment {
        self.current_until
    }

    /// What the active says of this device: that it has everything, as of a message of this moment; or not that.
    pub(super) fn granted(&mut self, conversation: Conversation, sent: Option<Moment>, hold: Duration) {
        if Some(conversation) == self.conversation {
            self.is_granted = sent.is_some();
            let until = sent.map_or(Moment(0), |sent| sent.saturating_add(hold));
            self.current_until = self.current_until.max(until);
        }
    }

    /// What is said about frames in a message of the active, which was sent at this moment of its clock.
    pub(super) fn receive(&mut self, now: Moment, engine: &mut Engine, sent: Moment, segment: Segment) {
        let Segment { conversation, through, frame, .. } = segment;
        if Some(conversation) > self.conversation
            && let Some((1, payload)) = &frame
            && let Payload::Begin(begin) = &**payload
            && self.begins(now, engine, begin, sent)
        {
            self.conversation = Some(conversation);
            self.channel = Channel::new(now);
            let _ = self.channel.arrives(1, true);
            return;
        }
        if Some(conversation) != self.conversation {
            return;
        }
        self.channel.heard(now, through);
        if let Some((number, payload)) = frame
            && self.channel.arrives(number, self.inbox.len() < limits::PEER_INBOX) == Arrival::Next
        {
            let payload = self.translated(now, sent, Arc::unwrap_or_clone(payload));
            self.inbox.push_back(payload);
        }
    }

    /// True when it can go on as the active begins.
    fn begins(&mut self, now: Moment, engine: &mut Engine, begin: &Begin, sent: Moment) -> bool {
        match *begin {
            Begin::Anew => {
                self.ahead = Some(now.0.wrapping_sub(sent.0).cast_signed());
                self.position = Position::default();
                self.unfollowed = engine.statistics().unfollowed;
                self.current_until = Moment(0);
                self.under_way.clear();
                self.let_go.clear();
                while engine.poll_let_go().is_some() {}
                engine.empty(now);
            }
            Begin::Behind { position, .. } if position != self.position => return false,
            Begin::Behind { position, term, ahead } => {
                self.ahead = ahead.or(self.ahead);
                let change = if term == position.term { position.change } else { 0 };
                self.position = Position { term, change };
                self.under_way.iter_mut().for_each(|(number, _)| *number = 0);
                // What was on its way in the conversation before this one is lost with it.
                self.let_go.clear();
                engine.tell_let_go_again();
            }
        }
        self.inbox.clear();
        true
    }

    fn translated(&self, now: Moment, sent: Moment, payload: Payload) -> Payload {
        let by = now.0.wrapping_sub(sent.0).cast_signed();
        let ahead = self.ahead.unwrap_or(by);
        match payload {
            Payload::Changes { first, changes } => {
                let changes = changes.into_iter().map(|change| change.shifted(ahead)).collect();
                Payload::Changes { first, changes }
            }
            Payload::Rows(rows) => Payload::Rows(rows.into_iter().map(|row| row.shifted(ahead)).collect()),
            Payload::Counters { parts, is_last } => {
                let parts = parts.into_iter().map(|part| part.shifted(ahead, by)).collect();
                Payload::Counters { parts, is_last }
            }
            other => other,
        }
    }

    /// Goes through what has come, as far as the table has room for it.
    pub(super) fn work(&mut self, now: Moment, engine: &mut Engine) -> Option<Told> {
        // What was there before a snapshot is being gone through still.
        while engine.commands_len() < limits::PEER_COMMANDS && !engine.is_walking() {
            let payload = self.inbox.pop_front()?;
            match self.go_through(now, engine, payload) {
                Ok(None) => {}
                // The rest of it waits.
                Ok(Some(Rest::Payload(payload))) => {
                    self.inbox.push_front(payload);
                    break;
                }
                Ok(Some(Rest::Told(told))) => return Some(told),
                Err(diverged) => {
                    *self = Self { current_until: Moment(0), ..Self::new(now) };
                    return Some(Told::Diverged(diverged));
                }
            }
        }
        None
    }

    fn go_through(&mut self, now: Moment, engine: &mut Engine, payload: Payload) -> Result<Option<Rest>, Diverged> {
        match payload {
            Payload::Changes { first, changes } => {
                let mut left = changes.into_iter();
                for number in first.. {
                    let Some(change) = left.next() else { break };
                    match engine.apply_change(now, change)? {
                        Applied::Yes(slot) => self.under_way.extend(slot.map(|slot| (number, slot))),
                        Applied::NotYet(change) => {
                            let changes = core::iter::once(*change).chain(left).collect();
                            return Ok(Some(Rest::Payload(Payload::Changes { first: number, changes })));
                        }
                    }
                    if self.position != Position::default() {
                        self.position.change = number;
                    }
                }
            }
            Payload::Rows(rows) => {
                let mut left = rows.into_iter();
                while let Some(row) = left.next() {
                    match engine.apply_change(now, row)? {
                        Applied::Yes(slot) => self.under_way.extend(slot.map(|slot| (0, slot))),
                        Applied::NotYet(row) => {
                            let rows = core::iter::once(*row).chain(left).collect();
                            return Ok(Some(Rest::Payload(Payload::Rows(rows))));
                        }
                    }
                }
            }
            Payload::End { change } => {
                let term = self.conversation.unwrap_or(Conversation { term: self.position.term, number: 0 }).term;
                self.position = Position { term, change };
                self.under_way.iter_mut().for_each(|(number, _)| *number = 0);
            }
            Payload::Counters { parts, .. } => parts.into_iter().for_each(|part| engine.counted_by_peer(part)),
            Payload::Yield { position } if position == self.position => return Ok(Some(Rest::Told(Told::Invited))),
            // Not an active's to say, or not to this one.
            Payload::Begin(_) | Payload::LetGo(_) | Payload::Yield { .. } => {}
        }
        Ok(None)
    }

    /// Up to which change everything is in force.
    fn done(&mut self, engine: &Engine) -> u64 {
        while self.under_way.front().is_some_and(|(_, slot)| !engine.is_under_way(*slot)) {
            self.under_way.pop_front();
        }
        // What was there before a snapshot has to be gone.
        if engine.is_purging() {
            return 0;
        }
        let behind = self.under_way.front().map_or(self.position.change, |(number, _)| number.saturating_sub(1));
        behind.min(self.position.change)
    }

    /// What the table has to tell the active.
    pub(super) fn collect(&mut self, engine: &mut Engine, counted: &[Part]) {
        self.let_go.extend(std::iter::from_fn(|| engine.poll_let_go()));
        let ahead = self.ahead.unwrap_or_default();
        let back = |part: &Part| part.shifted(ahead.wrapping_neg(), 0);
        while self.channel.has_room() && !self.let_go.is_empty() {
            let most = self.let_go.len().min(limits::PEER_FRAME);
            let parts = self.let_go.drain(..most).map(|part| back(&part)).collect();
            self.channel.push(Arc::new(Payload::LetGo(parts)));
        }
        if !counted.is_empty() && self.channel.has_room() {
            let parts = counted.iter().map(back).collect();
            self.channel.push(Arc::new(Payload::Counters { parts, is_last: false }));
        }
    }

    /// True when counters can be told.
    pub(super) fn has_room(&self) -> bool {
        self.conversation.is_some() && self.channel.has_room()
    }

    /// Up to which frame it has gone through them: only then there is room for others, and the active has no more under way than that.
    fn through(&self) -> u64 {
        self.channel.through() - self.inbox.len() as u64
    }

    /// What there is to say about frames.
    pub(super) fn segment(&mut self, now: Moment, engine: &Engine) -> Option<Segment> {
        let conversation = self.conversation?;
        let done = self.done(engine);
        Some(Segment { conversation, through: self.through(), done, frame: self.channel.poll(now) })
    }

    /// When there is a frame to be sent.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.conversation.and_then(|_| self.channel.poll_timeout())
    }

    /// What a message would say.
    pub(super) fn saying(&mut self, engine: &Engine) -> Saying {
        Saying { through: self.through(), done: self.done(engine), knows: self.is_granted }
    }
}

/// What is left of a payload.
enum Rest {
    Payload(Payload),
    Told(Told),
}

#[cfg(test)]
mod tests {
    use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};

    use super::*;
    use crate::engine::EngineConfig;
    use crate::engine::tests::plane::config;
    use crate::ha::change::{Change, Fate};
    use crate::ha::term::Term;
    use crate::plane::Capabilities;
    use crate::types::{Action, Lif, SessionId, SessionSpec};

    const FRAMES: u64 = 4 * limits::PEER_WINDOW as u64;

    fn table() -> Engine {
        let config = EngineConfig { max_sessions: 1 << 20, ..config() };
        let mut table = Engine::new(&config, Capabilities::forwarding(1 << 20));
        table.follow();
        table
    }

    fn session(id: u64) -> Change {
        let [.., a, b, c, d] = id.to_be_bytes();
        let (vlan, tunnel, transport) = (Vid::UNTAGGED, Tunnel::None, Transport::Udp);
        let addresses = Addresses::V4 { source: [a, b, c, d], destination: [192, 0, 2, 1] };
        let flow = FlowKey { vlan, tunnel, addresses, source_port: 1, destination_port: 53, transport };
        let lif = Lif::new(1).unwrap();
        let (id, out_vlan, action) = (SessionId(id), Vid::UNTAGGED, Action::Forward);
        let spec = SessionSpec { id, in_lif: lif, out_lif: lif, flow, out_vlan, action, timeout_seconds: 30 };
        Change::Session { spec, started: Moment(1), fate: Fate::Lives }
    }

    /// A frame that is left lying is sent again, and all behind it, only after a while.
    #[test]
    fn however_slow_its_plane_is_no_frame_comes_for_which_there_is_no_room() {
        let now = Moment(1);
        let (mut active, mut sink, mut engine) = (Channel::new(now), Sink::new(now), table());
        let conversation = Conversation { term: Term(1), number: 1 };
        active.push(Arc::new(Payload::Begin(Begin::Anew)));
        let (mut given, mut sent, mut turns) = (0, 0, 0);
        while !(given == FRAMES && active.is_heard()) {
            while active.has_room() && given < FRAMES {
                let ids = given * limits::PEER_FRAME as u64..(given + 1) * limits::PEER_FRAME as u64;
                active.push(Arc::new(Payload::Rows(ids.map(session).collect())));
                given += 1;
            }
            while let Some(frame) = active.poll(now) {
                sink.receive(now, &mut engine, now, Segment { conversation, through: 0, done: 0, frame: Some(frame) });
                sent += 1;
            }
            assert_eq!(sink.work(now, &mut engine), None);
            engine.commands_taken(engine.commands_len().min(limits::PEER_COMMANDS / 2));
            let said = sink.segment(now, &engine).unwrap();
            active.heard(now, said.through);
            turns += 1;
            assert!(turns < 1000, "{sent} frames sent, {said:?}");
        }
        assert_eq!(sent, 1 + FRAMES);
    }
}
