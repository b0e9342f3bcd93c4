//! The configuration: from a TOML file and from flags, to one checked value.
//!
//! ```text
//! file  --parse--> Document --+
//!                             +--check--> Config, or every Mistake by line or flag
//! flags --parse--> Document --+
//! ```
//!
//! The reference of all settings is docs/configuration.md.

mod check;
mod fields;
pub mod flags;
mod model;
mod parse;
pub mod source;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

pub use self::flags::SettingFlags;
pub use self::model::{
    Address, AtStop, BondMode, ClientLimits, ClosedLogConfig, Config, DataPlaneConfig, FirewallConfig, HaConfig,
    HaElection, HaPeer, HaTls, KnownClient, LifConfig, Listener, LogConfig, LogFormat, PIN_DIR, Security,
    SessionsConfig, TlsVersion, TunnelConfig, UplinkConfig, XdpMode,
};
use self::source::{Document, Mistake, Place};
use crate::limits;

/// Why there is no configuration.
#[derive(thiserror::Error, Debug)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{}: can't be read: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no configuration file.
    #[error("{}: is larger than {} bytes: no configuration file", path.display(), limits::CONFIG_BYTES)]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// Every mistake, in the order of their places.
    #[error("{}", Lines(.0))]
    Mistakes(Vec<Mistake>),
}

struct Lines<'a>(&'a [Mistake]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            write!(f, "{}{mistake}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// The settings of `file` with `flags` over them; the built-in ones where neither says anything.
pub fn load(file: Option<&Path>, flags: &SettingFlags) -> Result<Config, ConfigError> {
    let Some(path) = file else { return from_text(None, "", flags) };
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > limits::CONFIG_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    from_text(Some(path), &text, flags)
}

/// As [`load`], with the text of the file in hand.
pub fn from_text(path: Option<&Path>, text: &str, flags: &SettingFlags) -> Result<Config, ConfigError> {
    let mut mistakes = Vec::new();
    let mut document = match path {
        Some(path) => parse::parse_file(path, text, &mut mistakes),
        None => Document::new(Place::BuiltIn),
    };
    flags.overlay(&mut document, &mut mistakes);
    // A file that is not TOML has nothing to judge; unknown keys leave the known ones to be judged.
    let judge = mistakes.is_empty() || !document.sections.is_empty();
    let config = if judge { check::check(&document, &mut mistakes) } else { None };
    match config {
        Some(config) if mistakes.is_empty() => Ok(config),
        _ => {
            mistakes.sort();
            mistakes.dedup();
            Err(ConfigError::Mistakes(mistakes))
        }
    }
}

impl Default for Config {
    /// What `opofd` without arguments runs with.
    fn default() -> Self {
        from_text(None, "", &SettingFlags::default()).expect("the built-in settings have no mistakes")
    }
}

impl Config {
    /// The file as one line.
    pub fn summary(&self) -> String {
        let kind = match &self.data_plane {
            DataPlaneConfig::Sim => "sim",
            DataPlaneConfig::Xdp { .. } => "xdp",
        };
        let listeners: Vec<_> = self.listeners.iter().map(|listener| listener.address.to_string()).collect();
        let lifs: Vec<_> = self.lifs.iter().map(|lif| lif.id.to_string()).collect();
        let pair = self.ha.as_ref().map_or_else(String::new, |ha| format!(", {}", ha.summary()));
        format!(
            "data plane {kind}, lif {}, listening on {}, {} sessions at most{pair}",
            lifs.join(" "),
            listeners.join(" "),
            self.sessions.max
        )
    }
}
