// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * What drives the fast path while it is measured; never attached, and an object of its own, so that no port loads it or its maps.
 *
 * A test run repeats one frame, and what it repeats is in the cache. opof_walk gives each repetition another source address, in an
 * order that no processor foresees, and hands the frame to the program in `walked`; so one system call is any number of flows.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

char opof_license[] SEC("license") = "Dual Apache-2.0/GPL";

/* Most addresses that are passed over at once: of the numbers below the power of two at most half are. */
#define PASSED_OVER 256

/* Where the walk is; one slot, one user at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct opof_walk);
} walk SEC(".maps");

/* The program that is measured. With one slot and a constant index the kernel makes the tail call a plain jump. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} walked SEC(".maps");

/*
 * Each number below `count` once, then from the beginning: a congruential generator of full period (Knuth, 3.2.1.2) modulo the next
 * power of two, whose other numbers are passed over.
 */
static __always_inline int step(struct opof_walk *walk)
{
	__u32 at = walk->at;

	for (int i = 0; i < PASSED_OVER; i++) {
		at = (at * OPOF_WALK_MULTIPLIER + OPOF_WALK_INCREMENT) & walk->mask;
		if (at < walk->count) {
			walk->at = at;
			return 1;
		}
	}
	return 0;
}

/* The frame with its next source, to the program that is measured. XDP_ABORTED when something is missing. */
SEC("xdp.frags")
int opof_walk(struct xdp_md *ctx)
{
	__u32 zero = 0, offset;
	struct opof_walk *now = bpf_map_lookup_elem(&walk, &zero);
	__be32 *address;

	if (!now || !step(now))
		return XDP_ABORTED;
	offset = now->offset & 0xff;
	address = (void *)(long)ctx->data + offset;
	if ((void *)(address + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	*address = bpf_htonl(now->first + now->at);
	bpf_tail_call_static(ctx, &walked, 0);
	return XDP_ABORTED;
}

/* Measured in the place of a program, it shows what everything around one costs. */
SEC("xdp.frags")
int opof_nothing(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_DROP;
}
