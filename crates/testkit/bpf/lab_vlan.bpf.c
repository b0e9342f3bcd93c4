// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
//
// A VLAN interface for kernels without one: on the way out a packet that carries a mark gets a tag with the mark as
// its VID; on the way in the tag is taken off, so that the stack sees the packet as its own. Lab only.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define VID_MASK 0x0fff

SEC("tc/egress")
int lab_push(struct __sk_buff *skb)
{
	if (skb->mark && bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), skb->mark & VID_MASK))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

SEC("tc/ingress")
int lab_pop(struct __sk_buff *skb)
{
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}
