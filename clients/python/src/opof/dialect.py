"""The dialects: names of one wire format, and what each can say.

Where two dialects both have a field, it has the same number and type in both. So one set of messages serves for all,
that of v1beta1, which has every field; a dialect decides under which names a call is made, and which fields may be set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from .errors import InvalidConfiguration, UnsupportedByDialect


@dataclass(frozen=True)
class Dialect:
    """One published form of the API."""

    name: str
    package: str
    """Of the .proto file, and the module in :mod:`opof.proto` that has its messages."""
    pascal_case: bool
    """``AddSession``, not ``addSession``."""
    tunnels: bool
    """Sessions in a GTP-U tunnel."""
    shutdown: bool
    """A shutdown by request."""
    routed: bool
    """Next hops, NAT, VLAN flows, reset and version; VLAN ids in fields of their own."""

    def path(self, method: str) -> str:
        """Of a method, given in camel case."""
        name = method[0].upper() + method[1:] if self.pascal_case else method
        return f"/openoffload.{self.package}.SessionTable/{name}"

    def need(self, capability: str, what: str) -> None:
        """Raises unless this dialect has it."""
        if not getattr(self, capability):
            able = tuple(dialect.name for dialect in DIALECTS if getattr(dialect, capability))
            raise UnsupportedByDialect(what, self.name, able)


DIALECTS: Tuple[Dialect, ...] = (
    Dialect("v1", "v1", pascal_case=False, tunnels=False, shutdown=False, routed=False),
    Dialect("v1.1", "v1_1", pascal_case=False, tunnels=True, shutdown=True, routed=False),
    Dialect("v1beta1", "v1beta1", pascal_case=False, tunnels=True, shutdown=False, routed=True),
    Dialect("v2", "v2", pascal_case=True, tunnels=False, shutdown=False, routed=False),
)


def dialect_of(name: str) -> Dialect:
    """The dialect of this name."""
    for dialect in DIALECTS:
        if dialect.name == name:
            return dialect
    names = ", ".join(dialect.name for dialect in DIALECTS)
    raise InvalidConfiguration(f"no dialect {name!r}; there are {names}")
