"""Work beside the main thread that the process does not wait for when it ends.

`concurrent.futures` joins its threads at exit, so one call that hangs would keep a command from ever ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begin(call: Callable[[], T], *, name: str, room: threading.Semaphore | None = None) -> Future[T]:
    """The result to come of `call`, which runs in a thread of its own as soon as there is `room`."""
    future: Future[T] = Future()

    def work() -> None:
        if room is not None:
            room.acquire()
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  the future carries it to whoever asks
            future.set_exception(error)
        finally:
            if room is not None:
                room.release()

    threading.Thread(target=work, name=name, daemon=True).start()
    return future


def side_by_side(calls: Sequence[Callable[[], T]], *, name: str, workers: int) -> list[Future[T]]:
    """The results to come of `calls`, of which `workers` run at once."""
    room = threading.Semaphore(max(1, workers))
    return [begin(call, name=name, room=room) for call in calls]
