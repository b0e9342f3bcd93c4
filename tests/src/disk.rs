//! A small disk for a test, which can be made to fail in the ways that disks do.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use opof_testkit::netns::run;
use opof_testkit::require::{Program, require};
use opof_testkit::wait;

use crate::Error;

const PROGRAMS: &[Program] = &[
    Program { name: "mkfs.ext4", package: "e2fsprogs" },
    Program { name: "mount", package: "mount" },
    Program { name: "fsfreeze", package: "util-linux" },
];
const BYTES: u64 = 16 << 20;
/// How long somebody may have a file open that is to be closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// An ext4 on a loop device, mounted for as long as this value is there.
#[derive(Debug)]
pub struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// Empty, and in order.
    pub fn new() -> Result<Self, Error> {
        require(PROGRAMS)?;
        let folder = tempfile::tempdir().map_err(Error::io("making a folder"))?;
        let disk = Self { folder };
        let image = fs::File::create(disk.image()).map_err(Error::io("making a disk's image"))?;
        image.set_len(BYTES).map_err(Error::io("making a disk's image"))?;
        run(Command::new("mkfs.ext4").arg("-q").arg(disk.image()))?;
        fs::create_dir(disk.path()).map_err(Error::io("making a folder"))?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn mount(&self) -> Result<(), Error> {
        run(Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(self.image()).arg(self.path()))?;
        Ok(())
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves no room on it.
    pub fn fill(&self) -> Result<(), Error> {
        let mut bytes = vec![1; 1 << 20];
        let mut file = fs::File::create(self.filler()).map_err(Error::io("filling a disk"))?;
        while !bytes.is_empty() {
            if file.write_all(&bytes).is_err() {
                bytes.truncate(bytes.len() / 2);
            }
        }
        Ok(())
    }

    /// Makes room again.
    pub fn clear(&self) -> Result<(), Error> {
        fs::remove_file(self.filler()).map_err(Error::io("making room on a disk"))
    }

    /// From now on it can only be read, also through files that are open, as after an error of the device.
    pub fn break_down(&self) -> Result<(), Error> {
        run(Command::new("mount").args(["-o", "remount,abort"]).arg(self.path()))?;
        Ok(())
    }

    /// Mounts it anew, once nobody has a file open on it.
    pub fn repair(&self) -> Result<(), Error> {
        let unmount = || run(Command::new("umount").arg(self.path())).ok();
        wait::until("nobody to use the disk", PATIENCE, unmount)?;
        self.mount()
    }

    /// Whoever writes waits, until [`thaw`](Self::thaw), and can't even be killed.
    pub fn freeze(&self) -> Result<(), Error> {
        run(Command::new("fsfreeze").arg("--freeze").arg(self.path()))?;
        Ok(())
    }

    /// Goes on with what was to be written.
    pub fn thaw(&self) -> Result<(), Error> {
        run(Command::new("fsfreeze").arg("--unfreeze").arg(self.path()))?;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let path: &Path = &self.path();
        // Of a disk that is not frozen this fails, and that is well.
        let _ = run(Command::new("fsfreeze").arg("--unfreeze").arg(path));
        let _ = run(Command::new("umount").arg("--lazy").arg(path));
    }
}
