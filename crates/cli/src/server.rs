//! Which device, and whom to trust.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use opof_client::{Client, ClientConfig, Dialect};

use crate::args::ServerArgs;
use crate::exit::Failure;

/// Connects as the arguments say; where they name no dialect, `dialect` is spoken.
pub(crate) async fn connect(args: &ServerArgs, dialect: Dialect) -> Result<Client, Failure> {
    Ok(Client::connect(config(args, dialect)?).await?)
}

/// As [`connect`], for a command that only `dialect` has.
pub(crate) async fn connect_in(args: &ServerArgs, dialect: Dialect) -> Result<Client, Failure> {
    match args.dialect {
        Some(given) if given != dialect => Err(Failure::Dialect { given, needed: dialect }),
        _ => connect(args, dialect).await,
    }
}

/// What the arguments say of the connection, and of what is spoken.
pub(crate) fn config(args: &ServerArgs, dialect: Dialect) -> Result<ClientConfig, Failure> {
    let mut config = ClientConfig::new(&args.server)
        .dialect(args.dialect.unwrap_or(dialect))
        .profile(args.profile)
        .deadline(Duration::from_secs(args.timeout.into()));
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
