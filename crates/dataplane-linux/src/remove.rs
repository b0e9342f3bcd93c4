//! Taking down what a process has left that is not there any more: programs, pins, and what it changed on interfaces.
//!
//! What must not be here: the end of a plane that is open (it takes itself down).

use std::path::Path;

use crate::assembly;
use crate::attach;
use crate::error::OpenError;
use crate::pin::PinDir;
use crate::ports;
use crate::settings::{self, NAME};

/// What was taken down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Removed {
    /// Interfaces that had a program.
    pub attachments: usize,
    /// Interfaces of this network namespace on which settings were put back.
    pub settings: usize,
    /// Interfaces of other network namespaces on which they were not.
    pub elsewhere: usize,
}

/// Takes down everything that is pinned in `pin_dir`; `None` when there is no such directory. From the first program that is
/// detached on the wire is cut. Fails when a process uses it.
pub fn remove(pin_dir: &Path) -> Result<Option<Removed>, OpenError> {
    if !pin_dir.exists() {
        return Ok(None);
    }
    let pins = PinDir::open(pin_dir)?;
    let failed = |source| OpenError::PinDirectory { path: pin_dir.to_owned(), source };
    let namespace = attach::namespace().map_err(OpenError::system("reading the network namespace"))?;
    let mut removed = Removed { attachments: attach::discard_all(&pins).map_err(failed)?, ..Removed::default() };
    for setting in settings::read(pins.path()) {
        if setting.namespace == namespace {
            let what = OpenError::system("putting back the settings of an interface");
            ports::put_back(setting.index, setting.changes).map_err(what)?;
            removed.settings += 1;
        } else {
            removed.elsewhere += 1;
        }
    }
    assembly::clear(&pins, false)?;
    pins.unpin(NAME).map_err(failed)?;
    pins.remove().map_err(failed)?;
    Ok(Some(removed))
}
