//! Sessions as people write them: on the command line, or in a file of JSON lines. What they say about links is in
//! `link`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use opof_client::{Action, Lif, Session, SessionError, Transport, Tunnel, Vid};
use serde::Deserialize;

use crate::args::{ActionKind, AddArgs, LinkArgs, Protocol, TunnelKind};
use crate::limits;

mod link;

pub(crate) use link::NatText;

/// What is wrong with what was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("{name}: {error}")]
    File { name: String, error: io::Error },
    #[error("{name} line {line}: {problem}")]
    Line { name: String, line: u64, problem: LineProblem },
    #[error(transparent)]
    Session(#[from] Wrong),
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineProblem {
    #[error("longer than {} bytes", limits::LINE_BYTES)]
    Long,
    #[error("{0}")]
    Json(String),
    #[error(transparent)]
    Session(#[from] Wrong),
}

/// What is wrong with a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("{name} 0: interfaces are numbered from 1")]
    Lif { name: &'static str },
    #[error("{name} {vlan}: a VLAN is a number from 1 to 4094")]
    Vlan { name: &'static str, vlan: u16 },
    #[error("out-vlan without vlan: a tag can be rewritten, not pushed")]
    OutVlanAlone,
    #[error("collector: mirror and snoop need one, forward and drop have none")]
    Collector,
    #[error("{name} 0: next hops are numbered from 1")]
    NextHop { name: &'static str },
    #[error("next hops, snat, dnat and rewritten VLANs go with the action forward, and with no other")]
    LinksAlone,
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// A session as it is written.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    id: u64,
    in_lif: Option<u16>,
    out_lif: Option<u16>,
    source: SocketAddr,
    destination: SocketAddr,
    protocol: Protocol,
    vlan: Option<u16>,
    out_vlan: Option<u16>,
    #[serde(default)]
    action: ActionKind,
    collector: Option<IpAddr>,
    #[serde(default)]
    timeout_seconds: u32,
    #[serde(default)]
    tunnel: TunnelKind,
    // `flatten` would take words that nobody knows.
    out_next_hop: Option<u32>,
    in_next_hop: Option<u32>,
    out_snat: Option<NatText>,
    out_dnat: Option<NatText>,
    in_snat: Option<NatText>,
    in_dnat: Option<NatText>,
    out_rewrite_vlan: Option<u16>,
    in_rewrite_vlan: Option<u16>,
}

impl Written {
    fn session(&self) -> Result<Session, Wrong> {
        let transport = match self.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
        };
        let vlan = vid("vlan", self.vlan)?;
        let out_vlan = if self.out_vlan.is_some() { vid("out-vlan", self.out_vlan)? } else { vlan };
        if vlan.is_untagged() && !out_vlan.is_untagged() {
            return Err(Wrong::OutVlanAlone);
        }
        let session = Session::new(self.id, transport, self.source, self.destination)?
            .lifs(lif("in-lif", self.in_lif.unwrap_or(1))?, lif("out-lif", self.out_lif.unwrap_or(2))?)
            .vlans(vlan, out_vlan)?
            .action(action(self.action, self.collector)?)
            .timeout_seconds(self.timeout_seconds)
            .tunnel(match self.tunnel {
                TunnelKind::None => Tunnel::None,
                TunnelKind::Gtpu => Tunnel::Gtpu,
            });
        match link::links(&self.links(), [vlan, out_vlan])? {
            None => Ok(session),
            Some(_) if self.action != ActionKind::Forward => Err(Wrong::LinksAlone),
            Some(links) => Ok(session.links(links)?),
        }
    }

    const fn links(&self) -> LinkArgs {
        LinkArgs {
            out_next_hop: self.out_next_hop,
            in_next_hop: self.in_next_hop,
            out_snat: self.out_snat,
            out_dnat: self.out_dnat,
            in_snat: self.in_snat,
            in_dnat: self.in_dnat,
            out_rewrite_vlan: self.out_rewrite_vlan,
            in_rewrite_vlan: self.in_rewrite_vlan,
        }
    }
}

fn lif(name: &'static str, id: u16) -> Result<Lif, Wrong> {
    Lif::new(id).ok_or(Wrong::Lif { name })
}

fn vid(name: &'static str, vlan: Option<u16>) -> Result<Vid, Wrong> {
    let Some(vlan) = vlan else { return Ok(Vid::UNTAGGED) };
    Vid::new(vlan).filter(|vid| !vid.is_untagged()).ok_or(Wrong::Vlan { name, vlan })
}

fn action(kind: ActionKind, collector: Option<IpAddr>) -> Result<Action, Wrong> {
    match (kind, collector) {
        (ActionKind::Forward, None) => Ok(Action::Forward),
        (ActionKind::Drop, None) => Ok(Action::Drop),
        (ActionKind::Mirror, Some(collector)) => Ok(Action::Mirror { collector }),
        (ActionKind::Snoop, Some(collector)) => Ok(Action::Snoop { collector }),
        _ => Err(Wrong::Collector),
    }
}

/// The session that the command line describes; `None` where it names a file.
pub(crate) fn from_args(args: &AddArgs) -> Result<Option<Session>, InputError> {
    let (Some(id), Some(source), Some(destination), Some(protocol)) =
        (args.id, args.source, args.destination, args.protocol)
    else {
        return Ok(None);
    };
    let written = Written {
        id,
        in_lif: args.in_lif,
        out_lif: args.out_lif,
        source,
        destination,
        protocol,
        vlan: args.vlan,
        out_vlan: args.out_vlan,
        action: args.action.unwrap_or_default(),
        collector: args.collector,
        timeout_seconds: args.timeout_seconds.unwrap_or(0),
        tunnel: args.tunnel.unwrap_or_default(),
        out_next_hop: args.links.out_next_hop,
        in_next_hop: args.links.in_next_hop,
        out_snat: args.links.out_snat,
        out_dnat: args.links.out_dnat,
        in_snat: args.links.in_snat,
        in_dnat: args.links.in_dnat,
        out_rewrite_vlan: args.links.out_rewrite_vlan,
        in_rewrite_vlan: args.links.in_rewrite_vlan,
    };
    Ok(Some(written.session()?))
}

/// Sessions in a file, a batch at a time. Empty lines are passed over.
pub(crate) struct SessionFile {
    name: String,
    reader: Box<dyn BufRead>,
    line: u64,
    read_bytes: u64,
}

impl SessionFile {
    /// Opens a file; `-` is standard input. The length is that of the file, where it has one.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<u64>), InputError> {
        if path == Path::new("-") {
            return Ok((Self::new("standard input", Box::new(io::stdin().lock())), None));
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| InputError::File { name: name.clone(), error })?;
        let length = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
        Ok((Self::new(&name, Box::new(BufReader::new(file))), length))
    }

    fn new(name: &str, reader: Box<dyn BufRead>) -> Self {
        Self { name: name.to_owned(), reader, line: 0, read_bytes: 0 }
    }

    /// Bytes read so far.
    pub(crate) const fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// At most `limit` sessions; none at the end. When a line is wrong, the sessions before it in this batch are
    /// given up with it.
    pub(crate) fn batch(&mut self, limit: usize) -> Result<Vec<Session>, InputError> {
        let mut batch = Vec::new();
        let mut line = Vec::new();
        while batch.len() < limit && self.next_line(&mut line)? {
            let text = line.trim_ascii();
            if !text.is_empty() {
                batch.push(session(text).map_err(|problem| self.wrong(problem))?);
            }
        }
        Ok(batch)
    }

    /// False at the end.
    fn next_line(&mut self, line: &mut Vec<u8>) -> Result<bool, InputError> {
        line.clear();
        // One byte more than allowed tells a line that is too long from one that just fits.
        let mut bounded = self.reader.by_ref().take(limits::LINE_BYTES + 1);
        let read = bounded
            .read_until(b'\n', line)
            .map_err(|error| InputError::File { name: self.name.clone(), error })? as u64;
        self.read_bytes += read;
        self.line += 1;
        if read > limits::LINE_BYTES {
            return Err(self.wrong(LineProblem::Long));
        }
        Ok(read > 0)
    }

    fn wrong(&self, problem: LineProblem) -> InputError {
        InputError::Line { name: self.name.clone(), line: self.line, problem }
    }
}

fn session(text: &[u8]) -> Result<Session, LineProblem> {
    let written: Written = serde_json::from_slice(text).map_err(|error| {
        // The library counts lines within the text that it was given: always 1 here, and misleading in a file.
        let text = error.to_string();
        LineProblem::Json(text.replace(" at line 1 column ", " at column "))
    })?;
    Ok(written.session()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id": 7, "source": "10.0.0.1:1", "destination": "10.0.0.2:2", "protocol": "tcp"}"#;

    fn file(text: &'static str) -> SessionFile {
        SessionFile::new("f", Box::new(text.as_bytes()))
    }

    fn with(more: &str) -> Result<String, String> {
        let text = GOOD.replace('}', &format!(", {more}}}"));
        session(text.as_bytes())
            .map(|session| {
                let spec = session.spec();
                format!(
                    "{} {}>{} {} {:?} {}",
                    spec.flow, spec.in_lif, spec.out_lif, spec.out_vlan, spec.action, spec.timeout_seconds
                )
            })
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn everything_that_can_be_said() {
        let more = r#""in-lif": 3, "out-lif": 4, "vlan": 100, "out-vlan": 200, "action": "mirror",
                      "collector": "2001:db8::c0", "timeout-seconds": 30"#;
        let expected = "tcp 10.0.0.1:1 > 10.0.0.2:2 vlan 100 3>4 vlan 200 Mirror { collector: 2001:db8::c0 } 30";
        assert_eq!(with(more).as_deref(), Ok(expected));
        let expected = "tcp 10.0.0.1:1 > 10.0.0.2:2 vlan 100 1>2 vlan 100 Drop 0";
        assert_eq!(with(r#""vlan": 100, "action": "drop""#).as_deref(), Ok(expected));
    }

    #[test]
    fn each_mistake_is_named() {
        let wrong = |more| with(more).unwrap_err();
        assert_eq!(wrong(r#""in-lif": 0"#), "in-lif 0: interfaces are numbered from 1");
        assert_eq!(wrong(r#""vlan": 4095"#), "vlan 4095: a VLAN is a number from 1 to 4094");
        assert_eq!(wrong(r#""vlan": 0"#), "vlan 0: a VLAN is a number from 1 to 4094");
        assert_eq!(wrong(r#""out-vlan": 3"#), "out-vlan without vlan: a tag can be rewritten, not pushed");
        let collector = "collector: mirror and snoop need one, forward and drop have none";
        assert_eq!(wrong(r#""action": "snoop""#), collector);
        assert_eq!(wrong(r#""collector": "10.0.0.1""#), collector);
        assert!(wrong(r#""vlam": 3"#).starts_with("unknown field `vlam`, expected one of `id`, `in-lif`"));
        assert!(wrong(r#""action": "eat""#).starts_with("unknown variant `eat`, expected one of `forward`, `drop`"));
    }

    #[test]
    fn what_happens_on_the_links() {
        let routed = |more: &str| {
            let text = GOOD.replace('}', &format!(", {more}}}"));
            session(text.as_bytes()).map(|session| session.spec().clone())
        };
        let spec =
            routed(r#""tunnel": "gtpu", "out-next-hop": 7, "out-snat": "192.0.2.1:4000", "in-dnat": "192.0.2.2""#);
        let spec = spec.unwrap();
        assert_eq!(spec.flow.tunnel, Tunnel::Gtpu);
        let Action::Route(links) = spec.action else { panic!("routed") };
        assert_eq!(links.towards_out.next_hop.map(opof_client::NextHopId::get), Some(7));
        let snat = links.towards_out.snat.unwrap();
        assert_eq!(
            (snat.address.to_string(), snat.port.map(std::num::NonZero::get)),
            ("192.0.2.1".to_owned(), Some(4000))
        );
        let dnat = links.towards_in.dnat.unwrap();
        assert_eq!((dnat.address.to_string(), dnat.port), ("192.0.2.2".to_owned(), None));

        let vlans = |more: &str| match routed(more).unwrap().action {
            Action::Route(links) => [links.towards_in.vlan, links.towards_out.vlan].map(|vlan| vlan.map(Vid::get)),
            action => panic!("{action:?}"),
        };
        // Two VLANs imply that the tag is rewritten, with next hops as without.
        assert_eq!(vlans(r#""vlan": 100, "out-vlan": 200, "out-next-hop": 7"#), [Some(100), Some(200)]);
        assert_eq!(vlans(r#""vlan": 100, "out-vlan": 200, "out-rewrite-vlan": 300"#), [Some(100), Some(300)]);
        assert_eq!(vlans(r#""vlan": 100, "out-next-hop": 7"#), [None, None]);

        let wrong = |more: &str| routed(more).unwrap_err().to_string();
        assert_eq!(wrong(r#""in-next-hop": 0"#), "in-next-hop 0: next hops are numbered from 1");
        assert!(wrong(r#""action": "drop", "out-next-hop": 7"#).starts_with("next hops, snat, dnat"));
        assert!(wrong(r#""out-snat": "somewhere""#).starts_with("somewhere: an address, with or without a port"));
        assert!(wrong(r#""out-snat": "2001:db8::1""#).starts_with("2001:db8::1: not of the session's family"));
        assert!(wrong(r#""out-rewrite-vlan": 5"#).starts_with("vlan 5 on a link of an untagged session"));
        assert!(wrong(r#""vlan": 1, "out-rewrite-vlan": 4095"#).starts_with("out-rewrite-vlan 4095: a VLAN is"));
    }

    #[test]
    fn a_file_is_read_in_batches() {
        let text = format!("{GOOD}\n\n  {GOOD}\r\n{GOOD}").leak();
        let mut file = file(text);
        assert_eq!(file.batch(2).unwrap().len(), 2);
        assert_eq!(file.batch(2).unwrap().len(), 1);
        assert_eq!(file.batch(2).unwrap().len(), 0);
        assert_eq!(file.read_bytes(), text.len() as u64);
    }

    #[test]
    fn mistakes_are_named_by_line() {
        let wrong = |text: String| file(text.leak()).batch(10).unwrap_err().to_string();
        assert_eq!(wrong(format!("{GOOD}\n\n{{\n")), "f line 3: EOF while parsing an object at column 1");
        let families = GOOD.replace("10.0.0.2", "[2001:db8::2]");
        assert!(
            wrong(format!("{GOOD}\n{families}\n")).starts_with("f line 2: 10.0.0.1:1 and [2001:db8::2]:2 are not of")
        );
        let length = usize::try_from(limits::LINE_BYTES).unwrap();
        assert_eq!(wrong(format!("{GOOD}\n{}", " ".repeat(length + 1))), "f line 2: longer than 65536 bytes");
        assert_eq!(file(" ".repeat(length).leak()).batch(1).unwrap().len(), 0);
    }
}
