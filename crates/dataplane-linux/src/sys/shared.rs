//! A map's memory, shared with the kernel's programs.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The values of a `BPF_F_MMAPABLE` array as 64-bit words, which programs change at any time.
#[derive(Debug)]
pub struct SharedWords {
    start: NonNull<AtomicU64>,
    words: usize,
    bytes: usize,
}

// SAFETY: the memory belongs to this value alone in this process, is unmapped by its drop only, and is accessed as atomics.
unsafe impl Send for SharedWords {}
// SAFETY: as above; atomics may be used from several threads.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Maps the first `words` words of `map`.
    pub fn new(map: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let bytes = words
            .checked_mul(size_of::<AtomicU64>())
            .and_then(|bytes| bytes.max(1).checked_next_multiple_of(page))
            .ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: the kernel chooses where, so no memory of ours is replaced; a map that is smaller is refused.
        let start =
            unsafe { mmap(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, map, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, words, bytes })
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: `new` mapped at least this many words, page-aligned, readable and writable, until drop; whatever the
        // programs do there, all access from here is atomic.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped, and no slice outlives `self`. It can't fail for such a range.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
