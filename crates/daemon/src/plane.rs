//! Opening the data plane that the configuration names.

use opof_dataplane::DataPlane;
use opof_dataplane::sim::{SimPlane, SimPorts};
use opof_dataplane_linux::{AttachMode, Bond, Firewall, LifPorts, TunnelConfig, UplinkConfig, XdpConfig, XdpPlane};
use opof_session::types::Lif;

use crate::config::{self, BondMode, Config, DataPlaneConfig, FirewallConfig, LifConfig, XdpMode};
use crate::error::StartError;

/// The plane, and the ports of a simulated one.
pub(crate) fn open(config: &Config) -> Result<(Box<dyn DataPlane>, Option<SimPorts>), StartError> {
    match xdp(config) {
        None => {
            let lifs: Vec<Lif> = config.lifs.iter().map(|lif| lif.id).collect();
            let (plane, ports) = SimPlane::new(&lifs, config.sessions.max);
            Ok((Box::new(plane), Some(ports)))
        }
        Some(xdp) => Ok((Box::new(XdpPlane::open(&xdp)?), None)),
    }
}

/// How the plane on network interfaces is set up, if that is the one.
fn xdp(config: &Config) -> Option<XdpConfig> {
    let DataPlaneConfig::Xdp { mode, pin_dir, at_stop: _ } = &config.data_plane else { return None };
    Some(XdpConfig {
        lifs: config.lifs.iter().map(ports).collect(),
        sessions: config.sessions.max,
        next_hops: config.sessions.next_hops_max,
        mode: match mode {
            XdpMode::Auto => AttachMode::Auto,
            XdpMode::Native => AttachMode::Native,
            XdpMode::Generic => AttachMode::Generic,
        },
        pin_dir: pin_dir.clone(),
        copies: config.copies.as_ref().map(tunnel),
        uplink: config
            .uplink
            .as_ref()
            .map(|uplink| UplinkConfig { tunnel: tunnel(&uplink.tunnel), answers_per_second: uplink.answers }),
    })
}

fn tunnel(tunnel: &config::TunnelConfig) -> TunnelConfig {
    TunnelConfig { interface: tunnel.interface.clone(), vni: tunnel.vni, option: tunnel.option }
}

fn ports(lif: &LifConfig) -> LifPorts {
    LifPorts {
        lif: lif.id,
        wire: lif.wire.clone(),
        bond: match lif.bond {
            BondMode::ActiveStandby => Bond::ActiveStandby,
            BondMode::Balance => Bond::Balance,
        },
        firewall: match &lif.firewall {
            FirewallConfig::Interface(name) => Firewall::Interface(name.clone()),
            FirewallConfig::Tunnel(address) => Firewall::Tunnel(*address),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use opof_wire::geneve::OptionId;

    use super::*;
    use crate::config::{SettingFlags, from_text};

    #[test]
    fn an_xdp_plane_gets_everything_that_is_written() {
        let text = r#"
            listener = [{ address = "unix:/run/opofd.sock" }]
            data_plane = { kind = "xdp", mode = "generic", pin_dir = "/p" }
            lif = [
                { id = 1, wire = ["a", "b"], bond = "balance", firewall = "c" },
                { id = 2, wire = "d", firewall = "geneve:2001:db8::10" },
            ]
            copies = { interface = "e", vni = 1, option_class = 2, option_type = 3 }
            tunnel = { interface = "f", vni = 4, option_class = 5, option_type = 6, answers = 7 }
            sessions = { max = 8, next_hops_max = 9 }
        "#;
        let config = from_text(Some(Path::new("f")), text, &SettingFlags::default()).unwrap();
        let [first, second] = [1, 2].map(|id| Lif::new(id).unwrap());
        let tunnel = |interface: &str, vni, class, kind| TunnelConfig {
            interface: interface.to_owned(),
            vni,
            option: OptionId::new(class, kind).unwrap(),
        };
        let expected = XdpConfig {
            lifs: vec![
                LifPorts {
                    wire: vec!["a".to_owned(), "b".to_owned()],
                    bond: Bond::Balance,
                    ..LifPorts::new(first, "", "c")
                },
                LifPorts {
                    firewall: Firewall::Tunnel("2001:db8::10".parse().unwrap()),
                    ..LifPorts::new(second, "d", "")
                },
            ],
            sessions: 8,
            next_hops: 9,
            mode: AttachMode::Generic,
            pin_dir: "/p".into(),
            copies: Some(tunnel("e", 1, 2, 3)),
            uplink: Some(UplinkConfig { tunnel: tunnel("f", 4, 5, 6), answers_per_second: 7 }),
        };
        assert_eq!(xdp(&config), Some(expected));
        assert_eq!(xdp(&Config::default()), None);
    }
}
