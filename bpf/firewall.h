/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Firewalls behind tunnels: what goes there, what is answered because it does not fit, what comes back. The twin of
 * crates/dataplane/src/tunnel.rs.
 */
#ifndef OPOF_FIREWALL_H
#define OPOF_FIREWALL_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "action.h"
#include "decap.h"
#include "encap.h"
#include "maps.h"
#include "parse.h"
#include "too_big.h"

/* Where in a template its two addresses are, source first. */
#define V4_ADDRESSES 26
#define V6_ADDRESSES 22

/* dataplane::AnswerBucket::take(). When two CPUs want one at the same instant, one of them gets it. */
static __always_inline int take_answer(void)
{
	__u32 zero = 0;
	__u64 *full = bpf_map_lookup_elem(&answers, &zero), now = bpf_ktime_get_ns(), was, from;

	if (!full)
		return 0;
	was = *(volatile __u64 *)full;
	from = was > now ? was : now;
	if (from - now > opof_answer_interval * (OPOF_ANSWER_BURST - 1))
		return 0;
	return __sync_val_compare_and_swap(full, was, from + opof_answer_interval) == was;
}

/* A frame of `length` bytes is larger than goes through the tunnel. */
static __noinline int refuse_too_big(struct xdp_md *ctx, __u32 length, __u32 frame_len_max)
{
	struct opof_subject subject = {};
	int said = must_answer(ctx, &subject);
	__u16 mtu = 0;

	if (said == OPOF_ANSWERED) {
		if (frame_len_max > link_length(&subject))
			mtu = frame_len_max - link_length(&subject);
		said = does_not_fit(&subject, mtu);
	}
	if (said == OPOF_ANSWERED && take_answer() && answer_subject(ctx, &subject, mtu) == OPOF_ANSWERED) {
		count_port(OPOF_TOO_BIG_ANSWERED, length);
		/* Not XDP_TX: a veth does not wake a peer for that which has no program, and the answer would lie there. */
		return bpf_redirect(ctx->ingress_ifindex, 0);
	}
	count_port(OPOF_TOO_BIG_DROPPED, length);
	return XDP_DROP;
}

/*
 * By `exit`, the way to a firewall, with outer headers. A function of its own, so that the code of other frames stays as short as
 * it is without.
 */
static __noinline int send_through_tunnel(struct xdp_md *ctx, const struct opof_packet *p, __u32 exit, __u32 reason)
{
	__u32 position = exit - OPOF_TO_FIREWALL, hash;
	const struct opof_template *template = way_to(bpf_map_lookup_elem(&firewalls, &position));
	struct opof_metadata metadata = { .in_lif = opof_lif };

	if (template && p->length > template->frame_len_max)
		return refuse_too_big(ctx, p->length, template->frame_len_max);
	hash = frame_hash(ctx, p);
	metadata.key = hash;
	if (!template || !encapsulate(ctx, template, source_port_of(hash), &metadata, p->length)) {
		count_port(OPOF_UNREACHABLE, p->length);
		return XDP_DROP;
	}
	count_port(OPOF_SLOW + reason, p->length);
	return send(exit);
}

/* To the firewall of this LIF, or to that of the VLAN's flow. */
static __always_inline int send_slow(struct xdp_md *ctx, const struct opof_packet *p, int reason)
{
	__u32 vlan = p->vlan, exit = opof_other;

	if (vlan) {
		__u32 *flow = bpf_map_lookup_elem(&vlan_flows, &vlan);

		if (flow && *flow)
			exit = *flow - 1;
	}
	if (opof_tunnelled && (opof_tunnelled >> (exit - OPOF_TO_FIREWALL) & 1))
		return send_through_tunnel(ctx, p, exit, reason);
	count_port(OPOF_SLOW + reason, p->length);
	return send(exit);
}

/* 1 when the frame is untagged IP, and *peer is who sent it. */
static __always_inline int sender_of(struct xdp_md *ctx, struct opof_peer *peer)
{
	const struct ethernet_header *eth = frame_start(ctx);
	const void *end = frame_end(ctx);
	const struct ipv4_header *ip4 = (const void *)(eth + 1);
	const struct ipv6_header *ip6 = (const void *)(eth + 1);

	if ((const void *)(ip4 + 1) > end)
		return 0;
	__builtin_memset(peer, 0, sizeof(*peer));
	if (eth->type == bpf_htons(ETHER_TYPE_IPV4)) {
		peer->family = 4;
		__builtin_memcpy(peer->address, ip4->source, sizeof(ip4->source));
		return 1;
	}
	if (eth->type != bpf_htons(ETHER_TYPE_IPV6) || (const void *)(ip6 + 1) > end)
		return 0;
	peer->family = 6;
	__builtin_memcpy(peer->address, ip6->source, sizeof(ip6->source));
	return 1;
}

/* Our end of the tunnel to a firewall: the template's, seen from the other side. It stays when the way there is lost. */
static __always_inline void end_of(const struct opof_template *template, const struct opof_peer *peer,
				   struct opof_tunnel_end *end)
{
	__builtin_memset(end, 0, sizeof(*end));
	end->family = peer->family;
	end->vni = opof_vni;
	end->option_class = opof_option_class;
	end->option_type = opof_option_type;
	__builtin_memcpy(end->peer, peer->address, sizeof(end->peer));
	if (peer->family == 4)
		__builtin_memcpy(end->ours, template->bytes + V4_ADDRESSES, 4);
	else
		__builtin_memcpy(end->ours, template->bytes + V6_ADDRESSES, 16);
}

/* What comes in on the uplink: dataplane::decide_uplink(). */
static __always_inline int receive_from_uplink(struct xdp_md *ctx)
{
	__u32 length = bpf_xdp_get_buff_len(ctx), *firewall;
	const struct opof_outer_headers *outer;
	struct opof_returning returned = {};
	struct opof_metadata metadata = {};
	struct opof_inner inner = {};
	const struct opof_exit *exit;
	struct opof_tunnel_end end;
	struct opof_peer peer;
	int said;

	if (!sender_of(ctx, &peer))
		return XDP_PASS;
	firewall = bpf_map_lookup_elem(&peers, &peer);
	if (!firewall)
		return XDP_PASS;
	returned.firewall = *firewall;
	outer = bpf_map_lookup_elem(&firewalls, &returned.firewall);
	if (!outer)
		return XDP_PASS;
	end_of(template_of(outer), &peer, &end);
	said = find_inner(ctx, &end, &inner, &metadata);
	if (said != OPOF_DECAPSULATED) {
		if (said > OPOF_REFUSED_PORT)
			count_port(OPOF_REFUSED + said, length);
		return XDP_PASS;
	}
	returned.lif = metadata.out_lif ? metadata.out_lif : metadata.in_lif;
	exit = bpf_map_lookup_elem(&returning, &returned);
	if (!exit) {
		count_port(OPOF_REFUSED + OPOF_REFUSED_LIF, length);
		return XDP_PASS;
	}
	if (take_out(ctx, &inner) != OPOF_DECAPSULATED)
		return XDP_ABORTED;
	count_port(OPOF_RECEIVED, length);
	count(exit->statistics + OPOF_RECEIVED, inner.length);
	return send(exit->spread ? exit->way | way_of_frame(ctx) : exit->way);
}

#endif
