//! The arguments. Those of commands about the device as a whole are in `device`, about a pair of them in `ha`.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, Resettable, TypedValueParser};
use clap::{ArgGroup, Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};
use opof_client::{Dialect, Profile};

use crate::input::NatText;

mod device;
mod ha;

pub(crate) use device::{NextHopCommand, ResetArgs, SetNextHopArgs, ShutdownArgs, VlanFlowCommand};
use ha::HA_EXAMPLES;
pub(crate) use ha::HaCommand;

use crate::commands::conformance::{CONFORMANCE_EXAMPLES, ConformanceArgs};

/// Speak to an open offload device: offload sessions, follow them, take them back.
#[derive(Parser, Debug)]
// Wrapped examples break when they are pasted, so nothing is wrapped: a terminal does that by itself.
#[command(name = "opof", version, about, disable_help_subcommand = true, term_width = 0)]
#[command(after_help = "Exit codes: 0 done; 1 refused or not found; 2 wrong arguments or input; 3 device not reached.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How the device is reached.
#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ServerArgs {
    /// The device; http:// and unix:/path are plain text. Both of a pair: give it twice, or a comma between them; the active one is asked
    #[arg(long, global = true, env = "OPOF_SERVER", default_value = "https://localhost:3443", value_name = "URI")]
    #[arg(value_delimiter = ',')]
    pub(crate) server: Vec<String>,
    /// Trust the certificates in this file (PEM) [default: that of this user's opofd, if it made one, else the system's]
    #[arg(long, global = true, env = "OPOF_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The name in the device's certificate, where it is not the one in the URI
    #[arg(long, global = true, env = "OPOF_DOMAIN", value_name = "NAME")]
    pub(crate) domain: Option<String>,
    /// Show the device this certificate (PEM), where it asks who is there; needs --key
    #[arg(long, global = true, env = "OPOF_CERT", value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, global = true, env = "OPOF_KEY", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The dialect to speak [default: v1, or the one that has the command]
    #[arg(long, global = true, env = "OPOF_DIALECT", value_parser = dialect())]
    pub(crate) dialect: Option<Dialect>,
    /// How the device means what the dialects leave open; it must be the device's own
    #[arg(long, global = true, env = "OPOF_PROFILE", default_value = "spec", value_parser = profile())]
    pub(crate) profile: Profile,
    /// Seconds that a call may take
    #[arg(long, global = true, default_value = "10", value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: u32,
}

fn dialect() -> impl TypedValueParser<Value = Dialect> {
    let names = PossibleValuesParser::new(Dialect::ALL.map(Dialect::name));
    names.map(|name| Dialect::from_name(&name).expect("it is one of the names"))
}

fn profile() -> impl TypedValueParser<Value = Profile> {
    let names = PossibleValuesParser::new(Profile::NAMED.map(|(name, _)| name));
    names.map(|name| Profile::from_name(&name).expect("it is one of the names"))
}

/// How the answer is written.
#[derive(ClapArgs, Clone, Copy, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Write JSON, one object a line, instead of a table
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What is asked.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Offload one session, or a file of them
    #[command(after_help = ADD_EXAMPLES)]
    Add(Box<AddArgs>),
    /// Show sessions with their live counters
    #[command(after_help = "Examples:\n  opof get 1\n  opof get 1 2 3 --json")]
    Get(IdArgs),
    /// List all sessions in ascending id
    #[command(after_help = "Examples:\n  opof list\n  opof list --from 1000 --limit 20\n  opof list --json | jq .id")]
    List(ListArgs),
    /// Take sessions off the fast path and show their final counters
    #[command(after_help = "Examples:\n  opof delete 1\n  opof delete 1 2 3")]
    Delete(IdArgs),
    /// Collect the sessions that have closed; each is told once
    #[command(
        after_help = "Examples:\n  opof closed\n  opof closed --limit 9\n  opof closed --follow --json >> closed.jsonl"
    )]
    Closed(ClosedArgs),
    /// Test a server against the OpenOffload contract; never one in service
    #[command(after_help = CONFORMANCE_EXAMPLES)]
    Conformance(ConformanceArgs),
    /// Show the device: version, data plane, ports, figures
    #[command(after_help = "Examples:\n  opof device\n  opof device --json --server https://dpu7:3443 --ca dpu7.pem")]
    Device,
    /// Show whether the device serves: "serving", "degraded" when it does but a part has a fault ("opof device" tells which), exit code 1
    /// where it does not
    #[command(after_help = "Examples:\n  opof health\n  opof health --json --server unix:/run/opof.sock")]
    Health,
    /// Show who made the device's server, and which version it is (v1beta1)
    #[command(
        after_help = "Examples:\n  opof version\n  opof version --json\n\nopof --version is that of this program."
    )]
    Version,
    /// Close every session that the device has (v1beta1)
    #[command(after_help = "Examples:\n  opof reset --yes\n  opof reset --yes --json && opof closed")]
    Reset(ResetArgs),
    /// Set and take away next hops (v1beta1)
    #[command(subcommand, after_help = "Examples:\n  opof next-hop set --help\n  opof next-hop destroy 7 8")]
    NextHop(NextHopCommand),
    /// Choose where the misses of VLANs go (v1beta1)
    #[command(subcommand, after_help = "Examples:\n  opof vlan-flow add --help\n  opof vlan-flow list --json")]
    VlanFlow(VlanFlowCommand),
    /// End the device's server, which its supervisor starts again (v1.1)
    #[command(after_help = "Examples:\n  opof shutdown --yes\n  opof shutdown --yes --within 30 --json")]
    Shutdown(ShutdownArgs),
    /// Show and change what the device is in a pair of two
    #[command(subcommand, after_help = HA_EXAMPLES)]
    Ha(HaCommand),
}

const ADD_EXAMPLES: &str = r#"Examples:
  opof add --id 1 --in-lif 1 --out-lif 2 --source 10.0.0.1:12345 --destination 10.1.0.3:80 --protocol tcp
  opof add --id 2 --source [2001:db8::1]:5000 --destination [2001:db8::2]:53 --protocol udp --vlan 100 --action drop
  opof add --id 3 --source 10.0.0.1:1 --destination 10.1.0.3:2 --protocol udp --action mirror --collector 10.9.9.9
  opof add --dialect v1beta1 --id 4 --source 10.0.0.1:1 --destination 10.1.0.3:2 --protocol udp \
           --out-next-hop 7 --out-snat 192.0.2.1:4000
  opof add --file sessions.jsonl
  generate | opof add --file -

A session file has one JSON object a line, with the names of the options:
  {"id": 1, "in-lif": 1, "out-lif": 2, "source": "10.0.0.1:12345", "destination": "10.1.0.3:80", "protocol": "tcp"}

Not every data plane can do all of this. A device that can't do what a session asks for refuses the session, and names the
field."#;

/// A session, or where sessions are.
#[derive(ClapArgs, Debug)]
#[command(group = ArgGroup::new("what").required(true).args(["id", "file"]))]
pub(crate) struct AddArgs {
    /// Number of the session, your choice
    #[arg(long, requires_all = ["source", "destination", "protocol"])]
    pub(crate) id: Option<u64>,
    /// Interface where the session enters [default: 1]
    #[arg(long, value_name = "LIF", conflicts_with = "file")]
    pub(crate) in_lif: Option<u16>,
    /// Interface where it leaves [default: 2]
    #[arg(long, value_name = "LIF", conflicts_with = "file")]
    pub(crate) out_lif: Option<u16>,
    /// Source address and port, such as `10.0.0.1:12345` or `[2001:db8::1]:12345`
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "file")]
    pub(crate) source: Option<SocketAddr>,
    /// Destination address and port
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "file")]
    pub(crate) destination: Option<SocketAddr>,
    /// Transport protocol
    #[arg(long, conflicts_with = "file")]
    pub(crate) protocol: Option<Protocol>,
    /// VLAN on the side where it enters, 1 to 4094; on both sides unless --out-vlan says otherwise
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    pub(crate) vlan: Option<u16>,
    /// VLAN on the side where it leaves: the tag is rewritten
    #[arg(long, value_name = "ID", requires = "vlan", conflicts_with = "file")]
    pub(crate) out_vlan: Option<u16>,
    /// What happens to its packets; where the data plane can't mirror or snoop, those are refused [default: forward]
    #[arg(long, conflicts_with = "file")]
    pub(crate) action: Option<ActionKind>,
    /// Where mirror and snoop send copies
    #[arg(long, value_name = "ADDRESS", conflicts_with = "file")]
    pub(crate) collector: Option<IpAddr>,
    /// Idle seconds after which it closes [default: the device's]
    #[arg(long, value_name = "SECONDS", conflicts_with = "file")]
    pub(crate) timeout_seconds: Option<u32>,
    /// What the packets are wrapped in; addresses, ports and protocol are the inner ones then (v1.1, v1beta1)
    #[arg(long, conflicts_with = "file")]
    pub(crate) tunnel: Option<TunnelKind>,
    /// File of sessions, one JSON object a line; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) links: LinkArgs,
}

/// What happens to packets on their way out of either interface. Answers to translated packets are translated back.
#[derive(ClapArgs, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Routed sessions (v1beta1)")]
pub(crate) struct LinkArgs {
    /// Send what leaves by --out-lif to this next hop, which was set before
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    pub(crate) out_next_hop: Option<u32>,
    /// Send what leaves by --in-lif to this next hop
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    pub(crate) in_next_hop: Option<u32>,
    /// Replace the source of what leaves by --out-lif
    #[arg(long, value_name = "ADDRESS[:PORT]", conflicts_with = "file")]
    pub(crate) out_snat: Option<NatText>,
    /// Replace the destination of what leaves by --out-lif
    #[arg(long, value_name = "ADDRESS[:PORT]", conflicts_with = "file")]
    pub(crate) out_dnat: Option<NatText>,
    /// Replace the source of what leaves by --in-lif; without a tunnel this is implied by --out-dnat
    #[arg(long, value_name = "ADDRESS[:PORT]", conflicts_with = "file")]
    pub(crate) in_snat: Option<NatText>,
    /// Replace the destination of what leaves by --in-lif; without a tunnel this is implied by --out-snat
    #[arg(long, value_name = "ADDRESS[:PORT]", conflicts_with = "file")]
    pub(crate) in_dnat: Option<NatText>,
    /// Rewrite the VLAN of what leaves by --out-lif [default: as --vlan and --out-vlan imply]
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    pub(crate) out_rewrite_vlan: Option<u16>,
    /// Rewrite the VLAN of what leaves by --in-lif [default: as --vlan and --out-vlan imply]
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    pub(crate) in_rewrite_vlan: Option<u16>,
}

/// Which sessions.
#[derive(ClapArgs, Debug)]
pub(crate) struct IdArgs {
    /// Numbers of sessions
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<u64>,
}

/// Which part of the list.
#[derive(ClapArgs, Clone, Copy, Debug)]
pub(crate) struct ListArgs {
    /// Begin at this id
    #[arg(long, value_name = "ID", default_value = "0", hide_default_value = true)]
    pub(crate) from: u64,
    /// Show no more than this many
    #[arg(long, value_name = "SESSIONS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

/// How closed sessions are collected.
#[derive(ClapArgs, Clone, Copy, Debug)]
pub(crate) struct ClosedArgs {
    /// Collect no more than this many; the others wait
    #[arg(long, value_name = "SESSIONS", conflicts_with = "follow", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Stay, and show sessions as they close
    #[arg(long)]
    pub(crate) follow: bool,
}

/// The command line as it is now: a variable of the environment that is empty counts as not set, which is how shells and
/// service files take a setting back.
pub(crate) fn command() -> clap::Command {
    without_empty(Args::command(), |name| std::env::var_os(name))
}

fn without_empty(command: clap::Command, variable: impl Fn(&OsStr) -> Option<OsString>) -> clap::Command {
    command.mut_args(|arg| {
        let empty = arg.get_env().and_then(&variable).is_some_and(|value| value.is_empty());
        if empty { arg.env(Resettable::Reset) } else { arg }
    })
}

/// Transport protocols, as they are written.
#[derive(ValueEnum, serde::Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// Tunnels, as they are written.
#[derive(ValueEnum, serde::Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TunnelKind {
    /// Nothing
    #[default]
    None,
    /// GTP-U
    Gtpu,
}

/// Actions, as they are written.
#[derive(ValueEnum, serde::Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ActionKind {
    /// Send the packets out of the interface on the other side
    #[default]
    Forward,
    /// Count and discard them
    Drop,
    /// Forward, and copy them as they come to the collector
    Mirror,
    /// Forward, and copy them as they leave to the collector
    Snoop,
}

#[cfg(test)]
mod tests;
