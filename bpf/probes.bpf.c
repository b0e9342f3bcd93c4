// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Programs that are never attached: each runs one piece of the fast path alone, for tests and measurements. They are an object
 * of their own, so that no port loads them or their maps.
 *
 * too_big.h the answer to a packet that does not fit
 * decap.h   the frame in a packet of a tunnel
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
