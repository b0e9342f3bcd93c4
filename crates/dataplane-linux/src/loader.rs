//! From the object file to programs in the kernel, one for each port, all on the same maps.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use opof_wire::geneve::OptionId;

use crate::abi::KINDS;
use crate::error::OpenError;
use crate::table::Shape;

/// Built from `bpf/` by `cargo xtask bpf` and committed, so that a build needs no clang.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../bpf/session.bpf.o");

/// Programs that are never attached and share no map with ports: from `bpf/probes.bpf.c`, in the same way.
static PROBES: &[u8] = aya::include_bytes_aligned!("../../../bpf/probes.bpf.o");

/// What drives a port's program while it is measured: from `bpf/bench.bpf.c`, in the same way.
static BENCH: &[u8] = aya::include_bytes_aligned!("../../../bpf/bench.bpf.o");

/// The clock of the ports' programs: from `bpf/clock.bpf.c`, in the same way.
static CLOCK: &[u8] = aya::include_bytes_aligned!("../../../bpf/clock.bpf.o");

/// What measurements put around the ports: from `bpf/traffic.bpf.c`, in the same way.
static TRAFFIC: &[u8] = aya::include_bytes_aligned!("../../../bpf/traffic.bpf.o");

/// The maps that all ports share, by their names in `bpf/maps.h` and in the pin directory.
pub(crate) const SHARED_MAPS: [&str; 14] = [
    "buckets",
    "flows",
    "term",
    "edits_of_slot",
    "next_hops",
    "vlan_flows",
    "collectors",
    "firewalls",
    "peers",
    "returning",
    "answers",
    "pairs",
    "ports",
    "statistics",
];

/// What differs between ports: the constants of `bpf/maps.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PortConstants {
    /// The LIF of frames that come in here.
    pub(crate) lif: u16,
    /// Its position, which is in the keys of these frames.
    pub(crate) position: u8,
    /// Our index of this port.
    pub(crate) index: u32,
    /// The way by which leaves what no session takes.
    pub(crate) other: u32,
    /// Frames take that way or one of those behind it.
    pub(crate) spread: bool,
}

/// What is the same for all ports: the other constants there, and the sizes of maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DeviceConstants {
    /// Sessions at most.
    pub(crate) sessions: u32,
    /// Next hops at most.
    pub(crate) next_hops: u32,
    /// Of the table.
    pub(crate) shape: Shape,
    /// A bit for each LIF whose firewall is behind a tunnel.
    pub(crate) tunnelled: u32,
    /// Of those tunnels.
    pub(crate) vni: u32,
    /// The same.
    pub(crate) option: OptionId,
    /// Nanoseconds for one answer to a packet that does not fit.
    pub(crate) answer_interval: u64,
}

/// Loads `program` for one port. The first call makes the shared maps and pins them in `pins`; later ones find them.
pub(crate) fn load(
    pins: &Path,
    device: &DeviceConstants,
    port: PortConstants,
    program: &str,
) -> Result<Loaded, OpenError> {
    let DeviceConstants { sessions, next_hops, shape, tunnelled, vni, option, answer_interval } = *device;
    let statistics = port.index * KINDS;
    let mut loader = EbpfLoader::new();
    // Nothing in the programs depends on the kernel's own types.
    loader.btf(None);
    loader.map_max_entries("buckets", shape.buckets()).map_max_entries("flows", 2 * sessions);
    loader.map_max_entries("edits_of_slot", sessions).map_max_entries("next_hops", next_hops);
    for name in SHARED_MAPS {
        loader.map_pin_path(name, pins.join(name));
    }
    loader.override_global("opof_lif", &port.lif, true);
    loader.override_global("opof_position", &port.position, true);
    let buckets = shape.buckets();
    loader.override_global("opof_buckets", &buckets, true);
    loader.override_global("opof_hash", &shape.multipliers()[..], true);
    loader.override_global("opof_statistics", &statistics, true);
    loader.override_global("opof_other", &port.other, true);
    let (spread, class, kind) = (u8::from(port.spread), option.class(), option.kind());
    loader.override_global("opof_spread", &spread, true);
    loader.override_global("opof_tunnelled", &tunnelled, true);
    loader.override_global("opof_vni", &vni, true);
    loader.override_global("opof_option_class", &class, true);
    loader.override_global("opof_option_type", &kind, true);
    loader.override_global("opof_answer_interval", &answer_interval, true);
    finish(&mut loader, OBJECT, program)
}

/// Loads `program` of those that stand alone, with maps of its own.
pub(crate) fn load_probe(program: &str) -> Result<Loaded, OpenError> {
    load_alone(PROBES, program)
}

/// Loads `program` of those that measure, with maps of its own.
pub(crate) fn load_bench(program: &str) -> Result<Loaded, OpenError> {
    load_alone(BENCH, program)
}

/// Loads the program that says what time it is for those of ports.
pub(crate) fn load_clock() -> Result<Loaded, OpenError> {
    load_alone(CLOCK, "opof_clock")
}

fn load_alone(object: &[u8], program: &str) -> Result<Loaded, OpenError> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    finish(&mut loader, object, program)
}

/// Loads `program` of those around the ports, with these constants and maps of its own, some of them of these sizes.
pub(crate) fn load_traffic(
    program: &str,
    constants: &[(&'static str, u32)],
    sizes: &[(&'static str, u32)],
) -> Result<Loaded, OpenError> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    for (map, entries) in sizes {
        loader.map_max_entries(map, *entries);
    }
    for (name, value) in constants {
        loader.override_global(name, value, true);
    }
    finish(&mut loader, TRAFFIC, program)
}

fn finish(loader: &mut EbpfLoader<'_>, object: &[u8], program: &str) -> Result<Loaded, OpenError> {
    let mut object = loader.load(object).map_err(|error| refused(&error))?;
    let xdp: &mut Xdp = object
        .program_mut(program)
        .expect("the object has the programs of its source")
        .try_into()
        .expect("its programs are XDP programs");
    xdp.load().map_err(|error| refused(&error))?;
    let fd = xdp.fd().map_err(|error| refused(&error))?;
    let fd = fd.as_fd().try_clone_to_owned().map_err(OpenError::system("duplicating a descriptor"))?;
    Ok(Loaded { program: fd, object })
}

/// A loaded program. The object keeps the maps of this load alone open.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) program: OwnedFd,
    object: Ebpf,
}

impl Loaded {
    /// A map by its name in the object.
    pub(crate) fn map(&self, name: &str) -> io::Result<OwnedFd> {
        let map = self.object.map(name).ok_or(io::ErrorKind::NotFound)?;
        let (aya::maps::Map::Array(data)
        | aya::maps::Map::HashMap(data)
        | aya::maps::Map::DevMap(data)
        | aya::maps::Map::ProgramArray(data)
        | aya::maps::Map::PerCpuArray(data)) = map
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        data.fd().as_fd().try_clone_to_owned()
    }
}

/// With the whole chain of causes: the last one is what the kernel said.
fn refused(error: &dyn std::error::Error) -> OpenError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && io.raw_os_error() == Some(libc::EPERM)
        {
            return OpenError::Permission { what: "loading BPF programs".to_owned() };
        }
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    OpenError::Load(text)
}
