"""How calls are made: the channel, the paths, the deadline, and what their errors mean."""

from __future__ import annotations

import os
import re
import ssl
import threading
from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple, Type, TypeVar, Union

import grpc
from google.protobuf.message import Message

from . import limits
from .dialect import Dialect
from .errors import ClientClosed, Error, InvalidConfiguration, of_call
from .route import Route, Search

M = TypeVar("M", bound=Message)
T = TypeVar("T")
Pem = Union[str, "os.PathLike[str]", bytes]
"""The path of a PEM file, or what is in it."""

_PEM_BEGIN = b"-----BEGIN "
# PKCS #8 (RFC 7468, section 11), or the older form of OpenSSL (RFC 1421, section 4.6.1.1).
_ENCRYPTED = re.compile(rb"^(-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type:.*ENCRYPTED)", re.MULTILINE)


@dataclass(frozen=True)
class Tls:
    """Whom to trust, and who we are."""

    ca: Optional[Pem] = None
    """The authority that signed the device's certificate, or a self-signed certificate itself; None for gRPC's list."""
    cert: Optional[Pem] = None
    """Our certificate chain, where the device asks for one; with ``key``."""
    key: Optional[Pem] = None
    server_name: Optional[str] = None
    """The name that the device's certificate has, where it is not the one in the target."""

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC makes a channel from."""
        if (self.cert is None) != (self.key is None):
            raise InvalidConfiguration("Tls: cert and key go together; give both, or neither")
        cert, key = _pem("cert", self.cert), _pem("key", self.key)
        if key is not None and _ENCRYPTED.search(key):
            raise InvalidConfiguration("Tls: key: the key is encrypted; an unencrypted PEM key is needed")
        # Python's ssl reads files only, and a key that was given as bytes is not for a disk.
        if isinstance(self.cert, (str, os.PathLike)) and isinstance(self.key, (str, os.PathLike)):
            _check_pair(self.cert, self.key)
        return grpc.ssl_channel_credentials(
            root_certificates=_pem("ca", self.ca), private_key=key, certificate_chain=cert
        )


def _check_pair(cert: Union[str, "os.PathLike[str]"], key: Union[str, "os.PathLike[str]"]) -> None:
    """What gRPC would tell as a handshake that fails, call after call."""
    try:
        # No password is needed here, and without one ssl would ask for it at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=b"")
    except ssl.SSLError as error:
        said = error.reason or str(error)
        # The system's policy is not that of gRPC, which may take them.
        if said.endswith(("_TOO_SMALL", "_TOO_WEAK")):
            return
        wrong = "it is not the key of cert" if said == "KEY_VALUES_MISMATCH" else f"it or cert is broken: {said}"
        raise InvalidConfiguration(f"Tls: key: {wrong}; give a certificate and its own key, in PEM") from error


def _pem(name: str, pem: Optional[Pem]) -> Optional[bytes]:
    if pem is None:
        return None
    if isinstance(pem, bytes):
        content, origin = pem, "the bytes given"
    else:
        origin = os.fspath(pem)
        try:
            with open(origin, "rb") as file:
                content = file.read()
        except OSError as error:
            raise InvalidConfiguration(f"Tls: can't read {name}: {error}") from error
    if _PEM_BEGIN not in content:
        raise InvalidConfiguration(f"Tls: {name}: {origin}: no PEM in there; it has a line -----BEGIN ...-----")
    return content


def target_of(target: str) -> str:
    """The target as gRPC wants it; a port that is not there is the default one."""
    if target.startswith("unix:"):
        if target in ("unix:", "unix://"):
            raise InvalidConfiguration(f"{target}: no path; it should look like unix:/run/opof/opofd.sock")
        return target
    if "/" in target or not target:
        raise InvalidConfiguration(
            f"{target!r}: not a target; it should look like localhost:3443, [::1]:3443 or unix:/path"
        )
    if target.startswith("["):
        name, bracket, port = target.rpartition("]")
        name, port = name + bracket, port.lstrip(":")
    else:
        name, _, port = target.partition(":")
    if ":" in port:
        raise InvalidConfiguration(f"{target}: more than one colon; put an IPv6 address in brackets: [::1]:3443")
    number = port or str(limits.DEFAULT_PORT)
    if name in ("", "[]") or not number.isdecimal() or not 0 < int(number) <= limits.PORT:
        raise InvalidConfiguration(f"{target}: not a host and a port from 1 to {limits.PORT}")
    return f"{name}:{number}"


def channel_to(target: str, tls: Optional[Tls], plaintext: bool, others: bool) -> grpc.Channel:
    """A channel, which connects at the first call and comes back by itself after the device has been away. Where there are ``others``, it
    gives a device that is gone without a word up before a call does."""
    options: List[Tuple[str, Any]] = [
        ("grpc.max_receive_message_length", limits.MESSAGE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", limits.RECONNECT_MIN_MS),
        ("grpc.min_reconnect_backoff_ms", limits.CONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", limits.RECONNECT_MAX_MS),
    ]
    if others:
        # gRPC gives both to TCP as one: how long what was sent may be unacknowledged (its proposal A18).
        options.append(("grpc.keepalive_time_ms", limits.KEEP_ALIVE_MS))
        options.append(("grpc.keepalive_timeout_ms", limits.UNACKNOWLEDGED_MS))
    if (tls is not None) == plaintext:
        raise InvalidConfiguration(f"{target}: give tls=opof.Tls(...) or plaintext=True, and not both")
    if tls is None:
        return grpc.insecure_channel(target, options)
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return grpc.secure_channel(target, tls.credentials(), options)


class Wire:
    """Channels whose calls raise the errors of this package."""

    def __init__(self, route: Route, dialect: Dialect, deadline: float) -> None:
        self.route = route
        self.dialect = dialect
        self.deadline = deadline
        self.closed = threading.Event()

    @property
    def channel(self) -> grpc.Channel:
        """That to the device that is asked."""
        return self.route.current.channel

    @property
    def target(self) -> str:
        """Its address."""
        return self.route.current.target

    def close(self) -> None:
        """Ends all calls."""
        self.closed.set()
        for device in self.route.devices:
            device.channel.close()

    def _made(self, method: str, call: Callable[[grpc.Channel], T]) -> T:
        """What the call comes to, of whichever device is active."""
        search = Search(self.route)
        while True:
            device = self.route.current
            with _Errors(self, device.target, method):
                try:
                    return call(device.channel)
                except grpc.RpcError as error:
                    pause = search.pause(device, error)
                    if pause is None:
                        raise
            self.closed.wait(pause)

    def unary(self, method: str, request: Message, answer: Type[M]) -> M:
        """One message, one answer."""
        return self.unary_with_texts(method, request, answer)[0]

    def unary_with_texts(self, method: str, request: Message, answer: Type[M]) -> Tuple[M, List[Tuple[str, str]]]:
        """One message, one answer, and the metadata that came with it."""

        def call(channel: grpc.Channel) -> Tuple[M, List[Tuple[str, str]]]:
            multi = channel.unary_unary(self.dialect.path(method), _serialize, answer.FromString)
            message, call = multi.with_call(request, timeout=self.deadline)
            metadata = (*(call.initial_metadata() or ()), *(call.trailing_metadata() or ()))
            return message, [(key, value) for key, value in metadata if isinstance(value, str)]

        return self._made(method, call)

    def stream_in(self, method: str, requests: Sequence[Message], answer: Type[M]) -> Tuple[M, List[Tuple[str, str]]]:
        """Many messages, one answer, and the initial metadata that came with it."""

        def call(channel: grpc.Channel) -> Tuple[M, List[Tuple[str, str]]]:
            multi = channel.stream_unary(self.dialect.path(method), _serialize, answer.FromString)
            message, call = multi.with_call(iter(requests), timeout=self.deadline)
            texts = [(key, value) for key, value in call.initial_metadata() or () if isinstance(value, str)]
            return message, texts

        return self._made(method, call)

    def stream_out(self, method: str, request: Message, answer: Type[M]) -> Iterator[M]:
        """One message, many answers; the deadline is for all of them."""

        def begin(channel: grpc.Channel) -> Tuple[Any, Optional[M]]:
            multi = channel.unary_stream(self.dialect.path(method), _serialize, answer.FromString)
            call = multi(request, timeout=self.deadline)
            # Before anything has come another device can be asked.
            return call, next(call, None)

        call, first = self._made(method, begin)
        if first is None:
            return
        with _Errors(self, self.target, method):
            try:
                yield first
                yield from call
            finally:
                # Of a stream that is read to its end nothing is left to cancel.
                call.cancel()


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


class _Errors:
    """What gRPC raises becomes one of our errors."""

    def __init__(self, wire: Wire, target: str, method: str) -> None:
        self._wire = wire
        self._target = target
        self._method = method

    def __enter__(self) -> None:
        self._refuse_if_closed(None)

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: object) -> None:
        if isinstance(error, grpc.RpcError):
            self._refuse_if_closed(error)
            raise self.translated(error) from error
        # What a call on a closed channel raises.
        if isinstance(error, ValueError) and not isinstance(error, Error):
            self._refuse_if_closed(error)

    def translated(self, error: grpc.RpcError) -> Error:
        return of_call(error, self._target, self._wire.deadline, self._method)

    def _refuse_if_closed(self, cause: Optional[BaseException]) -> None:
        if self._wire.closed.is_set():
            raise ClientClosed(f"{self._target}: the client is closed; make another") from cause
