//! The pin directory: where maps and attachments have names, so that they outlive this process if it is killed.
//!
//! It has one user at a time, who holds a lock on the directory itself; the kernel drops the lock with the process.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statfs};
use rustix::mount::{MountFlags, mount};

use crate::error::OpenError;
use crate::limits::PIN_TRIES;

/// `BPF_FS_MAGIC` in <linux/magic.h>.
const BPFFS_MAGIC: u32 = 0xCAFE_4A11;
/// Where the BPF file system belongs.
const BPFFS: &str = "/sys/fs/bpf";

/// A locked pin directory.
#[derive(Debug)]
pub(crate) struct PinDir {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl PinDir {
    /// Makes the directory if it is missing, mounts the BPF file system if its usual place is empty, and takes the lock.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        if path.starts_with(BPFFS) && !is_bpffs(Path::new(BPFFS)) {
            mount_bpffs().map_err(OpenError::system(format!("mounting a BPF file system on {BPFFS}")))?;
        }
        let failed = |source| OpenError::PinDirectory { path: path.to_owned(), source };
        // A directory made elsewhere would be left behind for nothing.
        if !path.ancestors().find(|ancestor| ancestor.exists()).is_some_and(is_bpffs) {
            return Err(OpenError::NotBpffs(path.to_owned()));
        }
        for _ in 0..PIN_TRIES {
            fs::create_dir_all(path).map_err(failed)?;
            if let Some(lock) = lock(path)? {
                return Ok(Self { path: path.to_owned(), _lock: lock });
            }
        }
        Err(OpenError::InUse(path.to_owned()))
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Names of everything pinned.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    /// Takes a name away. The object lives on while somebody uses it.
    pub(crate) fn unpin(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        match fs::remove_file(self.path.join(name.as_ref())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Removes the directory, which must be empty by now.
    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_dir(&self.path)
    }
}

/// `None` when the directory was removed by its last user between our opening and our locking it.
fn lock(path: &Path) -> Result<Option<File>, OpenError> {
    let failed = |source| OpenError::PinDirectory { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    match flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::InUse(path.to_owned())),
        result => result.map_err(|errno| failed(errno.into()))?,
    }
    let ours = file.metadata().map_err(failed)?;
    let there = fs::metadata(path);
    Ok(there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())).then_some(file))
}

fn is_bpffs(path: &Path) -> bool {
    // The type of `f_type` differs between architectures; the magic number has 32 bits on all of them.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
    statfs(path).is_ok_and(|found| found.f_type as u32 == BPFFS_MAGIC)
}

fn mount_bpffs() -> io::Result<()> {
    tracing::info!(path = BPFFS, "no BPF file system there: mounting one");
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("bpf", BPFFS, "bpf", flags, c"mode=0700")?)
}
