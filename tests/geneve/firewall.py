"""A firewall at the far end of a GENEVE tunnel that lets everything through; no code of this repository is in it.

Each packet to UDP port 6081, over IPv4 or IPv6, is judged by all that RFC 8926 and the device's own option ask for. A
right one goes back to port 6081 of its sender with the LIF that its frame leaves by; a wrong one is counted and goes
nowhere.

Arguments: VNI, class and type of the option (numbers, or hexadecimal with 0x), and for each LIF the one that its frames
leave by (0: back where they came from), such as 1=2,2=1. Standard output is "ready" when packets are taken; then, for
each line of standard input, the counts until now as a line of JSON. At the end of standard input the firewall ends, so
that none outlives its test.

What must not be here: state of flows, a verdict. Not seen here: whether a packet's UDP checksum is 0, for the kernel
does not tell. Answers come from port 6081; a real firewall's should come from one that is a hash of the flow (3.3).
"""

import collections
import json
import os
import socket
import struct
import sys
import threading
import traceback

PORT = 6081
ETHERNET = 0x6558
# What UDP carries: GENEVE header and option up to the LIFs; the one that a frame came in on, the one that it leaves by.
HEADER = struct.Struct("!12sII")
OUT_LIF = slice(16, 20)
FRAME = 24
FRAME_MIN = 14
SIZE_MAX = 65536

# What Python's socket module has no names for, as in Linux' headers.
SO_NO_CHECK = 11
SO_RCVBUFFORCE = 33
SO_MEMINFO = 55
MEMINFO = struct.Struct("=9I")
DROPS = 8
IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23
PMTUDISC_DO = 2
UDP_NO_CHECK6_TX = 101
UDP_NO_CHECK6_RX = 102
RECEIVE_BUFFER = 64 << 20

TAGS = (0x8100, 0x88A8)
TCP = 6
FIN_SYN_RST = 0x07
CONTROL, DATA, OTHER = range(3)


def ipv4_socket():
    tunnel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tunnel.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    # An answer that does not fit fails: the device could do nothing with fragments.
    tunnel.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO)
    return tunnel


def ipv6_socket():
    tunnel = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    tunnel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    tunnel.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO)
    for option in UDP_NO_CHECK6_TX, UDP_NO_CHECK6_RX:
        tunnel.setsockopt(socket.IPPROTO_UDP, option, 1)
    return tunnel


class Tunnel:
    """What comes by one family, and its counts, which no other thread writes."""

    def __init__(self, endpoint, expected, leaves_by):
        self.endpoint = endpoint
        self.expected = expected
        self.leaves_by = leaves_by
        self.seen = {lif: [0, 0, 0] for lif in leaves_by}
        self.wrong = collections.Counter()
        self.first_wrong = None
        self.unsent = 0
        endpoint.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        endpoint.bind(("", PORT))

    def run(self):
        # A firewall that lives on without one of its families would only look like one that loses packets.
        try:
            self.serve()
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def serve(self):
        # All that is looked up for each packet is local, for this loop's pace is the firewall's.
        packet = bytearray(SIZE_MAX)
        view = memoryview(packet)
        receive, send = self.endpoint.recvfrom_into, self.endpoint.sendto
        unpack, expected, answers, seen = HEADER.unpack_from, self.expected, self.leaves_by, self.seen
        while True:
            size, sender = receive(packet)
            head, in_lif, out_lif = unpack(packet)
            # Behind the end of a short packet are the bytes of an earlier one.
            if size < FRAME + FRAME_MIN or head != expected or out_lif or in_lif not in answers:
                self.refuse(packet[:size])
                continue
            # Counted first: who has the answer finds it in the counts.
            seen[in_lif][kind(packet, size)] += 1
            packet[OUT_LIF] = answers[in_lif]
            try:
                # The scope of a link-local address stays.
                send(view[:size], (sender[0], PORT, *sender[2:]))
            except OSError:
                self.unsent += 1

    def refuse(self, packet):
        self.wrong[fault(packet, self.expected, self.leaves_by)] += 1
        if self.first_wrong is None:
            self.first_wrong = packet[: FRAME + FRAME_MIN].hex()

    def lost(self):
        """How many packets found no room in the buffer."""
        return MEMINFO.unpack(self.endpoint.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, MEMINFO.size))[DROPS]


def kind(packet, size):
    """What the frame carries."""
    at = FRAME + 12
    ether_type = packet[at] << 8 | packet[at + 1]
    while ether_type in TAGS and at + 6 <= size:
        at += 4
        ether_type = packet[at] << 8 | packet[at + 1]
    at += 2
    if ether_type == 0x0800 and at + 20 <= size:
        # A fragment that is not the first has no header of TCP.
        if packet[at + 9] != TCP or packet[at + 6] & 0x1F or packet[at + 7]:
            return OTHER
        at += (packet[at] & 0x0F) * 4
    elif ether_type == 0x86DD and at + 40 <= size:
        if packet[at + 6] != TCP:
            return OTHER
        at += 40
    else:
        return OTHER
    if at + 20 > size:
        return OTHER
    return CONTROL if packet[at + 13] & FIN_SYN_RST else DATA


def fault(packet, expected, leaves_by):
    """The first thing that is wrong with it."""
    if len(packet) < 8:
        return "shorter than a header"
    if packet[0] >> 6:
        return "not version 0"
    if packet[1] & 0x80:
        return "OAM"
    if packet[1]:
        return "critical or reserved bits in the header"
    if packet[2:4] != expected[2:4]:
        return "not an Ethernet frame"
    if packet[4:8] != expected[4:8]:
        return "another VNI"
    if packet[0] != expected[0]:
        return "another length of options"
    if len(packet) < FRAME:
        return "shorter than its options"
    if packet[8:11] != expected[8:11]:
        return "another option"
    if packet[11] != expected[11]:
        return "another length of the option"
    _, in_lif, out_lif = HEADER.unpack_from(packet)
    if out_lif:
        return "an out-LIF from the device"
    if in_lif not in leaves_by:
        return "an in-LIF that is not served"
    return "shorter than a frame"


def counts(tunnels):
    def seen(lif, kind):
        return sum(tunnel.seen[lif][kind] for tunnel in tunnels)

    kinds = {"control": CONTROL, "data": DATA, "other": OTHER}
    lifs = {lif: {name: seen(lif, kind) for name, kind in kinds.items()} for lif in tunnels[0].seen}
    firsts = [tunnel.first_wrong for tunnel in tunnels if tunnel.first_wrong]
    return {
        "lifs": lifs,
        "wrong": sum((tunnel.wrong for tunnel in tunnels), collections.Counter()),
        "first_wrong": firsts[0] if firsts else None,
        "unsent": sum(tunnel.unsent for tunnel in tunnels),
        "lost": sum(tunnel.lost() for tunnel in tunnels),
    }


def main():
    vni, option_class, option_type = (int(word, 0) for word in sys.argv[1:4])
    pairs = [map(int, pair.split("=")) for pair in sys.argv[4].split(",")]
    leaves_by = {in_lif: out_lif.to_bytes(4, "big") for in_lif, out_lif in pairs}
    # Version 0 and four words of options, no flags; three words of data in the only option.
    expected = struct.pack("!BBHIHBB", 4, 0, ETHERNET, vni << 8, option_class, option_type, 3)
    tunnels = [Tunnel(endpoint, expected, leaves_by) for endpoint in (ipv4_socket(), ipv6_socket())]
    for tunnel in tunnels:
        threading.Thread(target=tunnel.run, daemon=True).start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(counts(tunnels)), flush=True)


main()
