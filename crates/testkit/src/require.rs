//! Programs that tests and the lab need, and the Debian packages that bring them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program and the Debian package that has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Program {
    /// Its file name; with a slash in it, the path of any file that the package brings.
    pub name: &'static str,
    /// Its Debian package.
    pub package: &'static str,
}

/// What namespaces, veth pairs and captures are made with.
pub const NETWORK: &[Program] = &[
    Program { name: "ip", package: "iproute2" },
    Program { name: "tc", package: "iproute2" },
    Program { name: "ethtool", package: "ethtool" },
    Program { name: "nft", package: "nftables" },
    Program { name: "tcpdump", package: "tcpdump" },
    Program { name: "iperf3", package: "iperf3" },
];

/// What asks whether a host is there, and how large packets to it may be.
pub const PING: &[Program] = &[Program { name: "ping", package: "iputils-ping" }];

/// What looks into pinned maps, and changes them.
pub const BPFTOOL: &[Program] = &[Program { name: "bpftool", package: "bpftool" }];

/// What makes and reads packets without our code: scapy, for Debian's own Python, and tshark.
pub const DISSECTORS: &[Program] = &[
    Program { name: "/usr/lib/python3/dist-packages/scapy/contrib/gtp.py", package: "python3-scapy" },
    Program { name: "tshark", package: "tshark" },
];

/// The store that elects the active node of a pair.
pub const ETCD: &[Program] = &[Program { name: "etcd", package: "etcd-server" }];

/// What moves an address between two machines, and reads the example in `contrib/keepalived`.
pub const KEEPALIVED: &[Program] = &[Program { name: "keepalived", package: "keepalived" }];

/// What could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RequireError {
    /// Only root may install packages.
    #[error("missing {missing}: run as root, or install first: apt-get install {packages}")]
    NotRoot {
        /// Program names.
        missing: String,
        /// Package names.
        packages: String,
    },
    /// There is no `apt-get`, or it can't be started.
    #[error("missing {missing}, and apt-get can't be run ({source}): install the programs by other means")]
    NoApt {
        /// Program names.
        missing: String,
        /// Why.
        source: std::io::Error,
    },
    /// `apt-get` failed, or the package did not bring the program.
    #[error("missing {missing}: apt-get install {packages} did not bring it:\n{output}")]
    Failed {
        /// Program names.
        missing: String,
        /// Package names.
        packages: String,
        /// What `apt-get` said last.
        output: String,
    },
}

/// Makes sure that all `programs` are there; installs the packages of those that are not, and says so on standard
/// error.
pub fn require(programs: &[Program]) -> Result<(), RequireError> {
    let missing = missing(programs);
    if missing.is_empty() {
        return Ok(());
    }
    let names = join(missing.iter().map(|p| p.name));
    let packages = join(missing.iter().map(|p| p.package));
    if !rustix::process::geteuid().is_root() {
        return Err(RequireError::NotRoot { missing: names, packages });
    }
    eprintln!("installing Debian packages: {packages} (missing: {names})");
    match install(&packages, &names)? {
        None if self::missing(programs).is_empty() => Ok(()),
        output => Err(RequireError::Failed { missing: names, packages, output: output.unwrap_or_default() }),
    }
}

/// `None` when it succeeded, else the last of what `apt-get` said.
fn install(packages: &str, missing: &str) -> Result<Option<String>, RequireError> {
    let list: Vec<&str> = packages.split(' ').collect();
    if apt(&["install"], &list, missing)?.is_none() {
        return Ok(None);
    }
    // The usual reason on a fresh machine: no package lists yet, or old ones.
    apt(&["update"], &[], missing)?;
    apt(&["install"], &list, missing)
}

fn missing(programs: &[Program]) -> Vec<Program> {
    programs.iter().copied().filter(|program| find(program.name).is_none()).collect()
}

/// Where `program` is: `PATH`, then the system directories that a plain user's `PATH` leaves out.
pub fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_owned(), Path::new("/sbin").to_owned()])
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// `None` when `apt-get` succeeded, else the last of what it said.
fn apt(verb: &[&str], packages: &[&str], missing: &str) -> Result<Option<String>, RequireError> {
    let output = Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-y", "-q", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=120", "--no-install-recommends"])
        .args(verb)
        .args(packages)
        .output()
        .map_err(|source| RequireError::NoApt { missing: missing.to_owned(), source })?;
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    Ok(Some(lines.into_iter().rev().collect::<Vec<_>>().join("\n")))
}

fn join<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut words: Vec<&str> = words.collect();
    words.sort_unstable();
    words.dedup();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_installed() {
        require(&[Program { name: "sh", package: "no-such-package" }]).unwrap();
    }

    #[test]
    fn what_is_missing_is_named() {
        let program = Program { name: "no-such-program", package: "no-such-package" };
        assert_eq!(missing(&[program, Program { name: "sh", package: "dash" }]), [program]);
    }
}
