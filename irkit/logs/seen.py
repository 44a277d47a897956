# ruff: noqa: S608 - SQL is put together from our own column names and quoted paths
"""Which CloudTrail events the tables hold already, so that an event in two files becomes one row.

An event has one time, so its twin can only be in the same day: keys are kept by day, 16 bytes an event, and those of
days that were not touched for long are dropped and read from the tables again when needed. That bounds the memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from irkit.logs.cloudtrail_columns import KEYS_OF_ROWS
from irkit.tables import file_pattern

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa

_MOST_KEYS = 12_000_000
_KEPT_DAYS = 8
_LOOSE = 16


class _Day:
    """The keys of one day: sorted low halves with their high halves, and batches not yet merged."""

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        self._batches = [_sorted(low, high)]
        self.size = len(low)

    def has(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        import numpy as np

        found = np.zeros(len(low), dtype=bool)
        for lows, highs in self._batches:
            if len(lows):
                at = np.minimum(np.searchsorted(lows, low), len(lows) - 1)
                found |= (lows[at] == low) & (highs[at] == high)
        return found

    def add(self, low: np.ndarray, high: np.ndarray) -> None:
        import numpy as np

        self._batches.append(_sorted(low, high))
        self.size += len(low)
        if len(self._batches) > _LOOSE:
            lows, highs = zip(*self._batches, strict=True)
            self._batches = [_sorted(np.concatenate(lows), np.concatenate(highs))]


def _repeated(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Where a key stands that stood before."""
    import numpy as np

    order = np.lexsort((high, low))
    lows, highs = low[order], high[order]
    again: np.ndarray = order[1:][(lows[1:] == lows[:-1]) & (highs[1:] == highs[:-1])]
    return again


def _sorted(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    order = np.argsort(low, kind="stable")
    return low[order], high[order]


class Seen:
    """The events of one tables folder; safe to use from several threads."""

    def __init__(self, folder: Path, con: duckdb.DuckDBPyConnection) -> None:
        self._folder = folder / "cloudtrail"
        self._con = con
        self._days: OrderedDict[str, _Day] = OrderedDict()
        self._lock = threading.Lock()

    def new(self, rows: pa.Table, day: str) -> np.ndarray:
        """Which of `rows`, all of one `day`, are new, as a mask; from now on they count as seen."""
        import numpy as np

        low = rows["key_low"].combine_chunks()
        known = low.is_valid().to_numpy(zero_copy_only=False)
        lows = low.fill_null(0).to_numpy()
        highs = rows["key_high"].combine_chunks().fill_null(0).to_numpy()
        # Records without an id have no twins.
        mask = np.ones(len(lows), dtype=bool)
        with self._lock:
            held = self._day(day)
            mask[known] = ~held.has(lows[known], highs[known])
            candidates = np.flatnonzero(mask & known)
            mask[candidates[_repeated(lows[candidates], highs[candidates])]] = False
            taken = mask & known
            held.add(lows[taken], highs[taken])
            self._shed()
        return mask

    def _day(self, day: str) -> _Day:
        if day not in self._days:
            self._days[day] = self._load(day)
        self._days.move_to_end(day)
        return self._days[day]

    def _load(self, day: str) -> _Day:
        """The keys of what the tables hold of `day`."""
        import numpy as np

        parts = sorted((self._folder / f"day={day}").glob("*.parquet"))
        if not parts:
            return _Day(np.empty(0, np.uint64), np.empty(0, np.uint64))
        listed = ", ".join(file_pattern(part) for part in parts)
        with self._con.cursor() as cursor:
            found = cursor.sql(
                f"select {KEYS_OF_ROWS} from read_parquet([{listed}], union_by_name=true)"
                " where event_id is not null"
            ).fetchnumpy()
        return _Day(np.asarray(found["key_low"]), np.asarray(found["key_high"]))

    def _shed(self) -> None:
        while len(self._days) > _KEPT_DAYS and sum(day.size for day in self._days.values()) > _MOST_KEYS:
            self._days.popitem(last=False)


class Turns:
    """Lets batches that are made side by side pass one point in their order, so that a run can be repeated."""

    def __init__(self) -> None:
        self._next = 0
        self._done: set[int] = set()
        self._changed = threading.Condition()

    @contextmanager
    def of(self, number: int) -> Iterator[None]:
        """Hold the turn `number`; it passes on at the end, also when `wait` was never called."""
        try:
            yield
        finally:
            with self._changed:
                self._done.add(number)
                while self._next in self._done:
                    self._done.remove(self._next)
                    self._next += 1
                self._changed.notify_all()

    def wait(self, number: int) -> None:
        """Wait until all turns before `number` are over."""
        with self._changed:
            self._changed.wait_for(lambda: self._next >= number)
