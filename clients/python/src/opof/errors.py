"""What can go wrong, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional, Tuple, Type

import grpc

if TYPE_CHECKING:
    from .session import AddOutcome, Refusal


class Error(Exception):
    """What all errors of this package are."""

    code: Optional[grpc.StatusCode]
    """The status of the call; None when no call was made, or it was answered."""

    details: str
    """What the server or gRPC said; may be empty."""

    outcome: Optional[AddOutcome]
    """Set by :meth:`opof.Client.add`: what the streams before this error came to."""

    def __init__(self, message: str, *, code: Optional[grpc.StatusCode] = None, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.details = details
        self.outcome = None

    @property
    def retryable(self) -> bool:
        """True when the same call may succeed later although nobody has mended anything on this side: the device was away,
        busy, or at fault. It does not say that the call had no effect."""
        if isinstance(self, (Unreachable, DeadlineExceeded, ResourceExhausted)):
            return True
        return self.code in (grpc.StatusCode.ABORTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


class InvalidConfiguration(Error, ValueError):
    """The client can't be made like this."""


class InvalidSession(Error, ValueError):
    """No device would accept this session, next hop or VLAN flow."""


class UnsupportedByDialect(Error):
    """The dialect has no way to say it. Nothing was sent."""

    def __init__(self, what: str, dialect: str, dialects: Tuple[str, ...]) -> None:
        able = " and ".join(dialects)
        verb = "have" if len(dialects) > 1 else "has"
        super().__init__(f"{what}: not in dialect {dialect}; {able} {verb} it, if the server speaks it")
        self.what = what
        self.dialect = dialect
        self.dialects = dialects
        """Those that can say it."""


class ClientClosed(Error):
    """The client was closed, before the call or during it."""


class Unreachable(Error):
    """No connection, or it broke, or the server can't serve now. Where a connection was there, what was asked may have
    been done all the same; the message says so."""


class DeadlineExceeded(Error):
    """No answer in time. What was asked may have been done all the same."""


class CallRefused(Error):
    """The server refused the call as a whole."""


class PermissionDenied(CallRefused):
    """This client may not do that."""


class Unauthenticated(CallRefused):
    """The server does not know who this client is."""


class ResourceExhausted(CallRefused):
    """The server has no room for the call."""


class InvalidArgument(CallRefused):
    """The server does not understand the call."""


class NotFound(CallRefused):
    """What the call is about is not there. Of a session, ``None`` says so, and of closed sessions, none come."""


class Unimplemented(CallRefused):
    """The server does not know the method: it does not speak this dialect, or not all of it."""


class RequestRefused(Error):
    """The server answered, and the answer is no."""

    def __init__(self, message: str, status: int, reason: Optional[Refusal] = None, details: str = "") -> None:
        """``details`` are the server's own words, where it has some."""
        super().__init__(message, details=details)
        self.status = status
        """As the answer has it."""
        self.reason = reason
        """The same, where it is one of those of an add."""


class BadAnswer(Error):
    """The answer is not what the protocol has here."""


_REFUSED: Dict[grpc.StatusCode, Tuple[Type[CallRefused], str]] = {
    grpc.StatusCode.PERMISSION_DENIED: (PermissionDenied, "; the operator of the device can allow it"),
    grpc.StatusCode.UNAUTHENTICATED: (
        Unauthenticated,
        "; give a certificate and key that the device's operator has issued: Tls(cert=..., key=...)",
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (ResourceExhausted, "; ask for less at once, or later"),
    grpc.StatusCode.INVALID_ARGUMENT: (InvalidArgument, ""),
    grpc.StatusCode.NOT_FOUND: (NotFound, ""),
    grpc.StatusCode.UNIMPLEMENTED: (Unimplemented, "; does the server speak this dialect? Client(dialect=...) chooses"),
}


def of_call(error: grpc.RpcError, target: str, deadline: float, method: str) -> Error:
    """What a failed call means."""
    if not isinstance(error, grpc.Call):
        return Error(f"{target}: {method} failed: {error}", details=str(error))
    code = error.code() or grpc.StatusCode.UNKNOWN
    details = error.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"no answer from {target} to {method} within {deadline:g} s; the request may have been carried out"
        return DeadlineExceeded(message, code=code, details=details)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return Unreachable(f"{target} is unavailable: {details}; {_hint(details)}", code=code, details=details)
    kind, advice = _REFUSED.get(code, (CallRefused, ""))
    said = details or "it did not say why"
    return kind(f"{target} refused {method} ({code.name}): {said}{advice}", code=code, details=details)


# How gRPC begins when no connection came about, so that nothing was sent.
NOT_CONNECTED = ("failed to connect to all addresses", "dns resolution failed")


def _hint(details: str) -> str:
    """gRPC has one status for everything that keeps a connection from coming about."""
    lower = details.lower()
    if any(word in lower for word in ("certificate", "handshake", "ssl", "verification")):
        return (
            "give the CA that signed the device's certificate, or the self-signed certificate itself, as Tls(ca=...), "
            "and check that the certificate names this host, or name it with server_name"
        )
    advice = "check that the device listens there, and that both ends agree on TLS"
    if lower.startswith(NOT_CONNECTED):
        return advice
    return f"{advice}; the request may have been carried out"
