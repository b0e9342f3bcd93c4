//! Whether the device serves, as `grpc.health.v1` says it.

use opof_api::FAULTLESS;
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

/// Of the server as a whole; of several, of the first that serves.
pub(crate) async fn check(call: &Call) -> Result<Health, Error> {
    let mut serves = ask(call, "").await?;
    for _ in 1..call.route.len() {
        if serves == Health::Serving {
            break;
        }
        call.route.doubt(&call.route.current());
        serves = ask(call, "").await?;
    }
    Ok(match serves {
        Health::Serving if ask(call, FAULTLESS).await? == Health::NotServing => Health::Degraded,
        serves => serves,
    })
}

/// Of one of its services.
pub(crate) async fn ask(call: &Call, service: &str) -> Result<Health, Error> {
    let answer = call.found(|at| {
        let request = at.request(HealthCheckRequest { service: service.to_owned() });
        async move { HealthClient::new(at.channel()).check(request).await }
    });
    let answer = answer.await?;
    Ok(match answer.map(|answer| answer.status()) {
        Some(ServingStatus::Serving) => Health::Serving,
        Some(ServingStatus::NotServing) => Health::NotServing,
        Some(ServingStatus::Unknown | ServingStatus::ServiceUnknown) | None => Health::Unknown,
    })
}
