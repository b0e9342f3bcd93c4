/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From a key to its flow. The index has, for each key, some buckets that it may be in, the first of which has it nearly always;
 * so a hit reads two lines of memory, a miss one. What user space does to both maps meanwhile, and why a program never sees
 * half of it, is in crates/dataplane-linux/src/table.rs, whose hash and whose buckets are the same.
 */
#ifndef OPOF_TABLE_H
#define OPOF_TABLE_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"
#include "parse.h"

/*
 * A half of a key's words after the other, each times its multiplier: which keys share a hash nobody can know who does not know the
 * multipliers. The sum of keys that follow each other does so, too, and some multipliers would lead a whole network into a few
 * buckets; so it is mixed.
 */
static __always_inline __u64 hash_word(__u64 hash, __u64 word, int number)
{
	return hash + (__u32)word * opof_hash[2 * number + 1] + (word >> 32) * opof_hash[2 * number + 2];
}

static __always_inline __u64 mix(__u64 sum)
{
	sum = (sum ^ sum >> 32) * OPOF_MIX_0;
	sum = (sum ^ sum >> 29) * OPOF_MIX_1;
	return sum ^ sum >> 32;
}

static __always_inline __u64 hash_of(const struct opof_packet *p)
{
	const struct opof_key *key = &p->key;
	__u64 hash = hash_word(opof_hash[0], key->tail, 4);

	hash = hash_word(hash, key->addresses[0], 0);
	if (p->family == 4)
		return mix(hash);
	hash = hash_word(hash, key->addresses[1], 1);
	hash = hash_word(hash, key->addresses[2], 2);
	return mix(hash_word(hash, key->addresses[3], 3));
}

/* The flow that an entry leads to, if it is the packet's. */
static __always_inline struct opof_flow *flow_of(__u64 entry, const struct opof_packet *p, __u32 *number)
{
	const struct opof_key *key = &p->key;
	struct opof_flow *flow;

	*number = (__u32)entry - 1;
	flow = bpf_map_lookup_elem(&flows, number);
	if (!flow || ((flow->key.tail ^ key->tail) & OPOF_TAIL_MASK) || flow->key.addresses[0] != key->addresses[0])
		return 0;
	if (p->family == 4)
		return flow;
	if (flow->key.addresses[1] != key->addresses[1] || flow->key.addresses[2] != key->addresses[2] ||
	    flow->key.addresses[3] != key->addresses[3])
		return 0;
	return flow;
}

static __always_inline struct opof_bucket *bucket_at(__u32 position)
{
	__u32 bucket = (__u64)position * opof_buckets >> 32;

	return bpf_map_lookup_elem(&buckets, &bucket);
}

/* Read once: user space may be writing it. */
static __always_inline __u64 entry_of(const struct opof_bucket *bucket, int n)
{
	return *(volatile const __u64 *)&bucket->entries[n];
}

/* All buckets of a key. A function of its own, for it is seldom gone through. */
static __noinline struct opof_flow *find_anywhere(const struct opof_packet *p, __u64 hash, __u32 *number)
{
	__u32 tag = hash, position = hash >> 32;

	for (int probe = 0; probe < OPOF_PROBES; probe++) {
		struct opof_bucket *bucket = bucket_at(position);

		if (!bucket)
			return 0;
		for (int n = 0; n < OPOF_ENTRIES; n++) {
			__u64 entry = entry_of(bucket, n);
			struct opof_flow *flow;

			if (entry >> 32 != tag)
				continue;
			flow = flow_of(entry, p, number);
			if (flow)
				return flow;
		}
		if (!*(volatile const __u64 *)&bucket->passed)
			return 0;
		position = (position + tag) * OPOF_PROBE_MULTIPLIER;
	}
	return 0;
}

/* The flow's number is in *number when there is one. */
static __always_inline struct opof_flow *find_flow(const struct opof_packet *p, __u64 hash, __u32 *number)
{
	struct opof_bucket *bucket = bucket_at(hash >> 32);
	struct opof_flow *flow;
	__u64 entry = 0;

	if (!bucket)
		return 0;
#pragma unroll
	for (int n = 0; n < OPOF_ENTRIES; n++) {
		entry = entry_of(bucket, n);
		if (entry >> 32 == (__u32)hash)
			goto found;
	}
	if (!*(volatile const __u64 *)&bucket->passed)
		return 0;
	return find_anywhere(p, hash, number);
found:
	flow = flow_of(entry, p, number);
	/* Another key with half of its hash the same, or an empty place. */
	return flow ? flow : find_anywhere(p, hash, number);
}

/* The upper bits of the hash. */
static __always_inline __u32 way_of(__u64 hash)
{
	return hash >> (64 - OPOF_WAY_BITS);
}

/*
 * Sessions are forwarded no more: what user space has allowed is over, whatever has become of it. Ticks are a load and no call, but
 * they can be late; so near the end the exact clock says, and before that nobody asks it.
 */
static __always_inline int is_over(void)
{
	__u32 zero = 0;
	struct opof_term *now = bpf_map_lookup_elem(&term, &zero);

	if (!now)
		return 1;
	return bpf_jiffies64() >= *(volatile const __u64 *)&now->look &&
	       bpf_ktime_get_ns() >= *(volatile const __u64 *)&now->until;
}

/* The packet's flow, with *hit and the flow's *way filled, when a session has its key and may be forwarded. */
static __always_inline struct opof_flow *find(const struct opof_packet *p, struct opof_hit *hit, __u32 *way)
{
	__u64 hash = hash_of(p);
	__u32 number = 0;
	struct opof_flow *flow = find_flow(p, hash, &number);
	__u16 action;

	*way = way_of(hash);
	if (!flow || is_over())
		return 0;
	action = flow->stamp & OPOF_ACTION_MASK;
	hit->slot = number >> 1;
	hit->rewrite = action & OPOF_KEEP_VID;
	hit->lif = flow->key.exit;
	hit->flags = action >> OPOF_KIND_SHIFT | (number & OPOF_OUTWARD);
	return flow;
}

#endif
