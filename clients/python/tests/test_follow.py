"""Following closed sessions: how long it waits, and what it lives through."""

import itertools
import logging
import threading
import time

import grpc
import pytest
from conftest import Fake, free_port
from test_client import aborting, info, queue

import opof
from opof import limits
from opof.follow import Backoff, follow


def test_waits_double_up_to_the_bound_and_part_of_them_is_random():
    def waits(chance):
        backoff = Backoff(0.2, 1.0, lambda: chance)
        return [round(backoff.wait(), 6) for _ in range(5)]

    assert waits(0) == [0.2, 0.4, 0.8, 1.0, 1.0]
    assert waits(0.5) == [0.15, 0.3, 0.6, 0.75, 0.75]
    backoff = Backoff(0.2, 1.0, lambda: 0)
    assert [backoff.wait(), backoff.wait(), backoff.reset(), backoff.wait()] == [0.2, 0.4, None, 0.2]
    real = Backoff(1.0, 1.0)
    assert len({real.wait() for _ in range(20)}) > 1
    assert all(1 - limits.JITTER <= real.wait() <= 1 for _ in range(100))


def script(*polls):
    """A poll that does these things in turn, then closes; and the waits between them."""
    closed, waits, turns = threading.Event(), [], iter(polls)

    def poll():
        for step in next(turns, [None]):
            if step is None:
                closed.set()
            elif isinstance(step, Exception):
                raise step
            else:
                yield step

    return follow(poll, closed, "there", waits.append), waits


def test_it_slows_down_while_nothing_closes_and_no_further_than_a_second():
    stream, waits = script(*[[]] * 12, ["one"], [])
    assert list(stream) == ["one"]
    *idle, after, later, _ = waits
    assert all(wait <= limits.POLL_MAX for wait in idle) and idle[-1] >= limits.POLL_MAX * (1 - limits.JITTER)
    assert after <= limits.POLL_MIN
    assert later <= 2 * limits.POLL_MIN


def test_it_goes_on_after_failures_and_tells_of_them_once(caplog):
    away = [error("gone") for error in (opof.Unreachable, opof.DeadlineExceeded, opof.ResourceExhausted)]
    codes = (grpc.StatusCode.ABORTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    down = [[error] for error in (away + [opof.CallRefused("at fault", code=code) for code in codes]) * 2]
    with caplog.at_level(logging.INFO, "opof"):
        stream, waits = script(["one", opof.Unreachable("broke")], *down, ["two"])
        assert list(stream) == ["one", "two"]
    assert [record.getMessage() for record in caplog.records] == [
        "closed sessions can't be collected, trying again and again: broke",
        "there answers again after 13 failures",
    ]
    assert waits[0] <= limits.RETRY_MIN
    assert limits.RETRY_MAX * (1 - limits.JITTER) <= waits[12] <= limits.RETRY_MAX


def test_what_waiting_does_not_mend_is_raised():
    refused = opof.CallRefused("no", code=grpc.StatusCode.FAILED_PRECONDITION)
    for error in (opof.PermissionDenied("no"), opof.Unimplemented("no"), opof.BadAnswer("no"), refused):
        stream, _ = script([error])
        with pytest.raises(type(error)):
            list(stream)


def test_it_survives_a_server_that_comes_late_and_goes_away(serve):
    address = f"127.0.0.1:{free_port()}"
    with opof.Client(address, plaintext=True) as client:
        stream = client.follow_closed()
        seen = []
        reader = threading.Thread(target=lambda: seen.extend(report.id for report in itertools.islice(stream, 6)))
        reader.start()
        for first in (0, 3):
            time.sleep(0.3)
            server, _ = serve(queue(range(first, first + 3)), address)
            end = time.monotonic() + 20
            while len(seen) < first + 3 and reader.is_alive() and time.monotonic() < end:
                time.sleep(0.01)
            server.stop(0).wait()
        reader.join(20)
        assert not reader.is_alive()
    assert seen == [0, 1, 2, 3, 4, 5]


def test_it_ends_at_once_when_the_client_is_closed(connect):
    client = connect(Fake().on("getClosedSessions", lambda *_: iter([])))
    ended = threading.Event()
    reader = threading.Thread(target=lambda: (list(client.follow_closed()), ended.set()))
    reader.start()
    time.sleep(1)
    client.close()
    assert ended.wait(1)
    reader.join()


def test_it_ends_when_the_client_is_closed_during_a_call(connect):
    called = threading.Event()

    def hangs(args, context):
        called.set()
        time.sleep(1)
        yield info(1)

    client = connect(Fake().on("getClosedSessions", hangs))
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(client.follow_closed()))
    reader.start()
    assert called.wait(5)
    client.close()
    reader.join(5)
    assert (reader.is_alive(), seen) == (False, [])


def test_a_permission_that_is_missing_ends_it(connect):
    client = connect(Fake().on("getClosedSessions", aborting(grpc.StatusCode.PERMISSION_DENIED, "not you")))
    with pytest.raises(opof.PermissionDenied, match="not you"):
        next(client.follow_closed())
