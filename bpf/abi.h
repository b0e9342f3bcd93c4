/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the programs and user space agree on: every structure that crosses the border, every number in it. The Rust
 * mirror is crates/dataplane-linux/src/abi.rs; its tests read the numbers below from this file.
 */
#ifndef OPOF_ABI_H
#define OPOF_ABI_H

#include <linux/types.h>

/* Bounds; limits.rs has the same ones. */
#define OPOF_MAX_LIFS 32
#define OPOF_MAX_WIRES 4 /* wire ports of a LIF, beside its one firewall port */
#define OPOF_MAX_PORTS ((OPOF_MAX_WIRES + 1) * OPOF_MAX_LIFS)
#define OPOF_COLLECTORS 256
/* The longest frame that is copied: dataplane::limits::COPY_LEN. */
#define OPOF_COPY_LEN 3400
/* Answers to packets that do not fit, at once: dataplane::limits::ANSWER_BURST. */
#define OPOF_ANSWER_BURST 50
/* wire::classify has the same one. */
#define OPOF_MAX_GTPU_EXTENSIONS 4

/*
 * Ways out, the indexes of `ports`: first OPOF_WAYS for each LIF, towards the network, then one for each LIF, towards
 * its firewall. User space puts an interface behind each way; a flow keeps to one way, so it leaves by one interface.
 */
#define OPOF_WAY_BITS 3
#define OPOF_WAYS (1 << OPOF_WAY_BITS)
#define OPOF_TO_FIREWALL (OPOF_MAX_LIFS * OPOF_WAYS)
#define OPOF_MAX_EXITS (OPOF_TO_FIREWALL + OPOF_MAX_LIFS)

/* Why a frame takes the slow path: wire::SlowPath, the same numbers. */
enum opof_reason {
	OPOF_MISS = 0,
	OPOF_TCP_CONTROL = 1,
	OPOF_FRAGMENT = 2,
	OPOF_IPV4_OPTIONS = 3,
	OPOF_IPV6_EXTENSION = 4,
	OPOF_PROTOCOL = 5,
	OPOF_ETHER_TYPE = 6,
	OPOF_TRUNCATED = 7,
	OPOF_VLAN_RESERVED = 8,
	OPOF_TOO_MANY_TAGS = 9,
	OPOF_IPV4_MALFORMED = 10,
	OPOF_IPV6_MALFORMED = 11,
	OPOF_TCP_MALFORMED = 12,
	OPOF_UDP_MALFORMED = 13,
	OPOF_TTL_EXPIRED = 14,
	OPOF_GTPU_MALFORMED = 15,
	OPOF_GTPU_CONTROL = 16,
	OPOF_GTPU_EXTENSIONS = 17,
	OPOF_REASONS = 18,
};

/* Besides a reason, what parse() can say: the frame has a key. */
#define OPOF_HAS_KEY 255

/* Four bits above the VID of a key: what it is of. Neither: TCP over IPv4, in no tunnel. */
#define OPOF_KIND_SHIFT 12
#define OPOF_IPV6 0x1
#define OPOF_UDP 0x2
#define OPOF_GTPU 0x4 /* within GTP-U: wire::Tunnel */

/*
 * The key: of the innermost packet that is looked at, and the outermost VLAN. Addresses and ports as on the wire, the VLAN as
 * the host has numbers. All of it is compared, as 64-bit words: of IPv4 the first and the last one, of IPv6 all five.
 */
struct opof_key {
	union {
		struct {
			__u8 source[4];
			__u8 destination[4];
		} v4; /* then zeros; in a flow what user space keeps there, which no program looks at */
		struct {
			__u8 source[16];
			__u8 destination[16];
		} v6;
		__u64 addresses[4];
	};
	union {
		struct {
			__u8 source_port[2];
			__u8 destination_port[2];
			__u16 vlan_kind; /* VID, and from OPOF_KIND_SHIFT on what it is of */
			__u8 lif;	 /* position of the LIF it came in by */
			__u8 exit;	 /* zero; in a flow the position of the LIF to leave by */
		};
		__u64 tail;
	};
};

/* The bytes of `tail` that are compared: all but `exit`. On a little-endian machine, as the objects are for. */
#define OPOF_TAIL_MASK 0x00ffffffffffffffULL

/* opof_hit.flags. The last two are also above the VID in an action. */
#define OPOF_OUTWARD 0x01 /* the second direction of its session */
#define OPOF_DROP 0x02	  /* discard; without it, redirect to `lif` */
#define OPOF_EDIT 0x04	  /* change what the slot's entry of `edits_of_slot` says */

/* The VID to write: leave the tag alone */
#define OPOF_KEEP_VID 0xfff

/* Bits of opof_flow.stamp that are the action: a VID, and from OPOF_KIND_SHIFT on flags. Above them is the time. */
#define OPOF_ACTION_BITS 16
#define OPOF_ACTION_MASK 0xffffULL

/*
 * One direction of a session, in one cache line: what packets have that are of it, what is done with them, and how many there
 * were. Mapped into user space. Direction d of the session in slot s is number 2 s + d.
 *
 * Key and action are written before the index leads here, and not again before no program can have been led here any more:
 * the table's protocol, in crates/dataplane-linux/src/table.rs.
 */
struct opof_flow {
	struct opof_key key;
	__u64 stamp; /* the kernel's ticks at the last packet, 0 before it; and the action */
	__u64 packets;
	__u64 bytes;
};

/* Places for flows in a bucket, and buckets that a key may be in. */
#define OPOF_ENTRIES 7
#define OPOF_PROBES 16
/* From one bucket of a key to the next one. */
#define OPOF_PROBE_MULTIPLIER 0x9e3779b1U
/* Multipliers of the hash of a key, and what it starts from. They are drawn when the maps are made. */
#define OPOF_MULTIPLIERS 11
/* By which the sum of the products is mixed: odd, without structure (fractions of cube roots of primes, the last bit set). */
#define OPOF_MIX_0 0x428a2f98d728ae23ULL
#define OPOF_MIX_1 0x7137449123ef65cdULL

/* A cache line of the index. An entry is the lower half of the key's hash, then the flow's number and one; or zero. */
struct opof_bucket {
	__u64 passed; /* entries that would be here if there had been room, and are in a later bucket of their key */
	__u64 entries[OPOF_ENTRIES];
};

/*
 * One slot: until when sessions are forwarded, in ns of CLOCK_MONOTONIC, and the tick of the kernel up to which that is so far off
 * that nobody has to look at that clock. Mapped into user space, which sets `look` to 0 while it writes `until`.
 */
struct opof_term {
	__u64 look;
	__u64 until;
};

/* What was found. */
struct opof_hit {
	__u32 slot;
	__u16 rewrite; /* VID for the outermost tag, or OPOF_KEEP_VID */
	__u8 lif;      /* position of the LIF to leave by: its ways in `ports` begin at OPOF_WAYS times this */
	__u8 flags;
};

/* Multipliers of checks: odd, without structure (fractions of square roots of primes). */
#define OPOF_CHECK_0 0x6a09e667f3bcc909ULL
#define OPOF_CHECK_1 0xbb67ae8584caa73bULL
#define OPOF_CHECK_2 0x3c6ef372fe94f82bULL
#define OPOF_CHECK_3 0xa54ff53a5f1d36f1ULL
#define OPOF_CHECK_4 0x510e527fade682d1ULL
#define OPOF_CHECK_5 0x9b05688c2b3e6c1fULL

/* opof_edit.flags: what is there to be written. */
#define OPOF_SOURCE_V4 0x01
#define OPOF_SOURCE_V6 0x02
#define OPOF_SOURCE_PORT 0x04
#define OPOF_DESTINATION_V4 0x10
#define OPOF_DESTINATION_V6 0x20
#define OPOF_DESTINATION_PORT 0x40
#define OPOF_MIRROR 0x08 /* copy the frame as it came */
#define OPOF_SNOOP 0x80	 /* copy the frame as it leaves */

/* What one direction of a session changes in its packets, besides the tag. Everything as on the wire but the number. */
struct opof_edit {
	__u8 source[16]; /* an IPv4 address is in the first four bytes */
	__u8 destination[16];
	__u8 source_port[2];
	__u8 destination_port[2];
	__u32 next_hop; /* in `next_hops`; 0: none, and the TTL stays */
	__u32 copy_key; /* goes with a copy, as the host has numbers */
	__u16 out_lif;	/* the same */
	__u8 collector; /* index into `collectors` */
	__u8 flags;
};

/* By slot. It is there before the session's entries are, and goes when no program can have found them any more. */
struct opof_edits {
	struct opof_edit direction[2];
};

/*
 * What is written over the MAC addresses. `check` is check_next_hop() of number and addresses: the kernel reuses the
 * memory of one that was replaced at once, so a program may find half of another's.
 */
struct opof_next_hop {
	__u64 check;
	__u8 macs[16]; /* destination, source, then what user space keeps there */
};

/*
 * The outer headers of what goes to the far end of a tunnel, a collector or a firewall: Ethernet, IPv4 or IPv6, UDP, GENEVE, our
 * option. wire::encap makes them and names the bytes that are filled in for each frame.
 */
#define OPOF_TEMPLATE_V4 66
#define OPOF_TEMPLATE_V6 86
struct opof_template {
	__u16 length;	     /* OPOF_TEMPLATE_V4 or _V6; 0: there is no way to it, now */
	__u16 frame_len_max; /* the largest frame that goes there */
	__u8 bytes[88];
};

/*
 * `current` says which of the two is in force. User space writes the other one, then `current`, and waits for a grace
 * period before it writes again: a program reads one that nobody is writing.
 */
struct opof_outer_headers {
	__u32 current;
	struct opof_template templates[2];
};

/* In front of a frame on its way to the program that makes the copy. */
struct opof_copy {
	__u32 key;
	__u16 collector;
	__u16 source_port;
	__u16 in_lif;
	__u16 out_lif;
	__u16 vlan; /* to be put back into the outermost tag, or OPOF_KEEP_VID */
	__u16 zero;
};

/* An address that packets on the uplink come from. */
struct opof_peer {
	__u8 address[16]; /* an IPv4 address is in the first four bytes */
	__u32 family;	  /* 4 or 6 */
};

/* Who sends what comes out of a tunnel, and by which interface it is to leave. */
struct opof_returning {
	__u32 firewall; /* position of the first LIF with this firewall: index into `firewalls` */
	__u32 lif;	/* its number, in our option */
};

/* Where that is. */
struct opof_exit {
	__u32 way;	  /* in `ports`: the first one to the network */
	__u32 statistics; /* first index of the LIF's firewall port in `statistics` */
	__u32 spread;	  /* frames are to take different ways */
};

/* What became of a frame, as it is counted per port. A firewall port uses OPOF_RECEIVED alone, the uplink that for what was taken
 * and OPOF_REFUSED; on a wire port what was received is the sum of the others. */
enum opof_kind {
	OPOF_RECEIVED = 0,
	OPOF_FORWARDED = 1,
	OPOF_DROPPED = 2,
	OPOF_SLOW = 3, /* + reason */
	OPOF_COPIED = 21, /* of those forwarded */
	OPOF_COPY_LOST = 22,
	OPOF_TOO_BIG_ANSWERED = 23,
	OPOF_TOO_BIG_DROPPED = 24,
	OPOF_UNREACHABLE = 25,
	OPOF_REFUSED = 26, /* + refusal */
	OPOF_KINDS = 46,
};

struct opof_tally {
	__u64 packets;
	__u64 bytes;
};

/* What opof_clock says: a tick, and the time in ns of CLOCK_MONOTONIC at which it was. */
struct opof_clock {
	__u64 tick;
	__u64 time;
};

/* What opof_probe says of a frame. The hit is meaningful when it is one. */
struct opof_probed {
	__u32 verdict; /* enum opof_reason, or OPOF_HAS_KEY for a hit */
	__u32 has_key;
	struct opof_key key;
	struct opof_hit hit;
};

/* Answers to packets that do not fit: wire::packet_too_big has the same bounds. Lengths in bytes. */
#define OPOF_MTU_MIN_V4 68
#define OPOF_MTU_MIN_V6 1280
#define OPOF_QUOTE_V4 68
#define OPOF_QUOTE_V6 88
#define OPOF_MAX_IPV6_EXTENSIONS 4

/* Why a packet that does not fit gets no answer: wire::packet_too_big::Silence, the same numbers. */
enum opof_silence {
	OPOF_SILENT_MALFORMED = 0,
	OPOF_SILENT_NOT_IP = 1,
	OPOF_SILENT_LINK_GROUP = 2,
	OPOF_SILENT_MAY_FRAGMENT = 3,
	OPOF_SILENT_FRAGMENT = 4,
	OPOF_SILENT_NOT_ONE_HOST = 5,
	OPOF_SILENT_ICMP_ERROR = 6,
	OPOF_SILENT_EXTENSIONS = 7,
	OPOF_SILENT_MTU_TOO_SMALL = 8,
	OPOF_SILENT_FITS = 9,
	OPOF_SILENCES = 10,
};

/* Besides a silence, what answer_too_big() can say: the frame is the answer now. */
#define OPOF_ANSWERED 255
/* There was no room for the answer in front of the frame, which is as it was. No rule of the Rust twin: it has a buffer. */
#define OPOF_NO_HEADROOM 254

/* One slot: what opof_too_big_probe is asked and what it says. */
struct opof_too_big {
	__u16 mtu;
	__u8 said; /* enum opof_silence, OPOF_ANSWERED or OPOF_NO_HEADROOM */
	__u8 zero;
};

/* wire::decap has the same bound. */
#define OPOF_MAX_GENEVE_OPTIONS 4

/* Why a frame is not a packet of the tunnel: wire::decap::Refusal, the same numbers, and the last one: dataplane::Refused. */
enum opof_refusal {
	OPOF_REFUSED_TRUNCATED = 0,
	OPOF_REFUSED_ETHER_TYPE = 1,
	OPOF_REFUSED_IP_MALFORMED = 2,
	OPOF_REFUSED_IPV4_OPTIONS = 3,
	OPOF_REFUSED_FRAGMENT = 4,
	OPOF_REFUSED_PROTOCOL = 5,
	OPOF_REFUSED_ADDRESSES = 6,
	OPOF_REFUSED_PORT = 7,
	OPOF_REFUSED_UDP_MALFORMED = 8,
	OPOF_REFUSED_UDP_CHECKSUM = 9,
	OPOF_REFUSED_GENEVE_MALFORMED = 10,
	OPOF_REFUSED_OAM = 11,
	OPOF_REFUSED_PAYLOAD = 12,
	OPOF_REFUSED_VNI = 13,
	OPOF_REFUSED_TOO_MANY_OPTIONS = 14,
	OPOF_REFUSED_UNKNOWN_CRITICAL = 15,
	OPOF_REFUSED_OPTION_LENGTH = 16,
	OPOF_REFUSED_OPTION_TWICE = 17,
	OPOF_REFUSED_OPTION_MISSING = 18,
	OPOF_REFUSED_LIF = 19,
	OPOF_REFUSALS = 20,
};

/* Besides a refusal, what decapsulate() can say: the frame is the one that was inside. */
#define OPOF_DECAPSULATED 255
/* The kernel would not make the frame shorter. No rule of the Rust twin, and no reason is known for it. */
#define OPOF_NOT_SHORTENED 254

/* The end of a tunnel that packets come in at: wire::decap::TunnelEnd. Addresses as on the wire, the rest in the host's order. */
struct opof_tunnel_end {
	__u8 peer[16]; /* an IPv4 address is in the first four bytes */
	__u8 ours[16];
	__u32 vni;
	__u16 option_class;
	__u8 option_type;
	__u8 family; /* 4 or 6 */
};

/* What our option says: wire::geneve::Metadata, in the host's order. */
struct opof_metadata {
	__u32 in_lif;
	__u32 out_lif;
	__u32 key;
};

/* One slot: what opof_decap_probe is asked and what it says. */
struct opof_decap {
	struct opof_tunnel_end end;
	struct opof_metadata metadata;
	__u32 said; /* enum opof_refusal, OPOF_DECAPSULATED or OPOF_NOT_SHORTENED */
};

/* opof_linger.state */
#define OPOF_LINGERS 1
#define OPOF_GONE 2

/* One slot: how long opof_linger stays, in ns, and where it is. */
struct opof_linger {
	__u64 stay;
	__u32 state; /* 0 before */
	__u32 zero;
};

/* Of the order in which opof_walk takes its sources. */
#define OPOF_WALK_MULTIPLIER 1664525U
#define OPOF_WALK_INCREMENT 1013904223U

/* One slot: which sources opof_walk writes into its frame, and where. */
struct opof_walk {
	__u32 at;     /* the last one, counted from `first` */
	__u32 mask;   /* the next power of two, less one */
	__u32 count;  /* of sources */
	__u32 first;  /* the last four bytes of the first one */
	__u32 offset; /* where those are in the frame */
};

#define OPOF_AT(type, field, offset) \
	_Static_assert(__builtin_offsetof(struct type, field) == (offset), #type "." #field)
#define OPOF_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)

OPOF_SIZE(opof_key, 40);
OPOF_AT(opof_key, v4.destination, 4);
OPOF_AT(opof_key, v6.destination, 16);
OPOF_AT(opof_key, source_port, 32);
OPOF_AT(opof_key, vlan_kind, 36);
OPOF_AT(opof_key, lif, 38);
OPOF_AT(opof_key, exit, 39);
OPOF_SIZE(opof_flow, 64);
OPOF_AT(opof_flow, stamp, 40);
OPOF_AT(opof_flow, packets, 48);
OPOF_AT(opof_flow, bytes, 56);
OPOF_SIZE(opof_bucket, 64);
OPOF_SIZE(opof_term, 16);
OPOF_AT(opof_term, until, 8);
OPOF_SIZE(opof_hit, 8);
OPOF_SIZE(opof_edit, 48);
OPOF_AT(opof_edit, source_port, 32);
OPOF_AT(opof_edit, next_hop, 36);
OPOF_AT(opof_edit, copy_key, 40);
OPOF_AT(opof_edit, out_lif, 44);
OPOF_AT(opof_edit, collector, 46);
OPOF_AT(opof_edit, flags, 47);
OPOF_SIZE(opof_template, 92);
OPOF_SIZE(opof_outer_headers, 188);
OPOF_SIZE(opof_copy, 16);
OPOF_SIZE(opof_peer, 20);
OPOF_AT(opof_peer, family, 16);
OPOF_SIZE(opof_returning, 8);
OPOF_SIZE(opof_exit, 12);
OPOF_SIZE(opof_edits, 96);
OPOF_SIZE(opof_next_hop, 24);
OPOF_SIZE(opof_tally, 16);
OPOF_SIZE(opof_probed, 56);
OPOF_AT(opof_probed, key, 8);
OPOF_AT(opof_probed, hit, 48);
OPOF_SIZE(opof_too_big, 4);
OPOF_AT(opof_too_big, said, 2);
OPOF_SIZE(opof_tunnel_end, 40);
OPOF_AT(opof_tunnel_end, ours, 16);
OPOF_AT(opof_tunnel_end, vni, 32);
OPOF_AT(opof_tunnel_end, option_class, 36);
OPOF_AT(opof_tunnel_end, option_type, 38);
OPOF_AT(opof_tunnel_end, family, 39);
OPOF_SIZE(opof_metadata, 12);
OPOF_SIZE(opof_decap, 56);
OPOF_AT(opof_decap, metadata, 40);
OPOF_AT(opof_decap, said, 52);
OPOF_SIZE(opof_linger, 16);
OPOF_AT(opof_linger, state, 8);
OPOF_SIZE(opof_walk, 20);

#endif
