//! Writes the fixtures, some random frames, packets that are too long for a tunnel, packets of one and a GENEVE header to a folder, one file
//! each: the first corpus of the fuzz target `frame`.

use std::path::PathBuf;
use std::{env, fs, io};

use opof_testkit::frames::{RandomFrames, whole};
use opof_testkit::packet::{Layer, Packet};
use opof_wire::Addresses;
use opof_wire::encap::{MAX_LEN, Template, Tunnel};
use opof_wire::ethernet::MacAddress;
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
    let metadata = Metadata { in_lif: 1, out_lif: 2, key: 3 };
    let inner = Packet::new().ipv4([192, 0, 2, 1], [198, 51, 100, 1]).udp(5000, 6000).build();
    for (name, addresses) in [
        ("tunnel_v4", Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 2] }),
        ("tunnel_v6", Addresses::V6 { source: [1; 16], destination: [2; 16] }),
    ] {
        let (source_mac, destination_mac, option) = (MacAddress([2; 6]), MacAddress([4; 6]), OptionId::DEFAULT);
        let template = Template::new(&Tunnel { source_mac, destination_mac, addresses, vni: 1, option });
        let mut outer = [0; MAX_LEN];
        let len = template.and_then(|template| template.encapsulate(inner.len(), 0xc000, metadata, &mut outer));
        fs::write(folder.join(name), [&outer[..len.map_err(io::Error::other)?], &inner].concat())?;
    }
    let header = Repr { vni: 1, option: OptionId::DEFAULT, metadata };
    let mut bytes = [0; EMITTED_LEN];
    header.emit(&mut bytes).map_err(io::Error::other)?;
    fs::write(folder.join("geneve"), bytes)
}
