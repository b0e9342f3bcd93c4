/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The maps, shared by all ports, and the constants in which a port's program differs from another's. The loader
 * sets the entries of the tables; the sizes here are the least that loads.
 */
#ifndef OPOF_MAPS_H
#define OPOF_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* Set before loading, once per port: the verifier then sees plain numbers and no port has to be looked up. */
const volatile __u16 opof_lif;	     /* of a wire port: its number, and its position, which is in the keys of its frames */
const volatile __u8 opof_position;
const volatile __u32 opof_statistics; /* first index of this port in `statistics` */
const volatile __u32 opof_other;     /* in `ports`: the firewall port, or for that one the first way to the network */
const volatile __u8 opof_spread;     /* of a firewall port: its LIF balances, so frames are to take different ways */

/* The same for all ports. */
const volatile __u32 opof_buckets;		   /* of the index */
const volatile __u64 opof_hash[OPOF_MULTIPLIERS]; /* what the hash of a key starts from, and its multipliers */
const volatile __u32 opof_tunnelled;	   /* a bit for each LIF, by position: its firewall is behind a tunnel */
const volatile __u32 opof_vni;		   /* of those tunnels */
const volatile __u16 opof_option_class;	   /* the same */
const volatile __u8 opof_option_type;	   /* the same */
const volatile __u64 opof_answer_interval; /* nanoseconds for one answer to a packet that does not fit */

/* The table, both mapped into user space: where a key's flow is, and the flows by their numbers. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct opof_bucket);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct opof_flow);
} flows SEC(".maps");

/* One slot, mapped as well. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct opof_term);
} term SEC(".maps");

/* By slot, for sessions that change more than the tag. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct opof_edits);
} edits_of_slot SEC(".maps");

/* By the firewall's number. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct opof_next_hop);
} next_hops SEC(".maps");

/* By VID: the way to the firewall that gets its slow-path frames, plus one; 0 for none. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
} vlan_flows SEC(".maps");

/* Where copies go. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OPOF_COLLECTORS);
	__type(key, __u32);
	__type(value, struct opof_outer_headers);
} collectors SEC(".maps");

/* By position of the LIF: where slow-path frames go, when its firewall is behind a tunnel. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OPOF_MAX_LIFS);
	__type(key, __u32);
	__type(value, struct opof_outer_headers);
} firewalls SEC(".maps");

/* Who those firewalls are: the position of the first LIF with this one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OPOF_MAX_LIFS);
	__type(key, struct opof_peer);
	__type(value, __u32);
} peers SEC(".maps");

/* Where what they send leaves. What is not in here they may not send. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OPOF_MAX_LIFS);
	__type(key, struct opof_returning);
	__type(value, struct opof_exit);
} returning SEC(".maps");

/* One slot: the moment, in ns of CLOCK_MONOTONIC, at which the bucket of answers will be full. dataplane::AnswerBucket. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} answers SEC(".maps");

/* By way out: what takes it when the frame is copied, and the interface of the collectors with opof_copy on it. Empty
 * where nothing is ever copied. */
struct opof_pair {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, OPOF_MAX_EXITS);
	__type(key, __u32);
	__array(values, struct opof_pair);
} pairs SEC(".maps");

/* Ways out, as abi.h numbers them, to the interface that carries what takes them. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, OPOF_MAX_EXITS);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} ports SEC(".maps");

/* By port index * OPOF_KINDS + enum opof_kind. The uplink is a port more. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, (OPOF_MAX_PORTS + 1) * OPOF_KINDS);
	__type(key, __u32);
	__type(value, struct opof_tally);
} statistics SEC(".maps");

#endif
