//! How connections to devices come about, and how they notice that a device is gone without a word: on Linux while a call is under way, and
//! elsewhere when the next connection does not come about.
//!
//! What must not be here: what a connection is to be like (`config`), and which device is asked (`route`).

use hyper_util::client::legacy::connect::HttpConnector;
use tonic::transport::Channel;

use crate::config::ClientConfig;
use crate::error::Error;
use crate::status::connect_error;

impl ClientConfig {
    /// A connection to a device that is there.
    pub(crate) async fn connect(&self, uri: &str) -> Result<Channel, Error> {
        let endpoint = self.endpoint_of(uri)?;
        let connected = match self.impatient(uri) {
            Some(connector) => endpoint.connect_with_connector(connector).await,
            None => endpoint.connect().await,
        };
        connected.map_err(|error| connect_error(uri, &error))
    }

    /// One that comes about when something is asked.
    pub(crate) fn connect_lazy(&self, uri: &str) -> Result<Channel, Error> {
        let endpoint = self.endpoint_of(uri)?;
        Ok(match self.impatient(uri) {
            Some(connector) => endpoint.connect_with_connector_lazy(connector),
            None => endpoint.connect_lazy(),
        })
    }

    /// TCP that gives a device up before a call does, where it is not the only one.
    fn impatient(&self, uri: &str) -> Option<HttpConnector> {
        if self.is_only(uri) || uri.starts_with("unix:") {
            return None;
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(self.tcp_timeout()));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(crate::limits::UNACKNOWLEDGED));
        Some(tcp)
    }
}
