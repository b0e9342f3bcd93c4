//! Get and list: views of sessions with live counters, put together from the plane's answers.

use core::num::NonZeroU32;
use std::collections::HashMap;

use super::Engine;
use crate::limits;
use crate::plane::{Command, ReadToken, Slot};
use crate::request::{ReplyBody, SessionView, Ticket};
use crate::state::State;
use crate::types::{Counters, Moment, SessionId};

/// Set in the tokens of reads that aging asked for, above the moment at which it did; all others name a query and a row of it.
const AGING: u64 = 1 << 63;

/// Of a read that aging asks for now.
pub(super) const fn aging_token(now: Moment) -> ReadToken {
    ReadToken(AGING | now.0)
}

/// When aging asked for a read, if it was aging that did.
pub(super) fn asked_by_aging(token: ReadToken) -> Option<Moment> {
    (token.0 & AGING != 0).then_some(Moment(token.0 & !AGING))
}

const ROW_BITS: u32 = 16;
const _: () = assert!(limits::LIST_ROWS <= 1 << ROW_BITS, "a row number fits its part of the token");

/// Views that wait for counters.
#[derive(Debug, Default)]
pub(super) struct Queries {
    open: HashMap<u64, Query>,
    last: u64,
    /// Rows whose session is being removed because it was superseded: its final counters are what they wait for.
    parked: Vec<(Slot, ReadToken)>,
}

impl Queries {
    /// None that is open, and numbers that those had are not used again.
    pub(super) fn after(before: &Self) -> Self {
        Self { last: before.last, ..Self::default() }
    }
}

#[derive(Debug)]
struct Query {
    ticket: Ticket,
    shape: Shape,
    rows: Vec<SessionView>,
    waiting: usize,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Get,
    List { next: Option<SessionId> },
}

impl Engine {
    pub(super) fn get(&mut self, ticket: Ticket, id: SessionId) {
        match self.visible(id) {
            Some(slot) => self.query(ticket, Shape::Get, &[slot]),
            None => self.reply(ticket, ReplyBody::Got(None)),
        }
    }

    pub(super) fn list(&mut self, ticket: Ticket, from: SessionId, skip: u32, rows: NonZeroU32) {
        let rows = (rows.get() as usize).min(limits::LIST_ROWS);
        let skip = skip.min(limits::LIST_SKIP) as usize;
        let mut visible = self
            .table
            .ids_from(from)
            .filter(|(_, slot)| self.table.get(*slot).is_some_and(|session| session.state.is_visible()))
            .skip(skip);
        let slots: Vec<Slot> = visible.by_ref().take(rows).map(|(_, slot)| slot).collect();
        let next = visible.next().map(|(id, _)| id);
        drop(visible);
        self.query(ticket, Shape::List { next }, &slots);
    }

    /// Asks for the counters that the views of these visible sessions need, and answers when all are there.
    fn query(&mut self, ticket: Ticket, shape: Shape, slots: &[Slot]) {
        self.queries.last += 1;
        let number = self.queries.last;
        let mut query = Query { ticket, shape, rows: Vec::with_capacity(slots.len()), waiting: 0 };
        for (row, slot) in (0_u64..).zip(slots) {
            let Some(session) = self.table.get(*slot) else { continue };
            query.rows.push(session.view(self.shares.sum(*slot, session.ending().kept), None));
            let token = ReadToken(number << ROW_BITS | row);
            match session.state {
                State::Established => self.commands.push_back(Command::Read { slot: *slot, token }),
                State::Detaching => self.queries.parked.push((*slot, token)),
                _ => continue,
            }
            query.waiting += 1;
        }
        if query.waiting == 0 {
            self.answer(query);
        } else {
            self.queries.open.insert(number, query);
        }
    }

    pub(super) fn answer_read(&mut self, token: ReadToken, counters: Counters) {
        let number = token.0 >> ROW_BITS;
        let row = (token.0 & ((1 << ROW_BITS) - 1)) as usize;
        let Some(query) = self.queries.open.get_mut(&number) else { return };
        query.rows[row].counters = counters;
        query.waiting -= 1;
        if query.waiting == 0
            && let Some(query) = self.queries.open.remove(&number)
        {
            self.answer(query);
        }
    }

    /// The session of this slot was taken off the plane with these counters.
    pub(super) fn answer_parked(&mut self, slot: Slot, counters: Counters) {
        if self.queries.parked.is_empty() {
            return;
        }
        let (here, elsewhere) = core::mem::take(&mut self.queries.parked).into_iter().partition(|(s, _)| *s == slot);
        self.queries.parked = elsewhere;
        let here: Vec<(Slot, ReadToken)> = here;
        for (_, token) in here {
            self.answer_read(token, counters);
        }
    }

    fn answer(&mut self, query: Query) {
        let Query { ticket, shape, mut rows, .. } = query;
        self.reply(
            ticket,
            match shape {
                Shape::Get => ReplyBody::Got(rows.pop()),
                Shape::List { next } => ReplyBody::Listed { sessions: rows, next },
            },
        );
    }
}
