/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The internet checksum (RFC 1071) over headers that are made or verified: the twin of crates/wire/src/checksum.rs. Words are
 * taken as they lie in memory, for any byte order gives its own sum; a frame is aligned to 2 bytes on every machine.
 */
#ifndef OPOF_SUM_H
#define OPOF_SUM_H

#include <linux/types.h>

/* The sum over so many 16-bit words, which have to be there. */
static __always_inline __u64 summed(const void *at, int words)
{
	const __u16 *word = at;
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < words; i++)
		sum += word[i];
	return sum;
}

/* The checksum of data with this sum, of fewer than 2^16 words. Over data that contains its right checksum it is 0. */
static __always_inline __u16 checksum_of(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

#endif
