"""Stubs from our own .proto, and an opofd with TLS for the tests to talk to."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import grpc
import pytest
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPOFD = os.environ.get("OPOFD", str(ROOT / "target/debug/opofd"))
START_BOUND_SECONDS = 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def stubs(tmp_path_factory):
    """The folder of the generated modules, which are on the path from here on."""
    out = tmp_path_factory.mktemp("stubs")
    proto = ROOT / "proto/openoffload/v1/openoffload.proto"
    arguments = ["protoc", f"-I{proto.parent}", f"--python_out={out}", f"--grpc_python_out={out}", str(proto)]
    assert protoc.main(arguments + ["-I" + str(pathlib.Path(protoc.__file__).parent / "_proto")]) == 0
    sys.path.insert(0, str(out))
    return out


class Device:
    """A running opofd."""

    def __init__(self, state):
        self.address = f"localhost:{free_port()}"
        listener = f"address=127.0.0.1:{self.address.split(':')[1]},self_signed=true"
        self.certificate = state / "opof/self-signed/cert.pem"
        self.process = subprocess.Popen(
            [OPOFD, "--listener", listener], env={**os.environ, "XDG_STATE_HOME": str(state)}, stdin=subprocess.DEVNULL
        )

    def channel(self):
        end = time.monotonic() + START_BOUND_SECONDS
        while not self.certificate.exists():
            assert self.process.poll() is None and time.monotonic() < end, "opofd did not start"
            time.sleep(0.02)
        channel = grpc.secure_channel(self.address, grpc.ssl_channel_credentials(self.certificate.read_bytes()))
        grpc.channel_ready_future(channel).result(timeout=START_BOUND_SECONDS)
        return channel

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=20) == 0


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.stop()
