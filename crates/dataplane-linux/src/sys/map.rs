//! BPF maps whose key and value sizes have been checked against the kernel's: element by element and in batches.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::bpf::{self, Command, address, number};

/// Map types, as in `enum bpf_map_type`.
const TYPE_ARRAY: u32 = 2;
const TYPE_PERCPU_ARRAY: u32 = 6;
const TYPE_ARRAY_OF_MAPS: u32 = 12;
const TYPE_DEVMAP: u32 = 14;

/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1 << 10;

/// What may go into a map and come out of it.
///
/// # Safety
/// No padding, and every combination of bytes is a value.
pub unsafe trait Plain: Copy + Default {}

// SAFETY: an integer has neither padding nor forbidden values.
unsafe impl Plain for u32 {}
// SAFETY: the same.
unsafe impl Plain for u64 {}

/// Marks types that are transparently an array of bytes as [`Plain`], without `unsafe` where they are defined.
macro_rules! plain_bytes {
    ($($type:ty: $size:literal),+ $(,)?) => {$(
        const _: () = assert!(size_of::<$type>() == $size && align_of::<$type>() == 1);
        // SAFETY: the size and the alignment are those of the byte array that the type wraps, so there is no padding.
        unsafe impl Plain for $type {}
    )+};
}

plain_bytes!(crate::abi::Tally: 16, crate::abi::Probed: 56, crate::abi::Device: 8, crate::abi::Edits: 96, crate::abi::NextHop: 24);
plain_bytes!(crate::abi::OuterHeaders: 188, crate::abi::TooBig: 4, crate::abi::Decap: 56);
plain_bytes!(crate::abi::Walk: 20, crate::abi::Linger: 16);
plain_bytes!(crate::abi::Peer: 20, crate::abi::Returning: 8, crate::abi::Exit: 12);

/// `struct bpf_map_info`, as far as it is read here.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

#[repr(C)]
struct InfoAttributes {
    fd: u32,
    size: u32,
    info: u64,
}

fn info(fd: BorrowedFd<'_>) -> io::Result<MapInfo> {
    let mut info = MapInfo::default();
    let size = u32::try_from(size_of::<MapInfo>()).expect("a small struct");
    let mut attributes = InfoAttributes { fd: number(fd), size, info: address(&raw mut info) };
    // SAFETY: the layout of BPF_OBJ_GET_INFO_BY_FD; the kernel writes at most `size` bytes of integers to `info`.
    unsafe { bpf::call(Command::ObjectInfo, &mut attributes) }?;
    Ok(info)
}

/// What a batch did before it ended.
#[derive(Debug)]
pub struct Batch {
    /// Elements done, from the front.
    pub done: usize,
    /// Why the one behind them was not; `None` when all were.
    pub error: Option<io::Error>,
}

/// True for what may go well when it is tried again: memory that comes back, a bucket that is being changed, a signal.
pub fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EBUSY | libc::EAGAIN | libc::EINTR))
}

/// A map with keys `K` and values `V`, one value an element.
#[derive(Debug)]
pub struct Map<K, V> {
    fd: OwnedFd,
    info: MapInfo,
    types: PhantomData<fn(K) -> V>,
}

#[repr(C)]
struct ElementAttributes {
    map: u32,
    unused: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct BatchAttributes {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

impl<K: Plain, V: Plain> Map<K, V> {
    /// `fd` as a map of these types; `InvalidData` when its sizes are others, or when it has a value for each CPU.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let info = info(fd.as_fd())?;
        let sizes = (info.key_size as usize, info.value_size as usize);
        if sizes != (size_of::<K>(), size_of::<V>()) || info.kind == TYPE_PERCPU_ARRAY {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self { fd, info, types: PhantomData })
    }

    /// Elements at most.
    pub fn max_entries(&self) -> u32 {
        self.info.max_entries
    }

    fn element(&self, key: &K, value: u64) -> ElementAttributes {
        ElementAttributes { map: number(self.fd.as_fd()), unused: 0, key: address(key), value, flags: 0 }
    }

    /// The value of `key`; `NotFound` without one.
    pub fn get(&self, key: &K) -> io::Result<V> {
        let mut value = V::default();
        let mut attributes = self.element(key, address(&raw mut value));
        // SAFETY: BPF_MAP_LOOKUP_ELEM; `new` checked that key and value have the sizes the kernel reads and writes, and
        // every pattern of bytes is a `V`.
        unsafe { bpf::call(Command::MapLookup, &mut attributes) }?;
        Ok(value)
    }

    /// The keys, in no order, as they are while nobody changes them. For maps of few entries: a system call for each.
    pub fn keys(&self) -> io::Result<Vec<K>> {
        let mut keys: Vec<K> = Vec::new();
        loop {
            let mut next = K::default();
            let before = keys.last().map_or(0, |key| address(key));
            let mut attributes = ElementAttributes {
                map: number(self.fd.as_fd()),
                unused: 0,
                key: before,
                value: address(&raw mut next),
                flags: 0,
            };
            // SAFETY: BPF_MAP_GET_NEXT_KEY; `new` checked that keys have the size that the kernel reads, where there is one before, and
            // writes, and every pattern of bytes is a `K`.
            match unsafe { bpf::call(Command::MapNextKey, &mut attributes) } {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(keys),
                outcome => outcome?,
            };
            if keys.len() >= self.info.max_entries as usize {
                // Somebody does change it, and it begins anew.
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            keys.push(next);
        }
    }

    /// Inserts or replaces.
    pub fn set(&self, key: &K, value: &V) -> io::Result<()> {
        let mut attributes = self.element(key, address(value));
        // SAFETY: BPF_MAP_UPDATE_ELEM; `new` checked that key and value have the sizes the kernel reads.
        unsafe { bpf::call(Command::MapUpdate, &mut attributes) }.map(drop)
    }

    /// Takes `key` out; `NotFound` when it is not there.
    pub fn delete(&self, key: &K) -> io::Result<()> {
        let mut attributes = self.element(key, 0);
        // SAFETY: BPF_MAP_DELETE_ELEM; `new` checked that the key has the size the kernel reads.
        unsafe { bpf::call(Command::MapDelete, &mut attributes) }.map(drop)
    }

    /// Inserts or replaces all, in order, until one fails.
    ///
    /// # Panics
    /// When there are not as many values as keys.
    pub fn set_all(&self, keys: &[K], values: &[V]) -> Batch {
        assert_eq!(keys.len(), values.len(), "a value for each key");
        // SAFETY: both slices have as many elements as the call says, of the sizes that `new` checked.
        unsafe { self.batch(Command::MapUpdateBatch, keys, address(values.as_ptr())) }
    }

    /// Takes all out, in order, until one fails.
    pub fn delete_all(&self, keys: &[K]) -> Batch {
        // SAFETY: the slice has as many elements as the call says, of the size that `new` checked.
        unsafe { self.batch(Command::MapDeleteBatch, keys, 0) }
    }

    /// # Safety
    /// `values` is what `command` expects for `keys.len()` elements.
    unsafe fn batch(&self, command: Command, keys: &[K], values: u64) -> Batch {
        if keys.is_empty() {
            return Batch { done: 0, error: None };
        }
        let count = u32::try_from(keys.len()).expect("batches are bounded");
        let map = number(self.fd.as_fd());
        let mut attributes =
            BatchAttributes { keys: address(keys.as_ptr()), values, count, map, ..BatchAttributes::default() };
        // SAFETY: the layout of the batch commands; the addresses are the caller's promise.
        match unsafe { bpf::call(command, &mut attributes) } {
            Ok(_) => Batch { done: keys.len(), error: None },
            // Until its first element the kernel may leave `count` as it was.
            Err(error) if attributes.count as usize >= keys.len() => Batch { done: 0, error: Some(error) },
            Err(error) => Batch { done: attributes.count as usize, error: Some(error) },
        }
    }
}

impl<K, V> AsFd for Map<K, V> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An array with one value an element and CPU.
#[derive(Debug)]
pub struct PerCpuArray<V> {
    fd: OwnedFd,
    cpus: usize,
    types: PhantomData<fn() -> V>,
}

impl<V: Plain> PerCpuArray<V> {
    /// `fd` as such an array; `InvalidData` when it is not. The kernel rounds values up to 8 bytes, so `V` must be
    /// a multiple of that.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        const { assert!(size_of::<V>().is_multiple_of(8)) };
        let info = info(fd.as_fd())?;
        if info.kind != TYPE_PERCPU_ARRAY || info.value_size as usize != size_of::<V>() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| error)?;
        Ok(Self { fd, cpus, types: PhantomData })
    }

    /// The values of one element, one for each possible CPU.
    pub fn get(&self, index: u32) -> io::Result<Vec<V>> {
        let mut values = vec![V::default(); self.cpus];
        let mut attributes = ElementAttributes {
            map: number(self.fd.as_fd()),
            unused: 0,
            key: address(&raw const index),
            value: address(values.as_mut_ptr()),
            flags: 0,
        };
        // SAFETY: BPF_MAP_LOOKUP_ELEM; the kernel writes one value for each possible CPU, as many as the vector has.
        unsafe { bpf::call(Command::MapLookup, &mut attributes) }?;
        Ok(values)
    }
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CreateAttributes {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner: u32,
}

/// A new array whose values are so many 64-bit words each, to be mapped by [`SharedWords`](super::shared::SharedWords).
pub fn shared_array(words: usize, entries: u32) -> io::Result<OwnedFd> {
    let value_size = u32::try_from(words * size_of::<u64>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    create_with(CreateAttributes {
        kind: TYPE_ARRAY,
        value_size,
        max_entries: entries,
        flags: MMAPABLE,
        ..Default::default()
    })
}

fn create(kind: u32, value_size: u32, max_entries: u32, inner: u32) -> io::Result<OwnedFd> {
    create_with(CreateAttributes { kind, value_size, max_entries, inner, ..Default::default() })
}

/// All of them have numbers for keys.
fn create_with(attributes: CreateAttributes) -> io::Result<OwnedFd> {
    let mut attributes = CreateAttributes { key_size: 4, ..attributes };
    // SAFETY: the first fields of BPF_MAP_CREATE, which has no addresses among them.
    unsafe { bpf::call_for_fd(Command::MapCreate, &mut attributes) }
}

impl Map<u32, crate::abi::Device> {
    /// A new map of interfaces.
    pub fn of_devices(entries: u32) -> io::Result<Self> {
        let value_size = u32::try_from(size_of::<crate::abi::Device>()).expect("a small struct");
        Self::new(create(TYPE_DEVMAP, value_size, entries, 0)?)
    }
}

impl Map<u32, u32> {
    /// Puts a map into an array of maps.
    pub fn set_map(&self, index: u32, inner: BorrowedFd<'_>) -> io::Result<()> {
        self.set(&index, &number(inner))
    }

    /// Puts a program into an array of programs. They must be of one kind: the same type, and all with or all without frames in
    /// several pieces; `InvalidInput` when this one is not.
    pub fn set_program(&self, index: u32, program: BorrowedFd<'_>) -> io::Result<()> {
        self.set(&index, &number(program))
    }
}

/// A one-slot array of maps, whose update waits for all running BPF programs.
///
/// The kernel promises this to user space for maps of maps: when the update returns, no program can still hold what
/// was there before (it waits for an RCU grace period, and XDP programs run inside one). membarrier(2)'s
/// `MEMBARRIER_CMD_GLOBAL` waits for the same thing and takes as long, but refuses to work with `nohz_full` CPUs and
/// does nothing where only one CPU is online.
#[derive(Debug)]
pub struct Barrier {
    outer: Map<u32, u32>,
    inner: OwnedFd,
}

impl Barrier {
    /// Makes the two maps.
    pub fn new() -> io::Result<Self> {
        let inner = create(TYPE_ARRAY, 4, 1, 0)?;
        let outer = create(TYPE_ARRAY_OF_MAPS, 4, 1, number(inner.as_fd()))?;
        Ok(Self { outer: Map::new(outer)?, inner })
    }

    /// Returns when every program that ran at the call has ended. Takes milliseconds.
    pub fn wait(&self) -> io::Result<()> {
        self.outer.set(&0, &number(self.inner.as_fd()))
    }
}
