//! LIFs of several wire ports: which links are up, and which port therefore carries what leaves.
//!
//! A thread looks at the links when the kernel says that one has changed, and puts interfaces behind the ways of the map
//! `ports`; the programs only take a way. So when this process dies, the last state stays in force. Of the kernel's message
//! nothing is read but that it came: the state is asked for, so that a lost or an unknown message can't mislead.
//!
//! What must not be here: what is sent where on the way in (that is the programs').

use std::io;
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::config::Bond;
use crate::exits::Exits;
use crate::layout;
use crate::limits::{LINK_LOOK, LINK_NOTICES, WAYS};
use crate::sys::ethtool;
use crate::sys::interface::Control;

/// `RTMGRP_LINK` in <linux/rtnetlink.h>.
const LINK_GROUP: u32 = 1;
/// Flags of an interface, in <linux/if.h>: switched on, and able to carry frames (RFC 2863, "up") as far as the kernel knows.
const UP: i16 = 0x1;
const RUNNING: i16 = 0x40;

/// The wire ports of one LIF.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bundle {
    /// Where its LIF stands in the configuration.
    pub(crate) position: usize,
    /// How they are used.
    pub(crate) bond: Bond,
    /// Their interfaces, in the order of the configuration.
    pub(crate) interfaces: Vec<u32>,
}

/// The thread that follows the links. Dropping it ends the thread; the ways stay as they are.
#[derive(Debug)]
pub(crate) struct Links {
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Links {
    /// Puts an interface behind each way of each bundle, and then follows their links, if there is anything to follow. All
    /// of it in the network namespace of the calling thread.
    pub(crate) fn follow(exits: Exits, bundles: Vec<Bundle>) -> io::Result<Self> {
        // Before the first look: what changes after it wakes the thread. The protocol that is not named is NETLINK_ROUTE, 0.
        let notices = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        bind(&notices, &SocketAddrNetlink::new(0, LINK_GROUP))?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let mut follower = Follower { exits, control: Control::new()?, followed: Vec::new() };
        for bundle in bundles {
            let up = follower.state(&bundle);
            let ways = ways(bundle.bond, &up).unwrap_or_else(|| ways_without_link(bundle.bond, up.len()));
            follower.set(&bundle, ways)?;
            if bundle.interfaces.len() > 1 {
                follower.followed.push(Followed { bundle, up, ways });
            }
        }
        if follower.followed.is_empty() {
            return Ok(Self { stop, thread: None });
        }
        let stopped = stop.try_clone()?;
        let work = move || follower.run(&notices, &stopped);
        let thread = thread::Builder::new().name("links".to_owned()).spawn(work)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // The counter of an eventfd takes its first 1 always.
        if rustix::io::write(&self.stop, &1_u64.to_ne_bytes()).is_ok() {
            let _ = thread.join();
        }
    }
}

/// A bundle whose links are followed.
#[derive(Debug)]
struct Followed {
    bundle: Bundle,
    up: Vec<bool>,
    /// What has been set, by number of the wire port in the bundle.
    ways: [usize; WAYS],
}

#[derive(Debug)]
struct Follower {
    exits: Exits,
    control: Control,
    followed: Vec<Followed>,
}

impl Follower {
    fn run(mut self, notices: &OwnedFd, stop: &OwnedFd) {
        loop {
            let mut wakers = [PollFd::new(notices, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
            // The kernel holds notices of carrier changes back for up to a second where changes are many, so they are not
            // relied upon alone.
            let look = Timespec { tv_sec: 0, tv_nsec: LINK_LOOK };
            if let Err(error) = poll(&mut wakers, Some(&look))
                && error != rustix::io::Errno::INTR
            {
                tracing::error!(%error, "can't wait for link changes: the links in use stay in use");
                return;
            }
            if !wakers[1].revents().is_empty() {
                return;
            }
            let mut message = [0; 64];
            for _ in 0..LINK_NOTICES {
                // An overrun (ENOBUFS) is news as well.
                if let Err(rustix::io::Errno::AGAIN) = recv(notices, &mut message, RecvFlags::DONTWAIT) {
                    break;
                }
            }
            self.look();
        }
    }

    /// Looks at every link and moves what has to move.
    fn look(&mut self) {
        let mut followed = std::mem::take(&mut self.followed);
        for Followed { bundle, up, ways: set } in &mut followed {
            let now = self.state(bundle);
            let changed = now != *up;
            *up = now;
            // With no link up there is no better place.
            let Some(wanted) = ways(bundle.bond, up) else {
                if changed {
                    tracing::warn!(interfaces = self.names(bundle, |_| true), "no link of the LIF is up");
                }
                continue;
            };
            if wanted != *set {
                match self.set(bundle, wanted) {
                    Ok(()) => {
                        *set = wanted;
                        let carries = self.names(bundle, |port| wanted.contains(&port));
                        tracing::info!(carries, of = self.names(bundle, |_| true), "links have changed");
                    }
                    // An interface that has just gone; the next look sees it.
                    Err(error) if changed => tracing::error!(%error, "could not move traffic to another link"),
                    Err(_) => {}
                }
            }
        }
        self.followed = followed;
    }

    /// Which links are up. One that can't be asked is not.
    fn state(&self, bundle: &Bundle) -> Vec<bool> {
        bundle.interfaces.iter().map(|interface| self.is_up(*interface).unwrap_or(false)).collect()
    }

    fn is_up(&self, interface: u32) -> io::Result<bool> {
        // By name at last: an interface can be given another one at any time.
        let name = self.control.name(interface)?;
        let flags = self.control.flags(&name)?;
        if flags & UP == 0 {
            return Ok(false);
        }
        // The driver knows first; the kernel's own flag can be a second behind it, in either direction.
        match ethtool::has_carrier(&self.control, &name) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(flags & RUNNING != 0),
            carrier => carrier,
        }
    }

    fn set(&mut self, bundle: &Bundle, ways: [usize; WAYS]) -> io::Result<()> {
        for (way, port) in ways.into_iter().enumerate() {
            self.exits.set(layout::way(bundle.position, way), bundle.interfaces[port])?;
        }
        Ok(())
    }

    /// For the log.
    fn names(&self, bundle: &Bundle, wanted: impl Fn(usize) -> bool) -> String {
        let wanted = bundle.interfaces.iter().enumerate().filter(|(port, _)| wanted(*port));
        let names = wanted.map(|(_, index)| self.control.name(*index).unwrap_or_else(|_| format!("({index})")));
        names.collect::<Vec<_>>().join(" ")
    }
}

/// The port that carries each way; `None` when no link is up.
///
/// Where traffic is balanced each way has a port of its own that it comes back to, so that a change moves no flow but those
/// whose link went down or came up.
fn ways(bond: Bond, up: &[bool]) -> Option<[usize; WAYS]> {
    let alive: Vec<usize> = (0..up.len()).filter(|port| up[*port]).collect();
    let first = *alive.first()?;
    Some(match bond {
        Bond::ActiveStandby => [first; WAYS],
        Bond::Balance => {
            let mut homeless = 0;
            std::array::from_fn(|way| {
                let home = way % up.len();
                if up[home] {
                    return home;
                }
                homeless += 1;
                alive[(homeless - 1) % alive.len()]
            })
        }
    })
}

/// At the start: as if all links were up.
fn ways_without_link(bond: Bond, ports: usize) -> [usize; WAYS] {
    ways(bond, &vec![true; ports]).expect("a LIF has a wire port")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WIRE_PORTS;

    /// `1` is up, `0` down.
    fn up(links: &str) -> Vec<bool> {
        links.bytes().map(|link| link == b'1').collect()
    }

    #[test]
    fn the_first_link_that_is_up_carries_everything() {
        for (links, active) in [("1", 0), ("11", 0), ("01", 1), ("0011", 2), ("1000", 0)] {
            assert_eq!(ways(Bond::ActiveStandby, &up(links)), Some([active; WAYS]), "{links}");
        }
    }

    #[test]
    fn balance_uses_every_link_that_is_up_and_no_other() {
        for ports in 1..=WIRE_PORTS {
            for links in 1..1_u32 << ports {
                let up: Vec<bool> = (0..ports).map(|port| links & (1 << port) != 0).collect();
                let ways = ways(Bond::Balance, &up).unwrap();
                let shares: Vec<usize> =
                    (0..ports).map(|port| ways.iter().filter(|way| **way == port).count()).collect();
                for (port, share) in shares.iter().enumerate() {
                    assert_eq!(*share > 0, up[port], "{up:?}: {ways:?}");
                }
                let used = shares.iter().filter(|share| **share > 0);
                assert!(used.clone().max().unwrap() - used.min().unwrap() <= 2, "{up:?}: {ways:?}");
            }
        }
    }

    #[test]
    fn flows_of_links_that_stay_up_stay_where_they_are() {
        for before in 1..16_u32 {
            for after in 1..16_u32 {
                let state = |links: u32| (0..4).map(|port| links & (1 << port) != 0).collect::<Vec<_>>();
                let [old, new] = [before, after].map(|links| ways(Bond::Balance, &state(links)).unwrap());
                for (way, (old, new)) in old.into_iter().zip(new).enumerate() {
                    let home_in_both = state(before & after)[way % 4];
                    assert!(!home_in_both || old == new, "way {way} from {before:04b} to {after:04b}");
                }
            }
        }
    }

    #[test]
    fn with_no_link_there_is_no_answer_and_at_the_start_the_best_guess() {
        for bond in [Bond::ActiveStandby, Bond::Balance] {
            assert_eq!(ways(bond, &up("000")), None);
        }
        assert_eq!(ways_without_link(Bond::ActiveStandby, 2), [0; WAYS]);
        assert_eq!(ways_without_link(Bond::Balance, 2), [0, 1, 0, 1, 0, 1, 0, 1]);
    }
}
