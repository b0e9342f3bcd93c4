//! Writes the fixtures, some random frames, packets that are too long for a tunnel and a GENEVE header to a folder, one file
//! each: the first corpus of the fuzz target `frame`.

use std::path::PathBuf;
use std::{env, fs, io};

use opof_testkit::frames::{RandomFrames, whole};
use opof_testkit::packet::{Layer, Packet};
use opof_wire::geneve::{EMITTED_LEN, Metadata, OptionId, Repr};

const RANDOM_FRAMES: usize = 500;
/// More than IPv6 lets a tunnel refuse, and less than the fuzzer's longest input.
const LONG: [u8; 1300] = [0; 1300];

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("say where to: seed_frames FOLDER"))?;
    fs::create_dir_all(&folder)?;
    for fixture in whole() {
        fs::write(folder.join(fixture.name), fixture.frame)?;
    }
    for (at, frame) in RandomFrames::new(0).take(RANDOM_FRAMES).enumerate() {
        fs::write(folder.join(format!("random_{at}")), frame)?;
    }
    let v4 = Packet::new().vlan(100).ipv4([192, 0, 2, 1], [198, 51, 100, 1]).udp(5000, 6000).payload(&LONG);
    fs::write(folder.join("long_v4"), v4.overwrite(Layer::Network, 6, &[0x40, 0]).build())?;
    let v6 = Packet::new().ipv6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]);
    fs::write(folder.join("long_v6"), v6.hop_by_hop().udp(5000, 6000).payload(&LONG).build())?;
    let header = Repr { vni: 1, option: OptionId::DEFAULT, metadata: Metadata { in_lif: 1, out_lif: 2, key: 3 } };
    let mut bytes = [0; EMITTED_LEN];
    header.emit(&mut bytes).map_err(io::Error::other)?;
    fs::write(folder.join("geneve"), bytes)
}
