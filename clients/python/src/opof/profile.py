"""Where published servers give the same message different meanings: one switch each, and named sets of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Literal, Union

from . import limits
from .errors import InvalidConfiguration


@dataclass(frozen=True)
class Profile:
    """How the server reads and writes messages. It must be that of the server's listener.

    To set one switch: ``Profile(ipv4_order="host")``, or ``dataclasses.replace(opof.BLUEFIELD, page_cap=0)``.
    """

    ipv4_order: Literal["inet_pton", "host"] = "inet_pton"
    """10.0.0.1 is 0x0100000A (``inet_pton``) or 0x0A000001 (``host``)."""

    add_errors: Literal["add_session_status", "grpc"] = "add_session_status"
    """What the error of a single session is a value of: ADD_SESSION_STATUS, or the status codes of gRPC."""

    add_status: Literal["worst", "zero"] = "worst"
    """What an add's answer says of the whole stream: the worst error, or nothing."""

    unknown_id: Literal["status", "not_found"] = "status"
    """How a get or delete of an unknown id is answered. Both mean one thing, and are understood under either."""

    no_closed: Literal["empty", "not_found"] = "empty"
    """How a call for closed sessions is answered when there are none. Both are understood under either."""

    page_cap: int = 0
    """Sessions at most in a page, and in an addSession stream, so that its errors are all named; 0 for no cap."""

    list_cursor: Literal["inclusive", "exclusive"] = "inclusive"
    """The cursor of a list: the first id wanted, or the last id that has come."""

    report_deleted: bool = False
    """A deleted session is also in the closed stream, and only there has its counters."""

    def __post_init__(self) -> None:
        for switch, values in _VALUES.items():
            value = getattr(self, switch)
            if value not in values:
                raise InvalidConfiguration(f"{switch}: {value!r}; it is one of {', '.join(values)}")
        if not 0 <= self.page_cap <= limits.UINT32:
            raise InvalidConfiguration(f"page_cap: {self.page_cap}; give 0 for none, or sessions in a page")


_VALUES = {
    "ipv4_order": ("inet_pton", "host"),
    "add_errors": ("add_session_status", "grpc"),
    "add_status": ("worst", "zero"),
    "unknown_id": ("status", "not_found"),
    "no_closed": ("empty", "not_found"),
    "list_cursor": ("inclusive", "exclusive"),
}

SPEC = Profile()
"""As the API's text says, and as the first release's Python client expects."""

C_CLIENT = Profile(
    add_errors="grpc",
    add_status="zero",
    unknown_id="not_found",
    no_closed="not_found",
    page_cap=limits.FIELD_CAP,
    list_cursor="exclusive",
)
"""As the C++ servers do, for C clients."""

BLUEFIELD = Profile(
    ipv4_order="host",
    add_errors="grpc",
    add_status="zero",
    unknown_id="not_found",
    no_closed="not_found",
    page_cap=limits.FIELD_CAP,
    list_cursor="exclusive",
    report_deleted=True,
)
"""As the BlueField server does."""

PROFILES: Dict[str, Profile] = {"spec": SPEC, "c-client": C_CLIENT, "bluefield": BLUEFIELD}


def profile_of(profile: Union[str, Profile]) -> Profile:
    """The profile, or the one of this name."""
    if isinstance(profile, Profile):
        return profile
    try:
        return PROFILES[profile]
    except KeyError:
        names = ", ".join(PROFILES)
        raise InvalidConfiguration(f"no profile {profile!r}; there are {names}, or give an opof.Profile") from None
