//! Which device, and whom to trust.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use opof_client::{Client, ClientConfig, Dialect, Error, Method};

use crate::args::ServerArgs;
use crate::exit::Failure;

/// Connects as the arguments say; where they name no dialect, `dialect` is spoken.
pub(crate) async fn connect(args: &ServerArgs, dialect: Dialect) -> Result<Client, Failure> {
    Ok(Client::connect(config(args, dialect)?).await?)
}

/// Connects to the device that is named, for what is asked of that one and of no other.
pub(crate) async fn connect_to_one(args: &ServerArgs) -> Result<Client, Failure> {
    Ok(Client::connect(config_of_one(args, Dialect::V1)?).await?)
}

/// The same, of the connection.
pub(crate) fn config_of_one(args: &ServerArgs, dialect: Dialect) -> Result<ClientConfig, Failure> {
    if args.server.len() > 1 { Err(Failure::SeveralServers) } else { Ok(config(args, dialect)?.stay()) }
}

/// Connects for a call that only some dialects have: `dialect` is spoken where the arguments name none. Another one is
/// told before anything is asked of the device, because it is the arguments that are wrong.
pub(crate) async fn connect_for(args: &ServerArgs, dialect: Dialect, method: Method) -> Result<Client, Failure> {
    let spoken = args.dialect.unwrap_or(dialect);
    if !spoken.has(method) {
        return Err(Error::NoSuchCall { dialect: spoken, method }.into());
    }
    connect(args, dialect).await
}

/// What the arguments say of the connection, and of what is spoken.
pub(crate) fn config(args: &ServerArgs, dialect: Dialect) -> Result<ClientConfig, Failure> {
    let mut servers = args.server.iter();
    // The arguments' definition has a default.
    let mut config = ClientConfig::new(servers.next().map(String::as_str).unwrap_or_default())
        .dialect(args.dialect.unwrap_or(dialect))
        .profile(args.profile)
        .deadline(Duration::from_secs(args.timeout.into()));
    for other in servers {
        config = config.or(other);
    }
    if let Some(domain) = &args.domain {
        config = config.domain(domain);
    }
    let own = || self_signed(|name| std::env::var_os(name)).filter(|path| path.exists());
    if let Some(path) = args.ca.clone().or_else(own) {
        config = config.ca_pem(read("CA file", &path)?);
    }
    match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => {
            config = config.identity_pem(read("client certificate", cert)?, read("client key", key)?);
        }
        (None, None) => {}
        _ => return Err(Failure::HalfIdentity),
    }
    Ok(config)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::Pem { what, path: path.display().to_string(), error })
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
