"""The generated modules: every dialect's vectors, and life beside a second set of stubs."""

import importlib
import json
import pathlib
import subprocess
import sys

import pytest
from conftest import ROOT, VECTORS
from google.protobuf import json_format
from grpc_tools import protoc

import opof

PACKAGES = [dialect.package for dialect in opof.DIALECTS]


def vectors(package):
    lines = (VECTORS / f"openoffload_{package}.jsonl").read_text().splitlines()
    assert lines
    return [json.loads(line) for line in lines]


def messages(package):
    return importlib.import_module(f"opof.proto.{package}.openoffload_pb2")


def test_there_are_vectors_of_these_dialects_and_no_others():
    assert sorted(path.stem for path in VECTORS.iterdir()) == sorted(f"openoffload_{name}" for name in PACKAGES)


@pytest.mark.parametrize(
    "package, vector", [(package, vector) for package in PACKAGES for vector in vectors(package)],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_a_vector_decodes_and_encodes(package, vector):
    namespace, _, name = vector["message"].rpartition(".")
    assert namespace == f"openoffload.{package}"
    kind = getattr(messages(package), name)
    encoded = bytes.fromhex(vector["hex"])
    decoded = kind.FromString(encoded)
    assert decoded.SerializeToString(deterministic=True) == encoded
    assert json_format.MessageToDict(decoded, preserving_proto_field_name=True) == vector["json"]
    assert json_format.ParseDict(vector["json"], kind()) == decoded


@pytest.mark.parametrize("package", PACKAGES)
def test_the_stub_calls_the_dialects_own_service(package):
    module = importlib.import_module(f"opof.proto.{package}.openoffload_pb2_grpc")
    paths = []

    class Channel:
        def method(self, path, **_):
            paths.append(path)

        unary_unary = stream_unary = unary_stream = method

    module.SessionTableStub(Channel())
    service = messages(package).DESCRIPTOR.services_by_name["SessionTable"]
    dialect = next(one for one in opof.DIALECTS if one.package == package)
    assert sorted(paths) == sorted(f"/openoffload.{package}.SessionTable/{method.name}" for method in service.methods)
    assert dialect.path("getClosedSessions") in paths


@pytest.mark.parametrize("first", ["openoffload_pb2_grpc", "opof"])
def test_stubs_of_ones_own_and_ours_live_in_one_process(tmp_path, first):
    proto = ROOT / "proto/openoffload/v1"
    arguments = ["protoc", f"-I{proto}", f"-I{pathlib.Path(protoc.__file__).parent / '_proto'}"]
    assert protoc.main([*arguments, f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}", "openoffload.proto"]) == 0
    script = f"import {first}, opof, openoffload_pb2\n"
    script += "from opof.proto.v1 import openoffload_pb2 as ours\n"
    script += "theirs = openoffload_pb2.sessionId(sessionId=7).SerializeToString()\n"
    script += "print(ours.sessionId.FromString(theirs).sessionId, ours.sessionId is openoffload_pb2.sessionId)"
    run = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stdout) == (0, "7 False\n"), run.stderr


def test_times_of_our_pool_are_timestamps():
    response = opof.proto.v1.openoffload_pb2.sessionResponse()
    response.startTime.FromNanoseconds(1_500_000_000)
    assert response.startTime.ToNanoseconds() == 1_500_000_000
    assert response.startTime.ToDatetime().microsecond == 500_000
