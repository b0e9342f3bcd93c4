//! Opening the data plane that the configuration names.

use opof_dataplane::DataPlane;
use opof_dataplane::sim::{SimPlane, SimPorts};
use opof_dataplane_linux::{AttachMode, Bond, CopyConfig, LifPorts, XdpConfig, XdpPlane};
use opof_session::types::Lif;

use crate::config::{BondMode, Config, DataPlaneConfig, LifConfig, XdpMode};
use crate::error::StartError;

/// The plane, and the ports of a simulated one.
pub(crate) fn open(config: &Config) -> Result<(Box<dyn DataPlane>, Option<SimPorts>), StartError> {
    match &config.data_plane {
        DataPlaneConfig::Sim => {
            let lifs: Vec<Lif> = config.lifs.iter().map(|lif| lif.id).collect();
            let (plane, ports) = SimPlane::new(&lifs, config.sessions.max);
            Ok((Box::new(plane), Some(ports)))
        }
        DataPlaneConfig::Xdp { mode, pin_dir } => {
            let xdp = XdpConfig {
                lifs: config.lifs.iter().map(ports).collect(),
                sessions: config.sessions.max,
                mode: match mode {
                    XdpMode::Auto => AttachMode::Auto,
                    XdpMode::Native => AttachMode::Native,
                    XdpMode::Generic => AttachMode::Generic,
                },
                pin_dir: pin_dir.clone(),
                copies: config.copies.as_ref().map(|copies| CopyConfig {
                    interface: copies.interface.clone(),
                    vni: copies.vni,
                    option: copies.option,
                }),
            };
            Ok((Box::new(XdpPlane::open(&xdp)?), None))
        }
    }
}

fn ports(lif: &LifConfig) -> LifPorts {
    LifPorts {
        lif: lif.id,
        wire: lif.wire.clone(),
        bond: match lif.bond {
            BondMode::ActiveStandby => Bond::ActiveStandby,
            BondMode::Balance => Bond::Balance,
        },
        firewall: lif.firewall.clone(),
    }
}
