"""The five calls of openoffload.v1, by a client that shares no code with opofd."""

import pathlib
import socket
import struct
import subprocess
import sys
import time

import grpc
import pytest

DEADLINE = 10


@pytest.fixture
def table(stubs, device):
    import openoffload_pb2_grpc

    with device.channel() as channel:
        yield openoffload_pb2_grpc.SessionTableStub(channel)


@pytest.fixture
def pb(stubs):
    import openoffload_pb2

    return openoffload_pb2


def address(text):
    """As C clients do: the bytes of an in_addr, read on a little-endian machine."""
    return struct.unpack("<I", socket.inet_aton(text))[0]


def session(pb, number, **changes):
    fields = {
        "sessionId": number,
        "inLif": 1,
        "outLif": 2,
        "sourceIp": address("10.0.0.1"),
        "sourcePort": 1024 + number,
        "destinationIp": address("10.1.0.3"),
        "destinationPort": 80,
        "protocolId": pb._TCP,
        "action": pb.actionParameters(actionType=pb._FORWARD),
        "cacheTimeout": 30,
    }
    return pb.sessionRequest(**{**fields, **changes})


def add(table, *sessions):
    return table.addSession(iter(sessions), timeout=DEADLINE)


def test_accepted_exists_and_rejected(pb, table):
    reply = add(table, session(pb, 1))
    assert (reply.requestStatus, reply.errorStatus, len(reply.responseError)) == (pb._SESSION_ACCEPTED, 0, 0)
    assert reply.startTime.seconds > 1_700_000_000
    reply = add(table, session(pb, 2), session(pb, 1), session(pb, 3, sourcePort=70000), session(pb, 4, inLif=9))
    errors = {error.sessionId: error.errorStatus for error in reply.responseError}
    assert errors == {1: pb._SESSION_ALREADY_EXISTS, 3: pb._SESSION_REJECTED, 4: pb._SESSION_REJECTED}
    assert reply.errorStatus == 0b1110
    assert table.getSession(pb.sessionId(sessionId=2), timeout=DEADLINE).sessionState == pb._ESTABLISHED


def test_the_mask_covers_the_first_64_messages(pb, table):
    wrong = {0, 63, 64}
    stream = [session(pb, n, protocolId=0 if n in wrong else pb._TCP) for n in range(66)]
    reply = add(table, *stream)
    assert reply.errorStatus == 1 | 1 << 63
    assert {error.sessionId for error in reply.responseError} == wrong
    assert len(table.getAllSessions(pb.sessionRequestArgs(), timeout=DEADLINE).sessionInfo) == 63


def test_get_and_delete(pb, table):
    add(table, session(pb, 7))
    wanted = pb.sessionId(sessionId=7)
    assert table.getSession(wanted, timeout=DEADLINE).sessionId == 7
    gone = table.deleteSession(wanted, timeout=DEADLINE)
    assert (gone.requestStatus, gone.sessionState, gone.sessionCloseCode) == (pb._ACCEPTED, pb._CLOSED, pb._NOT_CLOSED)
    for call in (table.getSession, table.deleteSession):
        assert call(wanted, timeout=DEADLINE).requestStatus == pb._REJECTED_SESSION_NONEXISTENT


def test_paging_by_cursor_and_by_number(pb, table):
    add(table, *(session(pb, n) for n in range(10, 20)))
    seen, start = [], 0
    while True:
        page = table.getAllSessions(pb.sessionRequestArgs(pageSize=4, startSession=start), timeout=DEADLINE)
        seen += [info.sessionId for info in page.sessionInfo]
        start = page.nextkey
        if start == 0:
            break
    assert seen == list(range(10, 20))
    page = table.getAllSessions(pb.sessionRequestArgs(pageSize=4, page=3), timeout=DEADLINE)
    assert [info.sessionId for info in page.sessionInfo] == [18, 19]


def test_an_idle_session_is_in_the_closed_stream_two_to_three_seconds_later(pb, table):
    nothing = list(table.getClosedSessions(pb.sessionRequestArgs(), timeout=DEADLINE))
    assert nothing == []
    before = time.monotonic()
    add(table, session(pb, 5, cacheTimeout=2))
    added = time.monotonic()
    closed = next(table.getClosedSessions(pb.sessionRequestArgs(), metadata=[("opof-follow", "true")], timeout=DEADLINE))
    arrived = time.monotonic()
    assert arrived - before >= 2 and arrived - added <= 3
    assert (closed.sessionId, closed.sessionState, closed.sessionCloseCode) == (5, pb._CLOSED, pb._TIMEOUT)
    assert (closed.inPackets, closed.outPackets, closed.inBytes, closed.outBytes) == (0, 0, 0, 0)
    lived = closed.endTime.ToNanoseconds() - closed.startTime.ToNanoseconds()
    assert 2_000_000_000 <= lived <= 3_000_000_000


def test_a_client_without_the_certificate_is_refused(stubs, device, pb):
    import openoffload_pb2_grpc

    device.channel().close()
    with grpc.secure_channel(device.address, grpc.ssl_channel_credentials()) as channel:
        stub = openoffload_pb2_grpc.SessionTableStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.getSession(pb.sessionId(sessionId=1), timeout=DEADLINE)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_the_client_of_the_readme(stubs, device):
    device.channel().close()
    script = pathlib.Path(__file__).with_name("readme_client.py")
    run = subprocess.run(
        [sys.executable, script, device.certificate, device.address],
        env={"PYTHONPATH": str(stubs), "PATH": ""}, capture_output=True, text=True, timeout=30,
    )
    assert run.returncode == 0, run.stderr
    assert "sessionId: 1" in run.stdout
    readme = pathlib.Path(__file__).parents[2] / "README.md"
    assert script.read_text() in readme.read_text()
