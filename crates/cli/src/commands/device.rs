//! What is asked of the device as a whole.

use std::io::{self, Write};
use std::time::Duration;

use opof_client::{Dialect, Error, Family, Health, NextHop, VlanFlow};

use crate::args::{NextHopCommand, ServerArgs, SetNextHopArgs, ShutdownArgs, VlanFlowCommand};
use crate::exit::Failure;
use crate::output::Object;
use crate::{output, server};

pub(super) async fn device(server: &ServerArgs, json: bool) -> Result<(), Failure> {
    let device = server::connect(server, Dialect::V1).await?.device().await?;
    say(&output::device(&device, json))
}

pub(super) async fn health(server: &ServerArgs, json: bool) -> Result<(), Failure> {
    let health = server::connect(server, Dialect::V1).await?.health().await?;
    say(&output::health(health, json))?;
    if health == Health::Serving { Ok(()) } else { Err(Failure::NotServing) }
}

pub(super) async fn version(server: &ServerArgs, json: bool) -> Result<(), Failure> {
    let version = server::connect_in(server, Dialect::V1Beta1).await?.service_version().await?;
    say(&output::version(&version, json))
}

pub(super) async fn reset(server: &ServerArgs, json: bool) -> Result<(), Failure> {
    server::connect_in(server, Dialect::V1Beta1).await?.reset().await?;
    say(&output::done(Object::All("all sessions"), "closed", json))
}

pub(super) async fn shutdown(server: &ServerArgs, how: ShutdownArgs, json: bool) -> Result<(), Failure> {
    let within = Duration::from_secs(how.within.into());
    server::connect_in(server, Dialect::V1_1).await?.shutdown_server(within).await?;
    say(&output::done(Object::All("the server"), "ending", json))
}

pub(super) async fn next_hop(server: &ServerArgs, what: &NextHopCommand, json: bool) -> Result<(), Failure> {
    let mut client = server::connect_in(server, Dialect::V1Beta1).await?;
    match what {
        NextHopCommand::Set(SetNextHopArgs { id, source_mac, destination_mac, ipv6 }) => {
            let family = if *ipv6 { Family::V6 } else { Family::V4 };
            let hop = NextHop { id: *id, family, source: *source_mac, destination: *destination_mac };
            client.set_next_hop(hop).await?;
            say(&output::done(Object::NextHop(*id), "set", json))
        }
        NextHopCommand::Destroy { ids } => {
            let mut missing = Vec::new();
            for id in ids {
                match client.destroy_next_hop(*id).await {
                    Ok(()) => say(&output::done(Object::NextHop(*id), "destroyed", json))?,
                    Err(Error::NextHop { .. }) => missing.push(id.to_string()),
                    Err(error) => return Err(error.into()),
                }
            }
            if missing.is_empty() { Ok(()) } else { Err(Failure::NoNextHop(missing.join(", "))) }
        }
        NextHopCommand::Clear { .. } => {
            client.clear_next_hops().await?;
            say(&output::done(Object::All("all next hops"), "destroyed", json))
        }
    }
}

pub(super) async fn vlan_flow(server: &ServerArgs, what: &VlanFlowCommand, json: bool) -> Result<(), Failure> {
    let mut client = server::connect_in(server, Dialect::V1Beta1).await?;
    match what {
        VlanFlowCommand::Add { vlan, lif } => {
            client.add_vlan_flow(VlanFlow { vlan: *vlan, lif: *lif }).await?;
            say(&output::done(Object::VlanFlow(*vlan), "added", json))
        }
        VlanFlowCommand::Remove { vlans } => {
            let mut missing = Vec::new();
            for vlan in vlans {
                if client.remove_vlan_flow(*vlan).await? {
                    say(&output::done(Object::VlanFlow(*vlan), "removed", json))?;
                } else {
                    missing.push(vlan.get().to_string());
                }
            }
            if missing.is_empty() { Ok(()) } else { Err(Failure::NoVlanFlow(missing.join(", "))) }
        }
        VlanFlowCommand::List => {
            let flows = output::vlan_flows(&client.vlan_flows().await?, json);
            if flows.is_empty() { Ok(()) } else { say(&flows) }
        }
        VlanFlowCommand::Clear { .. } => {
            client.clear_vlan_flows().await?;
            say(&output::done(Object::All("all VLAN flows"), "removed", json))
        }
    }
}

fn say(line: &str) -> Result<(), Failure> {
    Ok(writeln!(io::stdout(), "{line}")?)
}
