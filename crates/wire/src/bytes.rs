//! Big-endian fields at fixed ranges of a byte slice. No protocol is known here.
//!
//! Each function panics when the slice does not reach the end of the range; the headers' `new_checked` sees to it that
//! it does.

use core::ops::Range;

pub(crate) fn array<const N: usize>(data: &[u8], range: Range<usize>) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&data[range]);
    out
}

pub(crate) fn u16_at(data: &[u8], range: Range<usize>) -> u16 {
    u16::from_be_bytes(array(data, range))
}

pub(crate) fn u32_at(data: &[u8], range: Range<usize>) -> u32 {
    u32::from_be_bytes(array(data, range))
}

pub(crate) fn put(data: &mut [u8], range: Range<usize>, bytes: &[u8]) {
    data[range].copy_from_slice(bytes);
}

pub(crate) fn put_u16(data: &mut [u8], range: Range<usize>, value: u16) {
    put(data, range, &value.to_be_bytes());
}

pub(crate) fn put_u32(data: &mut [u8], range: Range<usize>, value: u32) {
    put(data, range, &value.to_be_bytes());
}
