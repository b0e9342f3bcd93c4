//! Programs of others that make and read packets: what they say of ours, and what they make themselves.
//!
//! What must not be here: anything of `opof-wire`, whose judgement they are to confirm.

use std::fmt::Write as _;
use std::io::Write;
use std::process::{Command, Stdio};

use opof_testkit::require::{DISSECTORS, require};

use crate::Error;
use crate::tshark::{self, GOOD};

const BUILD: &str = include_str!("../scapy/build_gtpu.py");
const DISSECT: &str = include_str!("../scapy/dissect_gtpu.py");
/// Debian's own: the only one that sees Debian's scapy.
const PYTHON: &str = "/usr/bin/python3";

/// What tshark is asked for: [`translate`] reads the columns in this order.
const FIELDS: [&str; 14] = [
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "gtp.teid",
    "udp.srcport",
    "udp.dstport",
    "tcp.srcport",
    "tcp.dstport",
    "ip.checksum.status",
    "udp.checksum.status",
    "tcp.checksum.status",
    "_ws.malformed",
];

/// For each line of `flows` (VLAN, protocol, source, source port, destination, destination port) frames that scapy makes
/// of it within GTP-U.
pub fn scapy_frames(flows: &str) -> Result<Vec<Vec<Vec<u8>>>, Error> {
    let output = scapy(BUILD, flows)?;
    output.lines().map(|line| line.split(' ').map(from_hexadecimal).collect()).collect()
}

/// What scapy sees in each frame: ends of the tunnel, TEID, protocol, addresses and ports of the packet inside, and
/// "valid".
pub fn scapy_sees(frames: &[Vec<u8>]) -> Result<Vec<String>, Error> {
    let mut lines = String::new();
    for frame in frames {
        for byte in frame {
            write!(lines, "{byte:02x}").expect("a string takes all");
        }
        lines.push('\n');
    }
    Ok(scapy(DISSECT, &lines)?.lines().map(str::to_owned).collect())
}

/// What tshark sees in each frame, in the same words.
pub fn tshark_sees(frames: &[Vec<u8>]) -> Result<Vec<String>, Error> {
    Ok(tshark::decode(frames, &FIELDS)?.iter().map(|values| in_words(values)).collect())
}

/// The values of a frame in the words of [`scapy_sees`]; as they are when it is not such a frame.
fn in_words(values: &[String]) -> String {
    let columns: Vec<Vec<&str>> =
        values.iter().map(|column| column.split(',').filter(|word| !word.is_empty()).collect()).collect();
    translate(&columns).unwrap_or_else(|| values.join(";"))
}

fn translate(columns: &[Vec<&str>]) -> Option<String> {
    let [protocols, v4_from, v4_to, v6_from, v6_to, teid, udp_from, udp_to, tcp_from, tcp_to, v4, udp, tcp, malformed] =
        columns
    else {
        return None;
    };
    let (mut addresses4, mut addresses6) = (v4_from.iter().zip(v4_to), v6_from.iter().zip(v6_to));
    let mut addresses = protocols.first()?.split(':').filter_map(|protocol| match protocol {
        "ip" => addresses4.next(),
        "ipv6" => addresses6.next(),
        _ => None,
    });
    let ((outer_from, outer_to), (from, to)) = (addresses.next()?, addresses.next()?);
    let (name, from_port, to_port) = match (udp_from.get(1), tcp_from.first()) {
        (Some(port), None) => ("udp", port, udp_to.get(1)?),
        (None, Some(port)) => ("tcp", port, tcp_to.first()?),
        _ => return None,
    };
    let counted = v4.len() == v4_from.len() && udp.len() == udp_from.len() && tcp.len() == tcp_from.len();
    let good = counted && malformed.is_empty() && v4.iter().chain(udp).chain(tcp).all(|status| *status == GOOD);
    let checked = if good { "valid" } else { "wrong lengths or checksums" };
    let teid = teid.first()?;
    Some(format!("{outer_from} {outer_to} {teid} {name} {from} {to} {from_port} {to_port} {checked}"))
}

fn scapy(script: &str, input: &str) -> Result<String, Error> {
    require(DISSECTORS)?;
    run(Command::new(PYTHON).args(["-c", script]), input)
}

/// Its standard output.
fn run(command: &mut Command, input: &str) -> Result<String, Error> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Error::io("start a dissector"))?;
    let mut stdin = child.stdin.take().expect("asked for as a pipe");
    // From a thread, for the program may answer before it has read all.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().map_err(Error::io("wait for a dissector"))
    })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Call { what: "ask a dissector".to_owned(), message });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn from_hexadecimal(text: &str) -> Result<Vec<u8>, Error> {
    let byte = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
    bytes.ok_or_else(|| Error::Call { what: "read scapy's frames".to_owned(), message: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tshark_says_in_words() {
        let tshark = |line: &str| in_words(&line.split(';').map(str::to_owned).collect::<Vec<_>>());
        let line = "eth:ethertype:ipv6:udp:gtp:ip:tcp:data;10.0.0.1;10.0.0.2;fd00::1;fd00::2;0x00000007;2152;2152;40000;443;1;1;1;";
        assert_eq!(tshark(line), "fd00::1 fd00::2 0x00000007 tcp 10.0.0.1 10.0.0.2 40000 443 valid");
        let bad = line.replace("443;1;1;1", "443;1;1;0");
        assert!(tshark(&bad).ends_with("443 wrong lengths or checksums"), "{}", tshark(&bad));
        let unchecked = line.replace("443;1;1;1", "443;1;;1");
        assert!(tshark(&unchecked).ends_with("443 wrong lengths or checksums"), "{}", tshark(&unchecked));
        assert_eq!(tshark("eth;;;"), "eth;;;");
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(from_hexadecimal("00ff1a").unwrap(), [0, 255, 0x1a]);
        assert!(from_hexadecimal("0").is_err() && from_hexadecimal("0g").is_err());
    }
}
