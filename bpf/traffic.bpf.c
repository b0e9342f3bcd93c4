// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * What a measurement puts around a data plane and beside it: frames at one end, a count of them at the other, and the shortest ways
 * between two ports that XDP has. An object of its own, so that nothing that forwards for somebody loads it.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char opof_license[] SEC("license") = "Dual Apache-2.0/GPL";

/* Of the generator: where frames go, and how many sources there are, from the first address on (host byte order). */
const volatile __u32 opof_out;
const volatile __u32 opof_first;
const volatile __u32 opof_sources;
/* A power of two less one, no less than the sources less one. */
const volatile __u32 opof_mask;
/* Nanoseconds from a frame to the next; 0: as fast as can be. */
const volatile __u32 opof_interval;

/* The generator's state. One processor runs it. */
struct before {
	__u64 due;    /* when the next frame is, by the kernel's clock */
	__u32 offset; /* of the source before */
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct before);
} before SEC(".maps");

/*
 * The next offset. A linear congruential generator whose period is its whole modulus goes once through all values in an order
 * that no cache foresees; what is beyond the sources is left out, so each gets the same share.
 */
static __always_inline __u32 next(__u32 offset)
{
	int i;

	/* Less than every second value is left out: after 32 of them this is not a permutation any more, and harms nobody. */
	for (i = 0; i < 32; i++) {
		offset = (offset * 1664525 + 1013904223) & opof_mask;
		if (offset < opof_sources)
			break;
	}
	return offset;
}

/* A frame's time has come. What was missed is not made up for: it would come at once, and find no room. */
static __always_inline int is_due(struct before *before)
{
	__u64 now = bpf_ktime_get_ns();

	if (now < before->due)
		return 0;
	before->due = (now - before->due < opof_interval ? before->due : now) + opof_interval;
	return 1;
}

/* Of a header without options, whatever its checksum was (RFC 1071). */
static __always_inline __u16 checksum(const struct iphdr *ip)
{
	const __u16 *word = (const __u16 *)ip;
	__u32 sum = 0;
	int i;

	for (i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += i == 5 ? 0 : word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Runs on live frames of BPF_PROG_TEST_RUN: gives each, which is Ethernet and IPv4 without options, the next source. */
SEC("xdp")
int opof_generate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	__u32 zero = 0;
	struct before *state = bpf_map_lookup_elem(&before, &zero);

	if (!state || (void *)(ip + 1) > end)
		return XDP_ABORTED;
	if (opof_interval && !is_due(state))
		return XDP_DROP;
	state->offset = next(state->offset);
	ip->saddr = bpf_htonl(opof_first + state->offset);
	ip->check = checksum(ip);
	return bpf_redirect(opof_out, 0);
}

/* Frames that have arrived. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} arrived SEC(".maps");

SEC("xdp")
int opof_sink(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&arrived, &zero);

	(void)ctx;
	if (count)
		*count += 1;
	return XDP_DROP;
}

/* Where a bare redirect goes. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} out SEC(".maps");

SEC("xdp")
int opof_bare_redirect(struct xdp_md *ctx)
{
	(void)ctx;
	return bpf_redirect_map(&out, 0, XDP_DROP);
}

/* Lines of memory that lie as those of a session table do: buckets, then flows, two for each session. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64[8]);
} lines SEC(".maps");

/* Sessions that the lines are of, and their buckets. */
const volatile __u32 opof_sessions;
const volatile __u32 opof_session_buckets;

/* A number below `count`, other for each `word`. */
static __always_inline __u32 below(__u32 count, __u32 word)
{
	return (__u64)(word * 0x9e3779b1U) * count >> 32;
}

/* What a port has forwarded. */
struct forwarded {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct forwarded);
} forwarded SEC(".maps");

/*
 * What no session table can do without, and nothing else: it looks at the frame's source, reads the line that says, then another,
 * whose place is known when the first one is there, and counts. A session's packets and bytes are exact whatever processors its
 * packets come on, and it is known when it was used last; the port has counters too.
 */
SEC("xdp.frags")
int opof_reading_redirect(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct iphdr *ip = data + sizeof(struct ethhdr);
	__u32 source, at, zero = 0, length = bpf_xdp_get_buff_len(ctx);
	struct forwarded *port = bpf_map_lookup_elem(&forwarded, &zero);
	__u64 *line;

	if (!port || (void *)(ip + 1) > end)
		return XDP_ABORTED;
	source = bpf_ntohl(ip->saddr);
	at = below(opof_session_buckets, source);
	line = bpf_map_lookup_elem(&lines, &at);
	if (!line)
		return XDP_ABORTED;
	at = opof_session_buckets + 2 * below(opof_sessions, source + (__u32)*(volatile __u64 *)line);
	line = bpf_map_lookup_elem(&lines, &at);
	if (!line)
		return XDP_ABORTED;
	__sync_fetch_and_add(&line[0], 1);
	__sync_fetch_and_add(&line[1], length);
	line[2] = bpf_jiffies64();
	port->packets++;
	port->bytes += length;
	return bpf_redirect_map(&out, line[3], XDP_DROP); /* zero, which only the line knows */
}
