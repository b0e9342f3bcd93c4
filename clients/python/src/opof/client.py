"""The calls."""

from __future__ import annotations

import itertools
import re
from types import TracebackType
from typing import Any, Iterable, Iterator, List, Optional, Sequence, Tuple, Type, Union

import grpc
from google.protobuf.message import Message

from . import limits
from .dialect import dialect_of
from .errors import BadAnswer, Error, InvalidConfiguration, NotFound, RequestRefused
from .follow import follow
from .profile import Profile, profile_of
from .proto import v1, v1_1, v1beta1, v2
from .proto.v1_1 import openoffload_pb2 as pb_v1_1
from .proto.v1beta1 import openoffload_pb2 as pb
from .route import Device, Route
from .session import AddOutcome, Refused, ServiceVersion, Session, SessionReport, VlanFlow, bounded
from .translate import accepted, closed_report, mac, refusal, session_report, session_request
from .wire import Tls, Wire, channel_to, target_of

# "From the beginning" under an exclusive cursor; the contract has it in 32 bits.
_BEGINNING = 0xFFFFFFFF
_REFUSED_KEY = "opof-refused"
_NAMED = re.compile(r"^(next hop|VLAN) \d+: ")
_MODULES = {"v1": v1, "v1_1": v1_1, "v1beta1": v1beta1, "v2": v2}


class Client:
    """A connection to a device. It comes back by itself after the device has been away; threads can share it.

    ``target`` is ``host:port``, ``[::1]:port`` or ``unix:/path``. Either ``tls`` or ``plaintext=True`` is needed.
    ``dialect`` and ``profile`` are those of the server's listener; ``deadline`` is in seconds, for each call. Every
    call raises :class:`opof.Error` when it fails.

    Of a pair of devices ``others`` has the second one's address: the active one is asked, and the other one when that
    is active. The deadline is for each device that is asked.
    """

    def __init__(
        self,
        target: str,
        *,
        others: Sequence[str] = (),
        tls: Optional[Tls] = None,
        plaintext: bool = False,
        dialect: str = "v1",
        profile: Union[str, Profile] = "spec",
        deadline: float = limits.DEADLINE,
    ) -> None:
        if not deadline > 0:
            raise InvalidConfiguration(f"deadline {deadline}: give seconds, more than 0")
        self.dialect = dialect_of(dialect)
        self.profile = profile_of(profile)
        if isinstance(others, str):
            raise InvalidConfiguration(f"others={others!r}: give a list, [{others!r}]")
        targets = [target_of(one) for one in (target, *others)]
        route = Route([Device(one, channel_to(one, tls, plaintext, len(targets) > 1)) for one in targets])
        self._wire = Wire(route, self.dialect, deadline)
        self._module: Any = _MODULES[self.dialect.package]

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the calls under way, and :meth:`follow_closed`."""
        self._wire.close()

    @property
    def target(self) -> str:
        """The address of the device that is asked."""
        return self._wire.target

    # The raw API.

    @property
    def channel(self) -> grpc.Channel:
        """The channel to the device that is asked, for stubs of your own."""
        return self._wire.channel

    @property
    def stub(self) -> Any:
        """The generated ``SessionTableStub`` of this dialect, on this channel. It knows no profile and sets no
        deadline; its messages are in :mod:`opof.proto`."""
        return self._module.openoffload_pb2_grpc.SessionTableStub(self._wire.channel)

    def message(self, session: Session) -> Any:
        """A session as this dialect's own ``sessionRequest``, for :attr:`stub`."""
        messages = self._module.openoffload_pb2
        kind = messages.SessionRequest if self.dialect.pascal_case else messages.sessionRequest
        return kind.FromString(self._request(session).SerializeToString())

    # What every dialect has.

    def add(self, sessions: Iterable[Session]) -> AddOutcome:
        """Offloads sessions. When this returns, the next packet of every session that is not among the refused takes
        the fast path.

        The iterable is read a batch at a time and may be of any length. A session that the dialect can't express fails
        the batch that it is in, before any of it is sent. After an error ``error.outcome`` has what the batches before
        came to; of the batch that failed any part may have been accepted, and to add it again does no harm
        (``Refusal.ALREADY_EXISTS``).
        """
        size = min(limits.ADD_BATCH, self.profile.page_cap or limits.ADD_BATCH)
        requests = (self._request(session) for session in sessions)
        sum_accepted = 0
        refused: List[Refused] = []
        texts: List[str] = []
        try:
            while True:
                batch = list(itertools.islice(requests, size))
                if not batch:
                    break
                batch_refused, batch_texts = self._add(batch)
                sum_accepted += len(batch) - len(batch_refused)
                refused += batch_refused
                texts += batch_texts[: limits.REFUSED_TEXTS - len(texts)]
        except Error as error:
            error.outcome = AddOutcome(sum_accepted, tuple(refused), tuple(texts))
            raise
        return AddOutcome(sum_accepted, tuple(refused), tuple(texts))

    def _request(self, session: Session) -> pb.sessionRequest:
        return session_request(session, self.dialect, self.profile)

    def _add(self, batch: List[pb.sessionRequest]) -> Tuple[List[Refused], List[str]]:
        answer, metadata = self._wire.stream_in("addSession", batch, pb.addSessionResponse)
        errors = answer.responseError
        untold = self.profile.add_status == "worst" and answer.requestStatus != 0 and not errors
        if len(errors) > len(batch) or untold:
            raise BadAnswer(
                f"{self.target}: of {len(batch)} sessions it refused {len(errors)}, with status "
                f"{answer.requestStatus}, which makes no sense; is it of this profile?"
            )
        refused = [Refused(one.sessionId, refusal(one.errorStatus, self.profile), one.errorStatus) for one in errors]
        return refused, [text for key, text in metadata if key == _REFUSED_KEY]

    def get(self, id: int) -> Optional[SessionReport]:
        """One session with its live counters; None when there is none with this id."""
        return self._one("getSession", id, counted=True)

    def delete(self, id: int) -> Optional[SessionReport]:
        """Takes a session off the fast path; None when there is none with this id. The report has the final counters,
        but for servers that report deleted sessions as closed (``report_deleted``), where :meth:`closed` has them."""
        return self._one("deleteSession", id, counted=not self.profile.report_deleted)

    def _one(self, method: str, id: int, *, counted: bool) -> Optional[SessionReport]:
        request = pb.sessionId(sessionId=bounded("session id", id, limits.SESSION_ID))
        try:
            return session_report(self._wire.unary(method, request, pb.sessionResponse), counted=counted)
        except NotFound:
            return None

    def list(self, start: int = 0, page_size: int = limits.PAGE) -> Iterator[SessionReport]:
        """Sessions with live counters, from the first id that is at least ``start``, in ascending id, a page at a time.
        Sessions that come and go meanwhile may be there or not; one that stays is there once."""
        bounded("start", start, limits.SESSION_ID)
        size = bounded("page_size", page_size, limits.UINT32, 1)
        size = min(size, self.profile.page_cap or size)
        return self._pages(start, size) if self.profile.list_cursor == "inclusive" else self._pages_after(start, size)

    def _page(self, cursor: int, size: int) -> Tuple[List[SessionReport], int]:
        args = pb.sessionRequestArgs(pageSize=size, startSession=cursor)
        answer = self._wire.unary("getAllSessions", args, pb.sessionResponses)
        reports = (session_report(info) for info in answer.sessionInfo)
        return [report for report in reports if report is not None], answer.nextkey

    def _pages(self, start: int, size: int) -> Iterator[SessionReport]:
        while True:
            reports, cursor = self._page(start, size)
            yield from reports
            if cursor == 0:
                return
            if cursor <= start:
                raise BadAnswer(
                    f"{self.target}: the page from session {start} on says that it goes on at session {cursor}; "
                    "is its cursor exclusive? Profile(list_cursor=...) says"
                )
            start = cursor

    def _pages_after(self, start: int, size: int) -> Iterator[SessionReport]:
        while True:
            cursor = start - 1 if start > 0 else _BEGINNING
            skips = start > 0 and cursor == _BEGINNING
            # The id that means "from the beginning" can't be a cursor; the one before it is, and a page of one would
            # have nothing but what has come already.
            reports, _ = self._page(cursor - 1 if skips else cursor, max(size, 2) if skips else size)
            new = [report for report in reports if report.id >= start]
            if len(reports) - len(new) > (1 if skips else 0):
                raise BadAnswer(
                    f"{self.target}: the page after session {cursor} has sessions from before it; "
                    "is its cursor inclusive? Profile(list_cursor=...) says"
                )
            yield from new
            if not new or new[-1].id == limits.SESSION_ID:
                return
            start = new[-1].id + 1

    def closed(self, limit: int = 0) -> Iterator[SessionReport]:
        """Sessions that have closed and that nobody has collected, oldest first: at most ``limit``, or with 0 until no
        more are waiting.

        Each is told once. They are read a page at a time (``limits.CLOSED_PAGE``): whoever stops in the middle loses
        what is left of the page. When a call breaks, what had come of it is there before the error is raised.
        """
        bounded("limit", limit, limits.UINT32)
        return self._closed(limit)

    def _closed(self, limit: int) -> Iterator[SessionReport]:
        told = 0
        while limit == 0 or told < limit:
            size = min(limits.CLOSED_PAGE, limit - told) if limit else limits.CLOSED_PAGE
            size = min(size, self.profile.page_cap or size)
            before = told
            for report in self._closed_page(size):
                told += 1
                yield report
            if told == before:
                return

    def _closed_page(self, size: int) -> Iterator[SessionReport]:
        """One call, read to its end before any of it is handed out: its deadline must not run while the user works."""
        waiting: List[SessionReport] = []
        failure: Optional[Error] = None
        try:
            args = pb.sessionRequestArgs(pageSize=size)
            for response in self._wire.stream_out("getClosedSessions", args, pb.sessionResponse):
                report = closed_report(response)
                if report is not None:
                    waiting.append(report)
                # A server that knows no pages sends all there are; they are not to pile up here.
                if len(waiting) > size:
                    yield from waiting
                    waiting.clear()
        except NotFound:
            pass
        except Error as error:
            failure = error
        yield from waiting
        if failure is not None:
            raise failure

    def follow_closed(self) -> Iterator[SessionReport]:
        """Closed sessions as they come, for ever: it polls, more slowly while nothing closes, and goes on when the
        server has been away, which the logger ``opof`` tells. It ends when the client is closed. Errors that waiting
        does not mend, such as :class:`opof.PermissionDenied`, are raised."""
        return follow(self.closed, self._wire.closed, self.target, self._wire.closed.wait)

    # v1.1.

    def shutdown_server(self, deadline: int) -> None:
        """Drains the server and ends it within ``deadline`` seconds; its supervisor starts it again. Needs a permission
        that is off where nothing is said."""
        self.dialect.need("shutdown", "shutdown_server")
        request = pb_v1_1.shutdownRequest(deadline=bounded("deadline", deadline, limits.INT32))
        answer = self._wire.unary("shutdownServer", request, pb_v1_1.shutdownResponse)
        if answer.errorStatus:
            raise RequestRefused(f"{self.target} does not shut down: status {answer.errorStatus}", answer.errorStatus)

    # v1beta1.

    def service_version(self) -> ServiceVersion:
        """Who made the server, and which version it is."""
        self.dialect.need("routed", "service_version")
        answer = self._wire.unary("getServiceVersion", pb.versionRequest(), pb.versionResponse)
        return ServiceVersion(answer.vendor, answer.name, answer.version, answer.copyright)

    def reset(self) -> None:
        """Closes every session that is there now. Next hops and VLAN flows stay."""
        self.dialect.need("routed", "reset")
        self._done("reset", pb.resetRequest(), "reset")

    def set_next_hop(
        self, id: int, source_mac: Union[str, bytes], destination_mac: Union[str, bytes], *, ip_version: int = 4
    ) -> None:
        """Makes a next hop, or replaces it for every session that refers to it. Packets to it get these MAC addresses,
        and their TTL or hop limit is decremented."""
        self.dialect.need("routed", "set_next_hop")
        request = self._next_hop(id, ip_version)
        request.macRewrite.srcMac = mac("source_mac", source_mac)
        request.macRewrite.dstMac = mac("destination_mac", destination_mac)
        self._next_hop_done("setNextHop", request)

    def destroy_next_hop(self, id: int, *, ip_version: int = 4) -> None:
        """Takes a next hop away and closes the sessions that refer to it."""
        self.dialect.need("routed", "destroy_next_hop")
        self._next_hop_done("destroyNextHop", self._next_hop(id, ip_version))

    def clear_next_hops(self) -> None:
        """Takes all next hops away and closes the sessions that refer to one."""
        self.dialect.need("routed", "clear_next_hops")
        self._next_hop_done("clearNextHops", pb.nextHopParameters())

    def _next_hop(self, id: int, ip_version: int) -> pb.nextHopParameters:
        bounded("next hop", id, limits.UINT32, 1)
        version = pb._IPV4 if bounded("ip_version", ip_version, 6, 4) == 4 else pb._IPV6
        return pb.nextHopParameters(nextHopId=id, ipVersion=version)

    def _next_hop_done(self, method: str, request: pb.nextHopParameters) -> None:
        answer, texts = self._wire.unary_with_texts(method, request, pb.nextHopResponse)
        status = answer.errorStatus
        if status:
            reason = refusal(status, self.profile)
            said = _said(texts)
            why = said or f"{reason.value} (status {status}); the server's log may say why"
            what = f"{self.target}: {method}, next hop {request.nextHopId}"
            raise RequestRefused(f"{what}: {why}", status, reason, said)

    def add_vlan_flow(self, vlan: int, lif: int) -> None:
        """Sends the misses of a VLAN to the firewall port of an interface."""
        self.dialect.need("routed", "add_vlan_flow")
        bounded("VLAN", vlan, limits.VLAN, 1)
        request = pb.vlanFlowDef(vlanId=vlan, internalLif=bounded("LIF", lif, limits.LIF))
        self._done("addVlanFlow", request, f"VLAN flow {vlan}")

    def remove_vlan_flow(self, vlan: int) -> None:
        """Ends that for one VLAN."""
        self.dialect.need("routed", "remove_vlan_flow")
        request = pb.vlanFlowDef(vlanId=bounded("VLAN", vlan, limits.VLAN, 1))
        self._done("removeVlanFlow", request, f"VLAN flow {vlan}")

    def vlan_flows(self) -> Tuple[VlanFlow, ...]:
        """All VLAN flows."""
        self.dialect.need("routed", "vlan_flows")
        answer = self._wire.unary("getVlanFlows", pb.vlanFlowListRequest(), pb.vlanFlowList)
        return tuple(VlanFlow(flow.vlanId, flow.internalLif) for flow in answer.flowDefs)

    def clear_vlan_flows(self) -> None:
        """Ends it for all VLANs."""
        self.dialect.need("routed", "clear_vlan_flows")
        self._done("clearVlanFlows", pb.vlanFlowListRequest(), "VLAN flows")

    def _done(self, method: str, request: Message, what: str) -> None:
        answer, texts = self._wire.unary_with_texts(method, request, pb.sessionResponse)
        accepted(answer.requestStatus, f"{self.target}: {what}", _said(texts))


def _said(texts: List[Tuple[str, str]]) -> str:
    """Why one thing was refused, in the server's own words, without the name of the thing before them; may be empty."""
    said = next((text for key, text in texts if key == _REFUSED_KEY), "")
    return _NAMED.sub("", said)
