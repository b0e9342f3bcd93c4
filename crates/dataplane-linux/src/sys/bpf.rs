//! The commands of bpf(2) about objects in general, links and test runs. Maps are in [`super::map`].

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// `enum bpf_cmd` in <linux/bpf.h>.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub(super) enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    MapNextKey = 4,
    ObjectPin = 6,
    ObjectGet = 7,
    TestRun = 10,
    ObjectInfo = 15,
    MapUpdateBatch = 26,
    MapDeleteBatch = 27,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkDetach = 34,
}

/// `enum bpf_attach_type`: `BPF_XDP`.
const ATTACH_XDP: u32 = 37;

/// One bpf(2) call.
///
/// # Safety
/// `A` is laid out as the kernel's `union bpf_attr` for `command`, and every address in it is valid for what the kernel
/// does there.
pub(super) unsafe fn call<A>(command: Command, attributes: &mut A) -> io::Result<i32> {
    // SAFETY: the pointer and the size are of one live value; what it contains is the caller's promise.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command as i32, std::ptr::from_mut(attributes), size_of::<A>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::try_from(result).expect("bpf(2) returns an int"))
}

/// Like [`call`], for the commands that return a descriptor.
///
/// # Safety
/// As [`call`]; `command` returns a new descriptor.
pub(super) unsafe fn call_for_fd<A>(command: Command, attributes: &mut A) -> io::Result<OwnedFd> {
    // SAFETY: passed on to the caller.
    let fd = unsafe { call(command, attributes) }?;
    // SAFETY: the kernel has just made this descriptor for us, close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An address as bpf(2) takes it.
pub(super) fn address<T: ?Sized>(pointer: *const T) -> u64 {
    pointer.cast::<u8>().addr() as u64
}

pub(super) fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

#[repr(C)]
struct ObjectAttributes {
    path: u64,
    fd: u32,
    flags: u32,
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Gives a map, program or link a name on a BPF file system.
pub fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attributes = ObjectAttributes { path: address(path.as_ptr()), fd: number(fd), flags: 0 };
    // SAFETY: the layout of BPF_OBJ_PIN; `path` lives until the call is over.
    unsafe { call(Command::ObjectPin, &mut attributes) }.map(drop)
}

/// Opens what is pinned at `path`.
pub fn get_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attributes = ObjectAttributes { path: address(path.as_ptr()), fd: 0, flags: 0 };
    // SAFETY: the layout of BPF_OBJ_GET; `path` lives until the call is over.
    unsafe { call_for_fd(Command::ObjectGet, &mut attributes) }
}

/// Where an XDP program is attached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum XdpMode {
    /// In the driver: `XDP_FLAGS_DRV_MODE`.
    Native,
    /// Behind the driver, on the kernel's packet buffers: `XDP_FLAGS_SKB_MODE`.
    Generic,
}

#[repr(C)]
struct LinkCreateAttributes {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches an XDP program to an interface, for as long as the link is open or pinned.
pub fn link_create(program: BorrowedFd<'_>, interface: u32, mode: XdpMode) -> io::Result<OwnedFd> {
    let flags = match mode {
        XdpMode::Generic => 1 << 1,
        XdpMode::Native => 1 << 2,
    };
    let mut attributes = LinkCreateAttributes { program: number(program), interface, attach_type: ATTACH_XDP, flags };
    // SAFETY: the layout of BPF_LINK_CREATE, which has no addresses here.
    unsafe { call_for_fd(Command::LinkCreate, &mut attributes) }
}

/// Puts `program` in the place of the one the link has, with no packet in between.
pub fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = [number(link), number(program), 0, 0];
    // SAFETY: the layout of BPF_LINK_UPDATE: two descriptors, flags, and a descriptor that the flags leave out.
    unsafe { call(Command::LinkUpdate, &mut attributes) }.map(drop)
}

/// Takes the program off now, whoever else has the link open.
pub fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = [number(link)];
    // SAFETY: the layout of BPF_LINK_DETACH: one descriptor.
    unsafe { call(Command::LinkDetach, &mut attributes) }.map(drop)
}

/// What a test run gave back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestRun {
    /// The program's return code, of the last repetition.
    pub code: u32,
    /// The frame as the program left it.
    pub frame: Vec<u8>,
    /// Mean time of one repetition, the kernel's own overhead included.
    pub mean: Duration,
}

#[repr(C)]
#[derive(Default)]
struct TestRunAttributes {
    program: u32,
    code: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    unused: u32,
}

/// `struct xdp_md` in <linux/bpf.h>: where the frame begins and ends behind what a program has put in front of it, and what
/// has no part in a test run.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Context {
    data: u32,
    data_end: u32,
    unused: [u32; 4],
}

/// Runs an XDP program `repeat` times on a copy of `frame`, without a network: redirects are decided, not carried out.
///
/// Each repetition works on what the one before left. The kernel refuses frames below 14 bytes (`EINVAL`).
pub fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<TestRun> {
    // XDP_PACKET_HEADROOM: by no more can a program make it longer.
    let mut out = vec![0; frame.len() + 256];
    let size = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut attributes = TestRunAttributes {
        program: number(program),
        size_in: size,
        size_out: size + 256,
        data_in: address(frame.as_ptr()),
        data_out: address(out.as_mut_ptr()),
        repeat,
        ..TestRunAttributes::default()
    };
    let (context_in, mut context_out) = (Context { data_end: size, ..Context::default() }, Context::default());
    let context_size = u32::try_from(size_of::<Context>()).expect("a small struct");
    (attributes.context_size_in, attributes.context_size_out) = (context_size, context_size);
    (attributes.context_in, attributes.context_out) = (address(&raw const context_in), address(&raw mut context_out));
    // SAFETY: the layout of BPF_PROG_TEST_RUN; all four buffers have the sizes given and live until the call is over, and of
    // the two contexts every pattern of bytes is a value.
    unsafe { call(Command::TestRun, &mut attributes) }?;
    out.truncate(attributes.size_out as usize);
    // What the frame's companions on the way to another program are is not the frame.
    out.drain(..(context_out.data as usize).min(out.len()));
    Ok(TestRun { code: attributes.code, frame: out, mean: Duration::from_nanos(attributes.duration.into()) })
}

/// `BPF_F_TEST_XDP_LIVE_FRAMES` in <linux/bpf.h>.
const LIVE_FRAMES: u32 = 1 << 1;

/// Runs an XDP program `repeat` times on copies of `frame`, `batch` at a time, and does with each what the program says: a redirect
/// sends it out of an interface of the caller's network namespace. On the caller's processor; ends early when a signal comes
/// (`EINTR`). Linux 5.18 and newer.
///
/// Frames are used again as the program and whoever got them left them.
pub fn run_live(program: BorrowedFd<'_>, frame: &[u8], repeat: u32, batch: u32) -> io::Result<()> {
    let mut attributes = TestRunAttributes {
        program: number(program),
        size_in: u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        data_in: address(frame.as_ptr()),
        repeat,
        flags: LIVE_FRAMES,
        batch,
        ..TestRunAttributes::default()
    };
    // SAFETY: the layout of BPF_PROG_TEST_RUN; the frame has the size given and lives until the call is over, and live frames
    // give nothing back.
    unsafe { call(Command::TestRun, &mut attributes) }.map(drop)
}
