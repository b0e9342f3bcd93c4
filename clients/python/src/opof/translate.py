"""Sessions to messages, messages to reports.

The messages are those of v1beta1 for every dialect: see :mod:`opof.dialect`.
"""

from __future__ import annotations

import datetime
from typing import Dict, Optional, Union

from google.protobuf.timestamp_pb2 import Timestamp

from . import limits
from .dialect import Dialect
from .errors import InvalidSession, RequestRefused
from .profile import Profile
from .proto.v1beta1 import openoffload_pb2 as pb
from .session import Action, Address, CloseCode, IpAddress, Link, Nat, Refusal, Session, SessionReport, State, host

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_PROTOCOLS = {"tcp": pb._TCP, "udp": pb._UDP}
_TUNNELS = {None: pb._NONE, "gtpu": pb._GTPU}
_VLAN_SHIFT = 16

# ADD_SESSION_STATUS.
_STATUS_REFUSALS: Dict[int, Refusal] = {
    pb._SESSION_TABLE_FULL: Refusal.TABLE_FULL,
    pb._SESSION_TABLE_UNAVAILABLE: Refusal.UNAVAILABLE,
    pb._SESSION_ALREADY_EXISTS: Refusal.ALREADY_EXISTS,
}
# The status codes of gRPC: ALREADY_EXISTS, RESOURCE_EXHAUSTED, UNAVAILABLE.
_GRPC_REFUSALS = {6: Refusal.ALREADY_EXISTS, 8: Refusal.TABLE_FULL, 14: Refusal.UNAVAILABLE}


def session_request(session: Session, dialect: Dialect, profile: Profile) -> pb.sessionRequest:
    """The message that asks for a session. Raises UnsupportedByDialect where the dialect has no way to."""
    if session.tunnel is not None:
        dialect.need("tunnels", f"session {session.id} in a GTP-U tunnel")
    if session.in_link is not None or session.out_link is not None:
        dialect.need("routed", f"session {session.id} with next hops, NAT or a VLAN of its own for a link")
    request = pb.sessionRequest(
        sessionId=session.id,
        inLif=session.in_lif,
        outLif=session.out_lif,
        sourcePort=session.source[1],
        destinationPort=session.destination[1],
        protocolId=_PROTOCOLS[session.protocol],
        action=_action(session, dialect, profile),
        cacheTimeout=session.timeout_seconds,
        encapType=_TUNNELS[session.tunnel],
    )
    if dialect.routed:
        request.vlan_inLif = session.in_vlan
        request.vlan_outLif = session.out_vlan
    else:
        request.inLif |= session.in_vlan << _VLAN_SHIFT
        request.outLif |= session.out_vlan << _VLAN_SHIFT
    source, destination = _host(session.source[0]), _host(session.destination[0])
    if source.version == 4:
        request.sourceIp = ipv4_number(source, profile)
        request.destinationIp = ipv4_number(destination, profile)
    else:
        request.ipVersion = pb._IPV6
        request.sourceIpV6 = source.packed
        request.destinationIpV6 = destination.packed
    return request


def _host(address: Address) -> IpAddress:
    return host("address", address)


def ipv4_number(address: IpAddress, profile: Profile) -> int:
    """An IPv4 address as the profile's servers read it."""
    return int.from_bytes(address.packed, "little" if profile.ipv4_order == "inet_pton" else "big")


def _action(session: Session, dialect: Dialect, profile: Profile) -> pb.actionParameters:
    action = pb.actionParameters(actionType=pb.ACTION_TYPE.Name(session.action.value))
    if session.collector is not None:
        collector = _host(session.collector)
        if collector.version == 4:
            action.actionNextHop = ipv4_number(collector, profile)
        else:
            action.actionNextHopV6 = collector.packed
    # Two VLANs mean a rewrite. v1beta1 says so for each link, the others say it with the VLANs themselves.
    rewrites = dialect.routed and session.action is Action.FORWARD and session.in_vlan != session.out_vlan
    for field, link, vlan in (
        (action.actionParams_inLif, session.in_link, session.in_vlan),
        (action.actionParams_outLif, session.out_link, session.out_vlan),
    ):
        if link is not None or rewrites:
            field.CopyFrom(_link(link or Link(), vlan if rewrites else 0, session, profile))
    return action


def _link(link: Link, vlan: int, session: Session, profile: Profile) -> pb.perLinkActionParameters:
    parameters = pb.perLinkActionParameters(nextHopId=link.next_hop, vlan=link.vlan or vlan)
    if link.snat is not None:
        parameters.snat.CopyFrom(_nat(link.snat, session, profile))
    if link.dnat is not None:
        parameters.dnat.CopyFrom(_nat(link.dnat, session, profile))
    return parameters


def _nat(nat: Nat, session: Session, profile: Profile) -> pb.NAT:
    message = pb.NAT(port=nat.port, protocolId=_PROTOCOLS[session.protocol])
    address = _host(nat.address)
    if address.version == 4:
        message.ipv4 = ipv4_number(address, profile)
    else:
        message.ipv6 = address.packed
        message.ipVersion = pb._IPV6
    return message


def refusal(code: int, profile: Profile) -> Refusal:
    """What the error of a session means. Codes that no server is known to send are rejections."""
    if profile.add_errors == "grpc":
        return _GRPC_REFUSALS.get(code, Refusal.REJECTED)
    return _STATUS_REFUSALS.get(code, Refusal.REJECTED)


def session_report(response: pb.sessionResponse, *, counted: bool = True) -> Optional[SessionReport]:
    """The session in an answer; None if it says that there is none."""
    if says_none(response):
        return None
    accepted(response.requestStatus, f"session {response.sessionId}")
    return report_of(response, counted=counted)


def closed_report(response: pb.sessionResponse) -> Optional[SessionReport]:
    """The session in a record of the closed stream. Whatever its status: a record comes once, and has the counters."""
    return None if says_none(response) else report_of(response, counted=True)


def says_none(response: pb.sessionResponse) -> bool:
    """An answer that has no session in it."""
    return response.requestStatus in (pb._REJECTED_SESSION_NONEXISTENT, pb._NO_CLOSED_SESSIONS)


def report_of(response: pb.sessionResponse, *, counted: bool) -> SessionReport:
    """What an answer says of a session."""
    return SessionReport(
        id=response.sessionId,
        in_packets=response.inPackets,
        out_packets=response.outPackets,
        in_bytes=response.inBytes,
        out_bytes=response.outBytes,
        state=_state(response.sessionState),
        close_code=_close_code(response.sessionCloseCode),
        start_time=_time(response.startTime) if response.HasField("startTime") else None,
        end_time=_time(response.endTime) if response.HasField("endTime") else None,
        counted=counted,
    )


def accepted(status: int, what: str, said: str = "") -> None:
    """Raises unless a REQUEST_STATUS is that of success. ``said`` are the server's own words, where it has some."""
    if status != pb._ACCEPTED:
        known = status in pb.REQUEST_STATUS.values()
        name = pb.REQUEST_STATUS.Name(pb.REQUEST_STATUS.ValueType(status)) if known else f"status {status}"
        why = said or f"the server answered {name.lstrip('_')}; its log may say why"
        raise RequestRefused(f"{what}: {why}", status, details=said)


def _state(number: int) -> State:
    try:
        return State(number)
    except ValueError:
        return State.UNKNOWN


def _close_code(number: int) -> CloseCode:
    try:
        return CloseCode(number)
    except ValueError:
        return CloseCode.UNKNOWN


def _time(time: Timestamp) -> Optional[datetime.datetime]:
    try:
        return _EPOCH + datetime.timedelta(seconds=time.seconds, microseconds=time.nanos // 1000)
    except OverflowError:
        # No date; not worth the counters that came with it.
        return None


def mac(name: str, address: Union[str, bytes]) -> bytes:
    """The six bytes of ``02:00:00:00:00:01``, or of six bytes."""
    try:
        octets = address if isinstance(address, bytes) else bytes.fromhex(address.replace(":", "").replace("-", ""))
    except ValueError:
        octets = b""
    if len(octets) != limits.MAC_BYTES:
        raise InvalidSession(f"{name} {address!r}; a MAC address looks like '02:00:00:00:00:01'")
    return octets
