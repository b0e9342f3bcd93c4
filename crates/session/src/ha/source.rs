//! An active's side: its latest changes, how far its standby is with them, and whether it has to be waited for.
//!
//! A standby that is told that it has what the active has may forward, and take over. Until such a word is over, whatever becomes of the standby,
//! no session is reported that it has not let go. What must not be here: who is active (`node`).

use core::time::Duration;
use std::sync::Arc;

use super::change::{Change, Part};
use super::channel::{Arrival, Channel};
use super::log::ChangeLog;
use super::message::{Begin, Conversation, Message, Payload, Saying, Segment};
use super::rest::Rest;
use super::term::{Position, Term};
use crate::engine::Engine;
use crate::limits;
use crate::plane::Slot;
use crate::types::Moment;

/// What an active has to tell.
#[derive(Debug)]
pub(super) struct Source {
    term: Term,
    log: ChangeLog,
    /// What this active has taken over, and how far the clock of whoever had it is ahead of this one; had it that itself, nothing changes.
    parent: Option<(Position, Option<i64>)>,
    conversations: u64,
    follower: Option<Follower>,
    standing: Standing,
    /// Until then a standby may think that it has what this one has.
    lit_until: Moment,
    /// When it was first told so, since it does.
    granted: Option<Moment>,
    /// Until then one is expected that is not there yet.
    expected_until: Moment,
    /// That is still to come.
    is_expected: bool,
}

/// Whether the standby has what the active has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It does not, and knows.
    Out,
    /// It will when it has done this change; what is closed meanwhile waits for it.
    Entering {
        /// The number of the change.
        change: u64,
    },
    /// It does.
    In,
    /// Nobody knows, and for a while it may think that it does.
    Leaving,
}

#[derive(Debug)]
struct Follower {
    run: u64,
    conversation: Conversation,
    channel: Channel<Arc<Payload>>,
    begun: Moment,
    /// It has said something in this conversation.
    is_known: bool,
    /// It was there at this moment, if not later.
    seen: Moment,
    /// The last change that was put into a frame.
    sent: u64,
    done: u64,
    stage: Stage,
    /// The frame behind which all counters have been told once.
    counted: Option<u64>,
}

#[derive(Debug)]
enum Stage {
    /// What is left of what sessions refer to, and of the closed records.
    Rest(Rest),
    Sessions(Slot),
    Follows,
}

impl Follower {
    /// It can be told something.
    fn is_ready(&self) -> bool {
        self.is_known && self.channel.has_room()
    }
}

impl Source {
    /// `parent` is what a standby may have that followed the same active until now, and how far its clock is ahead; `lit_until` how long it
    /// may think that it has what this one has, and `expected_until` how long it is waited for because it was heard of a moment ago.
    pub(super) const fn new(
        term: Term,
        parent: Option<(Position, Option<i64>)>,
        lit_until: Moment,
        expected_until: Moment,
    ) -> Self {
        let standing = Standing::Leaving;
        let log = ChangeLog::new();
        Self {
            term,
            log,
            parent,
            conversations: 0,
            follower: None,
            standing,
            lit_until,
            granted: None,
            expected_until,
            is_expected: true,
        }
    }

    pub(super) const fn position(&self) -> Position {
        Position { term: self.term, change: self.log.last() }
    }

    pub(super) const fn standing(&self) -> Standing {
        self.standing
    }

    /// True while nobody has what this one has, and somebody is about to.
    pub(super) fn is_expecting(&self) -> bool {
        self.standing == Standing::Leaving && self.is_expected
    }

    /// That with the standby.
    pub(super) fn conversation(&self) -> Option<Conversation> {
        self.follower.as_ref().map(|follower| follower.conversation)
    }

    /// What the standby has done.
    pub(super) fn done(&self) -> u64 {
        self.follower.as_ref().map_or(0, |follower| follower.done)
    }

    /// True when the standby has everything, and knows: one that does not would take over as somebody who has missed something.
    pub(super) fn is_done(&self) -> bool {
        let knows =
            self.follower.as_ref().zip(self.granted).is_some_and(|(follower, told)| !told.is_after(follower.seen));
        self.standing == Standing::In && knows && self.done() == self.log.last()
    }

    /// A message of a standby.
    pub(super) fn receive(
        &mut self,
        now: Moment,
        engine: &mut Engine,
        my_run: u64,
        message: &Message,
        is_newest: bool,
    ) {
        let conversation = message.segment.as_ref().map(|segment| segment.conversation);
        let is_mine = self
            .follower
            .as_ref()
            .is_some_and(|follower| follower.run == message.run && Some(follower.conversation) == conversation);
        if !is_mine {
            // It may not have heard of the one that was begun.
            let waits = self.follower.as_ref().is_some_and(|follower| {
                follower.run == message.run
                    && !follower.is_known
                    && now.saturating_since(follower.begun) < limits::PEER_RESTART
            });
            if is_newest && !waits {
                self.begin(now, engine, message);
            }
            return;
        }
        let (Some(follower), Some(segment)) = (&mut self.follower, &message.segment) else { return };
        follower.is_known = true;
        if let Some((run, at)) = message.echo
            && run == my_run
        {
            follower.seen = follower.seen.max(at);
        }
        follower.channel.heard(now, segment.through);
        follower.done = follower.done.max(segment.done.min(follower.sent));
        let by = now.0.wrapping_sub(message.now.0).cast_signed();
        if let Some((number, payload)) = &segment.frame
            && follower.channel.arrives(*number, true) == Arrival::Next
        {
            match &**payload {
                Payload::LetGo(parts) => {
                    for part in parts {
                        engine.let_go_by_peer(now, part.shifted(0, by));
                    }
                }
                Payload::Counters { parts, .. } => {
                    for part in parts {
                        engine.counted_by_peer(part.shifted(0, by));
                    }
                }
                // Not a standby's to say.
                _ => {}
            }
        }
    }

    fn begin(&mut self, now: Moment, engine: &mut Engine, message: &Message) {
        let position = message.position;
        self.conversations += 1;
        let conversation = Conversation { term: self.term, number: self.conversations };
        let resumed = if position.term == self.term && self.log.reaches(position.change) {
            Some((position.change, None))
        } else {
            let parent = self.parent.filter(|(parent, _)| *parent == position && self.log.reaches(0));
            parent.map(|(_, ahead)| (0, ahead))
        };
        let (begin, sent, stage) = match resumed {
            Some((sent, ahead)) => (Begin::Behind { position, term: self.term, ahead }, sent, Stage::Follows),
            None => (Begin::Anew, self.log.last(), Stage::Rest(engine.rest())),
        };
        let mut channel = Channel::new(now);
        channel.push(Arc::new(Payload::Begin(begin)));
        // One that goes on has the counters that it had.
        let counted = resumed.map(|_| 0);
        self.follower = Some(Follower {
            run: message.run,
            conversation,
            channel,
            begun: now,
            is_known: false,
            seen: now,
            sent,
            done: 0,
            stage,
            counted,
        });
    }

    /// A change of this active.
    pub(super) fn push(&mut self, change: Change) {
        if let Some(Follower { stage: Stage::Rest(rest), .. }) = &mut self.follower {
            rest.outdate(&change);
        }
        self.log.push(change);
    }

    /// Puts what there is to tell into frames, and sees how the standby stands.
    pub(super) fn work(&mut self, now: Moment, engine: &mut Engine) {
        self.fill(engine);
        let alive = self
            .follower
            .as_ref()
            .is_some_and(|follower| follower.is_known && now.saturating_since(follower.seen) < limits::PEER_PATIENCE);
        let is_whole = alive
            && self.follower.as_ref().is_some_and(|follower| {
                matches!(follower.stage, Stage::Follows)
                    && follower.counted.is_some_and(|number| follower.channel.heard_through() >= number)
            });
        match self.standing {
            Standing::Out if is_whole => {
                // From here on it is waited for, though it may not know yet.
                engine.set_confirms(now, true);
                self.standing = Standing::Entering { change: self.log.last() };
            }
            Standing::Entering { .. } | Standing::In if !is_whole => self.standing = Standing::Leaving,
            Standing::Leaving if is_whole => self.standing = Standing::Entering { change: self.log.last() },
            _ => {}
        }
        if let Standing::Entering { change } = self.standing
            && self.done() >= change
        {
            self.standing = Standing::In;
        }
        self.is_expected &= now < self.expected_until;
        if self.standing == Standing::Leaving && self.lit_until <= now {
            engine.set_confirms(now, false);
            self.standing = Standing::Out;
        }
    }

    fn fill(&mut self, engine: &mut Engine) {
        let Some(follower) = &mut self.follower else { return };
        if follower.sent < self.log.last() && !self.log.reaches(follower.sent) {
            // It is too far behind: it will be told everything anew.
            self.follower = None;
            return;
        }
        for _ in 0..limits::PEER_FILL {
            if !follower.is_ready() {
                return;
            }
            if let Some((changes, last)) = self.log.behind(follower.sent) {
                follower.sent = last;
                follower.channel.push(changes);
                continue;
            }
            match &mut follower.stage {
                Stage::Rest(rest) => {
                    let rows = rest.take(limits::PEER_FRAME);
                    if rows.is_empty() {
                        follower.stage = Stage::Sessions(Slot(0));
                    } else {
                        follower.channel.push(Arc::new(Payload::Rows(rows)));
                    }
                }
                Stage::Sessions(from) => {
                    let (rows, next) = engine.sessions_from(*from, limits::SNAPSHOT_STEP);
                    if !rows.is_empty() {
                        follower.channel.push(Arc::new(Payload::Rows(rows)));
                    }
                    if let Some(next) = next {
                        *from = next;
                    } else {
                        follower.stage = Stage::Follows;
                        follower.channel.push(Arc::new(Payload::End { change: follower.sent }));
                    }
                }
                Stage::Follows => return,
            }
        }
    }

    /// True when the counters of all sessions are wanted, as soon as possible.
    pub(super) fn wants_counters(&self) -> bool {
        self.follower
            .as_ref()
            .is_some_and(|follower| follower.counted.is_none() && matches!(follower.stage, Stage::Follows))
    }

    /// True when counters can be told.
    pub(super) fn has_room(&self) -> bool {
        self.follower.as_ref().is_some_and(|follower| follower.is_ready() && matches!(follower.stage, Stage::Follows))
    }

    /// Counters of sessions; `is_last`: all others have been told.
    pub(super) fn tell_counters(&mut self, parts: Vec<Part>, is_last: bool) {
        let Some(follower) = &mut self.follower else { return };
        let is_wanted = is_last && follower.counted.is_none();
        if !parts.is_empty() || is_wanted {
            let number = follower.channel.push(Arc::new(Payload::Counters { parts, is_last }));
            if is_wanted {
                follower.counted = Some(number);
            }
        }
    }

    /// Tells the standby that it should be active, behind all changes.
    pub(super) fn invite(&mut self, engine: &mut Engine) {
        self.fill(engine);
        let position = self.position();
        if let Some(follower) = self.follower.as_mut().filter(|follower| follower.sent == position.change) {
            follower.channel.push(Arc::new(Payload::Yield { position }));
        }
    }

    /// True when the standby has all frames.
    pub(super) fn is_heard(&self) -> bool {
        self.follower.as_ref().is_none_or(|follower| follower.channel.is_heard())
    }

    /// What there is to say about frames, and whether the standby is as good.
    pub(super) fn segment(&mut self, now: Moment, hold: Duration) -> (Option<Segment>, bool) {
        let grants = self.standing == Standing::In;
        let Some(follower) = &mut self.follower else { return (None, false) };
        self.granted = self.granted.or(Some(now)).filter(|_| grants);
        if grants {
            self.lit_until = now.saturating_add(hold + hold / limits::DRIFT);
        }
        let (conversation, through) = (follower.conversation, follower.channel.through());
        (Some(Segment { conversation, through, done: 0, frame: follower.channel.poll(now) }), grants)
    }

    /// When there is something to be done.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        let leaving = (self.standing == Standing::Leaving).then_some(self.lit_until);
        let patience = self.follower.as_ref().map(|follower| follower.seen.saturating_add(limits::PEER_PATIENCE));
        let waits = !matches!(self.standing, Standing::Out | Standing::Leaving);
        let has_more = self.follower.as_ref().is_some_and(|follower| {
            follower.is_ready() && (follower.sent < self.log.last() || !matches!(follower.stage, Stage::Follows))
        });
        [
            has_more.then_some(Moment(0)),
            self.is_expecting().then_some(self.expected_until),
            leaving,
            patience.filter(|_| waits),
            self.follower.as_ref().and_then(|follower| follower.channel.poll_timeout()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What whoever has been handed over to says of the frames that it has.
    pub(super) fn hear(&mut self, now: Moment, message: &Message) {
        if let (Some(follower), Some(segment)) = (&mut self.follower, &message.segment)
            && follower.conversation == segment.conversation
        {
            follower.channel.heard(now, segment.through);
        }
    }

    /// When there is a frame to be sent.
    pub(super) fn frame_due(&self) -> Option<Moment> {
        self.follower.as_ref().and_then(|follower| follower.channel.poll_timeout())
    }

    /// What a message would say.
    pub(super) fn saying(&self) -> Saying {
        let through = self.follower.as_ref().map_or(0, |follower| follower.channel.through());
        Saying { through, done: 0, knows: self.standing == Standing::In }
    }
}
