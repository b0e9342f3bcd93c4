//! Arguments of commands about the device as a whole: next hops, VLAN flows, reset, shutdown.

use clap::{Args as ClapArgs, Subcommand};
use opof_client::{Lif, MacAddress, NextHopId, Vid};

/// What is done about next hops.
#[derive(Subcommand, Debug)]
pub(crate) enum NextHopCommand {
    /// Make a next hop, or replace it for the sessions that have it
    #[command(after_help = SET_EXAMPLES)]
    Set(SetNextHopArgs),
    /// Take next hops away; sessions that have them close
    #[command(after_help = "Examples:\n  opof next-hop destroy 7\n  opof next-hop destroy 7 8 9 --json")]
    Destroy {
        /// Numbers of next hops
        #[arg(required = true, value_name = "ID", value_parser = next_hop_id)]
        ids: Vec<NextHopId>,
    },
    /// Take all next hops away; sessions that have one close
    #[command(after_help = "Examples:\n  opof next-hop clear --yes")]
    Clear {
        /// Yes, all of them
        #[arg(long, required = true)]
        yes: bool,
    },
}

const SET_EXAMPLES: &str = "Examples:
  opof next-hop set --id 7 --source-mac 02:00:00:00:00:01 --destination-mac 02:00:00:00:00:02";

/// A next hop.
#[derive(ClapArgs, Clone, Copy, Debug)]
pub(crate) struct SetNextHopArgs {
    /// Number of the next hop, your choice, from 1
    #[arg(long, value_parser = next_hop_id)]
    pub(crate) id: NextHopId,
    /// The device's own MAC address on that link
    #[arg(long, value_name = "MAC", value_parser = mac)]
    pub(crate) source_mac: MacAddress,
    /// The neighbour's MAC address
    #[arg(long, value_name = "MAC", value_parser = mac)]
    pub(crate) destination_mac: MacAddress,
    /// For IPv6 packets [default: for IPv4 packets]
    #[arg(long)]
    pub(crate) ipv6: bool,
}

/// What is done about VLAN flows.
#[derive(Subcommand, Debug)]
pub(crate) enum VlanFlowCommand {
    /// Send the misses of a VLAN to the firewall port of an interface
    #[command(after_help = "Examples:\n  opof vlan-flow add --vlan 100 --lif 2")]
    Add {
        /// The VLAN, 1 to 4094
        #[arg(long, value_name = "ID", value_parser = vlan)]
        vlan: Vid,
        /// The interface
        #[arg(long, value_parser = lif)]
        lif: Lif,
    },
    /// End that for some VLANs
    #[command(after_help = "Examples:\n  opof vlan-flow remove 100\n  opof vlan-flow remove 100 200 --json")]
    Remove {
        /// VLANs
        #[arg(required = true, value_name = "VLAN", value_parser = vlan)]
        vlans: Vec<Vid>,
    },
    /// Show all of them
    #[command(after_help = "Examples:\n  opof vlan-flow list\n  opof vlan-flow list --json")]
    List,
    /// End it for all VLANs
    #[command(after_help = "Examples:\n  opof vlan-flow clear --yes")]
    Clear {
        /// Yes, all of them
        #[arg(long, required = true)]
        yes: bool,
    },
}

/// That it is meant.
#[derive(ClapArgs, Clone, Copy, Debug)]
pub(crate) struct ResetArgs {
    /// Yes, every session, whoever added it
    #[arg(long, required = true)]
    pub(crate) yes: bool,
}

/// How the server ends.
#[derive(ClapArgs, Clone, Copy, Debug)]
pub(crate) struct ShutdownArgs {
    /// Yes, the server
    #[arg(long, required = true)]
    pub(crate) yes: bool,
    /// Seconds that it has for it
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    #[arg(value_parser = clap::value_parser!(u32).range(..=2_147_483_647))]
    pub(crate) within: u32,
}

fn next_hop_id(text: &str) -> Result<NextHopId, String> {
    let id = text.parse().map_err(|_| "it is a number from 1 to 4294967295")?;
    NextHopId::new(id).ok_or_else(|| "0 names no next hop".to_owned())
}

fn vlan(text: &str) -> Result<Vid, String> {
    let vlan = text.parse().ok().and_then(Vid::new).filter(|vlan| !vlan.is_untagged());
    vlan.ok_or_else(|| "a VLAN is a number from 1 to 4094".to_owned())
}

fn lif(text: &str) -> Result<Lif, String> {
    text.parse().ok().and_then(Lif::new).ok_or_else(|| "interfaces are numbered from 1 to 65535".to_owned())
}

/// Six bytes in hexadecimal with colons between them.
fn mac(text: &str) -> Result<MacAddress, String> {
    let byte = |text: &str| if text.len() == 2 { u8::from_str_radix(text, 16).ok() } else { None };
    let bytes: Option<Vec<_>> = text.split(':').map(byte).collect();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.map(MacAddress).ok_or_else(|| "a MAC address looks like 02:00:00:00:00:01".to_owned())
}
