/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * From a frame to its key, or to the reason why it has none: the rules of crates/wire/src/classify.rs, numbered as
 * there, in the same order. Nothing is looked up here.
 *
 * Headers are read from the linear part of the buffer. A frame may continue in fragments, whose bytes count where
 * a length field is compared with the frame; a header that reaches into them is taken as truncated.
 */
#ifndef OPOF_PARSE_H
#define OPOF_PARSE_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

struct opof_packet {
	__u32 length; /* whole frame without FCS */
	__u16 vlan;   /* outermost VID, 0 untagged */
	__u8 family;  /* of the key: 4 or 6. Without a key it says nothing, and the transport is 0 */
	__u8 tags;
	struct opof_key key;
	__u8 transport; /* of the key, as in IP */
	/* Of the outermost IP header, with a key. Within a tunnel they may differ from those of the key. */
	__u8 outer_family;
	__u8 outer_protocol;
};

/* IEEE 802.1Q clause 9 */
#define TPID_C 0x8100
#define TPID_S 0x88a8
#define VID_MASK 0x0fff
#define VID_RESERVED 4095
#define MAX_TAGS 2

#define ETHER_TYPE_IPV4 0x0800
#define ETHER_TYPE_IPV6 0x86dd
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17

/* 3GPP TS 29.281: 4.4.2, 5.1 and 6.1 */
#define GTPU_PORT 2152
#define GTPU_VERSION_PT 0xf0
#define GTPU_VERSION_1_GTP 0x30
#define GTPU_E 0x04
#define GTPU_E_S_PN 0x07
#define GTPU_G_PDU 255
#define GTPU_EXTENSION_UNIT 4

struct ethernet_header {
	__u8 addresses[12];
	__be16 type;
};

struct vlan_tag {
	__be16 tci;
	__be16 type;
};

struct ipv4_header {
	__u8 version_ihl;
	__u8 tos;
	__be16 total_length;
	__be16 id;
	__be16 flags_offset;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__u8 source[4];
	__u8 destination[4];
};

struct ipv6_header {
	__u8 version_class;
	__u8 class_label[3];
	__be16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	__u8 source[16];
	__u8 destination[16];
};

struct tcp_header {
	__u8 source_port[2];
	__u8 destination_port[2];
	__be32 sequence;
	__be32 acknowledgement;
	__u8 offset;
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
};

struct udp_header {
	__u8 source_port[2];
	__u8 destination_port[2];
	__be16 length;
	__be16 checksum;
};

struct gtpu_header {
	__u8 flags;
	__u8 type;
	__be16 length; /* of all behind this header */
	__be32 teid;
};

/* There when any of the flags E, S and PN is set. */
struct gtpu_optional {
	__be16 sequence;
	__u8 n_pdu;
	__u8 next; /* evaluated with E only */
};

/* What the layers hand to the next one. `at` is where it begins; `left` counts the bytes from there to the end of
 * what encloses it. */
struct opof_cursor {
	void *at;
	void *end; /* of the linear part */
	__u32 left;
};

/*
 * The linear part of a frame. The context has 32-bit numbers; the compiler must not carry one of them about and widen it
 * later, for then the verifier does not see a pointer in it.
 */
static __always_inline void *frame_start(const struct xdp_md *ctx)
{
	void *start = (void *)(long)ctx->data;

	asm volatile("" : "+r"(start));
	return start;
}

static __always_inline void *frame_end(const struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;

	asm volatile("" : "+r"(end));
	return end;
}

/*
 * Words of a frame, as they are there. One load each, whatever their alignment is: a key that is put together in memory from smaller
 * pieces and then read as words makes the processor wait for the pieces.
 */
typedef __u32 __attribute__((may_alias)) opof_word32;
typedef __u64 __attribute__((may_alias)) opof_word64;

static __always_inline __u32 load32(const void *at)
{
	return *(const opof_word32 *)at;
}

static __always_inline __u64 load64(const void *at)
{
	return *(const opof_word64 *)at;
}

static __always_inline int is_tpid(__u16 type)
{
	return type == TPID_C || type == TPID_S;
}

/* Rule 2. Leaves the cursor behind the tags and the EtherType there in *type. */
static __always_inline int parse_tags(struct opof_cursor *c, struct opof_packet *p, __u16 *type)
{
#pragma unroll
	for (int i = 0; i <= MAX_TAGS; i++) {
		struct vlan_tag *tag = c->at;
		__u16 vid;

		if (!is_tpid(*type))
			break;
		if (i == MAX_TAGS)
			return OPOF_TOO_MANY_TAGS;
		if ((void *)(tag + 1) > c->end)
			return OPOF_TRUNCATED;
		vid = bpf_ntohs(tag->tci) & VID_MASK;
		if (vid == VID_RESERVED)
			return OPOF_VLAN_RESERVED;
		if (i == 0)
			p->vlan = vid;
		p->tags = i + 1;
		*type = bpf_ntohs(tag->type);
		c->at = tag + 1;
		c->left -= sizeof(*tag);
	}
	if (p->tags == MAX_TAGS && p->vlan == 0)
		return OPOF_VLAN_RESERVED;
	return OPOF_HAS_KEY;
}

/* Rule 4. Leaves the cursor on what IP carries. */
static __always_inline int parse_ipv4(struct opof_cursor *c, struct opof_packet *p, __u8 *protocol)
{
	struct ipv4_header *ip = c->at;
	__u16 total, fragment;

	if ((void *)(ip + 1) > c->end)
		return OPOF_TRUNCATED;
	if (ip->version_ihl >> 4 != 4 || (ip->version_ihl & 0x0f) < 5)
		return OPOF_IPV4_MALFORMED;
	if ((ip->version_ihl & 0x0f) > 5)
		return OPOF_IPV4_OPTIONS;
	total = bpf_ntohs(ip->total_length);
	if (total < sizeof(*ip))
		return OPOF_IPV4_MALFORMED;
	if (total > c->left)
		return OPOF_TRUNCATED;
	fragment = bpf_ntohs(ip->flags_offset);
	if (fragment & 0x8000) /* reserved */
		return OPOF_IPV4_MALFORMED;
	if (fragment & 0x3fff) /* MF, offset */
		return OPOF_FRAGMENT;
	*protocol = ip->protocol;
	if (*protocol != PROTOCOL_TCP && *protocol != PROTOCOL_UDP)
		return OPOF_PROTOCOL;
	p->family = 4;
	p->key.addresses[0] = load64(ip->source); /* and destination */
	c->at = ip + 1;
	c->left = total - sizeof(*ip);
	return OPOF_HAS_KEY;
}

/* The IANA registry "IPv6 Extension Header Types" without the fragment header. */
static __always_inline int is_extension(__u8 next)
{
	switch (next) {
	case 0:
	case 43:
	case 50:
	case 51:
	case 60:
	case 135:
	case 139:
	case 140:
	case 253:
	case 254:
		return 1;
	default:
		return 0;
	}
}

/* Rule 5. Leaves the cursor on what IP carries. */
static __always_inline int parse_ipv6(struct opof_cursor *c, struct opof_packet *p, __u8 *protocol)
{
	struct ipv6_header *ip = c->at;
	__u16 payload;

	if ((void *)(ip + 1) > c->end)
		return OPOF_TRUNCATED;
	payload = bpf_ntohs(ip->payload_length);
	if (ip->version_class >> 4 != 6 || payload == 0)
		return OPOF_IPV6_MALFORMED;
	if (payload + sizeof(*ip) > c->left)
		return OPOF_TRUNCATED;
	*protocol = ip->next_header;
	if (*protocol == 44)
		return OPOF_FRAGMENT;
	if (is_extension(*protocol))
		return OPOF_IPV6_EXTENSION;
	if (*protocol != PROTOCOL_TCP && *protocol != PROTOCOL_UDP)
		return OPOF_PROTOCOL;
	p->family = 6;
	p->key.addresses[0] = load64(ip->source);
	p->key.addresses[1] = load64(ip->source + 8);
	p->key.addresses[2] = load64(ip->destination);
	p->key.addresses[3] = load64(ip->destination + 8);
	c->at = ip + 1;
	c->left = payload;
	return OPOF_HAS_KEY;
}

/* Rule 6. Both ports in *ports, as they are there; rule 7 the same. */
static __always_inline int parse_tcp(const struct opof_cursor *c, __u32 *ports)
{
	struct tcp_header *tcp = c->at;
	__u8 words;

	if (c->left < sizeof(*tcp) || (void *)(tcp + 1) > c->end)
		return OPOF_TRUNCATED;
	words = tcp->offset >> 4;
	if (words < 5)
		return OPOF_TCP_MALFORMED;
	if (words * 4 > c->left)
		return OPOF_TRUNCATED;
	*ports = load32(tcp->source_port);
	return tcp->flags & 0x07 ? OPOF_TCP_CONTROL : OPOF_HAS_KEY; /* FIN, SYN, RST */
}

/* Rule 7. */
static __always_inline int parse_udp(const struct opof_cursor *c, __u32 *ports)
{
	struct udp_header *udp = c->at;
	__u16 length;

	if (c->left < sizeof(*udp) || (void *)(udp + 1) > c->end)
		return OPOF_TRUNCATED;
	length = bpf_ntohs(udp->length);
	if (length < sizeof(*udp))
		return OPOF_UDP_MALFORMED;
	if (length > c->left)
		return OPOF_TRUNCATED;
	if (length < c->left)
		return OPOF_UDP_MALFORMED;
	*ports = load32(udp->source_port);
	return OPOF_HAS_KEY;
}

/* Completes the key. `kind` is OPOF_GTPU or nothing. */
static __always_inline void finish_key(struct opof_packet *p, __u32 ports, __u8 lif, __u8 protocol, __u16 kind)
{
	if (p->family == 6)
		kind |= OPOF_IPV6;
	if (protocol == PROTOCOL_UDP)
		kind |= OPOF_UDP;
	kind = p->vlan | kind << OPOF_KIND_SHIFT;
	/* Both ports, vlan_kind and lif, as abi.h has them. */
	p->key.tail = ports | (__u64)kind << 32 | (__u64)lif << 48;
	p->transport = protocol;
}

static __always_inline int parse_transport(const struct opof_cursor *c, __u8 protocol, __u32 *ports)
{
	return protocol == PROTOCOL_TCP ? parse_tcp(c, ports) : parse_udp(c, ports);
}

/* Leaves the cursor, which stands on the first extension header or on the packet, on the packet. */
static __always_inline int skip_extensions(struct opof_cursor *c, __u8 next)
{
#pragma unroll
	for (int i = 0; i <= OPOF_MAX_GTPU_EXTENSIONS; i++) {
		__u8 *units = c->at, *last;
		__u32 length;

		if (next == 0)
			break;
		if (i == OPOF_MAX_GTPU_EXTENSIONS)
			return OPOF_GTPU_EXTENSIONS;
		if (c->left < 1 || (void *)(units + 1) > c->end)
			return OPOF_TRUNCATED;
		if (*units == 0)
			return OPOF_GTPU_MALFORMED;
		length = *units * GTPU_EXTENSION_UNIT;
		if (length > c->left)
			return OPOF_TRUNCATED;
		/* The verifier knows a bound where it was compared: it has to be compared at the byte that is read. */
		last = units + (length - 1);
		if ((void *)(last + 1) > c->end)
			return OPOF_TRUNCATED;
		next = *last;
		c->at = last + 1;
		c->left -= length;
	}
	return OPOF_HAS_KEY;
}

/* Rule 8 up to the packet inside, on which it leaves the cursor. */
static __always_inline int parse_g_pdu(struct opof_cursor *c)
{
	struct gtpu_header *gtpu = c->at;
	struct gtpu_optional *optional = (void *)(gtpu + 1);
	__u16 length;
	__u8 flags;

	if (c->left < sizeof(*gtpu) || (void *)(gtpu + 1) > c->end)
		return OPOF_TRUNCATED;
	flags = gtpu->flags;
	if ((flags & GTPU_VERSION_PT) != GTPU_VERSION_1_GTP)
		return OPOF_GTPU_MALFORMED;
	if (gtpu->type != GTPU_G_PDU)
		return OPOF_GTPU_CONTROL;
	length = bpf_ntohs(gtpu->length);
	c->left -= sizeof(*gtpu);
	if (length > c->left)
		return OPOF_TRUNCATED;
	if (length < c->left)
		return OPOF_GTPU_MALFORMED;
	c->at = optional;
	if (!(flags & GTPU_E_S_PN))
		return OPOF_HAS_KEY;
	if (c->left < sizeof(*optional) || (void *)(optional + 1) > c->end)
		return OPOF_TRUNCATED;
	c->at = optional + 1;
	c->left -= sizeof(*optional);
	return flags & GTPU_E ? skip_extensions(c, optional->next) : OPOF_HAS_KEY;
}

/*
 * Rule 8, `at` behind the UDP header, with `left` bytes to the end of what that carries: replaces the key by the one
 * of the packet inside. A function of its own, so that the code of other frames stays as short as it is without it.
 */
static __noinline int parse_gtpu(struct opof_packet *p, void *at, void *end, __u32 left, __u8 lif)
{
	struct opof_cursor c = { .at = at, .end = end, .left = left };
	__u8 protocol = 0;
	__u32 ports = 0;
	__u32 size, header;
	int said;

	said = parse_g_pdu(&c);
	if (said != OPOF_HAS_KEY)
		return said;
	if (c.left < 1 || c.at + 1 > c.end)
		return OPOF_TRUNCATED;
	/* The outer key may be the longer one. */
	__builtin_memset(&p->key, 0, sizeof(p->key));
	size = c.left;
	switch (*(__u8 *)c.at >> 4) {
	case 4:
		said = parse_ipv4(&c, p, &protocol);
		header = sizeof(struct ipv4_header);
		break;
	case 6:
		said = parse_ipv6(&c, p, &protocol);
		header = sizeof(struct ipv6_header);
		break;
	default:
		return OPOF_GTPU_MALFORMED;
	}
	if (said != OPOF_HAS_KEY)
		return said;
	if (header + c.left < size)
		return OPOF_GTPU_MALFORMED;
	said = parse_transport(&c, protocol, &ports);
	if (said == OPOF_HAS_KEY || said == OPOF_TCP_CONTROL)
		finish_key(p, ports, lif, protocol, OPOF_GTPU);
	return said;
}

static __always_inline int is_gtpu(__u8 protocol, __u32 ports)
{
	return protocol == PROTOCOL_UDP && ports >> 16 == bpf_htons(GTPU_PORT);
}

/* The reason why the frame has no key, or OPOF_HAS_KEY and *p filled. TCP control fills it, too: wire::flow_of(). */
static __always_inline int parse(struct xdp_md *ctx, struct opof_packet *p, __u8 lif)
{
	struct opof_cursor c = { .at = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end };
	struct ethernet_header *eth = c.at;
	__u8 protocol = 0;
	__u32 ports = 0;
	__u16 type;
	int said;

	__builtin_memset(p, 0, sizeof(*p));
	p->length = bpf_xdp_get_buff_len(ctx);
	if ((void *)(eth + 1) > c.end) /* rule 1 */
		return OPOF_TRUNCATED;
	c.at = eth + 1;
	c.left = p->length - sizeof(*eth);
	type = bpf_ntohs(eth->type);

	said = parse_tags(&c, p, &type);
	if (said != OPOF_HAS_KEY)
		return said;

	if (type == ETHER_TYPE_IPV4)
		said = parse_ipv4(&c, p, &protocol);
	else if (type == ETHER_TYPE_IPV6)
		said = parse_ipv6(&c, p, &protocol);
	else
		return OPOF_ETHER_TYPE; /* rule 3 */
	if (said != OPOF_HAS_KEY)
		return said;

	p->outer_family = p->family;
	p->outer_protocol = protocol;
	said = parse_transport(&c, protocol, &ports);
	if (said != OPOF_HAS_KEY && said != OPOF_TCP_CONTROL)
		return said;
	if (is_gtpu(protocol, ports))
		return parse_gtpu(p, c.at + sizeof(struct udp_header), c.end, c.left - sizeof(struct udp_header), lif);
	finish_key(p, ports, lif, protocol, 0);
	return said;
}

#endif
