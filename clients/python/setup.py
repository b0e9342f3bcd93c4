"""Makes the stubs of every dialect from the repository's .proto files. What else there is to say of the package is in
pyproject.toml."""

import importlib.metadata
import os
import pathlib
import re
import tempfile

from setuptools import setup
from setuptools.command.build_py import build_py

# In a clone a link to the repository's folder; in an sdist a folder.
PROTO = pathlib.Path(__file__).resolve().parent / "proto/openoffload"
DIALECTS = ("v1", "v1_1", "v1beta1", "v2")
PACKAGE = "opof/proto"

# The classes of grpc for a method: (request is a stream, answer is a stream).
CALLS = {
    (False, False): "UnaryUnaryMultiCallable",
    (True, False): "StreamUnaryMultiCallable",
    (False, True): "UnaryStreamMultiCallable",
    (True, True): "StreamStreamMultiCallable",
}


def dependencies():
    """Generated code refuses to run with a runtime older than its compiler, so it needs what its compiler needs."""
    compiler = importlib.metadata.requires("grpcio-tools") or []
    needed = [one for one in compiler if re.match(r"(grpcio|protobuf)\b(?!-)", one) and "extra ==" not in one]
    if len(needed) != 2:
        raise SystemExit(f"grpcio-tools needs no grpcio and protobuf, but {compiler}: build with another one")
    return needed


def generate(root):
    """Writes the modules of all dialects under `root`, the folder that `opof` is in."""
    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    if not PROTO.is_dir():
        raise SystemExit(f"{PROTO} is missing: build from a clone of the repository, with its links, or from an sdist")
    with tempfile.TemporaryDirectory() as directory:
        described = os.path.join(directory, "descriptors")
        # Mapped into the package, so that what protoc writes imports its neighbours from there.
        paths = [f"-I{PACKAGE}/{dialect}={PROTO / dialect}" for dialect in DIALECTS]
        paths.append(f"-I{pathlib.Path(protoc.__file__).parent / '_proto'}")
        outputs = [f"--{kind}_out={root}" for kind in ("python", "pyi", "grpc_python")]
        files = [f"{PACKAGE}/{dialect}/openoffload.proto" for dialect in DIALECTS]
        if protoc.main(["protoc", *paths, *outputs, f"--descriptor_set_out={described}", *files]) != 0:
            raise SystemExit("protoc failed; what it found is above")
        descriptors = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(described).read_bytes())
    for file in descriptors.file:
        module = pathlib.Path(root) / file.name.replace(".proto", "_pb2")
        own_pool(module.with_name(module.name + ".py"))
        module.with_name(module.name + "_grpc.pyi").write_text(typed_calls(file), encoding="utf-8")


def own_pool(path):
    """Takes a module's messages out of the pool that all modules of a process share: that one takes each message name
    once, and the user may have an openoffload_pb2 too."""
    text, imports = re.subn(
        r"^from google\.protobuf import descriptor_pool as _descriptor_pool$",
        "from opof.proto import _pool as _descriptor_pool",
        path.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    if imports != 1 or text.count("_descriptor_pool.Default()") != 1:
        raise SystemExit(f"{path}: this protoc writes modules in another way; build with another grpcio-tools")
    path.write_text(text, encoding="utf-8")


def typed_calls(file):
    """The types of a _pb2_grpc module; grpc's own compiler plugin writes none."""
    module = f"{PACKAGE}/{file.package.rpartition('.')[2]}".replace("/", ".")
    lines = ["from collections.abc import Iterator", "", "import grpc", ""]
    lines += [f"from {module} import openoffload_pb2 as pb"]

    def name(message):
        return f"pb.{message.rpartition('.')[2]}"

    for service in file.service:
        stub, servicer = [], []
        for method in service.method:
            request, answer = name(method.input_type), name(method.output_type)
            call = CALLS[method.client_streaming, method.server_streaming]
            stub.append(f"    {method.name}: grpc.{call}[{request}, {answer}]")
            argument = f"request_iterator: Iterator[{request}]" if method.client_streaming else f"request: {request}"
            result = f"Iterator[{answer}]" if method.server_streaming else answer
            servicer.append(
                f"    def {method.name}(self, {argument}, context: grpc.ServicerContext) -> {result}: ..."
            )
        lines += ["", f"class {service.name}Stub:", *stub]
        lines += ["    def __init__(self, channel: grpc.Channel) -> None: ..."]
        lines += ["", f"class {service.name}Servicer:", *servicer, ""]
        lines += [f"def add_{service.name}Servicer_to_server("]
        lines += [f"    servicer: {service.name}Servicer, server: grpc.Server", ") -> None: ..."]
    return "\n".join(lines) + "\n"


class Build(build_py):
    def run(self):
        super().run()
        # An editable install runs from the source folder.
        generate(self.get_package_dir("") if self.editable_mode else self.build_lib)


setup(cmdclass={"build_py": Build}, install_requires=dependencies())
