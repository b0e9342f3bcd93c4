//! Calls that no generated client would make: bytes that are no message, methods that are not there, other services.

use prost::bytes::{Buf, BufMut};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// What one step of a stream is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Bytes of a message, or of none.
    Message(Vec<u8>),
    /// The stream breaks off: it is reset, not half-closed. To drop a call is not enough, as the body of the request
    /// lives on until its source ends, and then ends in order.
    BreakOff,
}

/// Bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Step;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Step;
    type Error = Status;

    fn encode(&mut self, item: Step, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match item {
            Step::Message(bytes) => {
                buffer.put_slice(&bytes);
                Ok(())
            }
            Step::BreakOff => Err(Status::aborted("the stream is to break off")),
        }
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

/// One call with one message each way.
pub(crate) async fn unary(channel: Channel, path: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut grpc = ready(channel).await?;
    Ok(grpc.unary(Request::new(Step::Message(message)), parsed(path), Raw).await?.into_inner())
}

/// One call with many messages there and one back.
pub(crate) async fn client_streaming(
    channel: Channel,
    path: &str,
    messages: impl tokio_stream::Stream<Item = Step> + Send + 'static,
) -> Result<Vec<u8>, Status> {
    let mut grpc = ready(channel).await?;
    Ok(grpc.client_streaming(Request::new(messages), parsed(path), Raw).await?.into_inner())
}

/// The first answer of a call with many messages each way; `None` when it ends without one.
pub(crate) async fn first_of_stream(channel: Channel, path: &str, message: Vec<u8>) -> Result<Option<Vec<u8>>, Status> {
    let mut grpc = ready(channel).await?;
    let messages = Request::new(tokio_stream::once(Step::Message(message)));
    grpc.streaming(messages, parsed(path), Raw).await?.into_inner().message().await
}

async fn ready(channel: Channel) -> Result<Grpc<Channel>, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    Ok(grpc)
}

fn parsed(path: &str) -> PathAndQuery {
    path.parse().expect("paths in the suite are letters, digits, dots, slashes")
}
