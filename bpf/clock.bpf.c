// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * What time it is by the clock of the fast path, which counts the kernel's ticks. Never attached; user space runs it to know which
 * moment a tick was. An object of its own, so that it needs no map.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

char opof_license[] SEC("license") = "Dual Apache-2.0/GPL";

/* A tick that comes between two looks at the clock. */
#define TRIES 4

/* Writes it where the frame begins. The coarse clock stands at the last tick. */
SEC("xdp")
int opof_clock(struct xdp_md *ctx)
{
	struct opof_clock *said = (void *)(long)ctx->data;

	if ((void *)(said + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	for (int i = 0; i < TRIES; i++) {
		said->tick = bpf_jiffies64();
		said->time = bpf_ktime_get_coarse_ns();
		if (bpf_jiffies64() == said->tick)
			return XDP_PASS;
	}
	return XDP_ABORTED;
}
