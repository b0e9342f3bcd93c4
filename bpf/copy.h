/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Copies to collectors: what goes with a frame to the place where it is copied, and what is made of it there.
 *
 * The kernel copies: a frame that is redirected to two interfaces at once is cloned for the first and given to the second.
 * The collectors' interface has a program of its own, which runs on its clone alone.
 */
#ifndef OPOF_COPY_H
#define OPOF_COPY_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "action.h"
#include "edit.h"
#include "encap.h"
#include "maps.h"
#include "parse.h"

/* 1 and *copy filled when the frame of this hit can be copied. Called before the frame is changed. */
static __always_inline int prepare_copy(struct xdp_md *ctx, const struct opof_packet *p, const struct opof_hit *hit,
					const struct opof_edit *edit, struct opof_copy *copy)
{
	__u32 index = edit->collector;
	const struct opof_template *template = way_to(bpf_map_lookup_elem(&collectors, &index));

	if (!template || p->length > template->frame_len_max || p->length > OPOF_COPY_LEN)
		return 0;
	/* The kernel does not clone what is in several pieces. */
	if (frame_start(ctx) + p->length > frame_end(ctx))
		return 0;
	copy->key = edit->copy_key;
	copy->collector = edit->collector;
	copy->source_port = source_port_of(flow_hash(p));
	copy->in_lif = opof_lif;
	copy->out_lif = edit->out_lif;
	copy->vlan = (edit->flags & OPOF_MIRROR) && hit->rewrite != OPOF_KEEP_VID ? p->vlan : OPOF_KEEP_VID;
	copy->zero = 0;
	return 1;
}

/* The frame becomes the copy. 0: it can't, by now. */
static __always_inline int make_copy(struct xdp_md *ctx, const struct opof_copy *copy)
{
	__u32 index = copy->collector, frame_length = frame_end(ctx) - frame_start(ctx);
	const struct opof_template *template = way_to(bpf_map_lookup_elem(&collectors, &index));
	struct opof_metadata metadata = { .in_lif = copy->in_lif, .out_lif = copy->out_lif, .key = copy->key };

	if (!template)
		return 0;
	if (copy->vlan != OPOF_KEEP_VID)
		rewrite_vid(ctx, copy->vlan);
	return encapsulate(ctx, template, copy->source_port, &metadata, frame_length);
}

/* Out of a way, and a copy to the collector. Puts *copy in front of the frame; without room there, the copy is lost. */
static __always_inline int send_copied(struct xdp_md *ctx, const struct opof_copy *copy, __u32 exit, __u32 length)
{
	void *pair = bpf_map_lookup_elem(&pairs, &exit);
	struct opof_copy *meta;

	if (!pair || bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		goto lost;
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > frame_start(ctx))
		goto lost;
	*meta = *copy;
	count_port(OPOF_COPIED, length);
	return bpf_redirect_map(pair, 0, BPF_F_BROADCAST);
lost:
	count_port(OPOF_COPY_LOST, length);
	return send(exit);
}

#endif
