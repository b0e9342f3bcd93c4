//! Whether the device serves, as `grpc.health.v1` says it.

use opof_api::FAULTLESS;
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
    /// It does, but a part of it has a fault: [`Device::faults`](crate::Device::faults) tells. Servers other than opofd don't say so.
    Degraded,
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
            Self::Degraded => "degraded",
            Self::NotServing => "not_serving",
            Self::Unknown => "unknown",
        }
    }
}

/// Of the server as a whole.
pub(crate) async fn check(channel: Channel, call: &Call) -> Result<Health, Error> {
    let mut client = HealthClient::new(channel);
    let serves = ask(&mut client, call, "").await?;
    Ok(match serves {
        Health::Serving if ask(&mut client, call, FAULTLESS).await? == Health::NotServing => Health::Degraded,
        serves => serves,
    })
}

async fn ask(client: &mut HealthClient<Channel>, call: &Call, service: &str) -> Result<Health, Error> {
    let request = call.request(HealthCheckRequest { service: service.to_owned() });
    let answer = call.found(client.check(request)).await?;
    Ok(match answer.map(|answer| answer.status()) {
        Some(ServingStatus::Serving) => Health::Serving,
        Some(ServingStatus::NotServing) => Health::NotServing,
        Some(ServingStatus::Unknown | ServingStatus::ServiceUnknown) | None => Health::Unknown,
    })
}
