//! What a decoder that shares no code with us makes of frames.

use std::fs::File;
use std::process::Command;

use opof_dataplane::pcap::PcapWriter;
use opof_session::types::Moment;
use opof_testkit::netns::run;
use opof_testkit::require::{Program, require};

use crate::Error;

/// The decoder.
const TSHARK: Program = Program { name: "tshark", package: "tshark" };

/// The values of these fields (Wireshark's names) of each frame, in order; one that a frame does not have is empty, and
/// several of one name are joined by commas.
pub fn decode(frames: &[Vec<u8>], fields: &[&str]) -> Result<Vec<Vec<String>>, Error> {
    require(&[TSHARK])?;
    let file = tempfile::NamedTempFile::new().map_err(Error::io("make a temporary file"))?;
    let mut capture = File::create(file.path()).and_then(PcapWriter::new).map_err(Error::io("write a capture"))?;
    for frame in frames {
        capture.frame(Moment(0), frame).map_err(Error::io("write a capture"))?;
    }
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "fields", "-E", "separator=/t"]);
    // Checksums are what the sender left there; they are asked to be checked.
    command.args(["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = run(command.arg("-r").arg(file.path()))?;
    Ok(output.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}
