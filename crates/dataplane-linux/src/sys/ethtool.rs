//! What a driver says of an interface (<linux/ethtool.h>): whether its link is up, and its offload features by their
//! names, as `ethtool -k` prints them, and switching one off.

use std::io;

use super::interface::Control;
use crate::limits::FEATURE_WORDS;

const GET_LINK: u32 = 0x0a; // ETHTOOL_GLINK
const GET_STRING_COUNT: u32 = 0x37; // ETHTOOL_GSSET_INFO
const GET_STRINGS: u32 = 0x1b; // ETHTOOL_GSTRINGS
const GET_FEATURES: u32 = 0x3a; // ETHTOOL_GFEATURES
const SET_FEATURES: u32 = 0x3b; // ETHTOOL_SFEATURES
const FEATURE_STRINGS: u32 = 4; // ETH_SS_FEATURES
/// Bytes of one name.
const STRING: usize = 32;

/// True when the driver sees a carrier, and the interface is switched on; `EOPNOTSUPP` when it can't tell.
pub fn has_carrier(control: &Control, interface: &str) -> io::Result<bool> {
    let mut buffer = [GET_LINK, 0];
    // SAFETY: the kernel writes a `struct ethtool_value`, which is these two words.
    unsafe { control.ethtool(interface, &mut buffer) }?;
    Ok(buffer[1] != 0)
}

/// How a feature stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feature {
    bit: usize,
    /// In force.
    pub active: bool,
}

/// The features of one interface.
#[derive(Debug)]
pub struct Features {
    names: Vec<String>,
    active: Vec<u32>,
}

impl Features {
    /// Asks the driver.
    pub fn read(control: &Control, interface: &str) -> io::Result<Self> {
        let names = names(control, interface)?;
        let active = active(control, interface, names.len().div_ceil(32))?;
        Ok(Self { names, active })
    }

    /// The feature of this name (`ethtool -k` shows some under other names); `None` when the kernel has none.
    pub fn get(&self, name: &str) -> Option<Feature> {
        let bit = self.names.iter().position(|known| known == name)?;
        Some(Feature { bit, active: self.active[bit / 32] & (1 << (bit % 32)) != 0 })
    }

    /// Asks for a feature to be on or off; false when the driver left it as it was.
    pub fn set(&self, control: &Control, interface: &str, feature: Feature, on: bool) -> io::Result<bool> {
        let words = self.active.len();
        let mut buffer = vec![0; 2 + 2 * words];
        buffer[0] = SET_FEATURES;
        buffer[1] = u32::try_from(words).expect("few words");
        let mask = 1 << (feature.bit % 32);
        buffer[2 + 2 * (feature.bit / 32)] = mask;
        buffer[3 + 2 * (feature.bit / 32)] = if on { mask } else { 0 };
        // SAFETY: the kernel reads two words for each of the `words` it was told of, and writes nothing back.
        unsafe { control.ethtool(interface, &mut buffer) }?;
        let now = active(control, interface, words)?;
        Ok((now[feature.bit / 32] & mask != 0) == on)
    }
}

fn names(control: &Control, interface: &str) -> io::Result<Vec<String>> {
    let mask = (1_u64 << FEATURE_STRINGS).to_ne_bytes();
    let half = |at: usize| u32::from_ne_bytes([mask[at], mask[at + 1], mask[at + 2], mask[at + 3]]);
    let mut count = [GET_STRING_COUNT, 0, half(0), half(4), 0];
    // SAFETY: one set is asked for, so the kernel writes one number behind the header.
    unsafe { control.ethtool(interface, &mut count) }?;
    let count = (count[4] as usize).min(32 * FEATURE_WORDS);
    // Room for the most there can be: the kernel writes all names it has, whatever number it was told before.
    let mut buffer = vec![0; 3 + 32 * FEATURE_WORDS * STRING / 4];
    buffer[0] = GET_STRINGS;
    buffer[1] = FEATURE_STRINGS;
    // SAFETY: the kernel writes one name for each of its features, which are at most 64 (they are bits of one word); the
    // buffer takes four times as many.
    unsafe { control.ethtool(interface, &mut buffer) }?;
    let bytes: Vec<u8> = buffer[3..].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let name =
        |raw: &[u8]| String::from_utf8_lossy(raw.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
    Ok(bytes.chunks_exact(STRING).take(count).map(name).collect())
}

/// The active bits, `words` words of them.
fn active(control: &Control, interface: &str, words: usize) -> io::Result<Vec<u32>> {
    let mut buffer = vec![0; 2 + 4 * words];
    buffer[0] = GET_FEATURES;
    buffer[1] = u32::try_from(words).expect("few words");
    // SAFETY: the kernel writes four words for each of the `words` it was told of at most.
    unsafe { control.ethtool(interface, &mut buffer) }?;
    // Of available, requested, active, never changed: the third.
    Ok(buffer[2..].chunks_exact(4).map(|feature| feature[2]).collect())
}
