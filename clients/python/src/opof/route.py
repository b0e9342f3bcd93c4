"""Which device is asked: of several, the one that answered last, until it says that another is active, or is not there."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Set, Union

import grpc

from . import limits
from .errors import NOT_CONNECTED

# Of a device that is the standby of a pair: where the active one is, as host:port.
_ACTIVE = "opof-active"
# Where the details of a status are, and one among them: that nothing was done, and when to come back.
_DETAILS, _RETRY_INFO = "grpc-status-details-bin", b"/google.rpc.RetryInfo"


@dataclass(frozen=True, eq=False)
class Device:
    """One device, and the way to it."""

    target: str
    channel: grpc.Channel


class Route:
    """All devices that may be asked; threads share it."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self.devices = tuple(devices)
        self._current = self.devices[0]
        self._lock = threading.Lock()

    @property
    def current(self) -> Device:
        """The one to ask."""
        return self._current

    def after(self, device: Device, but: Set[Device]) -> Optional[Device]:
        """The next one, in a circle, that is not among those."""
        at = self.devices.index(device)
        others = self.devices[at + 1 :] + self.devices[:at]
        return next((other for other in others if other not in but), None)

    def named(self, target: str) -> Optional[Device]:
        """The one with this address."""
        return next((device for device in self.devices if device.target == target), None)

    def go(self, source: Device, to: Device) -> None:
        """From one to another, unless a call beside this one has gone on."""
        with self._lock:
            if self._current is source:
                self._current = to


class Search:
    """What one call has found out on its way."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._hops = 0
        # Since it waited last.
        self._not_active: Set[Device] = set()
        self._away: Set[Device] = set()

    def pause(self, device: Device, error: grpc.RpcError) -> Optional[float]:
        """After the call to this device has failed: seconds until the current one is asked. None: it is not made again, for it may
        have been carried out, or nobody else would do it."""
        self._hops += 1
        code = error.code() if isinstance(error, grpc.Call) else None
        if len(self._route.devices) == 1:
            return None
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            self._doubt(device)
            return None
        if self._hops > limits.HOPS or code is not grpc.StatusCode.UNAVAILABLE:
            return None
        said: Dict[str, Union[str, bytes]] = {one.key: one.value for one in error.trailing_metadata() or ()}
        details = said.get(_DETAILS)
        to: Optional[Device]
        if (error.details() or "").lower().startswith(NOT_CONNECTED):
            self._away.add(device)
            to = self._route.after(device, self._away)
            if to is None:
                return None
        elif _ACTIVE in said:
            self._not_active.add(device)
            to = self._route.named(str(said[_ACTIVE])) or self._route.after(device, set())
            # One that is away is not asked twice; until there is an active one, this one is.
            to = device if to is None or to in self._away else to
        elif isinstance(details, bytes) and _RETRY_INFO in details:
            # About to become active, or not to be any more.
            self._not_active.add(device)
            to = device
        else:
            self._doubt(device)
            return None
        self._route.go(device, to)
        if to not in self._not_active:
            return 0.0
        # Then whichever of them is asked first, and names the other one, that one is asked right behind it.
        self._not_active.clear()
        return limits.HOP_PAUSE

    def _doubt(self, device: Device) -> None:
        """The device has not answered: next time another one is asked."""
        self._route.go(device, self._route.after(device, set()) or device)
