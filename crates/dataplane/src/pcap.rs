//! Frames into a capture file that tcpdump and Wireshark read: the classic libpcap format, times in nanoseconds.
//!
//! What must not be here: reading captures, opening files.

use std::io::{self, Write};

use opof_session::types::Moment;

use crate::limits::PCAP_SNAPLEN;

/// Says that times are in nanoseconds, and by its byte order that everything is little-endian
/// (draft-ietf-opsawg-pcap, section 4).
const MAGIC_NANOSECONDS: u32 = 0xA1B2_3C4D;
/// The format's version, 2.4: major, then minor.
const VERSION: [u16; 2] = [2, 4];
/// Frames begin with an Ethernet header and have no FCS.
const LINKTYPE_ETHERNET: u32 = 1;
const NANOSECONDS: u64 = 1_000_000_000;

/// Writes frames with their times. Does not buffer: give it a `BufWriter`.
#[derive(Debug)]
pub struct PcapWriter<W> {
    out: W,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file's header.
    pub fn new(mut out: W) -> io::Result<Self> {
        let mut header = Vec::with_capacity(24);
        header.extend(MAGIC_NANOSECONDS.to_le_bytes());
        header.extend(VERSION.iter().flat_map(|part| part.to_le_bytes()));
        header.extend([0; 8]);
        header.extend(PCAP_SNAPLEN.to_le_bytes());
        header.extend(LINKTYPE_ETHERNET.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out })
    }

    /// Writes one frame (whole L2 frame without FCS). One that is longer than [`PCAP_SNAPLEN`] is cut and keeps its
    /// length in the record. Seconds past 2³² start again from 0, as the format has no more room for them.
    pub fn frame(&mut self, at: Moment, frame: &[u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let kept = length.min(PCAP_SNAPLEN);
        let seconds = (at.0 / NANOSECONDS) & u64::from(u32::MAX);
        let mut record = Vec::with_capacity(16 + frame.len());
        for field in [seconds, at.0 % NANOSECONDS, u64::from(kept), u64::from(length)] {
            record.extend(u32::try_from(field).expect("each of the four is below 2³²").to_le_bytes());
        }
        record.extend(&frame[..kept as usize]);
        self.out.write_all(&record)
    }

    /// The writer, for whoever wants to flush or to look at it.
    pub fn into_inner(self) -> W {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_one_frame() {
        let mut pcap = PcapWriter::new(Vec::new()).unwrap();
        pcap.frame(Moment(3_000_000_007), &[0xAA, 0xBB]).unwrap();
        let expected = [
            0x4D, 0x3C, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 1, 0, 0, 0, // header
            3, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0xAA, 0xBB, // record
        ];
        assert_eq!(pcap.into_inner(), expected);
    }

    #[test]
    fn a_long_frame_is_cut_and_says_so() {
        let mut pcap = PcapWriter::new(Vec::new()).unwrap();
        pcap.frame(Moment(u64::MAX), &vec![0; 65_536]).unwrap();
        let file = pcap.into_inner();
        assert_eq!(file.len(), 24 + 16 + 65_535);
        assert_eq!(file[32..40], [0xFF, 0xFF, 0, 0, 0, 0, 1, 0]);
    }
}
