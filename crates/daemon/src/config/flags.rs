//! The command line of opofd, and how its flags are laid over a file.
//!
//! A flag only says what was written; whether that is right is judged together with the file, in `check`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::parse::parse_pairs;
use super::source::{Document, Mistake, Place, SHAPES, Value};

const EXAMPLES: &str = "\
Examples:
  opofd
      The simulated data plane on 127.0.0.1:3443, with a certificate it makes: enough to write a client against.
  opofd --config /etc/opof/opofd.toml
      As the file says.
  opofd --config opofd.toml --max-sessions 1000000 --log-level debug
      As the file says, but for two settings.
  opofd --data-plane xdp --lif id=1,wire=ens0,firewall=vf0 --lif id=2,wire=ens1,firewall=vf1 \\
        --listener address=10.0.0.1:3443,tls.cert=server.crt,tls.key=server.key
      Two real interfaces, without a file. Needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or root.
  opofd --data-plane xdp --lif id=1,wire=ens0,firewall=geneve:192.0.2.10 --tunnel-interface ens1 \\
        --listener address=unix:/run/opof/opofd.sock
      The firewall is elsewhere: what it has to see goes to it and comes back through a GENEVE tunnel.
  opofd --listener address=unix:/run/opof.sock --listener address=127.0.0.1:3443,plaintext=true,profile=c-client
      A Unix socket, and a port for deployed C clients.
  opofd --remove --config /etc/opof/opofd.toml
      Takes down what an opofd has left that is not running: nothing is forwarded from then on.
  opofd check-config /etc/opof/opofd.toml
      Names every mistake in the file by line.

Exit codes:
  0 stopped in order   1 mistake in the configuration   2 mistake on the command line   3 a listener could not be opened
  4 certificate or key not usable   5 the data plane could not be opened   6 failed while running
  7 the closed log could not be opened";

/// opofd: forwards the sessions that a firewall offloads.
#[derive(Parser, Debug)]
// No width of ours: an example that is broken to fit can't be pasted.
#[command(name = "opofd", version, after_help = EXAMPLES, term_width = 0)]
pub struct Cli {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The file to read.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take down what an earlier opofd has left in the kernel, instead of running: programs, sessions, changed settings of
    /// interfaces. In the directory that --pin-dir or the file says
    #[arg(long)]
    pub remove: bool,
    /// The settings that are not from the file.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// What opofd can do besides running.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Names every mistake in a configuration file by line; starts nothing
    CheckConfig {
        /// The file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A flag for each setting.
#[derive(Args, Debug, Default, Clone)]
pub struct SettingFlags {
    /// An address for clients; repeatable, replaces those of the file. Keys as in the file:
    /// address=127.0.0.1:3443,plaintext=true
    #[arg(long, value_name = "KEY=VALUE,...", global = true)]
    pub listener: Vec<String>,
    /// A client that is known by its certificate; repeatable, replaces those of the file: name=fw1.example,role=firewall
    #[arg(long, value_name = "KEY=VALUE,...", global = true)]
    pub client: Vec<String>,
    /// A logical interface; repeatable, replaces those of the file: id=1,wire=ens0,firewall=vf0. Several wire ports:
    /// wire=ens0,wire=ens1,bond=balance. A firewall behind a tunnel: firewall=geneve:192.0.2.10
    #[arg(long, value_name = "KEY=VALUE,...", global = true)]
    pub lif: Vec<String>,
    /// What forwards the packets: xdp or sim
    #[arg(long, value_name = "KIND", global = true)]
    pub data_plane: Option<String>,
    /// How XDP is attached: auto, native or generic
    #[arg(long, value_name = "MODE", global = true)]
    pub xdp_mode: Option<String>,
    /// Where BPF maps and links are pinned
    #[arg(long, value_name = "DIR", global = true)]
    pub pin_dir: Option<String>,
    /// What an orderly stop leaves of the data plane: keep or remove
    #[arg(long, value_name = "WHAT", global = true)]
    pub at_stop: Option<String>,
    /// The interface by which copies go to collectors
    #[arg(long, value_name = "NAME", global = true)]
    pub copy_interface: Option<String>,
    /// GENEVE network identifier of copies
    #[arg(long, value_name = "N", global = true)]
    pub copy_vni: Option<String>,
    /// Class of the GENEVE option that copies carry
    #[arg(long, value_name = "N", global = true)]
    pub copy_option_class: Option<String>,
    /// Type of the GENEVE option that copies carry
    #[arg(long, value_name = "N", global = true)]
    pub copy_option_type: Option<String>,
    /// The interface by which firewalls behind tunnels are reached
    #[arg(long, value_name = "NAME", global = true)]
    pub tunnel_interface: Option<String>,
    /// GENEVE network identifier of the tunnels
    #[arg(long, value_name = "N", global = true)]
    pub tunnel_vni: Option<String>,
    /// Class of the GENEVE option that packets of the tunnels carry
    #[arg(long, value_name = "N", global = true)]
    pub tunnel_option_class: Option<String>,
    /// Type of the GENEVE option that packets of the tunnels carry
    #[arg(long, value_name = "N", global = true)]
    pub tunnel_option_type: Option<String>,
    /// Answers in a second to packets that do not fit through their tunnel, at most
    #[arg(long, value_name = "N", global = true)]
    pub tunnel_answers: Option<String>,
    /// Sessions at most
    #[arg(long, value_name = "N", global = true)]
    pub max_sessions: Option<String>,
    /// Closed sessions that wait to be collected, at most
    #[arg(long, value_name = "N", global = true)]
    pub max_closed: Option<String>,
    /// Where closed sessions are stored until they are collected: a file, or memory
    #[arg(long, value_name = "PATH", global = true)]
    pub closed_log: Option<String>,
    /// Next hops of L3 sessions at most
    #[arg(long, value_name = "N", global = true)]
    pub max_next_hops: Option<String>,
    /// Idle timeout of a TCP session that names none
    #[arg(long, value_name = "SECONDS", global = true)]
    pub tcp_timeout: Option<String>,
    /// Idle timeout of a UDP session that names none
    #[arg(long, value_name = "SECONDS", global = true)]
    pub udp_timeout: Option<String>,
    /// Longer timeouts are clamped to this one
    #[arg(long, value_name = "SECONDS", global = true)]
    pub max_timeout: Option<String>,
    /// How this device and another one are a pair; repeatable, each key wins over that of the file. Keys as in the file:
    /// node=a,hold=5,peer.node=b,tls.cert=a.crt
    #[arg(long, value_name = "KEY=VALUE,...", global = true)]
    pub ha: Vec<String>,
    /// Open connections of one listener, at most
    #[arg(long, value_name = "N", global = true)]
    pub max_connections: Option<String>,
    /// Calls that one connection may have open, at most
    #[arg(long, value_name = "N", global = true)]
    pub max_streams: Option<String>,
    /// Size of one request message, at most
    #[arg(long, value_name = "BYTES", global = true)]
    pub max_message_bytes: Option<String>,
    /// Sessions in one addSession stream, at most
    #[arg(long, value_name = "N", global = true)]
    pub max_stream_sessions: Option<String>,
    /// Calls and sessions of one client in a second, at most
    #[arg(long, value_name = "N", global = true)]
    pub max_rate: Option<String>,
    /// How long a new connection may take until its first call
    #[arg(long, value_name = "SECONDS", global = true)]
    pub header_timeout: Option<String>,
    /// How long a connection may be silent
    #[arg(long, value_name = "SECONDS", global = true)]
    pub idle_timeout: Option<String>,
    /// Threads that serve clients; 0 chooses by the number of processors
    #[arg(long, value_name = "N", global = true)]
    pub threads: Option<String>,
    /// error, warn, info, debug, trace, or directives such as info,opof_daemon=debug
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT", global = true)]
    pub log_format: Option<String>,
}

impl SettingFlags {
    /// Lays the flags over what a file says: a scalar replaces its key, a list replaces the whole list, and what `--ha` says replaces
    /// the same keys of its section.
    pub fn overlay(&self, document: &mut Document, mistakes: &mut Vec<Mistake>) {
        for (flag, section, key, value) in [
            ("--data-plane", "data_plane", "kind", &self.data_plane),
            ("--xdp-mode", "data_plane", "mode", &self.xdp_mode),
            ("--pin-dir", "data_plane", "pin_dir", &self.pin_dir),
            ("--at-stop", "data_plane", "at_stop", &self.at_stop),
            ("--copy-interface", "copies", "interface", &self.copy_interface),
            ("--copy-vni", "copies", "vni", &self.copy_vni),
            ("--copy-option-class", "copies", "option_class", &self.copy_option_class),
            ("--copy-option-type", "copies", "option_type", &self.copy_option_type),
            ("--tunnel-interface", "tunnel", "interface", &self.tunnel_interface),
            ("--tunnel-vni", "tunnel", "vni", &self.tunnel_vni),
            ("--tunnel-option-class", "tunnel", "option_class", &self.tunnel_option_class),
            ("--tunnel-option-type", "tunnel", "option_type", &self.tunnel_option_type),
            ("--tunnel-answers", "tunnel", "answers", &self.tunnel_answers),
            ("--max-sessions", "sessions", "max", &self.max_sessions),
            ("--max-closed", "sessions", "closed_max", &self.max_closed),
            ("--closed-log", "sessions", "closed_log", &self.closed_log),
            ("--max-next-hops", "sessions", "next_hops_max", &self.max_next_hops),
            ("--tcp-timeout", "sessions", "tcp_timeout", &self.tcp_timeout),
            ("--udp-timeout", "sessions", "udp_timeout", &self.udp_timeout),
            ("--max-timeout", "sessions", "max_timeout", &self.max_timeout),
            ("--max-connections", "limits", "connections", &self.max_connections),
            ("--max-streams", "limits", "streams", &self.max_streams),
            ("--max-message-bytes", "limits", "message_bytes", &self.max_message_bytes),
            ("--max-stream-sessions", "limits", "stream_sessions", &self.max_stream_sessions),
            ("--max-rate", "limits", "rate", &self.max_rate),
            ("--header-timeout", "limits", "header_timeout", &self.header_timeout),
            ("--idle-timeout", "limits", "idle_timeout", &self.idle_timeout),
            ("--threads", "server", "threads", &self.threads),
            ("--log-level", "log", "level", &self.log_level),
            ("--log-format", "log", "format", &self.log_format),
        ] {
            if let Some(value) = value {
                let place = Place::Flag(flag.to_owned());
                document.section(section, place.clone()).set(key, place, Value::Bare(value.clone()));
            }
        }
        for (name, values) in
            [("listener", &self.listener), ("client", &self.client), ("lif", &self.lif), ("ha", &self.ha)]
        {
            let shape = SHAPES.iter().find(|shape| shape.name == name).expect("all of them are in the table of shapes");
            if values.is_empty() {
                continue;
            }
            let sections = values.iter().map(|text| parse_pairs(shape, &format!("--{name} {text}"), text, mistakes));
            if shape.list {
                document.sections.insert(name.to_owned(), sections.collect());
            } else {
                for section in sections {
                    document.section(name, section.place.clone()).overlay(section);
                }
            }
        }
    }
}
