"""Dialect v1, package openoffload.v1."""

from . import openoffload_pb2, openoffload_pb2_grpc

__all__ = ["openoffload_pb2", "openoffload_pb2_grpc"]
