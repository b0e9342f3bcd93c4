/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What is changed in a frame that is sent on, in its outermost headers: the steps of crates/wire/src/edit.rs, in the same
 * order. Whether a frame can be changed so is decided before it is counted, by resolve(); from then on nothing fails.
 */
#ifndef OPOF_EDIT_H
#define OPOF_EDIT_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"
#include "parse.h"

/* What an edit needs, of the moment of its packet. The edit is a map's own: it goes only when no program can hold it. */
struct opof_change {
	const struct opof_edit *edit;
	__u8 macs[16]; /* destination, source, zero */
};

/* See struct opof_next_hop; abi.rs computes the same. */
static __always_inline __u64 check_next_hop(__u32 id, __u64 first, __u64 second)
{
	return first * OPOF_CHECK_0 + second * OPOF_CHECK_1 + id * OPOF_CHECK_2;
}

/* 1 and `macs` filled: with all of one next hop, or not at all. */
static __always_inline int read_next_hop(__u32 id, __u8 macs[16])
{
	const struct opof_next_hop *hop = bpf_map_lookup_elem(&next_hops, &id);
	__u64 first, second;

	if (!hop)
		return 0;
	first = *(volatile const __u64 *)&hop->macs[0];
	second = *(volatile const __u64 *)&hop->macs[8];
	if (*(volatile const __u64 *)&hop->check != check_next_hop(id, first, second))
		return 0;
	__builtin_memcpy(macs, &first, 8);
	__builtin_memcpy(macs + 8, &second, 8);
	return 1;
}

/* The outermost IP header, `size` bytes of which are there, or NULL. There are at most MAX_TAGS tags in front of it. */
static __always_inline void *outermost_ip(struct xdp_md *ctx, const struct opof_packet *p, __u32 size)
{
	__u32 tags = p->tags & (MAX_TAGS | 1);
	void *ip = frame_start(ctx) + sizeof(struct ethernet_header) + tags * sizeof(struct vlan_tag);

	return ip + size > frame_end(ctx) ? 0 : ip;
}

static __always_inline __u8 outermost_ttl(struct xdp_md *ctx, const struct opof_packet *p)
{
	if (p->outer_family == 4) {
		struct ipv4_header *ip = outermost_ip(ctx, p, sizeof(*ip));

		return ip ? ip->ttl : 0;
	} else {
		struct ipv6_header *ip = outermost_ip(ctx, p, sizeof(*ip));

		return ip ? ip->hop_limit : 0;
	}
}

/* 1 when every address that is to be written is of the family of the frame's. */
static __always_inline int fits(const struct opof_packet *p, __u8 flags)
{
	__u8 wrong = p->outer_family == 4 ? OPOF_SOURCE_V6 | OPOF_DESTINATION_V6
					  : OPOF_SOURCE_V4 | OPOF_DESTINATION_V4;

	return !(flags & wrong);
}

/* OPOF_HAS_KEY and *change filled, or the reason why the frame of this hit is not sent on. */
static __always_inline int resolve(struct xdp_md *ctx, const struct opof_packet *p, const struct opof_hit *hit,
				   struct opof_change *change)
{
	__u32 slot = hit->slot;
	const struct opof_edits *edits = bpf_map_lookup_elem(&edits_of_slot, &slot);

	if (!edits)
		return OPOF_MISS;
	change->edit = &edits->direction[hit->flags & OPOF_OUTWARD];
	if (!fits(p, change->edit->flags))
		return OPOF_MISS;
	if (!change->edit->next_hop)
		return OPOF_HAS_KEY;
	if (!read_next_hop(change->edit->next_hop, change->macs))
		return OPOF_MISS;
	if (outermost_ttl(ctx, p) <= 1)
		return OPOF_TTL_EXPIRED;
	return OPOF_HAS_KEY;
}

/* One's complement sums (RFC 1071) over 32-bit words as they lie in memory: any byte order gives its own sum. */
static __always_inline __u64 more(__u64 sum, __u32 word)
{
	return sum + word;
}

static __always_inline __u64 less(__u64 sum, __u32 word)
{
	return sum + (__u32)~word;
}

/* RFC 1624, equation 3. */
static __always_inline __u16 updated(__u16 checksum, __u64 delta)
{
	__u64 sum = delta + (__u16)~checksum;

	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline void update_udp(__be16 *checksum, __u64 delta)
{
	__u16 now;

	if (!*checksum)
		return;
	now = updated(*checksum, delta);
	*checksum = now ? now : 0xffff;
}

/* Puts 4-byte words of `new` in the place of those at `at`. Returns by how much the sum over them changes. */
static __always_inline __u64 replace(__u8 *at, const __u8 *new, int words)
{
	__u64 delta = 0;

#pragma unroll
	for (int i = 0; i < words; i++) {
		__u32 was, is;

		__builtin_memcpy(&was, at + 4 * i, 4);
		__builtin_memcpy(&is, new + 4 * i, 4);
		__builtin_memcpy(at + 4 * i, &is, 4);
		delta = more(less(delta, was), is);
	}
	return delta;
}

/* As replace(), for a port. The upper half of the words is the same in both. */
static __always_inline __u64 replace_port(__u8 at[2], const __u8 new[2])
{
	__u16 was, is;

	__builtin_memcpy(&was, at, 2);
	__builtin_memcpy(&is, new, 2);
	__builtin_memcpy(at, &is, 2);
	return (__u16)~was + (__u64)is;
}

/* Ports, and the checksum behind them. `addresses` is what the pseudo header has changed by. */
static __always_inline void edit_transport(void *at, void *end, __u8 protocol, const struct opof_edit *edit, __u64 delta)
{
	__u8 *ports = at;

	if (at + sizeof(struct udp_header) > end)
		return;
	if (edit->flags & OPOF_SOURCE_PORT)
		delta += replace_port(ports, edit->source_port);
	if (edit->flags & OPOF_DESTINATION_PORT)
		delta += replace_port(ports + 2, edit->destination_port);
	if (protocol == PROTOCOL_TCP) {
		struct tcp_header *tcp = at;

		if ((void *)(tcp + 1) <= end)
			tcp->checksum = updated(tcp->checksum, delta);
	} else {
		update_udp(&((struct udp_header *)at)->checksum, delta);
	}
}

static __always_inline void edit_ipv4(struct xdp_md *ctx, const struct opof_packet *p, const struct opof_edit *edit)
{
	struct ipv4_header *ip = outermost_ip(ctx, p, sizeof(*ip));
	__u64 delta = 0;

	if (!ip)
		return;
	if (edit->next_hop) {
		__u16 was, is;

		__builtin_memcpy(&was, &ip->ttl, 2);
		ip->ttl--;
		__builtin_memcpy(&is, &ip->ttl, 2);
		ip->checksum = updated(ip->checksum, (__u16)~was + (__u64)is);
	}
	if (!(edit->flags & (OPOF_SOURCE_V4 | OPOF_DESTINATION_V4)))
		return;
	if (edit->flags & OPOF_SOURCE_V4)
		delta += replace(ip->source, edit->source, 1);
	if (edit->flags & OPOF_DESTINATION_V4)
		delta += replace(ip->destination, edit->destination, 1);
	ip->checksum = updated(ip->checksum, delta);
	edit_transport(ip + 1, frame_end(ctx), p->outer_protocol, edit, delta);
}

static __always_inline void edit_ipv6(struct xdp_md *ctx, const struct opof_packet *p, const struct opof_edit *edit)
{
	struct ipv6_header *ip = outermost_ip(ctx, p, sizeof(*ip));
	__u64 delta = 0;

	if (!ip)
		return;
	if (edit->next_hop)
		ip->hop_limit--;
	if (!(edit->flags & (OPOF_SOURCE_V6 | OPOF_DESTINATION_V6)))
		return;
	if (edit->flags & OPOF_SOURCE_V6)
		delta += replace(ip->source, edit->source, 4);
	if (edit->flags & OPOF_DESTINATION_V6)
		delta += replace(ip->destination, edit->destination, 4);
	edit_transport(ip + 1, frame_end(ctx), p->outer_protocol, edit, delta);
}

/* Everything but the tag. */
static __always_inline void apply(struct xdp_md *ctx, const struct opof_packet *p, const struct opof_change *change)
{
	struct ethernet_header *eth = frame_start(ctx);

	if (change->edit->next_hop && (void *)(eth + 1) <= frame_end(ctx))
		__builtin_memcpy(eth->addresses, change->macs, sizeof(eth->addresses));
	if (p->outer_family == 4)
		edit_ipv4(ctx, p, change->edit);
	else
		edit_ipv6(ctx, p, change->edit);
}

/* Writes `vid` into the outermost tag; priority and drop eligibility stay. The key had a VLAN, so there is a tag. */
static __always_inline void rewrite_vid(struct xdp_md *ctx, __u16 vid)
{
	struct ethernet_header *eth = frame_start(ctx);
	struct vlan_tag *tag = (void *)(eth + 1);

	if ((void *)(tag + 1) > frame_end(ctx))
		return;
	tag->tci = (tag->tci & bpf_htons((__u16)~VID_MASK)) | bpf_htons(vid);
}

#endif
