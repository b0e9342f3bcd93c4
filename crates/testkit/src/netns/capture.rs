//! What arrives at a port, frame by frame, VLAN tags in place.
//!
//! tcpdump does the work: it puts the tag that the kernel took off back to where it was. A frame that ends within
//! its tag (14 to 19 bytes with a TPID) is dropped by the kernel before any socket sees it; the port's counters are all
//! that can be known of it.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::error::NetError;
use super::link::Port;
use super::process::Process;
use crate::wait::{self, TimedOut};

/// Frames that wait for the test at most; tcpdump waits then, and the kernel drops what is too much for it.
const QUEUE: usize = 16_384;
/// Kernel buffer of the capture, in KiB.
const KERNEL_BUFFER: &str = "16384";
/// Bytes of a frame that are captured. Every frame has that much of the buffer to itself, so that there is room for 4,096;
/// by tcpdump's own choice it would be for 64. Only frames that GRO has joined are longer, and those are cut.
const FRAME_MAX: usize = 4_096;
const START_BOUND: Duration = Duration::from_secs(10);
/// pcap: file header, record header, and where in that the captured length is.
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const MAGIC: u32 = 0xa1b2_c3d4;

/// A running capture of the frames that come in on one port.
#[derive(Debug)]
pub struct Capture {
    frames: Receiver<Vec<u8>>,
    port: String,
    _tcpdump: Process,
}

impl Capture {
    /// Starts; what comes in after the return is captured.
    pub fn start(port: &Port) -> Result<Self, NetError> {
        let mut command = port.namespace.command("tcpdump");
        command.args([
            "-i",
            &port.name,
            "-Q",
            "in",
            "-n",
            "-p",
            "-U",
            "--immediate-mode",
            "-B",
            KERNEL_BUFFER,
            "-s",
            &FRAME_MAX.to_string(),
            "-w",
            "-",
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut tcpdump = Process::start("tcpdump", &mut command)?;
        let (sender, frames) = sync_channel(QUEUE);
        let (stdout, stderr) = (tcpdump.child().stdout.take(), tcpdump.child().stderr.take());
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else { unreachable!("both were asked for as pipes") };
        std::thread::spawn(move || read_frames(BufReader::new(stdout), &sender));
        let (listening, heard) = sync_channel(1);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.contains("listening on") {
                    let _ = listening.try_send(());
                }
            }
        });
        let what = format!("tcpdump to listen on {}", port.name);
        heard.recv_timeout(START_BOUND).map_err(|_| TimedOut { what, bound: START_BOUND })?;
        Ok(Self { frames, port: port.name.clone(), _tcpdump: tcpdump })
    }

    /// The next frame.
    pub fn next(&self, bound: Duration) -> Result<Vec<u8>, NetError> {
        self.frames.recv_timeout(bound).map_err(|error| match error {
            RecvTimeoutError::Timeout => TimedOut { what: format!("a frame at {}", self.port), bound }.into(),
            RecvTimeoutError::Disconnected => {
                NetError::Output { what: format!("tcpdump on {}", self.port), output: "it ended".into() }
            }
        })
    }

    /// All that has come in until now and within `settle`.
    pub fn drain(&self, settle: Duration) -> Vec<Vec<u8>> {
        wait::pause(settle);
        self.frames.try_iter().collect()
    }
}

fn read_frames(mut input: impl Read, sender: &SyncSender<Vec<u8>>) {
    let mut header = [0; FILE_HEADER];
    if input.read_exact(&mut header).is_err() || header[..4] != MAGIC.to_ne_bytes() {
        return;
    }
    while let Some(frame) = read_record(&mut input) {
        if sender.send(frame).is_err() {
            return;
        }
    }
}

fn read_record(input: &mut impl Read) -> Option<Vec<u8>> {
    let mut header = [0; RECORD_HEADER];
    input.read_exact(&mut header).ok()?;
    let length = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
    let length = usize::try_from(length).ok().filter(|length| *length <= FRAME_MAX)?;
    let mut frame = vec![0; length];
    input.read_exact(&mut frame).ok()?;
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_file_is_read_record_by_record() {
        let mut file = MAGIC.to_ne_bytes().to_vec();
        file.resize(FILE_HEADER, 0);
        for frame in [&b"first"[..], b"second"] {
            let length = u32::try_from(frame.len()).unwrap().to_ne_bytes();
            file.extend([[0; 4], [0; 4], length, length].concat());
            file.extend(frame);
        }
        file.extend([0; 3]); // Cut off in a record header.
        let (sender, receiver) = sync_channel(4);
        read_frames(&file[..], &sender);
        drop(sender);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [b"first".to_vec(), b"second".to_vec()]);
    }
}
