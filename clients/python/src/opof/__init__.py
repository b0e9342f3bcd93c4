"""Client of OpenOffload devices: hand sessions to the device, collect the closed ones.

``Client`` has the calls. The messages and stubs of each dialect are in ``opof.proto``, every bound in ``opof.limits``.
"""

from . import limits, proto
from .client import Client
from .dialect import DIALECTS, Dialect
from .errors import (
    BadAnswer,
    CallRefused,
    ClientClosed,
    DeadlineExceeded,
    Error,
    InvalidArgument,
    InvalidConfiguration,
    InvalidSession,
    NotFound,
    PermissionDenied,
    RequestRefused,
    ResourceExhausted,
    Unauthenticated,
    Unimplemented,
    Unreachable,
    UnsupportedByDialect,
)
from .profile import BLUEFIELD, C_CLIENT, PROFILES, SPEC, Profile
from .session import (
    Action,
    AddOutcome,
    CloseCode,
    Link,
    Nat,
    Refusal,
    Refused,
    ServiceVersion,
    Session,
    SessionReport,
    State,
    VlanFlow,
)
from .wire import Tls

__all__ = [
    "BLUEFIELD",
    "C_CLIENT",
    "DIALECTS",
    "PROFILES",
    "SPEC",
    "Action",
    "AddOutcome",
    "BadAnswer",
    "CallRefused",
    "Client",
    "ClientClosed",
    "CloseCode",
    "DeadlineExceeded",
    "Dialect",
    "Error",
    "InvalidArgument",
    "InvalidConfiguration",
    "InvalidSession",
    "Link",
    "Nat",
    "NotFound",
    "PermissionDenied",
    "Profile",
    "Refusal",
    "Refused",
    "RequestRefused",
    "ResourceExhausted",
    "ServiceVersion",
    "Session",
    "SessionReport",
    "State",
    "Tls",
    "Unauthenticated",
    "Unimplemented",
    "Unreachable",
    "UnsupportedByDialect",
    "VlanFlow",
    "limits",
    "proto",
]
