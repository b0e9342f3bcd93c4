"""Frames within GTP-U, made by scapy alone: no code of this repository has a part in them.

Each line of standard input is a flow: VLAN (0 untagged), "tcp" or "udp", source, source port, destination, destination
port. Each line of standard output is what a tunnel carries of it: frames in hexadecimal, one for each pair of outer family
and form of the header.
"""

import sys

from scapy.contrib.gtp import GTP_U_Header, GTPPDUSessionContainer
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

PORT = 2152
TEID = 0x01020304


def ip(source, destination):
    return IPv6(src=source, dst=destination) if ":" in source else IP(src=source, dst=destination)


def headers():
    yield GTP_U_Header(teid=TEID)
    yield GTP_U_Header(teid=TEID, S=1, seq=7)
    yield GTP_U_Header(teid=TEID, E=1, next_ex=0x85) / GTPPDUSessionContainer(type=1, QFI=9)


def frames(vlan, protocol, source, source_port, destination, destination_port):
    ports = {"sport": int(source_port), "dport": int(destination_port)}
    upper = TCP(flags="A", **ports) if protocol == "tcp" else UDP(**ports)
    inner = ip(source, destination) / upper / b"made by scapy"
    link = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
    if int(vlan):
        link = link / Dot1Q(vlan=int(vlan))
    for ends in ("203.0.113.1", "203.0.113.2"), ("2001:db8::1", "2001:db8::2"):
        for header in headers():
            yield bytes(link / ip(*ends) / UDP(sport=PORT, dport=PORT) / header / inner)


for line in sys.stdin:
    print(*(frame.hex() for frame in frames(*line.split())))
