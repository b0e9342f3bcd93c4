"""Clients of a pair of devices: who is asked, and when the other one is."""

import contextlib
import socket
import threading
import time

import grpc
import pytest

import opof
from opof.proto.v1beta1 import openoffload_pb2 as pb

from conftest import Fake, free_port, session


def standby(active):
    """What a standby answers: where the active one is."""

    def answer(request, context):
        context.set_trailing_metadata((("opof-active", active()),))
        context.abort(grpc.StatusCode.UNAVAILABLE, "this device is standby")

    return answer


def unavailable(details_bin=None, times=10**9):
    """What a device answers so often: that it can't, and perhaps the details of a status."""
    left = [times]

    def answer(request, context):
        left[0] -= 1
        if left[0] < 0:
            return pb.sessionResponse(sessionId=1)
        if details_bin is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", details_bin),))
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    return answer


def found(request, context):
    return pb.sessionResponse(sessionId=request.sessionId)


@pytest.fixture
def pair(serve):
    """A client of two fakes that have these methods, the fakes, and their targets."""
    clients = []

    def pair(first, second):
        fakes = [Fake(), Fake()]
        targets = [serve(fake)[1] for fake in fakes]
        for fake, methods in zip(fakes, (first(targets), second(targets))):
            for method, function in methods.items():
                fake.on(method, function)
        clients.append(opof.Client(targets[0], others=targets[1:], plaintext=True, deadline=5))
        return clients[-1], fakes, targets

    yield pair
    for client in clients:
        client.close()


def test_the_active_device_is_asked_from_the_first_answer_of_a_standby_on(pair):
    client, fakes, targets = pair(
        lambda targets: {"getSession": standby(lambda: targets[1])}, lambda _: {"getSession": found}
    )
    assert client.target == targets[0]
    assert (client.get(7).id, client.get(8).id, client.target) == (7, 8, targets[1])
    assert [len(fake.calls) for fake in fakes] == [1, 2]


@pytest.mark.parametrize("method", ["addSession", "getClosedSessions"])
def test_adds_and_streams_go_there_whole(pair, method):
    answers = {
        "addSession": lambda requests, context: pb.addSessionResponse(),
        "getClosedSessions": lambda request, context: iter([pb.sessionResponse(sessionId=5, sessionCloseCode=pb._TIMEOUT)]),
    }
    client, fakes, _ = pair(lambda targets: {method: standby(lambda: targets[1])}, lambda _: answers)
    if method == "addSession":
        assert client.add(session(number) for number in range(3)).accepted == 3
        assert [len(requests) for _, requests in fakes[1].calls] == [3]
    else:
        assert [report.id for report in client.closed(1)] == [5]
    assert [len(fake.calls) for fake in fakes] == [1, 1]


def test_one_that_is_away_is_left_for_the_other(serve):
    _, target = serve(Fake().on("getSession", found))
    with opof.Client(f"127.0.0.1:{free_port()}", others=[target], plaintext=True, deadline=5) as client:
        assert (client.get(3).id, client.target) == (3, target)


def test_when_both_are_away_that_is_said():
    targets = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    with opof.Client(targets[0], others=targets[1:], plaintext=True, deadline=5) as client:
        with pytest.raises(opof.Unreachable, match="check that the device listens there"):
            client.get(1)


def test_a_device_that_is_about_to_be_active_is_asked_again(pair):
    retry_info = b"\x08\x0e\x1a\x2e\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x00"
    client, fakes, targets = pair(
        lambda _: {"getSession": unavailable(retry_info, times=2)}, lambda _: {"getSession": found}
    )
    assert (client.get(1).id, client.target) == (1, targets[0])
    assert [len(fake.calls) for fake in fakes] == [3, 0]


def test_what_may_have_been_carried_out_is_not_made_again_but_the_next_call_goes_elsewhere(pair):
    client, fakes, targets = pair(lambda _: {"getSession": unavailable()}, lambda _: {"getSession": found})
    with pytest.raises(opof.Unreachable, match="may have been carried out"):
        client.get(1)
    assert (client.get(2).id, client.target) == (2, targets[1])
    assert [len(fake.calls) for fake in fakes] == [1, 1]


def test_one_that_says_nothing_is_left_for_the_other_when_a_deadline_is_over(serve):
    woken = threading.Event()
    silent = Fake().on("getSession", lambda request, context: woken.wait(10) and found(request, context))
    targets = [serve(fake)[1] for fake in (silent, Fake().on("getSession", found))]
    try:
        with opof.Client(targets[0], others=targets[1:], plaintext=True, deadline=0.5) as client:
            with pytest.raises(opof.DeadlineExceeded):
                client.get(1)
            assert (client.get(2).id, client.target) == (2, targets[1])
    finally:
        woken.set()


@pytest.mark.parametrize("others, given", [((), None), (("127.0.0.1:2",), opof.limits.UNACKNOWLEDGED_MS)])
def test_only_where_there_is_another_one_tcp_gives_a_device_up_early(monkeypatch, others, given):
    options = []
    channel = grpc.insecure_channel
    monkeypatch.setattr(grpc, "insecure_channel", lambda *with_: options.append(dict(with_[1])) or channel(*with_))
    opof.Client("127.0.0.1:1", others=others, plaintext=True).close()
    assert [one.get("grpc.keepalive_timeout_ms") for one in options] == [given] * (1 + len(others))


def test_one_to_which_no_connection_comes_about_is_left_before_a_call_would_be(serve, monkeypatch):
    monkeypatch.setattr(opof.limits, "CONNECT_MS", 60_000)
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    # Nobody takes them, and behind them the kernel answers nobody: as one whose cable is cut.
    waiting = []
    with full, contextlib.ExitStack() as stack:
        with contextlib.suppress(socket.timeout):
            while True:
                waiting.append(stack.enter_context(socket.create_connection(full.getsockname(), timeout=0.1)))
        _, target = serve(Fake().on("getSession", found))
        address = "127.0.0.1:%d" % full.getsockname()[1]
        begun = time.monotonic()
        with opof.Client(address, others=[target], plaintext=True, deadline=60) as client:
            assert (client.get(1).id, client.target) == (1, target)
        assert time.monotonic() - begun < 30


def test_two_that_name_each_other_are_asked_so_often_and_no_more(pair, monkeypatch):
    monkeypatch.setattr(opof.limits, "HOPS", 5)
    monkeypatch.setattr(opof.limits, "HOP_PAUSE", 0.001)
    client, fakes, _ = pair(
        lambda targets: {"getSession": standby(lambda: targets[1])},
        lambda targets: {"getSession": standby(lambda: targets[0])},
    )
    with pytest.raises(opof.Unreachable, match="this device is standby"):
        client.get(1)
    assert [len(fake.calls) for fake in fakes] == [3, 3]


def test_behind_each_wait_both_are_asked(pair, monkeypatch):
    monkeypatch.setattr(opof.limits, "HOPS", 6)
    monkeypatch.setattr(opof.limits, "HOP_PAUSE", 0.001)
    pauses = []
    pause = opof.route.Search.pause
    monkeypatch.setattr(opof.route.Search, "pause", lambda *given: pauses.append(pause(*given)) or pauses[-1])
    client, _, _ = pair(
        lambda targets: {"getSession": standby(lambda: targets[1])},
        lambda targets: {"getSession": standby(lambda: targets[0])},
    )
    with pytest.raises(opof.Unreachable, match="this device is standby"):
        client.get(1)
    assert pauses == [0.0, 0.001] * 3 + [None]


def test_one_that_is_away_is_not_asked_twice_whoever_names_it(serve, monkeypatch):
    monkeypatch.setattr(opof.limits, "HOPS", 6)
    monkeypatch.setattr(opof.limits, "HOP_PAUSE", 0.001)
    away = f"127.0.0.1:{free_port()}"
    fake = Fake().on("getSession", standby(lambda: away))
    _, target = serve(fake)
    with opof.Client(away, others=[target], plaintext=True, deadline=5) as client:
        with pytest.raises(opof.Unreachable, match="this device is standby"):
            client.get(1)
    assert len(fake.calls) == 6


def test_of_more_than_two_the_one_that_is_named_is_asked(serve):
    _, active = serve(Fake().on("getSession", found))
    first, between = Fake().on("getSession", standby(lambda: active)), Fake()
    targets = [serve(fake)[1] for fake in (first, between)]
    with opof.Client(targets[0], others=[targets[1], active], plaintext=True, deadline=5) as client:
        assert (client.get(4).id, client.target, between.calls) == (4, active, [])


def test_a_client_of_one_device_stays_there(serve):
    fake = Fake().on("getSession", standby(lambda: "127.0.0.1:1"))
    _, target = serve(fake)
    with opof.Client(target, plaintext=True, deadline=5) as client:
        with pytest.raises(opof.Unreachable, match="this device is standby"):
            client.get(1)
    assert len(fake.calls) == 1


def test_others_is_a_list():
    with pytest.raises(opof.InvalidConfiguration, match="give a list"):
        opof.Client("a", others="b", plaintext=True)
