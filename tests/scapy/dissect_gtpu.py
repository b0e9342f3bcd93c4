"""What scapy sees in frames within GTP-U: one frame a line of standard input, in hexadecimal.

A line of output names the ends of the tunnel, the TEID, and protocol, addresses and ports of the packet inside. Lengths and
checksums of all headers are made anew from what was seen: where they are not those of the frame, the line says so.
"""

import sys

from scapy.contrib.gtp import GTPHeader
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether


def layers(packet):
    while packet:
        yield packet
        packet = packet.payload


def remade(frame):
    """The frame with every length and checksum as scapy makes them."""
    packet = Ether(frame)
    for layer in layers(packet):
        derived = {IP: ("len", "chksum"), IPv6: ("plen",), UDP: ("len", "chksum"), TCP: ("chksum",)}.get(type(layer), ())
        for field in derived + (("length",) if isinstance(layer, GTPHeader) else ()):
            delattr(layer, field)
    return bytes(packet)


def describe(frame):
    packet = Ether(frame)
    outer, inner = [layer for layer in layers(packet) if isinstance(layer, (IP, IPv6))]
    tunnel = next(layer for layer in layers(packet) if isinstance(layer, GTPHeader))
    upper = inner.payload
    name = {TCP: "tcp", UDP: "udp"}[type(upper)]
    ports = f"{upper.sport} {upper.dport}"
    checked = "valid" if remade(frame) == frame else "wrong lengths or checksums"
    return f"{outer.src} {outer.dst} {tunnel.teid:#010x} {name} {inner.src} {inner.dst} {ports} {checked}"


for line in sys.stdin:
    print(describe(bytes.fromhex(line)))
