//! The arguments.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::commands::conformance::{CONFORMANCE_EXAMPLES, ConformanceArgs};

/// Speak to an open offload device: offload sessions, follow them, take them back.
#[derive(Parser, Debug)]
#[command(name = "opof", version, about, disable_help_subcommand = true)]
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
pub(crate) struct ServerArgs {
    /// The device; http:// is plain text
    #[arg(long, global = true, env = "OPOF_SERVER", default_value = "https://localhost:3443", value_name = "URI")]
    pub(crate) server: String,
    /// Trust the certificates in this file (PEM); default: the self-signed certificate of an opofd that this user
    /// started without arguments, else the system's authorities
    #[arg(long, global = true, env = "OPOF_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The name in the device's certificate, where it is not the one in the URI
    #[arg(long, global = true, env = "OPOF_DOMAIN", value_name = "NAME")]
    pub(crate) domain: Option<String>,
    /// Seconds that a call may take
    #[arg(long, global = true, default_value = "10", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: u32,
}

/// How the answer is written.
#[derive(ClapArgs, Clone, Copy, Debug)]
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
        after_help = "Examples:\n  opof closed\n  opof closed --limit 100\n  opof closed --follow --json >> closed.jsonl"
    )]
    Closed(ClosedArgs),
    /// Test a server against the OpenOffload contract; never one in service
    #[command(after_help = CONFORMANCE_EXAMPLES)]
    Conformance(ConformanceArgs),
    /// Show the device: version, data plane, ports, figures
    #[command(after_help = "Examples:\n  opof device\n  opof device --json --server https://dpu7:3443 --ca dpu7.pem")]
    Device,
}

const ADD_EXAMPLES: &str = r#"Examples:
  opof add --id 1 --in-lif 1 --out-lif 2 --source 10.0.0.1:12345 --destination 10.1.0.3:80 --protocol tcp
  opof add --id 2 --source [2001:db8::1]:5000 --destination [2001:db8::2]:53 --protocol udp --vlan 100 --action drop
  opof add --id 3 --source 10.0.0.1:1 --destination 10.1.0.3:2 --protocol udp --action mirror --collector 10.9.9.9
  opof add --file sessions.jsonl
  generate | opof add --file -

A session file has one JSON object a line, with the names of the options:
  {"id": 1, "in-lif": 1, "out-lif": 2, "source": "10.0.0.1:12345", "destination": "10.1.0.3:80", "protocol": "tcp"}"#;

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
    /// What happens to its packets [default: forward]
    #[arg(long, conflicts_with = "file")]
    pub(crate) action: Option<ActionKind>,
    /// Where mirror and snoop send copies
    #[arg(long, value_name = "ADDRESS", conflicts_with = "file")]
    pub(crate) collector: Option<IpAddr>,
    /// Idle seconds after which it closes [default: the device's]
    #[arg(long, value_name = "SECONDS", conflicts_with = "file")]
    pub(crate) timeout_seconds: Option<u32>,
    /// File of sessions, one JSON object a line; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
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

/// Transport protocols, as they are written.
#[derive(ValueEnum, serde::Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// Actions, as they are written.
#[derive(ValueEnum, serde::Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ActionKind {
    /// Send the packets out of the other interface
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
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(["opof"].into_iter().chain(line.split_whitespace()))
    }

    fn refused(line: &str) -> ErrorKind {
        parse(line).expect_err(line).kind()
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn global_options_go_anywhere() {
        for line in ["--json --server http://x:1 device", "device --json --server http://x:1"] {
            let args = parse(line).unwrap();
            assert!(args.output.json);
            assert_eq!(args.server.server, "http://x:1");
        }
    }

    #[test]
    fn a_session_on_the_command_line() {
        let line = "add --id 7 --in-lif 3 --out-lif 4 --source [2001:db8::1]:5 --destination [2001:db8::2]:6 \
                    --protocol udp --vlan 100 --out-vlan 200 --action snoop --collector 10.0.0.9 --timeout-seconds 30";
        let Command::Add(add) = parse(line).unwrap().command else { panic!("add") };
        assert_eq!((add.id, add.in_lif, add.out_lif), (Some(7), Some(3), Some(4)));
        assert_eq!(add.source.unwrap().to_string(), "[2001:db8::1]:5");
        assert_eq!((add.protocol, add.action), (Some(Protocol::Udp), Some(ActionKind::Snoop)));
        assert_eq!((add.vlan, add.out_vlan, add.timeout_seconds), (Some(100), Some(200), Some(30)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(refused("add"), ErrorKind::MissingRequiredArgument);
        assert_eq!(refused("add --id 1 --source 10.0.0.1:1"), ErrorKind::MissingRequiredArgument);
        assert_eq!(refused("add --id 1 --file x"), ErrorKind::ArgumentConflict);
        assert_eq!(refused("add --file x --vlan 3"), ErrorKind::ArgumentConflict);
        let good = "add --id 1 --source 10.0.0.1:1 --destination 10.0.0.2:2 --protocol";
        assert_eq!(refused(&format!("{good} icmp")), ErrorKind::InvalidValue);
        assert_eq!(refused(&format!("{good} tcp --out-vlan 3")), ErrorKind::MissingRequiredArgument);
        assert_eq!(refused("add --id -1"), ErrorKind::UnknownArgument);
        assert_eq!(refused("get"), ErrorKind::MissingRequiredArgument);
        assert_eq!(refused("get one"), ErrorKind::ValueValidation);
        assert_eq!(refused("closed --follow --limit 3"), ErrorKind::ArgumentConflict);
        assert_eq!(refused("list --limit 0"), ErrorKind::ValueValidation);
        assert_eq!(refused("device --timeout 0"), ErrorKind::ValueValidation);
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Args::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("opof {}", command.get_name())), "{}", command.get_name());
        }
    }
}
