"""A server in this process that answers as it is told, and an opofd."""

import concurrent.futures
import itertools
import os
import pathlib
import socket
import subprocess
import time

import grpc
import pytest

import opof
from opof.proto.v1beta1 import openoffload_pb2 as pb

ROOT = pathlib.Path(__file__).resolve().parents[3]
VECTORS = ROOT / "crates/api/tests/vectors"
OPOFD = os.environ.get("OPOFD", str(ROOT / "target/debug/opofd"))
START_BOUND_SECONDS = 20
DEADLINE = 10


def session(number, **changes):
    fields = {
        "source": ("10.0.0.1", 1024 + number % 60000),
        "destination": ("10.1.0.3", 80),
        "protocol": "tcp",
        "timeout_seconds": 30,
    }
    return opof.Session(number, **{**fields, **changes})


class Fake(grpc.GenericRpcHandler):
    """Answers under the names of one dialect. A method is a function of the messages and the call's context."""

    def __init__(self, dialect="v1"):
        self.dialect = next(one for one in opof.DIALECTS if one.name == dialect)
        self.methods = {}
        self.calls = []

    # Method, class of the request, request is a stream, answer is a stream.
    SHAPES = [
        ("addSession", pb.sessionRequest, True, False),
        ("getSession", pb.sessionId, False, False),
        ("deleteSession", pb.sessionId, False, False),
        ("getAllSessions", pb.sessionRequestArgs, False, False),
        ("getClosedSessions", pb.sessionRequestArgs, False, True),
        ("getServiceVersion", pb.versionRequest, False, False),
        ("reset", pb.resetRequest, False, False),
        ("setNextHop", pb.nextHopParameters, False, False),
        ("destroyNextHop", pb.nextHopParameters, False, False),
        ("clearNextHops", pb.nextHopParameters, False, False),
        ("addVlanFlow", pb.vlanFlowDef, False, False),
        ("removeVlanFlow", pb.vlanFlowDef, False, False),
        ("getVlanFlows", pb.vlanFlowListRequest, False, False),
        ("clearVlanFlows", pb.vlanFlowListRequest, False, False),
        ("shutdownServer", opof.proto.v1_1.openoffload_pb2.shutdownRequest, False, False),
    ]

    def on(self, method, function):
        self.methods[method] = function
        return self

    def service(self, details):
        for method, request, many, stream in self.SHAPES:
            if details.method == self.dialect.path(method) and method in self.methods:
                kind = f"{'stream' if many else 'unary'}_{'stream' if stream else 'unary'}_rpc_method_handler"
                return getattr(grpc, kind)(self.answer(method, many), request.FromString, lambda m: m.SerializeToString())
        return None

    def answer(self, method, many):
        def answer(request, context):
            request = list(request) if many else request
            self.calls.append((method, request))
            return self.methods[method](request, context)

        return answer


@pytest.fixture
def serve():
    """Serves a fake on a port, or on a given address, until the test is over."""
    servers = []

    def serve(fake, address="127.0.0.1:0"):
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
        server.add_generic_rpc_handlers([fake])
        port = server.add_insecure_port(address)
        server.start()
        servers.append(server)
        return server, f"127.0.0.1:{port}" if address.startswith("127.") else address

    yield serve
    for server in servers:
        server.stop(0).wait()


@pytest.fixture
def connect(serve):
    """A client of a fake, with the fake's dialect."""
    clients = []

    def connect(fake, **options):
        _, target = serve(fake)
        options = {"plaintext": True, "dialect": fake.dialect.name, "deadline": DEADLINE, **options}
        clients.append(opof.Client(target, **options))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Device:
    """A running opofd."""

    def __init__(self, state, listener, arguments=()):
        self.port = free_port()
        self.certificate = state / "opof/self-signed/cert.pem"
        self.log = state / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [OPOFD, "--listener", f"address=127.0.0.1:{self.port},{listener}", *arguments],
                env={**os.environ, "XDG_STATE_HOME": str(state)},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        self.wait_until_it_listens()

    def wait_until_it_listens(self):
        end = time.monotonic() + START_BOUND_SECONDS
        while True:
            running = self.process.poll() is None
            assert running and time.monotonic() < end, f"opofd did not start: {self.log.read_text()}"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=20) == 0, self.log.read_text()


@pytest.fixture
def opofd(tmp_path):
    """Starts an opofd with these keys of a listener, and these arguments."""
    numbers = itertools.count()
    devices = []

    def start(listener="plaintext=true", arguments=()):
        state = tmp_path / f"state{next(numbers)}"
        state.mkdir()
        devices.append(Device(state, listener, arguments))
        return devices[-1]

    yield start
    for device in devices:
        device.stop()
