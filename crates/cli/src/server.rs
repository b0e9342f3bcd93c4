//! Which device, and whom to trust.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use opof_client::{Client, ClientConfig};

use crate::args::ServerArgs;
use crate::exit::Failure;

/// Connects as the arguments say.
pub(crate) async fn connect(args: &ServerArgs) -> Result<Client, Failure> {
    Ok(Client::connect(config(args)?).await?)
}

/// What the arguments say of the connection.
pub(crate) fn config(args: &ServerArgs) -> Result<ClientConfig, Failure> {
    let mut config = ClientConfig::new(&args.server).deadline(Duration::from_secs(args.timeout.into()));
    if let Some(domain) = &args.domain {
        config = config.domain(domain);
    }
    let own = || self_signed(|name| std::env::var_os(name)).filter(|path| path.exists());
    if let Some(path) = args.ca.clone().or_else(own) {
        let pem = std::fs::read(&path).map_err(|error| Failure::Ca { path: path.display().to_string(), error })?;
        config = config.ca_pem(pem);
    }
    Ok(config)
}

/// Where an opofd that was started without arguments keeps its certificate (XDG Base Directory Specification,
/// "Environment variables").
fn self_signed(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("opof/self-signed/cert.pem"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_own_certificate() {
        let path = |xdg: Option<&str>, home: Option<&str>| {
            self_signed(|name| if name == "HOME" { home } else { xdg }.map(OsString::from))
        };
        assert_eq!(path(Some("/s"), Some("/h")), Some("/s/opof/self-signed/cert.pem".into()));
        assert_eq!(path(None, Some("/h")), Some("/h/.local/state/opof/self-signed/cert.pem".into()));
        assert_eq!(path(Some("relative"), Some("/h")), Some("/h/.local/state/opof/self-signed/cert.pem".into()));
        assert_eq!(path(None, None), None);
    }
}
