// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The fast path: one program for wire ports, one for firewall ports, one for the uplink behind which firewalls are that have none,
 * one that makes copies for collectors, and two that only tell what the first and the last would do.
 *
 * abi.h    what user space and the programs agree on
 * maps.h   tables, counters, ports
 * parse.h  from a frame to a key, or to a reason
 * table.h  from a key to its flow
 * action.h counters, redirect
 * edit.h   what is changed in a frame on its way
 * encap.h  what stands in front of a frame in a tunnel, and decap.h, what comes out of it
 * copy.h   copies to collectors
 * too_big.h  the answer to a packet that does not fit
 * firewall.h firewalls behind tunnels
 *
 * No path of a LIF's program ends in XDP_PASS: a frame leaves by a port of its LIF, by one of the session's, or is
 * dropped as its session asks or because nothing leads to its firewall. The uplink is the host's, and what is not of a tunnel goes
 * there.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"
#include "parse.h"
#include "action.h"
#include "edit.h"
#include "copy.h"
#include "firewall.h"

char opof_license[] SEC("license") = "Dual Apache-2.0/GPL";

/* OPOF_HAS_KEY, *hit and *way filled, and *change where more than the tag is changed; or why the frame goes to the firewall. */
static __always_inline int judge(struct xdp_md *ctx, struct opof_packet *packet, struct opof_hit *hit, __u32 *way,
				 struct opof_change *change)
{
	int said = parse(ctx, packet, opof_position);

	change->edit = 0;
	if (said != OPOF_HAS_KEY)
		return said;
	if (!find(packet, hit, way))
		return OPOF_MISS;
	return hit->flags & OPOF_EDIT ? resolve(ctx, packet, hit, change) : OPOF_HAS_KEY;
}

/* Above all XDP actions: the frame was not sent, for the reason that is added. */
#define OPOF_NOT_SENT 0x100

/*
 * A hit whose packets are changed in more than the tag, or copied. A function of its own, so that the code and the stack of other
 * frames stay as short as they are without. An action, or OPOF_NOT_SENT and why.
 */
static __noinline int forward_changed(struct xdp_md *ctx, struct opof_packet *packet, const struct opof_hit *hit,
				      struct opof_flow *flow, __u32 exit)
{
	struct opof_change change;
	struct opof_copy copy;
	int said = resolve(ctx, packet, hit, &change), copies = 0;

	if (said != OPOF_HAS_KEY)
		return OPOF_NOT_SENT + said;
	count_flow(flow, packet->length);
	count_port(OPOF_FORWARDED, packet->length);
	if (change.edit->flags & (OPOF_MIRROR | OPOF_SNOOP)) {
		copies = prepare_copy(ctx, packet, hit, change.edit, &copy);
		if (!copies)
			count_port(OPOF_COPY_LOST, packet->length);
	}
	if (hit->rewrite != OPOF_KEEP_VID)
		rewrite_vid(ctx, hit->rewrite);
	apply(ctx, packet, &change);
	return copies ? send_copied(ctx, &copy, exit, packet->length) : send(exit);
}

/* From the network: a hit is acted on, everything else goes to the firewall. */
SEC("xdp.frags")
int opof_wire(struct xdp_md *ctx)
{
	struct opof_packet packet;
	struct opof_hit hit = {};
	__u32 way = 0, exit;
	int said = parse(ctx, &packet, opof_position), action;
	struct opof_flow *flow = 0;

	if (said == OPOF_HAS_KEY) {
		flow = find(&packet, &hit, &way);
		if (!flow)
			said = OPOF_MISS;
	}
	exit = hit.lif << OPOF_WAY_BITS | way;
	if (flow && (hit.flags & OPOF_EDIT)) {
		action = forward_changed(ctx, &packet, &hit, flow, exit);
		if (action < OPOF_NOT_SENT)
			return action;
		said = action - OPOF_NOT_SENT;
	}
	if (!flow || said != OPOF_HAS_KEY)
		return send_slow(ctx, &packet, said);
	count_flow(flow, packet.length);
	if (hit.flags & OPOF_DROP) {
		count_port(OPOF_DROPPED, packet.length);
		return XDP_DROP;
	}
	count_port(OPOF_FORWARDED, packet.length);
	if (hit.rewrite != OPOF_KEEP_VID)
		rewrite_vid(ctx, hit.rewrite);
	return send(exit);
}

/* From the firewall: it has decided, out it goes. */
SEC("xdp.frags")
int opof_firewall(struct xdp_md *ctx)
{
	count_port(OPOF_RECEIVED, bpf_xdp_get_buff_len(ctx));
	return send(opof_spread ? opof_other | way_of_frame(ctx) : opof_other);
}

/* From firewalls behind tunnels, and from everybody else who talks to the host. */
SEC("xdp.frags")
int opof_uplink(struct xdp_md *ctx)
{
	return receive_from_uplink(ctx);
}

/* On the collectors' interface, for its clone of a frame that opof_wire has sent two ways. */
SEC("xdp.frags/devmap")
int opof_copy(struct xdp_md *ctx)
{
	struct opof_copy *meta = (void *)(long)ctx->data_meta, copy;

	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return XDP_DROP;
	copy = *meta;
	return make_copy(ctx, &copy) ? XDP_PASS : XDP_DROP;
}

/* Never attached. Makes of the frame the copy that opof_wire and opof_copy would, or drops it. Counts nothing. */
SEC("xdp.frags")
int opof_copy_probe(struct xdp_md *ctx)
{
	struct opof_packet packet;
	struct opof_change change;
	struct opof_copy copy;
	struct opof_hit hit;
	__u32 way = 0;

	if (judge(ctx, &packet, &hit, &way, &change) != OPOF_HAS_KEY || !change.edit ||
	    !(change.edit->flags & (OPOF_MIRROR | OPOF_SNOOP)) ||
	    !prepare_copy(ctx, &packet, &hit, change.edit, &copy))
		return XDP_DROP;
	if (hit.rewrite != OPOF_KEEP_VID)
		rewrite_vid(ctx, hit.rewrite);
	return make_copy(ctx, &copy) ? XDP_PASS : XDP_DROP;
}

/* Where opof_probe leaves what it found; one slot, one user at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct opof_probed);
} probed SEC(".maps");

/* Never attached. Says what opof_wire would make of the frame, from the same functions, and does nothing. */
SEC("xdp.frags")
int opof_probe(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct opof_probed *out = bpf_map_lookup_elem(&probed, &zero);
	struct opof_packet packet;
	struct opof_change change;
	struct opof_hit hit = {};
	__u32 way = 0;
	int said = judge(ctx, &packet, &hit, &way, &change);

	if (!out)
		return XDP_ABORTED;
	__builtin_memset(out, 0, sizeof(*out));
	/* A miss has a key, and what expires had a session as well. */
	if (said == OPOF_HAS_KEY || said == OPOF_MISS || said == OPOF_TTL_EXPIRED) {
		out->has_key = 1;
		out->key = packet.key;
	}
	out->verdict = said;
	out->hit = hit;
	return XDP_PASS;
}
