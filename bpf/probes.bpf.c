// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Programs that are never attached: each runs one piece of the fast path alone, for tests and measurements. They are an object
 * of their own, so that no port loads them or their maps.
 *
 * too_big.h the answer to a packet that does not fit
 * decap.h   the frame in a packet of a tunnel
 *
 * And one that takes its time, to be waited for.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "decap.h"
#include "too_big.h"

char opof_license[] SEC("license") = "Dual Apache-2.0/GPL";

/* What opof_too_big_probe is asked and what it says; one slot, one user at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct opof_too_big);
} too_big SEC(".maps");

/* Makes of the frame the answer to it, if it gets one. */
SEC("xdp.frags")
int opof_too_big_probe(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct opof_too_big *asked = bpf_map_lookup_elem(&too_big, &zero);

	if (!asked)
		return XDP_ABORTED;
	asked->said = answer_too_big(ctx, asked->mtu);
	return XDP_PASS;
}

/* The same of opof_decap_probe. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct opof_decap);
} decap SEC(".maps");

/* Makes of the frame the one that is inside, if it is a packet of the tunnel. */
SEC("xdp.frags")
int opof_decap_probe(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct opof_decap *asked = bpf_map_lookup_elem(&decap, &zero);

	if (!asked)
		return XDP_ABORTED;
	asked->said = decapsulate(ctx, &asked->end, &asked->metadata);
	return XDP_PASS;
}

/* One slot: how long opof_linger is to stay, and where it is. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct opof_linger);
} linger SEC(".maps");

struct opof_lingering {
	__u64 until;
};

static long stay(__u32 turn, struct opof_lingering *lingering)
{
	(void)turn;
	return bpf_ktime_get_ns() >= lingering->until;
}

/* Runs for some time, as a program does that is interrupted at the worst moment. */
SEC("xdp.frags")
int opof_linger(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct opof_linger *asked = bpf_map_lookup_elem(&linger, &zero);
	struct opof_lingering lingering;

	(void)ctx;
	if (!asked)
		return XDP_ABORTED;
	lingering.until = bpf_ktime_get_ns() + asked->stay;
	*(volatile __u32 *)&asked->state = OPOF_LINGERS;
	bpf_loop(1 << 23, stay, &lingering, 0);
	*(volatile __u32 *)&asked->state = OPOF_GONE;
	return XDP_PASS;
}
