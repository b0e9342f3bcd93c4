//! What a server with a fault reads into a message, or does not take.

use opof_api::Dialect;
use opof_api::v1::{ActionParameters, ActionType, SessionRequest};

use super::{Fault, Mock};

impl Mock {
    /// Makes good what a server with the fault would not notice.
    pub(super) fn bend(&self, message: &mut SessionRequest, dialect: Dialect) {
        let known_action = |parameters: &ActionParameters| ActionType::try_from(parameters.action_type).is_ok();
        match self.fault {
            Some(Fault::IdsHave32Bits) => message.session_id &= 0xFFFF_FFFF,
            Some(Fault::PortsWrap) => {
                message.source_port &= 0xFFFF;
                message.destination_port &= 0xFFFF;
            }
            Some(Fault::Ipv6IsPadded) if message.ip_version == 1 => {
                for address in [&mut message.source_ip_v6, &mut message.destination_ip_v6] {
                    address.resize(16, 1);
                }
            }
            Some(Fault::AnyProtocolIsUdp) if message.protocol_id != 6 => message.protocol_id = 17,
            Some(Fault::ProtocolHas8Bits) => message.protocol_id &= 0xFF,
            Some(Fault::UnknownActionForwards) => {
                if let Some(action) = message.action.as_mut().filter(|action| !known_action(action)) {
                    action.set_action_type(ActionType::Forward);
                }
            }
            Some(Fault::NoActionDrops) => {
                message.action.get_or_insert_default();
            }
            Some(Fault::CopiesGoNowhere) => {
                if let Some(action) = message.action.as_mut().filter(|action| action.action_type > 1) {
                    action.set_action_type(ActionType::Forward);
                }
            }
            Some(Fault::AnyTunnel) => message.encap_type &= 1,
            Some(Fault::AnyIpVersion) => message.ip_version &= 1,
            Some(Fault::BothOrdersAreOne) => {
                for address in [&mut message.source_ip, &mut message.destination_ip] {
                    *address = (*address).min(address.swap_bytes());
                }
            }
            Some(Fault::NatPortsWrap) => {
                let links = message
                    .action
                    .iter_mut()
                    .flat_map(|action| [action.action_params_in_lif.as_mut(), action.action_params_out_lif.as_mut()]);
                for link in links.flatten() {
                    for nat in [link.snat.as_mut(), link.dnat.as_mut()].into_iter().flatten() {
                        nat.port &= 0xFFFF;
                    }
                }
            }
            _ => self.bend_sides(message, dialect),
        }
    }

    fn bend_sides(&self, message: &mut SessionRequest, dialect: Dialect) {
        let own_fields = dialect.has_links();
        let (inside, outside) = (message.in_lif >> 16, message.out_lif >> 16);
        match self.fault {
            Some(Fault::AnyLif) => {
                message.in_lif = message.in_lif & !0xFFFF | 1;
                message.out_lif = message.out_lif & !0xFFFF | 2;
            }
            Some(Fault::ZeroLifIsTwoAndOne) if (message.in_lif, message.out_lif) == (0, 0) => {
                (message.in_lif, message.out_lif) = (2, 1);
            }
            Some(Fault::VlanIsIgnored) => {
                (message.in_lif, message.out_lif) = (message.in_lif & 0xFFFF, message.out_lif & 0xFFFF);
                (message.vlan_in_lif, message.vlan_out_lif) = (0, 0);
            }
            Some(Fault::OutsideAloneIsPushed) if !own_fields && inside == 0 => message.out_lif &= 0xFFFF,
            Some(Fault::VlansWrap) => {
                for lif in [&mut message.in_lif, &mut message.out_lif] {
                    *lif = (((*lif >> 16) % 4095) << 16) | (*lif & 0xFFFF);
                }
                message.vlan_in_lif %= 4094;
                message.vlan_out_lif %= 4094;
                if inside != 0 && outside != 0 && message.in_lif >> 16 == 0 {
                    message.out_lif &= 0xFFFF;
                }
            }
            Some(Fault::OneSidedIsAccepted) => {
                let vlan = message.vlan_in_lif.max(message.vlan_out_lif);
                (message.vlan_in_lif, message.vlan_out_lif) = (vlan, vlan);
            }
            Some(Fault::VlanInLif) if own_fields => {
                (message.in_lif, message.out_lif) = (message.in_lif & 0xFFFF, message.out_lif & 0xFFFF);
            }
            _ => {}
        }
    }

    /// Refuses what a server with the fault would not take.
    pub(super) fn is_refused(&self, message: &SessionRequest) -> bool {
        let (inside, outside) = (message.in_lif >> 16, message.out_lif >> 16);
        match self.fault {
            Some(Fault::Ipv6IsRefused) => message.ip_version == 1,
            Some(Fault::ZeroLifIsRefused) => message.in_lif.trailing_zeros() >= 16,
            Some(Fault::VlanIsRefused) => inside != 0 || message.vlan_in_lif != 0,
            Some(Fault::InsideAloneIsRefused) => inside != 0 && outside == 0,
            Some(Fault::LongIsRefused) => message.cache_timeout > 1 << 30,
            Some(Fault::EveryFieldCounts) => !(0..=1).contains(&message.encap_type),
            _ => false,
        }
    }
}
