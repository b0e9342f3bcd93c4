//! What is asked of the device as a whole.

use std::io::{self, Write};
use std::time::Duration;

use opof_client::{Dialect, Error, Family, Health, Method, NextHop, VlanFlow};
use serde_json::json;

use crate::args::{NextHopCommand, ServerArgs, SetNextHopArgs, ShutdownArgs, VlanFlowCommand};
use crate::exit::Failure;
use crate::output::{self, Unread};
use crate::server;

pub(super) async fn device(server: &ServerArgs, json: bool) -> Result<(), Failure> {
    let device = server::connect(server, Dialect::V1).await?.device().await?;
    say(&output::device(&device, json))
}

pub(super) async fn health(server: &ServerArgs, json: bool) -> Result<(), Failure> {
    let health = server::connect(server, Dialect::V1).await?.health().await?;
    say(&output::health(health, json))?;
    if matches!(health, Health::Serving | Health::Degraded) { Ok(()) } else { Err(Failure::NotServing) }
}

pub(super) async fn version(server: &ServerArgs, json: bool) -> Result<(), Failure> {
    let version =
        server::connect_for(server, Dialect::V1Beta1, Method::GetServiceVersion).await?.service_version().await?;
    say(&output::version(&version, json))
}

pub(super) async fn reset(server: &ServerArgs, json: bool) -> Result<(), Failure> {
    server::connect_for(server, Dialect::V1Beta1, Method::Reset).await?.reset().await?;
    say(&output::done("all sessions", "closed", json!({"sessions": "all"}), json))
}

pub(super) async fn shutdown(server: &ServerArgs, how: ShutdownArgs, json: bool) -> Result<(), Failure> {
    let within = Duration::from_secs(how.within.into());
    server::connect_for(server, Dialect::V1_1, Method::ShutdownServer).await?.shutdown_server(within).await?;
    say(&output::done("the server", "ending", json!({}), json))
}

pub(super) async fn next_hop(server: &ServerArgs, what: &NextHopCommand, json: bool) -> Result<(), Failure> {
    let method = match what {
        NextHopCommand::Set(_) => Method::SetNextHop,
        NextHopCommand::Destroy { .. } => Method::DestroyNextHop,
        NextHopCommand::Clear { .. } => Method::ClearNextHops,
    };
    let mut client = server::connect_for(server, Dialect::V1Beta1, method).await?;
    match what {
        NextHopCommand::Set(SetNextHopArgs { id, source_mac, destination_mac, ipv6 }) => {
            let family = if *ipv6 { Family::V6 } else { Family::V4 };
            let hop = NextHop { id: *id, family, source: *source_mac, destination: *destination_mac };
            client.set_next_hop(hop).await?;
            say(&output::done(&format!("next hop {id}"), "set", json!({"next_hop": id.get()}), json))
        }
        NextHopCommand::Destroy { ids } => {
            let mut refused = Vec::new();
            for id in ids {
                match client.destroy_next_hop(*id).await {
                    Ok(()) => {
                        let about = json!({"next_hop": id.get()});
                        say(&output::done(&format!("next hop {id}"), "destroyed", about, json))?;
                    }
                    // It says nothing about the others.
                    Err(error @ Error::NextHop { .. }) => refused.push(error.to_string()),
                    Err(error) => return Err(error.into()),
                }
            }
            if refused.is_empty() { Ok(()) } else { Err(Failure::NextHops(refused.join("; "))) }
        }
        NextHopCommand::Clear { .. } => {
            client.clear_next_hops().await?;
            say(&output::done("all next hops", "destroyed", json!({"next_hops": "all"}), json))
        }
    }
}

pub(super) async fn vlan_flow(server: &ServerArgs, what: &VlanFlowCommand, json: bool) -> Result<(), Failure> {
    let method = match what {
        VlanFlowCommand::Add { .. } => Method::AddVlanFlow,
        VlanFlowCommand::Remove { .. } => Method::RemoveVlanFlow,
        VlanFlowCommand::List => Method::GetVlanFlows,
        VlanFlowCommand::Clear { .. } => Method::ClearVlanFlows,
    };
    let mut client = server::connect_for(server, Dialect::V1Beta1, method).await?;
    match what {
        VlanFlowCommand::Add { vlan, lif } => {
            client.add_vlan_flow(VlanFlow { vlan: *vlan, lif: *lif }).await?;
            let about = json!({"vlan": vlan.get(), "lif": lif.get()});
            say(&output::done(&format!("flow of {vlan}"), "added", about, json))
        }
        VlanFlowCommand::Remove { vlans } => {
            let mut missing = Vec::new();
            for vlan in vlans {
                if client.remove_vlan_flow(*vlan).await? {
                    let about = json!({"vlan": vlan.get()});
                    say(&output::done(&format!("flow of {vlan}"), "removed", about, json))?;
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
            say(&output::done("all VLAN flows", "removed", json!({"vlan_flows": "all"}), json))
        }
    }
}

fn say(line: &str) -> Result<(), Failure> {
    Ok(writeln!(Unread(io::stdout()), "{line}")?)
}
