//! Arguments of commands about a device as one of a high-availability pair.

use clap::{Subcommand, ValueEnum};
use opof_client::PairRole;

pub(crate) const HA_EXAMPLES: &str = "\
Examples:
  opof ha status --server https://dpu7:3443
  opof ha switchover --server https://dpu7:3443
  opof ha become --help

It talks to the one device that --server names and never goes on to the other. The commands about sessions do: give them both devices, or
where they are in OPOF_SERVER with a comma between them.";

/// What is done about a pair.
#[derive(Subcommand, Clone, Copy, Debug)]
pub(crate) enum HaCommand {
    /// Show how the device sees its pair; exit code 1 where it is not fit to be active
    #[command(after_help = STATUS_EXAMPLES)]
    Status,
    /// Have the active device hand over to its standby, and wait until it has: no packet and no record is lost
    #[command(after_help = "Examples:\n  opof ha switchover\n  opof ha switchover --json --server https://dpu7:3443")]
    Switchover,
    /// Tell the device what it is to be, where nobody else does, or has it stay out of an election
    #[command(after_help = BECOME_EXAMPLES)]
    Become {
        /// This
        role: RoleName,
    },
    /// Have a standby forget what it has of the active, and be told everything anew
    #[command(after_help = "Examples:\n  opof ha resync\n  opof ha resync --json --server https://dpu8:3443")]
    Resync,
}

const STATUS_EXAMPLES: &str = "\
Examples:
  opof ha status
  opof ha status --json | jq -r .role

As keepalived's check of a node, in keepalived.conf:
  vrrp_script opofd { script \"/usr/local/bin/opof ha status\" }";

const BECOME_EXAMPLES: &str = "\
Examples:
  opof ha become active
  opof ha become standby --json

As keepalived tells a node, in keepalived.conf:
  notify_master \"/usr/local/bin/opof ha become active\"
  notify_backup \"/usr/local/bin/opof ha become standby\"";

/// Roles, as they are written.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RoleName {
    /// Answer firewalls; where a store elects, be electable
    Active,
    /// Follow the other device; where a store elects, stay out until told otherwise
    Standby,
}

impl From<RoleName> for PairRole {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Active => Self::Active,
            RoleName::Standby => Self::Standby,
        }
    }
}
