/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Copies to collectors: what goes with a frame to the place where it is copied, and the outer headers that the copy gets
 * there, the twin of crates/wire/src/encap.rs.
 *
 * The kernel copies: a frame that is redirected to two interfaces at once is cloned for the first and given to the second.
 * The collectors' interface has a program of its own, which runs on its clone alone.
 */
#ifndef OPOF_COPY_H
#define OPOF_COPY_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "action.h"
#include "edit.h"
#include "maps.h"
#include "parse.h"

/* Bytes that a tunnel puts between the UDP header and the frame. */
#define GENEVE_LENGTH 24

/* Where in a template the bytes are that differ from frame to frame: wire::encap::Layout. */
#define V4_IP_LENGTH 16
#define V4_IP_CHECKSUM 24
#define V4_UDP 34
#define V6_IP_LENGTH 18
#define V6_UDP 54
#define UDP_LENGTH 4 /* from the UDP header */
#define METADATA (sizeof(struct udp_header) + 12)

static __always_inline __u32 mixed(__u32 state, __u32 word)
{
	state = (state ^ word) * 0x9e3779b1;
	return state ^ state >> 15;
}

static __always_inline __u32 big_endian(const __u8 *at)
{
	__u32 word;

	__builtin_memcpy(&word, at, 4);
	return bpf_ntohl(word);
}

static __always_inline __u32 folded_address(const __u8 address[16])
{
	return big_endian(address) ^ big_endian(address + 4) ^ big_endian(address + 8) ^ big_endian(address + 12);
}

/* wire::encap::flow_hash() of flow_words(). */
static __always_inline __u32 flow_hash(const struct opof_packet *p)
{
	if (p->family == 4)
		return mixed(mixed(mixed(mixed(0, big_endian(p->key4.source)), big_endian(p->key4.destination)),
				   big_endian(p->key4.source_port)),
			     p->key4.transport);
	return mixed(mixed(mixed(mixed(0, folded_address(p->key6.source)), folded_address(p->key6.destination)),
			   big_endian(p->key6.source_port)),
		     p->key6.transport);
}

/* The template in force, or NULL while there is no way to the collector. */
static __always_inline const struct opof_template *template_of(__u32 index)
{
	const struct opof_collector *collector = bpf_map_lookup_elem(&collectors, &index);
	const struct opof_template *template;

	if (!collector)
		return 0;
	template = &collector->templates[*(volatile const __u32 *)&collector->current & 1];
	return template->length == OPOF_TEMPLATE_V4 || template->length == OPOF_TEMPLATE_V6 ? template : 0;
}

/* 1 and *copy filled when the frame of this hit can be copied. Called before the frame is changed. */
static __always_inline int prepare_copy(struct xdp_md *ctx, const struct opof_packet *p, const struct opof_hit *hit,
					const struct opof_edit *edit, struct opof_copy *copy)
{
	const struct opof_template *template = template_of(edit->collector);

	if (!template || p->length > template->frame_len_max || p->length > OPOF_COPY_LEN)
		return 0;
	/* The kernel does not clone what is in several pieces. */
	if (frame_start(ctx) + p->length > frame_end(ctx))
		return 0;
	copy->key = edit->copy_key;
	copy->collector = edit->collector;
	copy->source_port = 0xc000 | (flow_hash(p) & 0x3fff);
	copy->in_lif = opof_lif;
	copy->out_lif = edit->out_lif;
	copy->vlan = (edit->flags & OPOF_MIRROR) && hit->rewrite != OPOF_KEEP_VID ? p->vlan : OPOF_KEEP_VID;
	copy->zero = 0;
	return 1;
}

static __always_inline void put16(__u8 *at, __u16 value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static __always_inline void put32(__u8 *at, __u32 value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

/* What both families have from the UDP header on. */
static __always_inline void fill_udp(__u8 *udp, const struct opof_copy *copy, __u32 frame_length)
{
	put16(udp, copy->source_port);
	put16(udp + UDP_LENGTH, frame_length + sizeof(struct udp_header) + GENEVE_LENGTH);
	put32(udp + METADATA, copy->in_lif);
	put32(udp + METADATA + 4, copy->out_lif);
	put32(udp + METADATA + 8, copy->key);
}

static __always_inline int encapsulate_v4(struct xdp_md *ctx, const struct opof_template *template,
					  const struct opof_copy *copy, __u32 frame_length)
{
	__u32 length = frame_length + sizeof(struct ipv4_header) + sizeof(struct udp_header) + GENEVE_LENGTH, sum;
	__u8 *outer;

	if (bpf_xdp_adjust_head(ctx, -OPOF_TEMPLATE_V4))
		return 0;
	outer = frame_start(ctx);
	if ((void *)(outer + OPOF_TEMPLATE_V4) > frame_end(ctx))
		return 0;
	__builtin_memcpy(outer, template->bytes, OPOF_TEMPLATE_V4);
	put16(outer + V4_IP_LENGTH, length);
	/* The template's checksum is right for a length of 0. */
	sum = (__u16)~(outer[V4_IP_CHECKSUM] << 8 | outer[V4_IP_CHECKSUM + 1]) + length;
	put16(outer + V4_IP_CHECKSUM, ~((sum & 0xffff) + (sum >> 16)));
	fill_udp(outer + V4_UDP, copy, frame_length);
	return 1;
}

static __always_inline int encapsulate_v6(struct xdp_md *ctx, const struct opof_template *template,
					  const struct opof_copy *copy, __u32 frame_length)
{
	__u8 *outer;

	if (bpf_xdp_adjust_head(ctx, -OPOF_TEMPLATE_V6))
		return 0;
	outer = frame_start(ctx);
	if ((void *)(outer + OPOF_TEMPLATE_V6) > frame_end(ctx))
		return 0;
	__builtin_memcpy(outer, template->bytes, OPOF_TEMPLATE_V6);
	put16(outer + V6_IP_LENGTH, frame_length + sizeof(struct udp_header) + GENEVE_LENGTH);
	fill_udp(outer + V6_UDP, copy, frame_length);
	return 1;
}

/* The frame becomes the copy. 0: it can't, by now. */
static __always_inline int encapsulate(struct xdp_md *ctx, const struct opof_copy *copy)
{
	const struct opof_template *template = template_of(copy->collector);
	__u32 frame_length = frame_end(ctx) - frame_start(ctx);

	if (!template)
		return 0;
	if (copy->vlan != OPOF_KEEP_VID)
		rewrite_vid(ctx, copy->vlan);
	if (template->length == OPOF_TEMPLATE_V4)
		return encapsulate_v4(ctx, template, copy, frame_length);
	return encapsulate_v6(ctx, template, copy, frame_length);
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
