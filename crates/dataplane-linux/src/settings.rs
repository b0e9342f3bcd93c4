//! What this program has changed on interfaces, written down beside the maps: so that whoever takes it all down puts it back, be it a
//! process that came later.
//!
//! An interface is known by its network namespace and its index there. What must not be here: what is changed, and how.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::limits::PORTS;
use crate::sys::bpf;
use crate::sys::map::shared_array;
use crate::sys::shared::SharedWords;

/// Its name in the pin directory.
pub(crate) const NAME: &str = "port_settings";
/// One for each port, and the uplink.
const ENTRIES: usize = PORTS + 1;
/// Of an entry: the namespace, then index and changes.
const ENTRY_WORDS: usize = 2;
/// Where the changes are above an index.
const CHANGES_SHIFT: u32 = 32;

/// What was changed on one interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Setting {
    /// The inode of its network namespace.
    pub(crate) namespace: u64,
    /// Its index there.
    pub(crate) index: u32,
    /// A bit for each change; the ports know which.
    pub(crate) changes: u32,
}

/// What is written down in a pin directory.
pub(crate) fn read(folder: &Path) -> Vec<Setting> {
    let words = || -> io::Result<SharedWords> {
        SharedWords::new(bpf::get_pinned(&folder.join(NAME))?.as_fd(), ENTRIES * ENTRY_WORDS)
    };
    // Nothing is written down, or by a version that writes it otherwise.
    let Ok(words) = words() else { return Vec::new() };
    let entries = words.words().chunks_exact(ENTRY_WORDS);
    let entries = entries.map(|entry| [0, 1].map(|at| entry[at].load(Ordering::Acquire)));
    entries.filter_map(|[namespace, rest]| parse(namespace, rest)).collect()
}

/// Writes down `settings` and nothing else.
pub(crate) fn write(folder: &Path, settings: &[Setting]) -> io::Result<()> {
    let path = folder.join(NAME);
    let map = match bpf::get_pinned(&path) {
        Ok(map) => map,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let map = shared_array(ENTRY_WORDS, u32::try_from(ENTRIES).expect("few"))?;
            bpf::pin(map.as_fd(), &path)?;
            map
        }
        Err(error) => return Err(error),
    };
    let words = SharedWords::new(map.as_fd(), ENTRIES * ENTRY_WORDS)?;
    let mut settings = settings.iter();
    for entry in words.words().chunks_exact(ENTRY_WORDS) {
        let [namespace, rest] = settings.next().map_or([0; 2], words_of);
        entry[1].store(0, Ordering::Release);
        entry[0].store(namespace, Ordering::Release);
        entry[1].store(rest, Ordering::Release);
    }
    Ok(())
}

fn words_of(setting: &Setting) -> [u64; 2] {
    [setting.namespace, u64::from(setting.changes) << CHANGES_SHIFT | u64::from(setting.index)]
}

#[allow(clippy::cast_possible_truncation, reason = "either half of a word")]
fn parse(namespace: u64, rest: u64) -> Option<Setting> {
    let setting = Setting { namespace, index: rest as u32, changes: (rest >> CHANGES_SHIFT) as u32 };
    (setting.index != 0 && setting.changes != 0).then_some(setting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_word_by_word() {
        let setting = Setting { namespace: 0xF000_0001, index: 7, changes: 0x8000_0001 };
        assert_eq!(words_of(&setting), [0xF000_0001, 0x8000_0001_0000_0007]);
        assert_eq!(parse(0xF000_0001, 0x8000_0001_0000_0007), Some(setting));
        assert_eq!(parse(1, 7), None, "nothing was changed");
        assert_eq!(parse(0, 0), None);
    }
}
