//! What a decoder that shares no code with us makes of frames: the one way to run it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use opof_dataplane::pcap::PcapWriter;
use opof_session::types::Moment;
use opof_testkit::netns::run_bounded;
use opof_testkit::require::{DISSECTORS, require};

use crate::Error;

/// The status of a checksum that is right, in fields such as `ip.checksum.status`.
pub const GOOD: &str = "1";
/// For some ten thousand frames on a busy machine.
const BOUND: Duration = Duration::from_secs(60);
/// Protocols whose checksums are looked at; tshark trusts them unless it is told not to.
const CHECKED: [&str; 3] = ["ip", "udp", "tcp"];

/// The values of these fields (Wireshark's names) of each frame, in order; one that a frame does not have is empty, and
/// several of one name are joined by commas.
pub fn decode(frames: &[Vec<u8>], fields: &[&str]) -> Result<Vec<Vec<String>>, Error> {
    require(DISSECTORS)?;
    let file = tempfile::NamedTempFile::new().map_err(Error::io("make a temporary file"))?;
    write_capture(file.path(), frames).map_err(Error::io("write a capture"))?;
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "fields", "-E", "separator=/t", "-E", "aggregator=,"]);
    command.args(CHECKED.iter().flat_map(|protocol| ["-o".to_owned(), format!("{protocol}.check_checksum:TRUE")]));
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = run_bounded(command.arg("-r").arg(file.path()), BOUND)?;
    Ok(output.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

fn write_capture(path: &Path, frames: &[Vec<u8>]) -> std::io::Result<()> {
    let mut writer = PcapWriter::new(BufWriter::new(File::create(path)?))?;
    frames.iter().try_for_each(|frame| writer.frame(Moment(0), frame))?;
    writer.into_inner().flush()
}
