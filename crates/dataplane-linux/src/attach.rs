//! Attachments: a pinned link for each port. A link that a killed process left is taken over, its program replaced
//! without a packet in between.
//!
//! All ports are attached in one mode: native redirection works only to ports that are native themselves.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use crate::config::AttachMode;
use crate::error::OpenError;
use crate::pin::PinDir;
use crate::ports::Port;
use crate::redirect;
use crate::sys::bpf::{self, XdpMode};

/// The links of a plane, in the order of its ports.
#[derive(Debug)]
pub(crate) struct Attachments {
    mode: XdpMode,
    links: Vec<PinnedLink>,
}

#[derive(Debug)]
struct PinnedLink {
    link: OwnedFd,
    name: String,
    /// An earlier process made it.
    adopted: bool,
}

/// A start that did not succeed, and what was attached by then.
struct Partial {
    done: Attachments,
    error: OpenError,
}

/// `native` or `generic`, as it is shown and as pins are called.
pub(crate) const fn mode_name(mode: XdpMode) -> &'static str {
    match mode {
        XdpMode::Native => "native",
        XdpMode::Generic => "generic",
    }
}

impl Attachments {
    /// Attaches each program to its port and pins the link, and clears away links of earlier processes that are of no use.
    pub(crate) fn make(pins: &PinDir, wanted: AttachMode, ports: &[(&Port, &OwnedFd)]) -> Result<Self, OpenError> {
        let failed = |source| OpenError::PinDirectory { path: pins.path().to_owned(), source };
        let namespace = namespace().map_err(OpenError::system("reading the network namespace"))?;
        let left = pins.names().map_err(failed)?;
        let attempt = |mode| Self::attempt(pins, mode, namespace, ports, &left);
        // The process that was killed found native mode refused; going back through it would cut the wire.
        let was_generic = left.iter().any(|name| name.starts_with("generic-"));
        let made = match wanted {
            AttachMode::Native => attempt(XdpMode::Native),
            AttachMode::Generic => attempt(XdpMode::Generic),
            AttachMode::Auto if was_generic => attempt(XdpMode::Generic),
            AttachMode::Auto => match attempt(XdpMode::Native) {
                Err(Partial { mut done, error: error @ (OpenError::Attach { .. } | OpenError::NoRedirect(_)) }) => {
                    tracing::warn!(%error, "falling back to generic mode on all ports");
                    done.remove(pins);
                    attempt(XdpMode::Generic)
                }
                made => made,
            },
        };
        let made = made.map_err(|Partial { mut done, error }| {
            // What an earlier process left has kept the wire alive until now, and with the new programs still does.
            done.links.retain(|link| !link.adopted);
            done.remove(pins);
            error
        })?;
        for name in left.iter().filter(|name| is_link(name) && !made.links.iter().any(|link| link.name == **name)) {
            discard(pins, name).map_err(failed)?;
        }
        Ok(made)
    }

    fn attempt(
        pins: &PinDir,
        mode: XdpMode,
        namespace: u64,
        ports: &[(&Port, &OwnedFd)],
        left: &[String],
    ) -> Result<Self, Partial> {
        let mut done = Self { mode, links: Vec::new() };
        for (port, program) in ports {
            match done.attach(pins, namespace, port, program, left) {
                Ok(link) => done.links.push(link),
                Err(error) => return Err(Partial { done, error }),
            }
        }
        // Asked only now: some drivers can send for XDP as soon as they have a program.
        let deaf = ports.iter().find(|(port, _)| mode == XdpMode::Native && !can_redirect_to(port));
        match deaf {
            Some((port, _)) => Err(Partial { done, error: OpenError::NoRedirect(port.name().to_owned()) }),
            None => Ok(done),
        }
    }

    fn attach(
        &self,
        pins: &PinDir,
        namespace: u64,
        port: &Port,
        program: &OwnedFd,
        left: &[String],
    ) -> Result<PinnedLink, OpenError> {
        let failed = |source| OpenError::PinDirectory { path: pins.path().to_owned(), source };
        let name = |mode| format!("{}-{namespace}-{}", mode_name(mode), port.index());
        let other = match self.mode {
            XdpMode::Native => XdpMode::Generic,
            XdpMode::Generic => XdpMode::Native,
        };
        if left.contains(&name(other)) {
            discard(pins, &name(other)).map_err(failed)?;
        }
        let name = name(self.mode);
        if let Some(link) = adopt(pins, &name, program) {
            tracing::info!(interface = port.name(), "took over the attachment of an earlier process");
            return Ok(PinnedLink { link, name, adopted: true });
        }
        pins.unpin(&name).map_err(failed)?;
        let link = bpf::link_create(program.as_fd(), port.index(), self.mode)
            .map_err(|source| refused(port.name(), self.mode, source))?;
        bpf::pin(link.as_fd(), &pins.path().join(&name)).map_err(failed)?;
        Ok(PinnedLink { link, name, adopted: false })
    }

    /// How the programs are attached.
    pub(crate) fn mode(&self) -> XdpMode {
        self.mode
    }

    /// Detaches and unpins everything; what fails is logged, for there is nothing else to be done about it.
    pub(crate) fn remove(&mut self, pins: &PinDir) {
        for PinnedLink { link, name, .. } in self.links.drain(..) {
            if let Err(error) = bpf::link_detach(link.as_fd()) {
                // ENOLINK: the interface has gone, and the attachment with it.
                if error.raw_os_error() != Some(libc::ENOLINK) {
                    tracing::error!(pin = name, %error, "could not detach");
                }
            }
            if let Err(error) = pins.unpin(&name) {
                tracing::error!(pin = name, %error, "could not unpin");
            }
        }
    }
}

/// In the absence of an answer as good as yes.
fn can_redirect_to(port: &Port) -> bool {
    redirect::is_target(port.index()).unwrap_or_else(|error| {
        tracing::warn!(interface = port.name(), %error, "could not ask for the XDP features");
        None
    }) != Some(false)
}

fn is_link(name: &str) -> bool {
    name.starts_with("native-") || name.starts_with("generic-")
}

/// The link of this name with `program` in it; `None` when there is none or its interface has gone.
fn adopt(pins: &PinDir, name: &str, program: &OwnedFd) -> Option<OwnedFd> {
    let link = bpf::get_pinned(&pins.path().join(name)).ok()?;
    bpf::link_update(link.as_fd(), program.as_fd()).ok()?;
    Some(link)
}

/// Detaches and unpins all links that earlier processes left; how many there were.
pub(crate) fn discard_all(pins: &PinDir) -> io::Result<usize> {
    let names = pins.names()?;
    let links = names.iter().filter(|name| is_link(name));
    links.map(|name| discard(pins, name)).try_fold(0, |count, discarded| discarded.map(|()| count + 1))
}

/// Detaches and unpins what an earlier process left.
fn discard(pins: &PinDir, name: &str) -> io::Result<()> {
    if let Ok(link) = bpf::get_pinned(&pins.path().join(name)) {
        // It may be detached already, because its interface has gone.
        let _ = bpf::link_detach(link.as_fd());
    }
    pins.unpin(name)
}

/// Interfaces are numbered in each namespace anew; this number tells the namespaces apart.
pub(crate) fn namespace() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/thread-self/ns/net")?.ino())
}

fn refused(interface: &str, mode: XdpMode, source: io::Error) -> OpenError {
    let interface = interface.to_owned();
    match source.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => OpenError::Occupied(interface),
        Some(libc::ENODEV) => OpenError::NoInterface(interface),
        Some(libc::EPERM) => OpenError::Permission { what: format!("attaching to {interface}") },
        _ => {
            let hint = match mode {
                XdpMode::Native => "use generic mode, or a driver with native XDP",
                XdpMode::Generic => "check the kernel's log (dmesg)",
            };
            OpenError::Attach { interface, mode: mode_name(mode), source, hint }
        }
    }
}
