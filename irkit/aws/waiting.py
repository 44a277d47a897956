"""The one wait for eventual consistency; retries of single requests are botocore's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from irkit.errors import IrkitError

T = TypeVar("T")


class TimedOut(IrkitError):
    """What was waited for did not come in time; it may still come."""


def wait_until(
    probe: Callable[[], T | None],
    *,
    what: str,
    timeout: float,
    first: float = 0.1,
    most: float = 5.0,
    stop: Callable[[], bool] = lambda: False,
) -> T:
    """The first value other than None that `probe` returns; `TimedOut` after `timeout` seconds or when `stop()`.

    The pause between probes grows from `first` to `most` seconds.
    """
    end = time.monotonic() + timeout
    pause = first
    while (value := probe()) is None:
        left = end - time.monotonic()
        if left <= 0 or stop():
            raise TimedOut(
                f"{what} did not happen within {timeout:.0f} s",
                hint="run the same command again to go on waiting",
            )
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, most)
    return value
