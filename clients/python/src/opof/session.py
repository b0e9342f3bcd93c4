"""What the calls take and give: sessions and what is told of them, next hops, VLAN flows."""

from __future__ import annotations

import datetime
import enum
import ipaddress
from dataclasses import dataclass
from typing import Literal, Optional, Tuple, Union

from . import limits
from .errors import InvalidSession

IpAddress = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Address = Union[str, ipaddress.IPv4Address, ipaddress.IPv6Address]
Endpoint = Tuple[Address, int]
"""An address and a port."""


class Action(enum.Enum):
    """What the device does with a session's packets."""

    DROP = 0
    """Count and discard."""
    FORWARD = 1
    """Send out of the interface of the other side."""
    MIRROR = 2
    """Forward, and send a copy as it came to the collector."""
    SNOOP = 3
    """Forward, and send a copy as it leaves to the collector."""


class State(enum.Enum):
    """Where a session stands."""

    ESTABLISHED = 0
    CLOSING_1 = 1
    CLOSING_2 = 2
    CLOSED = 3
    UNKNOWN = 4


class CloseCode(enum.Enum):
    """Why a session left the device."""

    NOT_CLOSED = 0
    """It is there still, or was deleted by request."""
    FINACK = 1
    RST = 2
    TIMEOUT = 3
    UNKNOWN = 4


class Refusal(enum.Enum):
    """Why a session was not accepted."""

    REJECTED = "rejected"
    """It is wrong, or more than this device can do; its log names the field."""
    TABLE_FULL = "table full"
    UNAVAILABLE = "unavailable"
    """Not now; the same session may be accepted later."""
    ALREADY_EXISTS = "already exists"
    """Its id or tuple is in use; the session that was there first is untouched."""


@dataclass(frozen=True)
class Nat:
    """An address and port that take the place of a packet's own. Port 0 leaves the port as it is."""

    address: Address
    port: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", host("NAT address", self.address))
        bounded("NAT port", self.port, limits.PORT)


@dataclass(frozen=True)
class Link:
    """What happens to packets on their way out of one interface. v1beta1 only, with FORWARD."""

    next_hop: int = 0
    """Where they go; 0 for nowhere in particular: MAC addresses and TTL stay as they are."""
    snat: Optional[Nat] = None
    """Takes the place of their source."""
    dnat: Optional[Nat] = None
    """Takes the place of their destination."""
    vlan: int = 0
    """Takes the place of their VLAN id; 0 for that of the session on this side."""

    def __post_init__(self) -> None:
        bounded("next hop", self.next_hop, limits.UINT32)
        bounded("VLAN of a link", self.vlan, limits.VLAN)


@dataclass(frozen=True)
class Session:
    """A session to offload. "In" is from the source to the destination; the answer belongs to it."""

    id: int
    """Yours to choose; two sessions can't have the same."""
    source: Endpoint
    """Address and port."""
    destination: Endpoint
    protocol: Literal["tcp", "udp"]
    in_lif: int = 1
    """The interface by which "in" enters. 0 on both sides is the device's default pair, 1 and 2."""
    out_lif: int = 2
    """The interface by which "in" leaves."""
    in_vlan: int = 0
    """The VLAN id on the side of ``in_lif``; 0 for untagged."""
    out_vlan: int = 0
    """The VLAN id on the side of ``out_lif``; another one than ``in_vlan`` means that the tag is rewritten."""
    action: Action = Action.FORWARD
    collector: Optional[Address] = None
    """Where MIRROR and SNOOP send copies."""
    timeout_seconds: int = 0
    """Idle time after which it closes, both directions; 0 for the device's default."""
    tunnel: Optional[Literal["gtpu"]] = None
    """What its packets are wrapped in; the tuple is then that of the inner packet. v1.1 and v1beta1."""
    in_link: Optional[Link] = None
    """For packets that leave by ``in_lif``. v1beta1."""
    out_link: Optional[Link] = None
    """For packets that leave by ``out_lif``. v1beta1."""

    def __post_init__(self) -> None:
        bounded("session id", self.id, limits.SESSION_ID)
        source = self._endpoint("source", self.source)
        destination = self._endpoint("destination", self.destination)
        if source.version != destination.version:
            raise InvalidSession(f"{source} and {destination}: both must be IPv4, or both IPv6")
        if self.protocol not in ("tcp", "udp"):
            raise InvalidSession(f"protocol {self.protocol!r}; only 'tcp' and 'udp' are offloaded")
        if self.tunnel not in (None, "gtpu"):
            raise InvalidSession(f"tunnel {self.tunnel!r}; known are None and 'gtpu'")
        bounded("timeout_seconds", self.timeout_seconds, limits.UINT32)
        self._check_sides()
        self._check_action(source.version)

    def _endpoint(self, name: str, endpoint: Endpoint) -> IpAddress:
        try:
            address, port = endpoint
        except (TypeError, ValueError):
            raise InvalidSession(f"{name} {endpoint!r}; give an address and a port: ('10.0.0.1', 443)") from None
        bounded(f"{name} port", port, limits.PORT)
        checked = host(name, address)
        object.__setattr__(self, name, (checked, port))
        return checked

    def _check_sides(self) -> None:
        for name in ("in_lif", "out_lif"):
            bounded(name, getattr(self, name), limits.LIF)
        for name in ("in_vlan", "out_vlan"):
            bounded(name, getattr(self, name), limits.VLAN)
        if (self.in_lif == 0) != (self.out_lif == 0):
            raise InvalidSession("an interface on one side only; give both, or 0 on both sides for 1 and 2")
        if (self.in_vlan == 0) != (self.out_vlan == 0):
            raise InvalidSession(
                "a VLAN on one side only: a tag can be rewritten, not pushed or popped; "
                "give both sides a VLAN, or neither"
            )

    def _check_action(self, version: int) -> None:
        copies = self.action in (Action.MIRROR, Action.SNOOP)
        if copies and self.collector is None:
            raise InvalidSession(f"{self.action.name} without a collector: say where the copies go")
        if not copies and self.collector is not None:
            raise InvalidSession(f"a collector with {self.action.name}: only MIRROR and SNOOP send copies")
        if self.collector is not None:
            object.__setattr__(self, "collector", host("collector", self.collector))
        for name, link in (("in_link", self.in_link), ("out_link", self.out_link)):
            if link is None:
                continue
            if self.action is not Action.FORWARD:
                raise InvalidSession(f"{name} with {self.action.name}: links are for FORWARD")
            if link.vlan and not self.in_vlan:
                raise InvalidSession(
                    f"{name}: VLAN {link.vlan} for an untagged session; a tag can be rewritten, not pushed"
                )
            for nat in (link.snat, link.dnat):
                # Through a tunnel the outermost packet is translated, of either version.
                if nat is not None and host("NAT address", nat.address).version != version and self.tunnel is None:
                    raise InvalidSession(f"{name}: NAT to {nat.address}, which is not of the session's IP version")


@dataclass(frozen=True)
class Refused:
    """A session that was not accepted."""

    id: int
    reason: Refusal
    code: int
    """As the answer has it."""


@dataclass(frozen=True)
class AddOutcome:
    """What became of sessions that were to be added."""

    accepted: int = 0
    """Sessions that the fast path has from now on."""
    refused: Tuple[Refused, ...] = ()
    """Sessions that it does not have, in the order in which they were given."""
    messages: Tuple[str, ...] = ()
    """What the server says of some of the refused, such as "session 7: sourcePort: ..."; not every server does."""


@dataclass(frozen=True)
class SessionReport:
    """A session, live or closed. Packets and bytes are those of the fast path; bytes are of whole L2 frames, no FCS."""

    id: int
    in_packets: int
    out_packets: int
    in_bytes: int
    out_bytes: int
    state: State
    close_code: CloseCode
    start_time: Optional[datetime.datetime]
    """When it was established, in UTC; None where the server does not say, or says no date."""
    end_time: Optional[datetime.datetime]
    """When it was taken off the fast path; None while it is on it."""
    counted: bool = True
    """False for the answer to a delete of a server that reports deleted sessions as closed: the counters come there."""


@dataclass(frozen=True)
class ServiceVersion:
    """Who made the server, and which version it is."""

    vendor: str
    name: str
    version: str
    copyright: str


@dataclass(frozen=True)
class VlanFlow:
    """Where the misses of a VLAN go: to the firewall port of an interface."""

    vlan: int
    lif: int


def bounded(name: str, value: int, largest: int, smallest: int = 0) -> int:
    """The number, if it is one within the bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidSession(f"{name} {value!r}; it is a number from {smallest} to {largest}")
    if not smallest <= value <= largest:
        raise InvalidSession(f"{name} {value}; it is from {smallest} to {largest}")
    return value


def host(name: str, address: Address) -> IpAddress:
    """The address, if a host can have it."""
    try:
        # Numbers and bytes would be addresses too; in which order is what nobody would know.
        checked = ipaddress.ip_address(str(address))
    except ValueError:
        raise InvalidSession(f"{name} {address!r}; it is an IPv4 or IPv6 address") from None
    if checked.is_unspecified:
        raise InvalidSession(f"{name} {checked}; no host has this address")
    if getattr(checked, "scope_id", None):
        raise InvalidSession(f"{name} {checked}; the interface is given by the session's LIFs, not by the address")
    return checked
