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

/* The upper bits of a product or of a sum of products depend on all others. */
static __always_inline __u32 way_of(__u64 hash)
{
	return hash >> (64 - OPOF_WAY_BITS);
}

/* 1, with *hit and the flow's *way filled, when a session has the key of *p. The check is a hash of the key anyway. */
static __always_inline int find(struct opof_packet *p, struct opof_hit *hit, __u32 *way)
{
	struct opof_entry *entry;
	__u64 check;

	if (p->family == 4) {
		entry = bpf_map_lookup_elem(&sessions4, &p->key4);
		check = check4(&p->key4);
	} else {
		entry = bpf_map_lookup_elem(&sessions6, &p->key6);
		check = check6(&p->key6);
	}
	*way = way_of(check);
	return entry && read_entry(entry, check, hit);
}

/*
 * The way of a frame from the firewall: by the MAC addresses and, where it has some under at most two tags, the IP
 * addresses. No ports: SYN and FIN, data, fragments and ICMP between two hosts stay in order.
 */
static __always_inline __u32 way_of_frame(struct xdp_md *ctx)
{
	struct opof_cursor c = { .at = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end };
	struct ethernet_header *eth = c.at;
	struct opof_packet packet = {};
	__u64 hash;
	__u16 type;

	if ((void *)(eth + 1) > c.end)
		return 0;
	hash = word(eth, 0) * OPOF_CHECK_0 + half_word(eth, 1) * OPOF_CHECK_1;
	c.at = eth + 1;
	type = bpf_ntohs(eth->type);
	if (parse_tags(&c, &packet, &type) == OPOF_HAS_KEY) {
		struct ipv4_header *ip4 = c.at;
		struct ipv6_header *ip6 = c.at;

		if (type == ETHER_TYPE_IPV4 && (void *)(ip4 + 1) <= c.end)
			hash += word(ip4->source, 0) * OPOF_CHECK_2;
		else if (type == ETHER_TYPE_IPV6 && (void *)(ip6 + 1) <= c.end)
			hash += word(ip6->source, 0) * OPOF_CHECK_2 + word(ip6->source, 1) * OPOF_CHECK_3 +
				word(ip6->source, 2) * OPOF_CHECK_4 + word(ip6->source, 3) * OPOF_CHECK_5;
	}
	return way_of(hash);
}

/* Counts a frame under an index of the statistics. */
static __always_inline void count(__u32 index, __u32 length)
{
	struct opof_tally *tally = bpf_map_lookup_elem(&statistics, &index);

	if (!tally)
		return;
	tally->packets++;
	tally->bytes += length;
}

/* Counts a frame in the statistics of this port. */
static __always_inline void count_port(__u32 kind, __u32 length)
{
	count(opof_statistics + kind, length);
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

/*
 * Out of the interface behind a way. One that has gone away fails loudly: XDP_ABORTED can be traced.
 *
 * The kernel calls the function of a map's kind directly where one instruction sees one map only. The compiler must
 * not make one call of this and of another map's, which would cost every frame an indirect call.
 */
static __always_inline int send(__u32 exit)
{
	long action = bpf_redirect_map(&ports, exit, XDP_ABORTED);

	asm volatile("" : "+r"(action));
	return action;
}

#endif
