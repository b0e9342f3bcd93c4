/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What is done with a frame once it is understood: look up, count, send on. What is changed in it is in edit.h.
 *
 * Atomics only where CPUs meet: a session's packets can arrive on several, the statistics are one set a CPU.
 */
#ifndef OPOF_ACTION_H
#define OPOF_ACTION_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"
#include "parse.h"

/* The key as 8-byte words, the last 4 bytes as a word of their own. */
static __always_inline __u64 word(const void *key, int index)
{
	__u64 value;

	__builtin_memcpy(&value, key + 8 * index, sizeof(value));
	return value;
}

static __always_inline __u64 half_word(const void *key, int index)
{
	__u32 value;

	__builtin_memcpy(&value, key + 8 * index, sizeof(value));
	return value;
}

/* See struct opof_entry; table.rs computes the same. */
static __always_inline __u64 check4(const struct opof_key4 *key)
{
	return word(key, 0) * OPOF_CHECK_0 + word(key, 1) * OPOF_CHECK_1 + half_word(key, 2) * OPOF_CHECK_2;
}

static __always_inline __u64 check6(const struct opof_key6 *key)
{
	return word(key, 0) * OPOF_CHECK_0 + word(key, 1) * OPOF_CHECK_1 + word(key, 2) * OPOF_CHECK_2 +
	       word(key, 3) * OPOF_CHECK_3 + word(key, 4) * OPOF_CHECK_4 + half_word(key, 5) * OPOF_CHECK_5;
}

/* Reads an entry so that *hit is all of the session that was looked up. 0: it is another's by now. */
static __always_inline int read_entry(const struct opof_entry *entry, __u64 check, struct opof_hit *hit)
{
	__u64 whole = *(volatile const __u64 *)&entry->hit;

	if (*(volatile const __u64 *)&entry->check != check)
		return 0;
	__builtin_memcpy(hit, &whole, sizeof(whole));
	return 1;
}

/* 1 and *hit filled when a session has the key of *p. */
static __always_inline int find(struct opof_packet *p, struct opof_hit *hit)
{
	struct opof_entry *entry;

	if (p->family == 4) {
		entry = bpf_map_lookup_elem(&sessions4, &p->key4);
		return entry && read_entry(entry, check4(&p->key4), hit);
	}
	entry = bpf_map_lookup_elem(&sessions6, &p->key6);
	return entry && read_entry(entry, check6(&p->key6), hit);
}

/* Counts a frame in the port's statistics. */
static __always_inline void count_port(__u32 kind, __u32 length)
{
	__u32 index = opof_statistics + kind;
	struct opof_tally *tally = bpf_map_lookup_elem(&statistics, &index);

	if (!tally)
		return;
	tally->packets++;
	tally->bytes += length;
}

/* Counts a hit in its session's record. The coarse clock is a load; timeouts are whole seconds. */
static __always_inline void count_session(const struct opof_hit *hit, __u32 length)
{
	__u32 slot = hit->slot;
	struct opof_record *record = bpf_map_lookup_elem(&records, &slot);
	struct opof_direction *direction;

	if (!record)
		return;
	direction = &record->direction[hit->flags & OPOF_OUTWARD];
	__sync_fetch_and_add(&direction->packets, 1);
	__sync_fetch_and_add(&direction->bytes, length);
	*(volatile __u64 *)&direction->last_seen = bpf_ktime_get_coarse_ns();
}

/* Out of a port, by our index. A port that has gone away fails loudly: XDP_ABORTED can be traced. */
static __always_inline int send(__u32 port)
{
	return bpf_redirect_map(&ports, port, XDP_ABORTED);
}

/* To the firewall: by the port of this LIF, or by that of the VLAN's flow. */
static __always_inline int send_slow(const struct opof_packet *p)
{
	__u32 vlan = p->vlan, port = opof_other;

	if (vlan) {
		__u32 *flow = bpf_map_lookup_elem(&vlan_flows, &vlan);

		if (flow && *flow)
			port = *flow - 1;
	}
	return send(port);
}

#endif
