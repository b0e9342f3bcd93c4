"""Polling that never ends: how long to wait, and what to live through."""

from __future__ import annotations

import logging
import random
import threading
from typing import Callable, Iterable, Iterator

from . import limits
from .errors import ClientClosed, Error
from .session import SessionReport

_log = logging.getLogger("opof")


class Backoff:
    """Waits that double up to a bound, part of each random."""

    def __init__(self, first: float, largest: float, chance: Callable[[], float] = random.random) -> None:
        self._first = first
        self._largest = largest
        self._chance = chance
        self._next = first

    def reset(self) -> None:
        """Begin again with the first."""
        self._next = self._first

    def wait(self) -> float:
        """Seconds to wait now; never more than the bound."""
        now, self._next = self._next, min(self._next * 2, self._largest)
        return now * (1 - limits.JITTER * self._chance())


def follow(
    poll: Callable[[], Iterable[SessionReport]],
    closed: threading.Event,
    target: str,
    wait: Callable[[float], object],
) -> Iterator[SessionReport]:
    """What `poll` brings, again and again, until `closed` is set. `wait` sleeps, or returns early when it is set."""
    idle = Backoff(limits.POLL_MIN, limits.POLL_MAX)
    away = Backoff(limits.RETRY_MIN, limits.RETRY_MAX)
    failures = 0
    while not closed.is_set():
        try:
            for report in poll():
                idle.reset()
                yield report
        except ClientClosed:
            return
        except Error as error:
            if not error.retryable:
                raise
            # Once, not at each try: it may be away for hours.
            if failures == 0:
                _log.warning("closed sessions can't be collected, trying again and again: %s", error)
            failures += 1
            wait(away.wait())
            continue
        if failures:
            _log.warning("%s answers again after %d failures", target, failures)
            failures = 0
        away.reset()
        wait(idle.wait())
