"""The messages and stubs of each dialect, as protoc makes them: ``opof.proto.v1``, ``v1_1``, ``v1beta1``, ``v2``.

Each has the modules ``openoffload_pb2`` and ``openoffload_pb2_grpc``. They are made when the package is built.
"""
