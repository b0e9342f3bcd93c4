/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What stands in front of a frame that goes through a tunnel: the twin of crates/wire/src/encap.rs. Where it goes, and why, is not
 * known here.
 */
#ifndef OPOF_ENCAP_H
#define OPOF_ENCAP_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
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
	const struct opof_key *key = &p->key;
	__u32 source, destination;

	if (p->family == 4) {
		source = big_endian(key->v4.source);
		destination = big_endian(key->v4.destination);
	} else {
		source = folded_address(key->v6.source);
		destination = folded_address(key->v6.destination);
	}
	return mixed(mixed(mixed(mixed(0, source), destination), big_endian(key->source_port)), p->transport);
}

/* wire::encap::frame_hash() of a frame that parse() has seen. */
static __always_inline __u32 frame_hash(struct xdp_md *ctx, const struct opof_packet *p)
{
	const __u8 *link = frame_start(ctx);

	if (p->transport)
		return flow_hash(p);
	if ((void *)(link + 16) > frame_end(ctx))
		return 0; /* of four zeros */
	return mixed(mixed(mixed(mixed(0, big_endian(link)), big_endian(link + 4)), big_endian(link + 8)),
		     big_endian(link + 12));
}

/* wire::encap::source_port() */
static __always_inline __u16 source_port_of(__u32 hash)
{
	return 0xc000 | (hash & 0x3fff);
}

/* The template in force. */
static __always_inline const struct opof_template *template_of(const struct opof_outer_headers *outer)
{
	return &outer->templates[*(volatile const __u32 *)&outer->current & 1];
}

/* The same, or NULL while there is no way. */
static __always_inline const struct opof_template *way_to(const struct opof_outer_headers *outer)
{
	const struct opof_template *template;

	if (!outer)
		return 0;
	template = template_of(outer);
	return template->length == OPOF_TEMPLATE_V4 || template->length == OPOF_TEMPLATE_V6 ? template : 0;
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
static __always_inline void fill_udp(__u8 *udp, __u16 source_port, const struct opof_metadata *metadata,
				     __u32 frame_length)
{
	put16(udp, source_port);
	put16(udp + UDP_LENGTH, frame_length + sizeof(struct udp_header) + GENEVE_LENGTH);
	put32(udp + METADATA, metadata->in_lif);
	put32(udp + METADATA + 4, metadata->out_lif);
	put32(udp + METADATA + 8, metadata->key);
}

static __always_inline int encapsulate_v4(struct xdp_md *ctx, const struct opof_template *template, __u16 source_port,
					  const struct opof_metadata *metadata, __u32 frame_length)
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
	fill_udp(outer + V4_UDP, source_port, metadata, frame_length);
	return 1;
}

static __always_inline int encapsulate_v6(struct xdp_md *ctx, const struct opof_template *template, __u16 source_port,
					  const struct opof_metadata *metadata, __u32 frame_length)
{
	__u8 *outer;

	if (bpf_xdp_adjust_head(ctx, -OPOF_TEMPLATE_V6))
		return 0;
	outer = frame_start(ctx);
	if ((void *)(outer + OPOF_TEMPLATE_V6) > frame_end(ctx))
		return 0;
	__builtin_memcpy(outer, template->bytes, OPOF_TEMPLATE_V6);
	put16(outer + V6_IP_LENGTH, frame_length + sizeof(struct udp_header) + GENEVE_LENGTH);
	fill_udp(outer + V6_UDP, source_port, metadata, frame_length);
	return 1;
}

/* Puts the outer headers in front of a frame of `frame_length` bytes. 0: there is no room for them. */
static __always_inline int encapsulate(struct xdp_md *ctx, const struct opof_template *template, __u16 source_port,
				       const struct opof_metadata *metadata, __u32 frame_length)
{
	if (template->length == OPOF_TEMPLATE_V4)
		return encapsulate_v4(ctx, template, source_port, metadata, frame_length);
	return encapsulate_v6(ctx, template, source_port, metadata, frame_length);
}

#endif
