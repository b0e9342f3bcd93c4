//! Random histories: the engine against a model of a few lines, with a plane that delays and fails.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use core::num::NonZeroU32;

use proptest::prelude::*;

use super::nat::behind;
use super::plane::{SECOND, StoreFault, World, config, next_hop, one_armed, routed_by, spec};
use crate::engine::EngineConfig;
use crate::l3::L3Error;
use crate::plane::{Found, InstallError, Note, RouteError};
use crate::request::{AddError, L3Request, ReplyBody, RequestBody, SameTuple, Ticket};
use crate::types::{Direction, SessionId, SessionSpec};

#[derive(Clone, Debug)]
enum Act {
    Add(Vec<(u64, u16)>, bool, Kind),
    Delete(u64, bool),
    Reset,
    DestroyNextHop,
    Packet(u16, bool, Kind),
    Wait(u64),
    Hold,
    Release,
    InstallFault(bool),
    RemoveFault,
    RouteFault(bool),
    Collect,
    List,
    Restart,
    StoreFault(bool),
    ReleaseStore,
}

/// What sessions and packets of the histories are like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// From one interface to another.
    Across,
    /// The same with a next hop.
    Routed,
    /// The same with another source; several ports share one outside.
    Translated,
    /// Out by the interface that it came in on.
    OneArmed,
    /// The answer to a one-armed session as a session of its own: it has the same two keys, crossed.
    Answer,
}

impl Kind {
    fn session(self, id: u64, port: u16) -> SessionSpec {
        match self {
            Self::Across => spec(id, port),
            Self::Routed => SessionSpec { action: routed_by(1), ..spec(id, port) },
            Self::Translated => behind(id, port, 1 + port % 3),
            Self::OneArmed => one_armed(id, port),
            Self::Answer => {
                let one_armed = one_armed(id, port);
                SessionSpec { flow: one_armed.flow.reversed(), ..one_armed }
            }
        }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        2 => Just(Kind::Across),
        2 => Just(Kind::Routed),
        2 => Just(Kind::Translated),
        2 => Just(Kind::OneArmed),
        1 => Just(Kind::Answer),
    ]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let session = || (0_u64..12, 1_u16..8);
    let act = prop_oneof![
        6 => (proptest::collection::vec(session(), 1..4), any::<bool>(), kind())
            .prop_map(|(s, r, k)| Act::Add(s, r, k)),
        3 => (0_u64..12, any::<bool>()).prop_map(|(id, record)| Act::Delete(id, record)),
        1 => Just(Act::Reset),
        1 => Just(Act::DestroyNextHop),
        6 => (1_u16..8, any::<bool>(), kind()).prop_map(|(p, o, k)| Act::Packet(p, o, k)),
        3 => (0_u64..15).prop_map(Act::Wait),
        1 => Just(Act::Hold),
        2 => Just(Act::Release),
        1 => any::<bool>().prop_map(Act::InstallFault),
        1 => Just(Act::RemoveFault),
        1 => any::<bool>().prop_map(Act::RouteFault),
        1 => Just(Act::Collect),
        1 => Just(Act::List),
        1 => Just(Act::Restart),
        1 => any::<bool>().prop_map(Act::StoreFault),
        2 => Just(Act::ReleaseStore),
    ];
    proptest::collection::vec(act, 1..80)
}

/// What every history must add up to.
#[derive(Default)]
struct Ledger {
    adds: BTreeMap<Ticket, Vec<u64>>,
    deletes: BTreeMap<Ticket, bool>,
    sweeps: Vec<Ticket>,
    hops: Vec<Ticket>,
    accepted: HashMap<u64, u32>,
    ended: HashMap<u64, u32>,
    hits: u64,
    reported_hits: u64,
}

impl Ledger {
    fn end(&mut self, id: u64, packets: u64) {
        *self.ended.entry(id).or_default() += 1;
        self.reported_hits += packets;
    }

    fn settle(&mut self, world: &mut World) {
        let adds: Vec<_> = self.adds.keys().copied().collect();
        for ticket in adds {
            let Some(ReplyBody::Added { refused }) = world.reply(ticket) else { continue };
            let ids = self.adds.remove(&ticket).unwrap();
            for (index, id) in (0..).zip(ids) {
                match refused.iter().find(|refused| refused.index == index) {
                    None => *self.accepted.entry(id).or_default() += 1,
                    Some(refused) => assert_eq!(refused.id, SessionId(id)),
                }
            }
        }
        self.sweeps.retain(|ticket| match world.reply(*ticket) {
            Some(ReplyBody::Swept { .. } | ReplyBody::Done(Err(L3Error::NoNextHop(_)))) => false,
            None => true,
            other => panic!("{other:?}"),
        });
        self.hops.retain(|ticket| match world.reply(*ticket) {
            Some(ReplyBody::Done(Ok(()) | Err(L3Error::NextHopsFull | L3Error::Unavailable))) => false,
            None => true,
            other => panic!("{other:?}"),
        });
        for (ticket, recorded) in self.deletes.clone() {
            let Some(ReplyBody::Deleted(view)) = world.reply(ticket) else { continue };
            self.deletes.remove(&ticket);
            // One that is recorded is counted when its record comes.
            if let Some(view) = view.filter(|_| !recorded) {
                self.end(view.spec.id.0, view.counters.inward.packets + view.counters.outward.packets);
            }
        }
    }

    /// The engine is gone. What it has not answered is never answered; what the plane has of it goes on, promised or not.
    fn restart(&mut self, world: &mut World, config: &EngineConfig) {
        if !config.stores_closed {
            // What is only in memory goes with it.
            self.collect(world);
        }
        assert_eq!(world.restart(config), [], "there is nothing that it can't go on with");
        self.adds.clear();
        self.deletes.clear();
        self.sweeps.clear();
        self.hops.clear();
        // Sessions that are there or whose record is; of some both are.
        let found = world.found().into_iter().map(|Found { note: Note([id, started, _]), .. }| (id, started));
        let stored = world.store.values().map(|record| (record.id.0, record.started.0));
        let mut open: BTreeMap<u64, u32> = BTreeMap::new();
        for (id, _) in found.chain(stored).collect::<BTreeSet<_>>() {
            *open.entry(id).or_default() += 1;
        }
        for (id, open) in open {
            let ended = self.ended.get(&id).copied().unwrap_or_default();
            let accepted = self.accepted.entry(id).or_default();
            *accepted = (*accepted).max(ended + open);
        }
    }

    fn collect(&mut self, world: &mut World) {
        for record in world.collect() {
            self.end(record.id.0, record.counters.inward.packets + record.counters.outward.packets);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_accepted_session_ends_once_and_every_hit_is_reported_once(acts in acts(), stores_closed in any::<bool>()) {
        let mut config = EngineConfig { stores_closed, ..config() };
        config.max_closed = 1000;
        let mut world = World::new(&config);
        let mut ledger = Ledger::default();
        for act in acts {
            match act {
                Act::Add(sessions, reject, kind) => {
                    let same_tuple = if reject { SameTuple::Reject } else { SameTuple::Supersede };
                    if matches!(kind, Kind::Routed) {
                        ledger.hops.push(world.send(RequestBody::L3(L3Request::SetNextHop(next_hop(1)))));
                    }
                    // Sessions are told apart by number and start.
                    world.now.0 += 1;
                    let specs = sessions.iter().map(|(id, port)| kind.session(*id, *port)).collect();
                    let ticket = world.send(RequestBody::Add { sessions: specs, same_tuple });
                    ledger.adds.insert(ticket, sessions.iter().map(|(id, _)| *id).collect());
                }
                Act::Delete(id, record) => {
                    let ticket = world.send(RequestBody::Delete { id: SessionId(id), record });
                    ledger.deletes.insert(ticket, record);
                }
                Act::Reset => ledger.sweeps.push(world.send(RequestBody::Reset)),
                Act::DestroyNextHop => {
                    let request = L3Request::DestroyNextHop(next_hop(1).id);
                    ledger.sweeps.push(world.send(RequestBody::L3(request)));
                }
                Act::Packet(port, out, kind) => {
                    let direction = if out { Direction::Out } else { Direction::In };
                    ledger.hits += u64::from(world.packet(&kind.session(0, port), direction, 60));
                }
                Act::Wait(seconds) => world.advance(seconds * SECOND),
                Act::Hold => world.hold = true,
                Act::Release => world.release(),
                Act::InstallFault(full) => world.install_faults.push_back(
                    if full { InstallError::Full } else { InstallError::Unavailable }),
                Act::RemoveFault => world.remove_faults += 1,
                Act::RouteFault(full) => world.route_faults.push_back(
                    if full { RouteError::Full } else { RouteError::Unavailable }),
                Act::Collect => {
                    if !world.hold {
                        ledger.collect(&mut world);
                    }
                }
                Act::Restart => ledger.restart(&mut world, &config),
                Act::StoreFault(stores) => {
                    world.store_fault = if stores { StoreFault::SaysNothing } else { StoreFault::StoresNothing };
                }
                Act::ReleaseStore => world.release_store(),
                Act::List => {
                    let rows = NonZeroU32::new(100).unwrap();
                    let ticket = world.send(RequestBody::List { from: SessionId(0), skip: 0, rows });
                    // With a removal stuck it comes later.
                    if let Some(ReplyBody::Listed { sessions, next }) = world.reply(ticket) {
                        prop_assert!(sessions.is_sorted_by(|a, b| a.spec.id < b.spec.id) && next.is_none());
                    }
                }
            }
            ledger.settle(&mut world);
            prop_assert_eq!(world.engine.audit(world.now).err(), None);
        }
        // Everything runs out: what was accepted has ended, exactly once, and nothing is left anywhere.
        world.install_faults.clear();
        world.remove_faults = 0;
        world.route_faults.clear();
        world.release();
        world.release_store();
        for _ in 0..4 {
            world.advance(20 * SECOND);
            ledger.settle(&mut world);
        }
        ledger.collect(&mut world);
        prop_assert!(ledger.adds.is_empty() && ledger.sweeps.is_empty() && ledger.deletes.is_empty());
        prop_assert!(ledger.hops.is_empty());
        prop_assert_eq!(world.engine.statistics().sessions, 0);
        prop_assert!(world.table.is_empty() && world.counters.is_empty() && world.store.is_empty());
        prop_assert_eq!(ledger.reported_hits, ledger.hits);
        prop_assert_eq!(ledger.accepted, ledger.ended);
        prop_assert_eq!(world.engine.poll_timeout(), None);
    }

    #[test]
    fn with_a_plane_that_never_fails_only_ids_tuples_and_room_decide(
        adds in proptest::collection::vec((0_u64..12, 1_u16..8), 1..40), reject in any::<bool>()
    ) {
        let mut world = World::new(&config());
        let (mut ids, mut tuples) = (BTreeMap::new(), BTreeMap::new());
        for (id, port) in adds {
            let expected = if ids.contains_key(&id) {
                Some(AddError::IdExists(SessionId(id)))
            } else if ids.len() == 8 {
                Some(AddError::TableFull)
            } else if let (true, Some(older)) = (reject, tuples.get(&port)) {
                Some(AddError::TupleExists(SessionId(*older)))
            } else {
                ids.insert(id, port);
                tuples.insert(port, id);
                None
            };
            let same_tuple = if reject { SameTuple::Reject } else { SameTuple::Supersede };
            let reply = world.ask(RequestBody::Add { sessions: vec![spec(id, port)], same_tuple });
            let ReplyBody::Added { refused } = reply else { panic!() };
            prop_assert_eq!(refused.first().map(|refused| refused.error), expected);
        }
        prop_assert_eq!(world.list(0, 0, 100).0, ids.keys().copied().collect::<Vec<_>>());
        for (port, owner) in tuples {
            world.packet(&spec(0, port), Direction::In, 60);
            prop_assert_eq!(world.get(owner).unwrap().counters.inward.packets, 1);
        }
    }
}
