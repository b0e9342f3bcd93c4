//! `cargo xtask walls`: each wall of the house keeps one thing out, and is checked under its own name.

mod invariants;
mod sources;
mod trees;

use anyhow::{Result, bail};

/// A wall: its name, what it holds, and the check, which returns what it found on the wrong side.
struct Wall {
    name: &'static str,
    holds: &'static str,
    check: fn() -> Result<Vec<String>>,
}

const WALLS: &[Wall] = &[
    Wall {
        name: "sans-io",
        holds: "wire, session, dataplane: no runtime, no gRPC, no system calls, no BPF",
        check: trees::sans_io,
    },
    Wall { name: "wire-alone", holds: "wire depends on nothing", check: trees::wire_alone },
    Wall {
        name: "protobuf",
        holds: "protobuf and gRPC stop at api, client, conformance, cli, daemon",
        check: trees::protobuf,
    },
    Wall { name: "direction", holds: "crates depend on each other one way only", check: trees::direction },
    Wall { name: "unsafe", holds: "unsafe lives in dataplane-linux alone", check: sources::unsafe_code },
    Wall { name: "lints", holds: "every manifest takes the workspace's lints", check: sources::manifests },
    Wall { name: "clock", holds: "one module reads a clock, one of the test code", check: sources::clock },
    Wall {
        name: "invariants",
        holds: "what ARCHITECTURE.md and docs/reliability.md name as their holder exists",
        check: invariants::held,
    },
    Wall { name: "size", holds: "a source file has at most 600 lines", check: sources::size },
];

pub(crate) fn run() -> Result<()> {
    let mut broken = 0;
    for wall in WALLS {
        let found = (wall.check)()?;
        println!("{} {:<11} {}", if found.is_empty() { "ok  " } else { "FAIL" }, wall.name, wall.holds);
        for line in &found {
            println!("       {line}");
        }
        broken += usize::from(!found.is_empty());
    }
    if broken > 0 {
        bail!("{broken} of {} walls broken", WALLS.len());
    }
    Ok(())
}
