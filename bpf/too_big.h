/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The answer to a frame whose packet does not fit: the twin of crates/wire/src/packet_too_big.rs, the same decisions in the
 * same order, the same bytes.
 *
 * The frame becomes its answer in place. What is quoted is the beginning of its packet and stays where it is: headers are put
 * in front of it, and what is behind it is cut off. A header or a quote that reaches out of the linear part is taken as
 * malformed, as parse.h takes it as truncated.
 */
#ifndef OPOF_TOO_BIG_H
#define OPOF_TOO_BIG_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "parse.h"
#include "sum.h"

#define PROTOCOL_ICMP 1
#define PROTOCOL_ICMPV6 58

/* RFC 792 and RFC 4443: the two messages. */
#define ICMP_UNREACHABLE 3
#define ICMP_FRAGMENTATION_NEEDED 4
#define ICMPV6_PACKET_TOO_BIG 2

#define IPV6_HOP_BY_HOP 0
#define IPV6_ROUTING 43
#define IPV6_FRAGMENT 44
#define IPV6_DESTINATION 60
#define IPV6_EXTENSION_UNIT 8

#define IPV4_RESERVED 0x8000
#define IPV4_DF 0x4000
#define IPV4_OFFSET 0x1fff
#define IPV4_OPTIONS_WORDS 20 /* of 16 bits, at most */

#define MAC_GROUP 0x01
#define ANSWER_HOPS 64
#define ANSWER_PRECEDENCE_V4 0xc0

struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 rest[2];
};

#define ANSWER_HEADERS_V4 (sizeof(struct ipv4_header) + sizeof(struct icmp_header))
#define ANSWER_HEADERS_V6 (sizeof(struct ipv6_header) + sizeof(struct icmp_header))

/* What is to be answered. */
struct opof_subject {
	__u32 length; /* of the IP packet */
	__u8 family;
	__u8 tags; /* in front of it, at most MAX_TAGS */
};

/* No 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4, 240.0.0.0/4. */
static __always_inline int is_host_v4(const __u8 address[4])
{
	return address[0] != 0 && address[0] != 127 && address[0] < 224;
}

/* No ::, ::1, ff00::/8. */
static __always_inline int is_host_v6(const __u8 address[16])
{
	__u8 others = 0;

	if (address[0] == 0xff)
		return 0;
#pragma unroll
	for (int i = 0; i < 15; i++)
		others |= address[i];
	return others || address[15] > 1;
}

static __always_inline int is_error_v4(__u8 type)
{
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static __always_inline int is_error_v6(__u8 type)
{
	return type < 128 || type == 137;
}

/* 1 when the header of `length` bytes is there and bears out its checksum. The caller has seen the fixed part. */
static __always_inline int ipv4_sum_is_right(const struct ipv4_header *ip, const void *end, __u32 length)
{
	const __u16 *options = (const void *)(ip + 1);
	__u64 sum = summed(ip, sizeof(*ip) / 2);

#pragma unroll
	for (int i = 0; i < IPV4_OPTIONS_WORDS; i++) {
		if (sizeof(*ip) + 2 * i >= length)
			break;
		if ((const void *)(options + i + 1) > end)
			return 0;
		sum += options[i];
	}
	return checksum_of(sum) == 0;
}

/* Rule 3. */
static __always_inline int subject_v4(const struct opof_cursor *c, struct opof_subject *subject)
{
	const struct ipv4_header *ip = c->at;
	__u32 header, total;
	__u16 fragment;
	__u8 *type;

	if ((void *)(ip + 1) > c->end)
		return OPOF_SILENT_MALFORMED;
	header = (ip->version_ihl & 0x0f) * 4;
	total = bpf_ntohs(ip->total_length);
	if (ip->version_ihl >> 4 != 4 || header < sizeof(*ip) || total < header || total > c->left)
		return OPOF_SILENT_MALFORMED;
	fragment = bpf_ntohs(ip->flags_offset);
	if ((fragment & IPV4_RESERVED) || !ipv4_sum_is_right(ip, c->end, header))
		return OPOF_SILENT_MALFORMED;
	if (!(fragment & IPV4_DF))
		return OPOF_SILENT_MAY_FRAGMENT;
	if (fragment & IPV4_OFFSET)
		return OPOF_SILENT_FRAGMENT;
	if (!is_host_v4(ip->source) || !is_host_v4(ip->destination))
		return OPOF_SILENT_NOT_ONE_HOST;
	if (ip->protocol == PROTOCOL_ICMP) {
		type = c->at + header;
		if (total == header || (void *)(type + 1) > c->end)
			return OPOF_SILENT_MALFORMED;
		if (is_error_v4(*type))
			return OPOF_SILENT_ICMP_ERROR;
	}
	subject->family = 4;
	subject->length = total;
	return OPOF_ANSWERED;
}

/* Leaves the cursor, which stands behind the IPv6 header, on what the extension headers lead to. */
static __always_inline int skip_ipv6_extensions(struct opof_cursor *c, __u8 *next)
{
#pragma unroll
	for (int i = 0; i <= OPOF_MAX_IPV6_EXTENSIONS; i++) {
		const __u8 *header = c->at;
		__u32 length = IPV6_EXTENSION_UNIT;

		if (*next != IPV6_HOP_BY_HOP && *next != IPV6_ROUTING && *next != IPV6_FRAGMENT && *next != IPV6_DESTINATION)
			return OPOF_ANSWERED;
		if (c->left < IPV6_EXTENSION_UNIT || (void *)(header + IPV6_EXTENSION_UNIT) > c->end)
			return OPOF_SILENT_MALFORMED;
		if (*next == IPV6_FRAGMENT) {
			if (header[2] || header[3] >> 3)
				return OPOF_SILENT_FRAGMENT;
		} else {
			length = (header[1] + 1) * IPV6_EXTENSION_UNIT;
		}
		if (length > c->left)
			return OPOF_SILENT_MALFORMED;
		*next = header[0];
		c->at += length;
		c->left -= length;
	}
	return OPOF_SILENT_EXTENSIONS;
}

/* Rule 4. Moves the cursor. */
static __always_inline int subject_v6(struct opof_cursor *c, struct opof_subject *subject)
{
	const struct ipv6_header *ip = c->at;
	__u32 payload;
	__u8 next, *type;
	int said;

	if ((void *)(ip + 1) > c->end)
		return OPOF_SILENT_MALFORMED;
	payload = bpf_ntohs(ip->payload_length);
	if (ip->version_class >> 4 != 6 || sizeof(*ip) + payload > c->left)
		return OPOF_SILENT_MALFORMED;
	if (!is_host_v6(ip->source) || !is_host_v6(ip->destination))
		return OPOF_SILENT_NOT_ONE_HOST;
	next = ip->next_header;
	c->at += sizeof(*ip);
	c->left = payload;
	said = skip_ipv6_extensions(c, &next);
	if (said != OPOF_ANSWERED)
		return said;
	if (next == PROTOCOL_ICMPV6) {
		type = c->at;
		if (!c->left || (void *)(type + 1) > c->end)
			return OPOF_SILENT_MALFORMED;
		if (is_error_v6(*type))
			return OPOF_SILENT_ICMP_ERROR;
	}
	subject->family = 6;
	subject->length = sizeof(*ip) + payload;
	return OPOF_ANSWERED;
}

/* OPOF_ANSWERED and *subject filled, or the reason for silence: wire::packet_too_big::must_answer(). */
static __always_inline int must_answer(struct xdp_md *ctx, struct opof_subject *subject)
{
	struct opof_cursor c = { .at = frame_start(ctx), .end = frame_end(ctx) };
	const struct ethernet_header *eth = c.at;
	__u16 type;

	if ((void *)(eth + 1) > c.end)
		return OPOF_SILENT_MALFORMED;
	if ((eth->addresses[0] | eth->addresses[6]) & MAC_GROUP)
		return OPOF_SILENT_LINK_GROUP;
	type = bpf_ntohs(eth->type);
	c.at += sizeof(*eth);
	c.left = bpf_xdp_get_buff_len(ctx) - sizeof(*eth);
	subject->tags = 0;
#pragma unroll
	for (int i = 0; i < MAX_TAGS; i++) {
		const struct vlan_tag *tag = c.at;

		if (!is_tpid(type))
			break;
		if ((void *)(tag + 1) > c.end)
			return OPOF_SILENT_MALFORMED;
		type = bpf_ntohs(tag->type);
		c.at += sizeof(*tag);
		c.left -= sizeof(*tag);
		subject->tags = i + 1;
	}
	if (type == ETHER_TYPE_IPV4)
		return subject_v4(&c, subject);
	return type == ETHER_TYPE_IPV6 ? subject_v6(&c, subject) : OPOF_SILENT_NOT_IP;
}

/* Bytes in front of the packet. The mask is for the verifier, which has forgotten the bound. */
static __always_inline __u32 link_length(const struct opof_subject *subject)
{
	return sizeof(struct ethernet_header) + (subject->tags & (MAX_TAGS | 1)) * sizeof(struct vlan_tag);
}

/*
 * Makes the frame as long as its answer, `headers` bytes more in front and nothing behind `quote` bytes of the packet, and says
 * OPOF_ANSWERED; or why it can't be, and the frame is as it was.
 */
static __always_inline int make_room(struct xdp_md *ctx, const struct opof_subject *subject, __u32 headers, __u32 quote)
{
	__u32 length = link_length(subject) + headers + quote;

	if (frame_start(ctx) + link_length(subject) + quote > frame_end(ctx))
		return OPOF_SILENT_MALFORMED;
	if (bpf_xdp_adjust_head(ctx, -(int)headers))
		return OPOF_NO_HEADROOM;
	if (!bpf_xdp_adjust_tail(ctx, (int)(length - bpf_xdp_get_buff_len(ctx))))
		return OPOF_ANSWERED;
	bpf_xdp_adjust_head(ctx, headers);
	return OPOF_NO_HEADROOM;
}

/* Puts the link header, `headers` bytes further behind, in front of the answer: MAC addresses swapped, tags as they were. */
static __always_inline void *move_link(struct xdp_md *ctx, const struct opof_subject *subject, __u32 headers)
{
	struct ethernet_header *eth = frame_start(ctx);
	const struct ethernet_header *was = (void *)eth + headers;
	struct vlan_tag *tags = (void *)(eth + 1);
	const struct vlan_tag *were = (const void *)(was + 1);

	/* No more than the shortest quote reaches beyond. */
	if ((void *)(were + MAX_TAGS) > frame_end(ctx))
		return 0;
	__builtin_memcpy(eth->addresses, was->addresses + 6, 6);
	__builtin_memcpy(eth->addresses + 6, was->addresses, 6);
	eth->type = was->type;
#pragma unroll
	for (int i = 0; i < MAX_TAGS; i++) {
		if (i < subject->tags)
			tags[i] = were[i];
	}
	return (void *)eth + link_length(subject);
}

static __always_inline int answer_v4(struct xdp_md *ctx, const struct opof_subject *subject, __u16 mtu)
{
	const struct ipv4_header *about;
	struct icmp_header *icmp;
	struct ipv4_header *ip;
	int said;

	said = make_room(ctx, subject, ANSWER_HEADERS_V4, OPOF_QUOTE_V4);
	if (said != OPOF_ANSWERED)
		return said;
	ip = move_link(ctx, subject, ANSWER_HEADERS_V4);
	/* Room was made: the verifier alone has to be told. */
	if (!ip || (void *)ip + ANSWER_HEADERS_V4 + OPOF_QUOTE_V4 > frame_end(ctx))
		return OPOF_NO_HEADROOM;
	icmp = (void *)(ip + 1);
	about = (void *)(icmp + 1);

	ip->version_ihl = 0x45;
	ip->tos = ANSWER_PRECEDENCE_V4;
	ip->total_length = bpf_htons(ANSWER_HEADERS_V4 + OPOF_QUOTE_V4);
	ip->id = 0;
	ip->flags_offset = bpf_htons(IPV4_DF);
	ip->ttl = ANSWER_HOPS;
	ip->protocol = PROTOCOL_ICMP;
	ip->checksum = 0;
	__builtin_memcpy(ip->source, about->destination, sizeof(ip->source));
	__builtin_memcpy(ip->destination, about->source, sizeof(ip->destination));
	ip->checksum = checksum_of(summed(ip, sizeof(*ip) / 2));

	icmp->type = ICMP_UNREACHABLE;
	icmp->code = ICMP_FRAGMENTATION_NEEDED;
	icmp->checksum = 0;
	icmp->rest[0] = 0;
	icmp->rest[1] = bpf_htons(mtu);
	icmp->checksum = checksum_of(summed(icmp, (sizeof(*icmp) + OPOF_QUOTE_V4) / 2));
	return OPOF_ANSWERED;
}

static __always_inline int answer_v6(struct xdp_md *ctx, const struct opof_subject *subject, __u16 mtu)
{
	const __u32 payload = sizeof(struct icmp_header) + OPOF_QUOTE_V6;
	const struct ipv6_header *about;
	struct icmp_header *icmp;
	struct ipv6_header *ip;
	__u64 sum;
	int said;

	said = make_room(ctx, subject, ANSWER_HEADERS_V6, OPOF_QUOTE_V6);
	if (said != OPOF_ANSWERED)
		return said;
	ip = move_link(ctx, subject, ANSWER_HEADERS_V6);
	if (!ip || (void *)ip + ANSWER_HEADERS_V6 + OPOF_QUOTE_V6 > frame_end(ctx))
		return OPOF_NO_HEADROOM;
	icmp = (void *)(ip + 1);
	about = (void *)(icmp + 1);

	ip->version_class = 0x60;
	__builtin_memset(ip->class_label, 0, sizeof(ip->class_label));
	ip->payload_length = bpf_htons(payload);
	ip->next_header = PROTOCOL_ICMPV6;
	ip->hop_limit = ANSWER_HOPS;
	__builtin_memcpy(ip->source, about->destination, sizeof(ip->source));
	__builtin_memcpy(ip->destination, about->source, sizeof(ip->destination));

	icmp->type = ICMPV6_PACKET_TOO_BIG;
	icmp->code = 0;
	icmp->checksum = 0;
	icmp->rest[0] = 0;
	icmp->rest[1] = bpf_htons(mtu);
	/* The pseudo header: both addresses, length, next header. */
	sum = summed(ip->source, 16) + bpf_htons(payload) + bpf_htons(PROTOCOL_ICMPV6);
	icmp->checksum = checksum_of(sum + summed(icmp, payload / 2));
	return OPOF_ANSWERED;
}

/* OPOF_ANSWERED when an answer that says `mtu` is right, or the reason for silence. */
static __always_inline int does_not_fit(const struct opof_subject *subject, __u16 mtu)
{
	if (mtu < (subject->family == 4 ? OPOF_MTU_MIN_V4 : OPOF_MTU_MIN_V6))
		return OPOF_SILENT_MTU_TOO_SMALL;
	return subject->length <= mtu ? OPOF_SILENT_FITS : OPOF_ANSWERED;
}

/* OPOF_ANSWERED, and the frame is the answer to what it was; or OPOF_NO_HEADROOM, and it is not. */
static __always_inline int answer_subject(struct xdp_md *ctx, const struct opof_subject *subject, __u16 mtu)
{
	return subject->family == 4 ? answer_v4(ctx, subject, mtu) : answer_v6(ctx, subject, mtu);
}

/*
 * OPOF_ANSWERED, and the frame is the answer to what it was, or the reason for silence, and it is as it was. `mtu` is the
 * largest IP packet that can go the same way, in bytes. How often it may be called is the caller's to bound.
 */
static __always_inline int answer_too_big(struct xdp_md *ctx, __u16 mtu)
{
	struct opof_subject subject = {};
	int said = must_answer(ctx, &subject);

	if (said == OPOF_ANSWERED)
		said = does_not_fit(&subject, mtu);
	return said == OPOF_ANSWERED ? answer_subject(ctx, &subject, mtu) : said;
}

#endif
