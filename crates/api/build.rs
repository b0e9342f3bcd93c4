//! Compiles the .proto files; no protoc needed.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const ROOT: &str = "../../proto";
const FILES: [&str; 6] = [
    "openoffload/v1/openoffload.proto",
    "openoffload/v1_1/openoffload.proto",
    "openoffload/v1beta1/openoffload.proto",
    "openoffload/v2/openoffload.proto",
    "opof/device/v1/device.proto",
    "opof/pair/v1/pair.proto",
];
/// What a peer of the daemon serves, not the daemon: by itself, so that nobody is told that the daemon has it.
const ETCD: &str = "etcd/v3/etcd.proto";
/// What a device serves to its peer alone: the same.
const PEER: &str = "opof/peer/v1/peer.proto";

/// Messages and enums that v1.1 has from v1. `lib.rs` says why every dialect uses the types of one.
const SHARED: [&str; 15] = [
    "sessionRequest",
    "actionParameters",
    "sessionId",
    "addSessionResponse",
    "sessionResponseError",
    "sessionResponse",
    "sessionResponses",
    "sessionRequestArgs",
    "IP_VERSION",
    "PROTOCOL_ID",
    "SESSION_STATE",
    "SESSION_CLOSE_CODE",
    "ADD_SESSION_STATUS",
    "REQUEST_STATUS",
    "ACTION_TYPE",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    let descriptors = protox::compile(FILES, [ROOT])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // Comments would become rustdoc, where `[...]` and indentation mean something else than in a .proto file; they are
    // plain enough for that, so they stay.
    let mut builder = tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        .extern_path(".openoffload.v1", "crate::v1beta1")
        .extern_path(".openoffload.v2", "crate::v1beta1")
        .extern_path(".openoffload.v1_1.PARENT_TUNNEL_TYPE", "crate::v1beta1::TunnelType");
    for name in SHARED {
        let ident = name.chars().next().map(|first| first.to_ascii_uppercase()).into_iter().chain(name.chars().skip(1));
        let path = format!("crate::v1beta1::{}", ident.collect::<String>());
        builder = builder.extern_path(format!(".openoffload.v1_1.{name}"), path);
    }
    builder.compile_fds(descriptors)?;
    let peer = protox::compile([PEER], [ROOT])?;
    tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds(peer)?;
    let etcd = protox::compile([ETCD], [ROOT])?;
    tonic_prost_build::configure().emit_rerun_if_changed(false).build_server(false).compile_fds(etcd)?;
    Ok(())
}
