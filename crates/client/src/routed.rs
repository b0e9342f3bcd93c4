//! The calls of v1beta1 alone: next hops, VLAN flows, reset, who made the server. In another dialect each is
//! [`Error::NoSuchCall`].

use opof_api::dialect::Method;
use opof_api::link::{next_hop_parameters, vlan_flow, vlan_flow_def};
use opof_api::report::ReportError;
use opof_api::{Refusal, session_report, v1beta1};
use opof_session::l3::{NextHop, NextHopId, VlanFlow};
use opof_wire::Vid;

use crate::call::explained;
use crate::client::Client;
use crate::error::Error;

/// Who made a server, and which version it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ServiceVersion {
    /// Who made it.
    pub vendor: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Who has the rights in it.
    pub copyright: String,
}

impl Client {
    /// Who made the device's server, and which version it is.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn service_version(&mut self) -> Result<ServiceVersion, Error> {
        self.has(Method::GetServiceVersion)?;
        let message = v1beta1::VersionRequest {};
        let answer =
            self.call.answer(|at| async move { at.rpc().get_service_version(at.request(message)).await }).await?;
        let v1beta1::VersionResponse { vendor, name, version, copyright } = answer;
        Ok(ServiceVersion { vendor, name, version, copyright })
    }

    /// Closes every session that the device has, whoever added it. Each becomes a closed session; next hops and VLAN
    /// flows stay.
    ///
    /// # Errors
    /// When the call fails, or is refused.
    pub async fn reset(&mut self) -> Result<(), Error> {
        self.has(Method::Reset)?;
        let message = v1beta1::ResetRequest {};
        let (answer, said) = self.call.explained(|at| async move { at.rpc().reset(at.request(message)).await }).await?;
        self.done(&answer, said, || "the reset".to_owned())
    }

    /// Makes a next hop, or replaces it for every session that refers to it.
    ///
    /// # Errors
    /// When the call fails; [`Error::NextHop`] when the device refuses.
    pub async fn set_next_hop(&mut self, hop: NextHop) -> Result<(), Error> {
        self.has(Method::SetNextHop)?;
        let message = next_hop_parameters(&hop);
        let asked = self.call.explained(|at| {
            let request = at.request(message.clone());
            async move { at.rpc().set_next_hop(request).await }
        });
        let (answer, said) = asked.await?;
        self.hop(Some(hop.id), answer.error_status, said)
    }

    /// Takes a next hop away, and closes the sessions that refer to it.
    ///
    /// # Errors
    /// When the call fails; [`Error::NextHop`] when the device refuses, as it does where there is no such next hop.
    pub async fn destroy_next_hop(&mut self, id: NextHopId) -> Result<(), Error> {
        self.has(Method::DestroyNextHop)?;
        let message = v1beta1::NextHopParameters { next_hop_id: id.get(), ..Default::default() };
        let asked = self.call.explained(|at| {
            let request = at.request(message.clone());
            async move { at.rpc().destroy_next_hop(request).await }
        });
        let (answer, said) = asked.await?;
        self.hop(Some(id), answer.error_status, said)
    }

    /// Takes all next hops away, and closes the sessions that refer to one.
    ///
    /// # Errors
    /// When the call fails; [`Error::NextHop`] when the device refuses.
    pub async fn clear_next_hops(&mut self) -> Result<(), Error> {
        self.has(Method::ClearNextHops)?;
        let message = v1beta1::NextHopParameters::default();
        let asked = self.call.explained(|at| {
            let request = at.request(message.clone());
            async move { at.rpc().clear_next_hops(request).await }
        });
        let (answer, said) = asked.await?;
        self.hop(None, answer.error_status, said)
    }

    /// Sends the misses of a VLAN to the firewall port of an interface.
    ///
    /// # Errors
    /// When the call fails; [`Error::Rejected`] when the device refuses, as it does where the VLAN has a flow already.
    pub async fn add_vlan_flow(&mut self, flow: VlanFlow) -> Result<(), Error> {
        self.has(Method::AddVlanFlow)?;
        let message = vlan_flow_def(&flow);
        let (answer, said) =
            self.call.explained(|at| async move { at.rpc().add_vlan_flow(at.request(message)).await }).await?;
        self.done(&answer, said, || format!("the flow of {}", flow.vlan))
    }

    /// Ends that for one VLAN. False when it had no flow.
    ///
    /// # Errors
    /// When the call fails; [`Error::Rejected`] when the device refuses.
    pub async fn remove_vlan_flow(&mut self, vlan: Vid) -> Result<bool, Error> {
        self.has(Method::RemoveVlanFlow)?;
        let message = v1beta1::VlanFlowDef { vlan_id: vlan.get().into(), internal_lif: 0 };
        let (answer, said) =
            match self.call.within(|at| async move { at.rpc().remove_vlan_flow(at.request(message)).await }).await {
                Ok(response) => explained(response),
                Err(failure) if failure.is_not_found() => return Ok(false),
                Err(failure) => return Err(self.call.error(&failure)),
            };
        if matches!(session_report(&answer), Err(ReportError::Nonexistent(_))) {
            return Ok(false);
        }
        self.done(&answer, said, || format!("to end the flow of {vlan}")).map(|()| true)
    }

    /// All VLAN flows, in the device's order: ascending, as the API has it.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn vlan_flows(&mut self) -> Result<Vec<VlanFlow>, Error> {
        self.has(Method::GetVlanFlows)?;
        let message = v1beta1::VlanFlowListRequest {};
        let Some(answer) =
            self.call.found(|at| async move { at.rpc().get_vlan_flows(at.request(message)).await }).await?
        else {
            return Ok(Vec::new());
        };
        let flows = answer.flow_defs.iter().map(vlan_flow).collect::<Result<Vec<_>, _>>();
        flows.map_err(|error| self.call.nonsense(format!("a VLAN flow with {error}")))
    }

    /// Ends it for all VLANs.
    ///
    /// # Errors
    /// When the call fails; [`Error::Rejected`] when the device refuses.
    pub async fn clear_vlan_flows(&mut self) -> Result<(), Error> {
        self.has(Method::ClearVlanFlows)?;
        let message = v1beta1::VlanFlowListRequest {};
        let (answer, said) =
            self.call.explained(|at| async move { at.rpc().clear_vlan_flows(at.request(message)).await }).await?;
        self.done(&answer, said, || "to clear the VLAN flows".to_owned())
    }

    fn done(
        &self,
        answer: &v1beta1::SessionResponse,
        said: Option<String>,
        what: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let status = match session_report(answer) {
            Ok(_) => return Ok(()),
            Err(ReportError::Refused { status, .. }) => status,
            Err(ReportError::Nonexistent(_)) => v1beta1::RequestStatus::RejectedSessionNonexistent.as_str_name(),
            Err(ReportError::NoClosedSessions) => v1beta1::RequestStatus::NoClosedSessions.as_str_name(),
        };
        Err(self.call.rejected(what(), status.to_owned(), said))
    }

    fn hop(&self, id: Option<NextHopId>, code: i32, message: Option<String>) -> Result<(), Error> {
        if code == 0 {
            return Ok(());
        }
        let reason = Refusal::from_code(code, self.call.profile.add_errors);
        Err(Error::NextHop { uri: self.call.uri(), id: id.map(NextHopId::get), reason, code, message })
    }
}
