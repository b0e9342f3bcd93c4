//! Compiles the .proto files; no protoc needed.

use std::error::Error;

const ROOT: &str = "../../proto";
const FILES: [&str; 2] = ["openoffload/v1/openoffload.proto", "opof/device/v1/device.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    let descriptors = protox::compile(FILES, [ROOT])?;
    // Comments would become rustdoc, where `[...]` and indentation mean something else than in a .proto file; they are
    // plain enough for that, so they stay.
    tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds(descriptors)?;
    Ok(())
}
