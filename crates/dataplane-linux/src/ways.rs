//! The ways through tunnels: the outer headers of what goes to each far end, kept up as the kernel's routes and neighbours change.
//!
//! A thread asks for the ways and writes them where the programs read; so nobody is kept waiting for a neighbour. What must not
//! be here: what goes there, sessions, frames.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use opof_wire::Addresses;
use opof_wire::encap::{Template, Tunnel};

use crate::abi::{OuterHeaders, Way};
use crate::config::TunnelConfig;
use crate::limits::{WAY_LOOK, WAY_LOOK_SOON};
use crate::neighbour::{Path, Resolver, Unreachable};
use crate::sys::map::{Barrier, Map};

/// What is at the far ends, in words, and what it can take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FarEnds {
    /// What each is.
    pub(crate) what: &'static str,
    /// Said of one that can't be reached.
    pub(crate) lost: &'static str,
    /// Said of one that can.
    pub(crate) found: &'static str,
    /// The largest frame, in bytes, whatever the way takes.
    pub(crate) frame_len_max: usize,
}

/// The ways of one map, whose indexes are called places here. Dropping it ends the thread; the ways stay as they are.
#[derive(Debug)]
pub(crate) struct Ways {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    map: Map<u32, OuterHeaders>,
    /// By place.
    known: Vec<Option<Known>>,
    stopped: bool,
    /// There is one that nobody has looked for a way to.
    is_new: bool,
}

#[derive(Clone, Debug)]
struct Known {
    address: IpAddr,
    value: OuterHeaders,
    /// What was last said of it.
    told: Option<String>,
}

impl Ways {
    /// Follows the ways to `far_ends`, each at its place of the map, and to those that are added later, up to `places` in all.
    /// When it returns there is a way to each of them whose neighbour the kernel knows. `interface` is the index of the one in
    /// `config`; all in the namespace of the calling thread.
    pub(crate) fn follow(
        map: Map<u32, OuterHeaders>,
        config: TunnelConfig,
        interface: u32,
        words: FarEnds,
        far_ends: &[Option<IpAddr>],
        places: usize,
    ) -> io::Result<Self> {
        let mut state = State { map, known: vec![None; places], stopped: false, is_new: false };
        for (place, address) in far_ends.iter().enumerate() {
            if let Some(address) = address {
                state.set(place, *address)?;
            }
        }
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let mut follower = Follower {
            shared: Arc::clone(&shared),
            resolver: Resolver::new()?,
            barrier: Barrier::new()?,
            config,
            interface,
            words,
        };
        if !far_ends.is_empty() {
            follower.look()?;
        }
        let thread = thread::Builder::new().name(format!("{}-ways", words.what)).spawn(move || follower.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// From now on the way to `address` is followed at a place whose last way nobody uses any more.
    pub(crate) fn set(&self, place: usize, address: IpAddr) -> io::Result<()> {
        self.shared.lock().set(place, address)?;
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Nothing is followed at this place any more. What is written there stays.
    pub(crate) fn clear(&self, place: usize) {
        self.shared.lock().known[place] = None;
    }

    /// True when there is a way to an address that is followed, now.
    pub(crate) fn reaches(&self, address: IpAddr) -> bool {
        let state = self.shared.lock();
        state.known.iter().flatten().any(|known| known.address == address && known.value.way().is_open())
    }
}

impl Drop for Ways {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// A thread that panicked has left the state as it was between two steps.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set(&mut self, place: usize, address: IpAddr) -> io::Result<()> {
        let value = OuterHeaders::default();
        self.map.set(&key(place), &value)?;
        self.known[place] = Some(Known { address, value, told: None });
        self.is_new = true;
        Ok(())
    }
}

fn key(place: usize) -> u32 {
    u32::try_from(place).expect("far ends are few")
}

struct Follower {
    shared: Arc<Shared>,
    resolver: Resolver,
    barrier: Barrier,
    config: TunnelConfig,
    interface: u32,
    words: FarEnds,
}

impl Follower {
    fn run(mut self) {
        // Neighbours that were not known at the first look are being asked for.
        let mut look = WAY_LOOK_SOON;
        loop {
            let shared = Arc::clone(&self.shared);
            let mut state = shared.lock();
            if !state.is_new && !state.stopped {
                let woken = shared.changed.wait_timeout(state, look);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
            if state.stopped {
                return;
            }
            drop(state);
            match self.look() {
                Ok(all_reached) => look = if all_reached { WAY_LOOK } else { WAY_LOOK_SOON },
                Err(error) => {
                    tracing::error!(%error, "can't wait for programs to end: the ways through tunnels stay as they are");
                    return;
                }
            }
        }
    }

    /// Looks for all ways once, and puts those that have changed into force. True when there is a way to each far end.
    fn look(&mut self) -> io::Result<bool> {
        let mut state = self.shared.lock();
        state.is_new = false;
        let mut far_ends: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
        for (place, known) in state.known.iter().enumerate() {
            if let Some(known) = known {
                far_ends.entry(known.address).or_default().push(place);
            }
        }
        drop(state);
        let (mut all_reached, mut written) = (true, false);
        for (address, places) in far_ends {
            let found = self.way(address);
            all_reached &= found.is_ok();
            written |= self.write(&places, address, &found);
        }
        if written {
            // Before anything is written again: no program reads what is not in force any more.
            self.barrier.wait()?;
        }
        Ok(all_reached)
    }

    /// The way to a far end, or why there is none.
    fn way(&mut self, address: IpAddr) -> Result<Way, String> {
        let path = self.resolver.resolve(address).map_err(|error: Unreachable| error.to_string())?;
        if path.interface != self.interface {
            return Err(format!(
                "it is behind interface {}, and its tunnel goes by {} alone: add a route, or choose another one",
                path.interface, self.config.interface
            ));
        }
        let template = Template::new(&self.tunnel(address, &path)?).map_err(|error| error.to_string())?;
        let mtu = usize::try_from(path.mtu).unwrap_or(usize::MAX);
        Ok(Way::new(&template, template.layout().frame_len_of_mtu(mtu).min(self.words.frame_len_max)))
    }

    fn tunnel(&self, address: IpAddr, path: &Path) -> Result<Tunnel, String> {
        let addresses = match (path.source, address) {
            (IpAddr::V4(source), IpAddr::V4(to)) => Addresses::V4 { source: source.octets(), destination: to.octets() },
            (IpAddr::V6(source), IpAddr::V6(to)) => Addresses::V6 { source: source.octets(), destination: to.octets() },
            (source, _) => return Err(format!("the kernel would send from {source}, which is of another family")),
        };
        let Path { source_mac, destination_mac, .. } = *path;
        let TunnelConfig { vni, option, .. } = self.config;
        Ok(Tunnel { source_mac, destination_mac, addresses, vni, option })
    }

    /// Puts a way into force at all places of an address, where it is another one. True when something was written.
    fn write(&self, places: &[usize], address: IpAddr, found: &Result<Way, String>) -> bool {
        let mut state = self.shared.lock();
        let State { map, known, .. } = &mut *state;
        let (mut told, mut written) = (false, false);
        for place in places {
            // It may have been given up meanwhile, and its place to another one.
            let Some(known) = known[*place].as_mut().filter(|known| known.address == address) else { continue };
            let reason = found.as_ref().err();
            if known.told.as_ref() != reason || known.value == OuterHeaders::default() && reason.is_none() {
                // One line an address, however many places it has.
                if !std::mem::replace(&mut told, true) {
                    self.tell(address, reason);
                }
                known.told = reason.cloned();
            }
            let way = found.as_ref().map_or_else(|_| known.value.way().closed(), |way| *way);
            if known.value.way() == way {
                continue;
            }
            let prepared = known.value.prepared(&way);
            let switched = prepared.switched();
            written = true;
            match map.set(&key(*place), &prepared).and_then(|()| map.set(&key(*place), &switched)) {
                Ok(()) => known.value = switched,
                Err(error) => tracing::error!(%error, %address, "could not change the way to a {}", self.words.what),
            }
        }
        written
    }

    fn tell(&self, address: IpAddr, reason: Option<&String>) {
        if let Some(reason) = reason {
            tracing::warn!(%address, reason, "{}", self.words.lost);
        } else {
            tracing::info!(%address, "{}", self.words.found);
        }
    }
}
