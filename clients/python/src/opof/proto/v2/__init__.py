"""Dialect v2, package openoffload.v2."""

from . import openoffload_pb2, openoffload_pb2_grpc

__all__ = ["openoffload_pb2", "openoffload_pb2_grpc"]
