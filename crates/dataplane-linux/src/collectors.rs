//! The collectors that sessions copy to: who uses them, and the way to each, followed as the kernel's routes and neighbours
//! change.
//!
//! A thread asks for the ways and writes them where the programs read; so a session is never kept waiting for a neighbour.
//! What must not be here: sessions, frames.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use opof_dataplane::limits::COPY_LEN;
use opof_wire::Addresses;
use opof_wire::encap::{Template, Tunnel};

use crate::abi::{Collector, Way};
use crate::config::TunnelConfig;
use crate::limits::{COLLECTOR_LOOK, COLLECTOR_LOOK_SOON, COLLECTORS};
use crate::neighbour::{Path, Resolver, Unreachable};
use crate::sys::map::{Barrier, Map};

/// Collectors in use. Dropping it ends the thread; the ways stay as they are.
#[derive(Debug)]
pub(crate) struct Collectors {
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
    map: Map<u32, Collector>,
    known: Vec<Option<Known>>,
    stopped: bool,
    /// There is one that nobody has looked for a way to.
    is_new: bool,
}

#[derive(Clone, Debug)]
struct Known {
    address: IpAddr,
    users: u32,
    value: Collector,
    /// What was last said of it.
    told: Option<String>,
}

impl Collectors {
    /// Starts following. `interface` is the index of the one in `config`; all in the namespace of the calling thread.
    pub(crate) fn follow(map: Map<u32, Collector>, config: TunnelConfig, interface: u32) -> io::Result<Self> {
        let state = State { map, known: vec![None; COLLECTORS], stopped: false, is_new: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let follower = Follower {
            shared: Arc::clone(&shared),
            resolver: Resolver::new()?,
            barrier: Barrier::new()?,
            config,
            interface,
        };
        let thread = thread::Builder::new().name("collectors".to_owned()).spawn(move || follower.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The index of a collector, with one user more. `None` when there are too many.
    pub(crate) fn acquire(&self, address: IpAddr) -> Option<u8> {
        let mut state = self.shared.lock();
        let same = |known: &Option<Known>| known.as_ref().is_some_and(|known| known.address == address);
        let index = match state.known.iter().position(same) {
            Some(index) => index,
            None => state.make(address)?,
        };
        if let Some(known) = &mut state.known[index] {
            known.users += 1;
        }
        self.shared.changed.notify_one();
        Some(u8::try_from(index).expect("limits.rs: a collector's index is one byte"))
    }

    /// One user fewer, whose copies can't be under way any more.
    pub(crate) fn release(&self, index: u8) {
        let place = &mut self.shared.lock().known[usize::from(index)];
        let Some(known) = place else { return };
        known.users -= 1;
        if known.users == 0 {
            *place = None;
        }
    }

    /// The address of a collector.
    pub(crate) fn address(&self, index: u8) -> Option<IpAddr> {
        self.shared.lock().known[usize::from(index)].as_ref().map(|known| known.address)
    }

    /// True when there is a way to it now.
    pub(crate) fn reaches(&self, address: IpAddr) -> bool {
        let state = self.shared.lock();
        state.known.iter().flatten().any(|known| known.address == address && known.value.way() != Way::NONE)
    }
}

impl Drop for Collectors {
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
    /// A place that nobody uses. Its last owner's way is taken out of it first: nobody reads it now.
    fn make(&mut self, address: IpAddr) -> Option<usize> {
        let index = self.known.iter().position(Option::is_none)?;
        let value = Collector::default();
        if let Err(error) = self.map.set(&key(index), &value) {
            tracing::error!(%error, "could not make room for a collector");
            return None;
        }
        self.known[index] = Some(Known { address, users: 0, value, told: None });
        self.is_new = true;
        Some(index)
    }
}

fn key(index: usize) -> u32 {
    u32::try_from(index).expect("collectors are few")
}

struct Follower {
    shared: Arc<Shared>,
    resolver: Resolver,
    barrier: Barrier,
    config: TunnelConfig,
    interface: u32,
}

impl Follower {
    fn run(mut self) {
        let mut look = COLLECTOR_LOOK;
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
            state.is_new = false;
            let addresses: Vec<_> = state.known.iter().map(|known| known.as_ref().map(|known| known.address)).collect();
            drop(state);
            let (mut unreachable, mut written) = (false, false);
            for (index, address) in addresses.into_iter().enumerate() {
                let Some(address) = address else { continue };
                let found = self.way(address);
                unreachable |= found.is_err();
                written |= self.write(index, address, found);
            }
            // Before anything is written again: no program reads what is not in force any more.
            if written && let Err(error) = self.barrier.wait() {
                tracing::error!(%error, "can't wait for programs to end: the ways to collectors stay as they are");
                return;
            }
            look = if unreachable { COLLECTOR_LOOK_SOON } else { COLLECTOR_LOOK };
        }
    }

    /// The way to a collector, or why there is none.
    fn way(&mut self, address: IpAddr) -> Result<Way, String> {
        let path = self.resolver.resolve(address).map_err(|error: Unreachable| error.to_string())?;
        if path.interface != self.interface {
            return Err(format!(
                "it is behind interface {}, and copies leave by {} alone: add a route, or copy to another one",
                path.interface, self.config.interface
            ));
        }
        let template = Template::new(&self.tunnel(address, &path)?).map_err(|error| error.to_string())?;
        let mtu = usize::try_from(path.mtu).unwrap_or(usize::MAX);
        Ok(Way::new(&template, template.layout().frame_len_of_mtu(mtu).min(COPY_LEN)))
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

    /// Puts a way into force, if it is another one. True when something was written.
    fn write(&self, index: usize, address: IpAddr, found: Result<Way, String>) -> bool {
        let mut state = self.shared.lock();
        let State { map, known, .. } = &mut *state;
        // It may have been given up meanwhile, and its place to another one.
        let Some(known) = known[index].as_mut().filter(|known| known.address == address) else { return false };
        let reason = found.as_ref().err().cloned();
        if known.told != reason || known.value == Collector::default() && reason.is_none() {
            if let Some(reason) = &reason {
                tracing::warn!(collector = %address, reason, "copies to the collector are lost");
            } else {
                tracing::info!(collector = %address, "copies go to the collector");
            }
            known.told = reason;
        }
        let way = found.unwrap_or(Way::NONE);
        if known.value.way() == way {
            return false;
        }
        let prepared = known.value.prepared(&way);
        let switched = prepared.switched();
        match map.set(&key(index), &prepared).and_then(|()| map.set(&key(index), &switched)) {
            Ok(()) => known.value = switched,
            Err(error) => tracing::error!(%error, collector = %address, "could not change the way to a collector"),
        }
        true
    }
}
