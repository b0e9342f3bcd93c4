//! What packets are sent by, whatever session they belong to: next hops and VLAN flows, in the kernel's maps.
//!
//! What must not be here: sessions, interfaces.

use std::io;

use opof_session::l3::{self, NextHopId, VlanFlow};
use opof_session::plane::{Route, RouteError};
use opof_session::types::Lif;
use opof_wire::Vid;

use crate::abi::{self, NextHop, VLANS};
use crate::limits::{BATCH, MAP_TRIES};
use crate::sys::map::{Map, is_passing};

/// Both maps.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) next_hops: Map<u32, NextHop>,
    pub(crate) vlan_flows: Map<u32, u32>,
}

impl Routes {
    /// Carries out one change. `way_to_firewall` is that of a LIF.
    pub(crate) fn change(&self, route: &Route, way_to_firewall: impl Fn(Lif) -> Option<u32>) -> Result<(), RouteError> {
        let done = match route {
            Route::SetNextHop(hop) => {
                let value = NextHop::new(hop);
                patiently(|| self.next_hops.set(&hop.id.get(), &value))
            }
            Route::RemoveNextHop(id) => patiently(|| match self.next_hops.delete(&id.get()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                outcome => outcome,
            }),
            Route::SetVlanFlow(flow) => {
                let way = way_to_firewall(flow.lif).ok_or(RouteError::Unavailable)?;
                self.vlan_flows.set(&u32::from(flow.vlan.get()), &abi::vlan_flow(Some(way)))
            }
            Route::RemoveVlanFlow(vlan) => self.vlan_flows.set(&u32::from(vlan.get()), &abi::vlan_flow(None)),
            Route::ClearVlanFlows => self.clear_vlan_flows(),
        };
        done.map_err(|error| {
            tracing::warn!(%error, ?route, "could not change what packets are sent by");
            match error.raw_os_error() {
                Some(libc::E2BIG | libc::ENOSPC) => RouteError::Full,
                _ => RouteError::Unavailable,
            }
        })
    }

    /// All that there are. `lif_of_way` is the LIF whose firewall a way leads to.
    pub(crate) fn found(
        &self,
        lif_of_way: impl Fn(u32) -> Option<Lif>,
    ) -> io::Result<(Vec<l3::NextHop>, Vec<VlanFlow>)> {
        let mut next_hops = Vec::new();
        for key in self.next_hops.keys()? {
            // What was never written by us no session can name.
            if let Some(id) = NextHopId::new(key) {
                next_hops.extend(self.next_hops.get(&key)?.parts(id));
            }
        }
        let mut vlan_flows = Vec::new();
        for key in 0..VLANS {
            let way = abi::vlan_flow_way(self.vlan_flows.get(&key)?);
            let vlan = u16::try_from(key).ok().and_then(Vid::new);
            if let (Some(vlan), Some(lif)) = (vlan, way.and_then(&lif_of_way)) {
                vlan_flows.push(VlanFlow { vlan, lif });
            }
        }
        Ok((next_hops, vlan_flows))
    }

    fn clear_vlan_flows(&self) -> io::Result<()> {
        let keys: Vec<u32> = (0..VLANS).collect();
        let none = vec![abi::vlan_flow(None); BATCH];
        keys.chunks(BATCH).try_for_each(|keys| match self.vlan_flows.set_all(keys, &none[..keys.len()]).error {
            Some(error) => Err(error),
            None => Ok(()),
        })
    }
}

/// Tries again what failed for a passing reason.
fn patiently(mut attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut outcome = attempt();
    for _ in 1..MAP_TRIES {
        match &outcome {
            Err(error) if is_passing(error) => {
                // The kernel refills its reserve of entries in the background.
                std::thread::yield_now();
                outcome = attempt();
            }
            _ => break,
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_faults_are_tried_again_but_not_for_ever() {
        let failing = |errno, times| {
            let mut tries = 0;
            let outcome = patiently(|| {
                tries += 1;
                if tries <= times { Err(io::Error::from_raw_os_error(errno)) } else { Ok(()) }
            });
            (outcome.err().and_then(|error| error.raw_os_error()), tries)
        };
        assert_eq!(failing(libc::ENOMEM, MAP_TRIES - 1), (None, MAP_TRIES));
        assert_eq!(failing(libc::ENOMEM, u32::MAX), (Some(libc::ENOMEM), MAP_TRIES));
        assert_eq!(failing(libc::E2BIG, u32::MAX), (Some(libc::E2BIG), 1));
    }
}
