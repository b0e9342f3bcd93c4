//! Sessions as people write them: on the command line, or in a file of JSON lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use opof_client::{Action, Lif, Session, SessionError, Transport, Vid};
use serde::Deserialize;

use crate::args::{ActionKind, AddArgs, Protocol};
use crate::limits;

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
            .timeout_seconds(self.timeout_seconds);
        Ok(session)
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
