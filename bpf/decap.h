/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The frame in a packet of a tunnel: the twin of crates/wire/src/decap.rs, the same decisions in the same order. What is taken
 * and what is not, and why, is said there.
 *
 * Headers are read from the linear part, as in parse.h: one that reaches out of it is taken as truncated. The header of the
 * frame inside has to be there as well, for the kernel leaves no frame without.
 */
#ifndef OPOF_DECAP_H
#define OPOF_DECAP_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "parse.h"
#include "sum.h"

/* RFC 8926, 3.3 to 3.5 */
#define GENEVE_PORT 6081
#define GENEVE_ETHERNET 0x6558
#define GENEVE_LENGTH_MASK 0x3f
#define GENEVE_OAM 0x80
#define GENEVE_UNIT 4
#define GENEVE_CRITICAL 0x80
#define GENEVE_OPTION_LENGTH_MASK 0x1f

struct geneve_header {
	__u8 version_length;
	__u8 flags;
	__be16 protocol;
	__be16 vni_high;
	__u8 vni_low;
	__u8 reserved;
};

struct geneve_option {
	__be16 class;
	__u8 type;
	__u8 length; /* of the data */
};

/* Our option's data: numbers of 32 bits that are aligned to 16. */
struct geneve_metadata {
	__be16 in_lif[2];
	__be16 out_lif[2];
	__be16 key[2];
};

/* Where the frame lies in the packet, in bytes. */
struct opof_inner {
	__u32 start;
	__u32 length;
};

static __always_inline __u32 of_halves(const __be16 halves[2])
{
	return (__u32)bpf_ntohs(halves[0]) << 16 | bpf_ntohs(halves[1]);
}

/* 1 when so many 16-bit words are the same. */
static __always_inline int are_same(const void *one, const void *other, int words)
{
	const __u16 *a = one, *b = other;
	__u16 difference = 0;

#pragma unroll
	for (int i = 0; i < words; i++)
		difference |= a[i] ^ b[i];
	return !difference;
}

/* Rules 2 and 3. Leaves the cursor on what IP carries. */
static __always_inline int outer_v4(struct opof_cursor *c, const struct opof_tunnel_end *end)
{
	const struct ipv4_header *ip = c->at;
	__u32 header, total;
	__u16 fragment;

	if ((void *)(ip + 1) > c->end)
		return OPOF_REFUSED_TRUNCATED;
	header = (ip->version_ihl & 0x0f) * 4;
	total = bpf_ntohs(ip->total_length);
	if (ip->version_ihl >> 4 != 4 || header < sizeof(*ip) || total < header)
		return OPOF_REFUSED_IP_MALFORMED;
	if (total > c->left)
		return OPOF_REFUSED_TRUNCATED;
	if (header > sizeof(*ip))
		return OPOF_REFUSED_IPV4_OPTIONS;
	fragment = bpf_ntohs(ip->flags_offset);
	if ((fragment & 0x8000) || checksum_of(summed(ip, sizeof(*ip) / 2)))
		return OPOF_REFUSED_IP_MALFORMED;
	if (fragment & 0x3fff) /* MF, offset */
		return OPOF_REFUSED_FRAGMENT;
	if (ip->protocol != PROTOCOL_UDP)
		return OPOF_REFUSED_PROTOCOL;
	if (!are_same(ip->source, end->peer, 2) || !are_same(ip->destination, end->ours, 2))
		return OPOF_REFUSED_ADDRESSES;
	c->at += sizeof(*ip);
	c->left = total - sizeof(*ip);
	return OPOF_DECAPSULATED;
}

static __always_inline int outer_v6(struct opof_cursor *c, const struct opof_tunnel_end *end)
{
	const struct ipv6_header *ip = c->at;
	__u32 payload;

	if ((void *)(ip + 1) > c->end)
		return OPOF_REFUSED_TRUNCATED;
	if (ip->version_class >> 4 != 6)
		return OPOF_REFUSED_IP_MALFORMED;
	payload = bpf_ntohs(ip->payload_length);
	if (sizeof(*ip) + payload > c->left)
		return OPOF_REFUSED_TRUNCATED;
	if (ip->next_header == 44)
		return OPOF_REFUSED_FRAGMENT;
	if (ip->next_header != PROTOCOL_UDP)
		return OPOF_REFUSED_PROTOCOL;
	if (!are_same(ip->source, end->peer, 8) || !are_same(ip->destination, end->ours, 8))
		return OPOF_REFUSED_ADDRESSES;
	c->at += sizeof(*ip);
	c->left = payload;
	return OPOF_DECAPSULATED;
}

/* Rule 4. Leaves the cursor on what UDP carries. */
static __always_inline int outer_udp(struct opof_cursor *c)
{
	const struct udp_header *udp = c->at;
	__u16 length;

	if (c->left < sizeof(*udp) || (void *)(udp + 1) > c->end)
		return OPOF_REFUSED_TRUNCATED;
	if (udp->destination_port[0] != GENEVE_PORT >> 8 || udp->destination_port[1] != (GENEVE_PORT & 0xff))
		return OPOF_REFUSED_PORT;
	length = bpf_ntohs(udp->length);
	if (length < sizeof(*udp))
		return OPOF_REFUSED_UDP_MALFORMED;
	if (length > c->left)
		return OPOF_REFUSED_TRUNCATED;
	if (length < c->left)
		return OPOF_REFUSED_UDP_MALFORMED;
	if (udp->checksum)
		return OPOF_REFUSED_UDP_CHECKSUM;
	c->at += sizeof(*udp);
	c->left -= sizeof(*udp);
	return OPOF_DECAPSULATED;
}

/* Rule 6: `options` bytes from the cursor, which is left behind them. */
static __always_inline int parse_options(struct opof_cursor *c, __u32 options, const struct opof_tunnel_end *end,
					 struct opof_metadata *metadata)
{
	int found = 0;

#pragma unroll
	for (int i = 0; i <= OPOF_MAX_GENEVE_OPTIONS; i++) {
		const struct geneve_option *option = c->at;
		const struct geneve_metadata *data = (const void *)(option + 1);
		__u32 length;

		if (!options)
			break;
		if (i == OPOF_MAX_GENEVE_OPTIONS)
			return OPOF_REFUSED_TOO_MANY_OPTIONS;
		if ((void *)(option + 1) > c->end)
			return OPOF_REFUSED_TRUNCATED;
		length = ((option->length & GENEVE_OPTION_LENGTH_MASK) + 1) * GENEVE_UNIT;
		if (length > options)
			return OPOF_REFUSED_GENEVE_MALFORMED;
		if (option->type & GENEVE_CRITICAL)
			return OPOF_REFUSED_UNKNOWN_CRITICAL;
		if (option->type == end->option_type && bpf_ntohs(option->class) == end->option_class) {
			if (length != sizeof(*option) + sizeof(*data))
				return OPOF_REFUSED_OPTION_LENGTH;
			if (found)
				return OPOF_REFUSED_OPTION_TWICE;
			if ((void *)(data + 1) > c->end)
				return OPOF_REFUSED_TRUNCATED;
			metadata->in_lif = of_halves(data->in_lif);
			metadata->out_lif = of_halves(data->out_lif);
			metadata->key = of_halves(data->key);
			found = 1;
		}
		c->at += length;
		c->left -= length;
		options -= length;
	}
	return found ? OPOF_DECAPSULATED : OPOF_REFUSED_OPTION_MISSING;
}

/* Rules 5 to 7. Leaves the cursor on the frame inside, *options bytes behind the header. */
static __always_inline int outer_geneve(struct opof_cursor *c, const struct opof_tunnel_end *end,
					struct opof_metadata *metadata, __u32 *options)
{
	const struct geneve_header *geneve = c->at;
	int said;

	if (c->left < sizeof(*geneve) || (void *)(geneve + 1) > c->end)
		return OPOF_REFUSED_TRUNCATED;
	if (geneve->version_length & ~GENEVE_LENGTH_MASK)
		return OPOF_REFUSED_GENEVE_MALFORMED;
	*options = geneve->version_length * GENEVE_UNIT;
	c->left -= sizeof(*geneve);
	if (*options > c->left)
		return OPOF_REFUSED_TRUNCATED;
	if (geneve->flags & GENEVE_OAM)
		return OPOF_REFUSED_OAM;
	if (geneve->protocol != bpf_htons(GENEVE_ETHERNET))
		return OPOF_REFUSED_PAYLOAD;
	if (((__u32)bpf_ntohs(geneve->vni_high) << 8 | geneve->vni_low) != end->vni)
		return OPOF_REFUSED_VNI;
	c->at += sizeof(*geneve);
	said = parse_options(c, *options, end, metadata);
	if (said != OPOF_DECAPSULATED)
		return said;
	if (c->left < sizeof(struct ethernet_header) || c->at + sizeof(struct ethernet_header) > c->end)
		return OPOF_REFUSED_TRUNCATED;
	return OPOF_DECAPSULATED;
}

/* OPOF_DECAPSULATED, *inner and *metadata filled; or why the frame is no packet of the tunnel. Changes nothing. */
static __always_inline int find_inner(struct xdp_md *ctx, const struct opof_tunnel_end *end, struct opof_inner *inner,
				      struct opof_metadata *metadata)
{
	struct opof_cursor c = { .at = frame_start(ctx), .end = frame_end(ctx) };
	const struct ethernet_header *eth = c.at;
	__u32 options = 0;
	int said;

	if ((void *)(eth + 1) > c.end)
		return OPOF_REFUSED_TRUNCATED;
	c.at += sizeof(*eth);
	c.left = bpf_xdp_get_buff_len(ctx) - sizeof(*eth);
	inner->start = sizeof(*eth) + sizeof(struct udp_header) + sizeof(struct geneve_header);
	if (end->family == 4 && eth->type == bpf_htons(ETHER_TYPE_IPV4)) {
		inner->start += sizeof(struct ipv4_header);
		said = outer_v4(&c, end);
	} else if (end->family == 6 && eth->type == bpf_htons(ETHER_TYPE_IPV6)) {
		inner->start += sizeof(struct ipv6_header);
		said = outer_v6(&c, end);
	} else {
		said = OPOF_REFUSED_ETHER_TYPE; /* rule 1 */
	}
	if (said == OPOF_DECAPSULATED)
		said = outer_udp(&c);
	if (said == OPOF_DECAPSULATED)
		said = outer_geneve(&c, end, metadata, &options);
	inner->start += options;
	inner->length = c.left;
	return said;
}

/* Leaves of the frame what find_inner() has found. OPOF_DECAPSULATED, or OPOF_NOT_SHORTENED. */
static __always_inline int take_out(struct xdp_md *ctx, const struct opof_inner *inner)
{
	__u32 padding = bpf_xdp_get_buff_len(ctx) - inner->start - inner->length;

	if (padding && bpf_xdp_adjust_tail(ctx, -(int)padding))
		return OPOF_NOT_SHORTENED;
	return bpf_xdp_adjust_head(ctx, inner->start) ? OPOF_NOT_SHORTENED : OPOF_DECAPSULATED;
}

/* OPOF_DECAPSULATED, the frame is the one that was inside and *metadata is filled; or the reason, and it is as it was. */
static __always_inline int decapsulate(struct xdp_md *ctx, const struct opof_tunnel_end *end,
				       struct opof_metadata *metadata)
{
	struct opof_inner inner = {};
	int said = find_inner(ctx, end, &inner, metadata);

	return said == OPOF_DECAPSULATED ? take_out(ctx, &inner) : said;
}

#endif
