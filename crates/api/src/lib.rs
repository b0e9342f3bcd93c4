//! The OpenOffload and operator APIs: generated protobuf code, and its translation to and from domain types.
//!
//! What lives here: messages turned into domain values, or into an error that names the field, and back. What must not:
//! decisions about sessions, sockets, clocks. Nothing behind this crate sees a protobuf type.

pub mod add;
pub mod dialect;
pub mod ha;
mod lif;
pub mod limits;
pub mod link;
pub mod metadata;
pub mod operator;
pub mod peer_message;
pub mod profile;
pub mod report;
pub mod response;
pub mod rpc;
pub mod status;
pub mod time;

/// A module of generated code, and what else is in it.
macro_rules! generated {
    ($(#[$doc:meta])* $name:ident, $package:tt $(, $more:path)?) => {
        $(#[$doc])*
        #[allow(
            missing_docs,
            non_camel_case_types,
            unreachable_pub,
            unused_qualifications,
            clippy::pedantic,
            clippy::style,
            reason = "generated; its comments are in the .proto file"
        )]
        pub mod $name {
            $(pub use $more::*;)?
            tonic::include_proto!($package);
        }
    };
}

generated!(
    /// Client and server of `openoffload.v1beta1`, and the messages of every dialect, generated from
    /// `proto/openoffload/v1beta1/openoffload.proto`.
    ///
    /// On the wire v1beta1 is the union of all dialects: what two of them have in common has the same number, type and values,
    /// and no number means two things. So there is one Rust type for each message, and a [`Dialect`] says which of its fields
    /// exist. A test holds the .proto files to that.
    v1beta1, "openoffload.v1beta1"
);
generated!(
    /// Client and server of `openoffload.v1`, generated from `proto/openoffload/v1/openoffload.proto`, with the messages of
    /// [`v1beta1`].
    v1, "openoffload.v1", super::v1beta1
);
generated!(
    /// Client and server of `openoffload.v1_1`, generated from `proto/openoffload/v1_1/openoffload.proto`, with the messages
    /// of [`v1beta1`].
    v1_1, "openoffload.v1_1", super::v1beta1
);
generated!(
    /// Client and server of `openoffload.v2`, generated from `proto/openoffload/v2/openoffload.proto`, with the messages of
    /// [`v1beta1`].
    v2, "openoffload.v2", super::v1beta1
);
generated!(
    /// Messages, client and server of `opof.device.v1`, generated from `proto/opof/device/v1/device.proto`.
    device, "opof.device.v1"
);
generated!(
    /// Messages, client and server of `opof.pair.v1`, generated from `proto/opof/pair/v1/pair.proto`.
    pair, "opof.pair.v1"
);
generated!(
    /// Messages, client and server of `opof.peer.v1`, generated from `proto/opof/peer/v1/peer.proto`.
    peer, "opof.peer.v1"
);
generated!(
    /// Messages and clients of the part of etcd's API that elects the active node of a pair, generated from
    /// `proto/etcd/v3/etcd.proto`.
    etcd, "etcdserverpb"
);

/// Every .proto file of a service that opof has, as an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The name by which `grpc.health.v1` of an opofd is asked whether nothing has a fault: it does not serve while something has, even where
/// the device as a whole does.
pub const FAULTLESS: &str = "opof.faultless";

pub use add::{FieldError, Inexpressible, session_request, session_spec};
pub use dialect::Dialect;
pub use profile::Profile;
pub use report::{SessionReport, session_report};
pub use response::{closed_response, nonexistent, session_response};
pub use rpc::Rpc;
pub use status::{AddReport, Refusal};
pub use time::WallClock;
