//! Whether the device serves, as `grpc.health.v1` says it.

use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::call::Call;
use crate::error::Error;

/// Whether the device serves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Health {
    /// It does.
    Serving,
    /// It is there and does not, such as while it starts or drains.
    NotServing,
    /// It does not say.
    Unknown,
}

impl Health {
    /// In snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::NotServing => "not_serving",
            Self::Unknown => "unknown",
        }
    }
}

/// Of the server as a whole.
pub(crate) async fn check(channel: Channel, call: &Call) -> Result<Health, Error> {
    let mut health = HealthClient::new(channel);
    let request = call.request(HealthCheckRequest::default());
    let answer = call.found(health.check(request)).await?;
    Ok(match answer.map(|answer| answer.status()) {
        Some(ServingStatus::Serving) => Health::Serving,
        Some(ServingStatus::NotServing) => Health::NotServing,
        Some(ServingStatus::Unknown | ServingStatus::ServiceUnknown) | None => Health::Unknown,
    })
}
