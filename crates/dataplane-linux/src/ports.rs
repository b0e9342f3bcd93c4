//! Interfaces as ports of the device: checked, switched to promiscuous, offloads that hide tags switched off; and all of
//! it put back at the end.
//!
//! What must not be here: programs and their attachment.

use std::io;
use std::net::IpAddr;

use crate::error::OpenError;
use crate::sys::ethtool::Features;
use crate::sys::interface::Control;

const UP: i16 = 0x1;
const PROMISCUOUS: i16 = 0x100;

/// Offloads that take the tag off a frame before a program sees it: the frame would match an untagged session.
const TAG_STRIPPERS: [&str; 2] = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];

/// Offloads that merge frames: what comes out is not what came in, and counters count merged frames.
const MERGERS: [(&str, &str); 2] = [("rx-lro", "lro"), ("rx-gro-hw", "rx-gro-hw")];

/// What is behind the number of a port.
#[derive(Debug)]
pub(crate) enum Place {
    /// An interface.
    Interface(Port),
    /// A firewall at this address, whose frames take the uplink.
    Tunnel(IpAddr),
}

impl Place {
    /// The interface, where there is one.
    pub(crate) fn interface(&self) -> Option<&Port> {
        match self {
            Self::Interface(port) => Some(port),
            Self::Tunnel(_) => None,
        }
    }
}

/// An interface in use as a port. Dropping it puts back what was changed, unless that is to [`stay`](Self::stay).
#[derive(Debug)]
pub(crate) struct Port {
    control: Control,
    name: String,
    index: u32,
    up: bool,
    /// What was changed: [`MADE_PROMISCUOUS`], and a bit for each of [`TAG_STRIPPERS`] that was on.
    changes: u32,
    /// What is changed stays so.
    stays: bool,
}

/// Promiscuity is ours.
const MADE_PROMISCUOUS: u32 = 1;

/// This feature was on.
const fn switched_off(tag_stripper: usize) -> u32 {
    2 << tag_stripper
}

impl Port {
    /// Checks and prepares the interface of this name in the current network namespace.
    pub(crate) fn prepare(name: &str) -> Result<Self, OpenError> {
        let (mut port, flags) = Self::prepare_shared(name)?;
        port.make_promiscuous(flags)?;
        Ok(port)
    }

    /// The same for one that stays the host's: it takes what is addressed to it.
    pub(crate) fn prepare_uplink(name: &str) -> Result<Self, OpenError> {
        let (port, _) = Self::prepare_shared(name)?;
        port.must_be_up()?;
        Ok(port)
    }

    /// What both need, and the flags of the interface.
    fn prepare_shared(name: &str) -> Result<(Self, i16), OpenError> {
        let control = Control::new().map_err(OpenError::system("opening a socket"))?;
        let index = control.index(name).map_err(|error| absent(name, error))?;
        let flags = control.flags(name).map_err(|error| absent(name, error))?;
        let up = flags & UP != 0;
        let mut port = Self { control, name: name.to_owned(), index, up, changes: 0, stays: false };
        port.keep_tags()?;
        Ok((port, flags))
    }

    /// Refuses one that is not switched on.
    pub(crate) fn must_be_up(&self) -> Result<(), OpenError> {
        if self.up { Ok(()) } else { Err(OpenError::Down(self.name.clone())) }
    }

    /// True when it was switched on at [`Self::prepare`].
    pub(crate) fn was_up(&self) -> bool {
        self.up
    }

    /// The largest IP packet that it takes now, in bytes.
    pub(crate) fn mtu(&self) -> io::Result<usize> {
        let mtu = self.control.mtu(&self.name)?;
        usize::try_from(mtu).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Its index, in the namespace of [`Self::prepare`].
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A bump in the wire gets frames that are addressed to others.
    fn make_promiscuous(&mut self, flags: i16) -> Result<(), OpenError> {
        if flags & PROMISCUOUS == 0 {
            let what = format!("interface {}: switching to promiscuous mode", self.name);
            self.control.set_flags(&self.name, flags | PROMISCUOUS).map_err(OpenError::system(what))?;
            self.changes |= MADE_PROMISCUOUS;
        }
        Ok(())
    }

    fn keep_tags(&mut self) -> Result<(), OpenError> {
        let features = match Features::read(&self.control, &self.name) {
            // No ethtool at all: no offloads either.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(()),
            features => features.map_err(OpenError::system(format!("interface {}: reading offloads", self.name)))?,
        };
        for (number, name) in TAG_STRIPPERS.into_iter().enumerate() {
            let Some(feature) = features.get(name).filter(|feature| feature.active) else { continue };
            if !matches!(features.set(&self.control, &self.name, feature, false), Ok(true)) {
                return Err(OpenError::TagsStripped { interface: self.name.clone(), feature: name });
            }
            self.changes |= switched_off(number);
        }
        for (name, word) in MERGERS {
            if features.get(name).is_some_and(|feature| feature.active) {
                tracing::warn!(
                    interface = self.name,
                    feature = name,
                    "the driver merges received frames, so counters will not count those on the wire: \
                     ethtool -K {} {word} off",
                    self.name
                );
            }
        }
        Ok(())
    }

    /// What is to be put back when it is no port any more.
    pub(crate) fn changes(&self) -> u32 {
        self.changes
    }

    /// Is also to put back what an earlier process has changed.
    pub(crate) fn take_over(&mut self, changes: u32) {
        self.changes |= changes;
    }

    /// From here on its end puts nothing back.
    pub(crate) fn stay(&mut self) {
        self.stays = true;
    }

    fn put_back(&mut self) -> io::Result<()> {
        let changes = std::mem::take(&mut self.changes);
        if changes & MADE_PROMISCUOUS != 0 {
            let flags = self.control.flags(&self.name)?;
            self.control.set_flags(&self.name, flags & !PROMISCUOUS)?;
        }
        if changes & !MADE_PROMISCUOUS != 0 {
            let features = Features::read(&self.control, &self.name)?;
            for (number, name) in TAG_STRIPPERS.into_iter().enumerate() {
                if changes & switched_off(number) != 0
                    && let Some(feature) = features.get(name)
                {
                    features.set(&self.control, &self.name, feature, true)?;
                }
            }
        }
        Ok(())
    }
}

/// Puts back what was changed on an interface of the current namespace, as its [`Port`] would have done. One that has gone needs nothing.
pub(crate) fn put_back(index: u32, changes: u32) -> io::Result<()> {
    let control = Control::new()?;
    let name = match control.name(index) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) => return Ok(()),
        name => name?,
    };
    Port { control, name, index, up: true, changes, stays: true }.put_back()
}

/// The index of the interface of this name, which must be switched on, in the current network namespace. Nothing is changed.
pub(crate) fn index(name: &str) -> Result<u32, OpenError> {
    let control = Control::new().map_err(OpenError::system("opening a socket"))?;
    let flags = control.flags(name).map_err(|error| absent(name, error))?;
    if flags & UP == 0 {
        return Err(OpenError::Down(name.to_owned()));
    }
    control.index(name).map_err(|error| absent(name, error))
}

impl Drop for Port {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        match self.put_back() {
            Err(error) if error.raw_os_error() != Some(libc::ENODEV) => {
                tracing::warn!(interface = self.name, %error, "could not put the interface's settings back");
            }
            _ => {}
        }
    }
}

fn absent(name: &str, error: io::Error) -> OpenError {
    if error.raw_os_error() == Some(libc::ENODEV) {
        OpenError::NoInterface(name.to_owned())
    } else {
        OpenError::system(format!("interface {name}"))(error)
    }
}
