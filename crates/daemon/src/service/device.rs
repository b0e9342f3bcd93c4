//! `opof.device.v1.Device`: the operator's view.

use std::time::Duration;

use opof_api::device::device_server::Device;
use opof_api::device::{
    GetDeviceRequest, GetDeviceResponse, Port, PortCounters, PortRole, RefusedTally, SlowPathTally, Tally,
};
use opof_dataplane::Refused;
use opof_session::types::Moment;
use opof_wire::SlowPath;
use tonic::{Request, Response, Status};

use crate::clock::Clock;
use crate::driver::DriverHandle;
use crate::health::{Fault, Health};

/// The device behind a driver.
#[derive(Clone, Debug)]
pub struct DeviceService {
    driver: DriverHandle,
    clock: Clock,
    started: Moment,
    health: Health,
}

impl DeviceService {
    /// The device behind `driver`, which was started at `started`.
    pub const fn new(driver: DriverHandle, clock: Clock, started: Moment, health: Health) -> Self {
        Self { driver, clock, started, health }
    }

    fn since(&self, moment: Moment) -> Duration {
        self.clock.now().saturating_since(moment)
    }

    fn fault(&self, Fault { part, why, since }: Fault) -> opof_api::device::Fault {
        opof_api::device::Fault { part: part.name().to_owned(), why, age: self.since(since).try_into().ok() }
    }
}

#[tonic::async_trait]
impl Device for DeviceService {
    async fn get_device(&self, _: Request<GetDeviceRequest>) -> Result<Response<GetDeviceResponse>, Status> {
        let description = self.driver.describe().await?;
        Ok(Response::new(GetDeviceResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            data_plane: description.kind.to_owned(),
            // It fails for more than 292 billion years.
            uptime: self.since(self.started).try_into().ok(),
            statistics: Some(self.driver.statistics().await?.into()),
            ports: description.ports.iter().map(port).collect(),
            faults: self.health.faults().await.into_iter().map(|fault| self.fault(fault)).collect(),
        }))
    }
}

fn port(port: &opof_dataplane::PortDescription) -> Port {
    let role = match port.role {
        opof_dataplane::PortRole::Wire => PortRole::Wire,
        opof_dataplane::PortRole::Firewall => PortRole::Firewall,
        opof_dataplane::PortRole::Uplink => PortRole::Uplink,
    };
    let counters = &port.counters;
    let slow_path = SlowPath::ALL.into_iter().zip(&counters.slow_path).filter(|(_, tally)| tally.packets > 0);
    let refused = counters.refused.iter().enumerate().filter(|(_, tally)| tally.packets > 0);
    let refused = refused.filter_map(|(number, tally)| Some((Refused::from_number(number)?, tally)));
    Port {
        lif: port.lif.map_or(0, |lif| lif.get().into()),
        role: role.into(),
        name: port.name.clone(),
        mode: port.mode.to_owned(),
        counters: Some(PortCounters {
            received: Some(tally(counters.received)),
            forwarded: Some(tally(counters.forwarded)),
            dropped: Some(tally(counters.dropped)),
            slow_path: slow_path
                .map(|(reason, count)| SlowPathTally { reason: reason.name().to_owned(), tally: Some(tally(*count)) })
                .collect(),
            copied: Some(tally(counters.copied)),
            copies_lost: Some(tally(counters.copies_lost)),
            too_big_answered: Some(tally(counters.too_big_answered)),
            too_big_dropped: Some(tally(counters.too_big_dropped)),
            unreachable: Some(tally(counters.unreachable)),
            refused: refused
                .map(|(reason, count)| RefusedTally { reason: reason.name().to_owned(), tally: Some(tally(*count)) })
                .collect(),
        }),
    }
}

const fn tally(tally: opof_dataplane::Tally) -> Tally {
    Tally { packets: tally.packets, bytes: tally.bytes }
}
