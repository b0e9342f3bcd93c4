"""Where the generated modules put their message types: apart from those of other modules of the process.

A pool takes each message name once, and whoever has stubs of their own has the same names.
"""

from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pool import DescriptorPool

_POOL = DescriptorPool()
_POOL.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)


def Default() -> DescriptorPool:
    """Named as the function that it stands in for."""
    return _POOL
