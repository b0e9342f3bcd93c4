/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What is done with a frame once it is understood and looked up: count, send on. What is changed in it is in edit.h.
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
#include "table.h"

/* Bytes as 8-byte words, the last 4 bytes as a word of their own. */
static __always_inline __u64 word(const void *bytes, int index)
{
	__u64 value;

	__builtin_memcpy(&value, bytes + 8 * index, sizeof(value));
	return value;
}

static __always_inline __u64 half_word(const void *bytes, int index)
{
	__u32 value;

	__builtin_memcpy(&value, bytes + 8 * index, sizeof(value));
	return value;
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

/* Counts a hit. Ticks are a load and no call, as any clock in ns would be; timeouts are whole seconds. */
static __always_inline void count_flow(struct opof_flow *flow, __u32 length)
{
	__u64 action = flow->stamp & OPOF_ACTION_MASK;

	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, length);
	*(volatile __u64 *)&flow->stamp = bpf_jiffies64() << OPOF_ACTION_BITS | action;
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
