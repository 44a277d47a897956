"""All blocks of a listing into a working image: many in flight, hashed behind, and nothing read twice.

Threads are enough: a block's time goes into TLS, SHA-256 and the write, all of which let go of Python's lock. Memory is
bounded by the threads, one block each, and by a page of the listing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from irkit.capture.image.blocks import Block, Listing
from irkit.capture.image.fetching import CorruptBlock, Fetcher, Pace, Reader, Stopped
from irkit.capture.image.following import Bits, Follower, Frontier
from irkit.capture.image.transport import Transport
from irkit.capture.image.working import Working
from irkit.errors import IntegrityError
from irkit.plan import Progress

_SECOND = 1.0
_WINDOW = 15
# More than so many bad blocks are no accident of single blocks: there is no use in going on.
_MOST_CORRUPT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a download brought. `sha256` is of the whole disk with zeros in its holes; `list` names each block's.

    `read` blocks were fetched now, `earlier` ones by a run that was interrupted (or lay in the base image), of which
    `mended` had to be fetched again because the disk no longer held what had been written.
    """

    sha256: str
    blocks: int
    read: int
    earlier: int
    mended: int
    list: Path
    list_sha256: str
    list_size: int
    tries: dict[str, int]
    seconds: float


class Download:
    """One run over one listing into one working image."""

    def __init__(
        self,
        listing: Listing,
        working: Working,
        transport: Transport,
        *,
        workers: int,
        progress: Progress,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._working = working
        self._workers = workers
        self._total = 0
        self._progress = progress
        self._given_up = threading.Event()
        self._fetcher = Fetcher(
            listing=listing,
            transport=transport,
            pace=Pace(workers),
            stopped=lambda: self._given_up.is_set() or stopped(),
        )
        self._frontier = Frontier(working.shape.blocks)
        self._earlier = Bits(working.shape.blocks)
        for index, _ in working.done():
            self._earlier.add(index)
        self._follower = Follower(working, self._frontier, self._earlier, self._mend)
        self._source = self._wanted()
        self._lock = threading.Lock()
        self._read = 0
        self._corrupt: list[CorruptBlock] = []
        self._failure: BaseException | None = None

    def remaining(self) -> int:
        """How many blocks are to be read: listed, and not on disk for good. Goes through the whole listing."""
        pages = self._fetcher.listing.pages()
        self._total = sum(
            b.token is not None and b.index not in self._earlier for page in pages for b in page.blocks
        )
        return self._total

    def run(self) -> Taken:
        """Read what is missing and hash all. Raises what stands in the way; what was read stays on disk."""
        begun = time.monotonic()
        self._working.flushed = self._frontier.arrived
        threads = [
            threading.Thread(target=self._work, args=(n,), name=f"irkit-image-{n}", daemon=True)
            for n in range(self._workers)
        ]
        for thread in (*threads, self._follower):
            thread.start()
        try:
            self._watch(threads)
            self._working.flush()
            self._raise_failure()
            self._frontier.no_more()
            self._await_hash()
        finally:
            self._given_up.set()
            self._follower.abandon()
            for thread in threads:
                thread.join()
            self._follower.join()
            with suppress(Exception):
                self._working.flush()
        return Taken(
            sha256=self._follower.sha256,
            blocks=self._follower.blocks,
            read=self._read,
            earlier=self._earlier.count,
            mended=self._follower.mended,
            list=self._follower.listed,
            list_sha256=self._follower.list_sha256,
            list_size=self._follower.list_size,
            tries=self._fetcher.tries.to_dict(),
            seconds=time.monotonic() - begun,
        )

    def _wanted(self) -> Iterator[Block]:
        for page in self._fetcher.listing.pages():
            for block in page.blocks:
                if block.token is not None and block.index not in self._earlier:
                    self._frontier.expect(block.index)
                    yield block

    def _next(self) -> Block | None:
        with self._lock:
            return None if self._given_up.is_set() else next(self._source, None)

    def _work(self, rank: int) -> None:
        reader, pace = self._fetcher.reader(), self._fetcher.pace
        try:
            while True:
                pace.admit(rank)
                block = self._next()
                if block is None:
                    return
                try:
                    data, digest = reader.read(block)
                except CorruptBlock as error:
                    self._spoiled(error)
                    continue
                self._working.put(block.index, data, digest)
                with self._lock:
                    self._read += 1
        except BaseException as error:  # noqa: BLE001 - raised again by `run`, once all threads have ended
            with self._lock:
                if self._failure is None or isinstance(self._failure, Stopped):
                    self._failure = error
            self._given_up.set()
        finally:
            pace.end()
            reader.close()

    def _spoiled(self, error: CorruptBlock) -> None:
        with self._lock:
            self._corrupt.append(error)
            if len(self._corrupt) >= _MOST_CORRUPT:
                self._given_up.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._corrupt:
            first = self._corrupt[0]
            more = len(self._corrupt) - 1
            if not more:
                raise first
            raise IntegrityError(f"{first.message}, and so did {more} more blocks", hint=first.hint)
        if self._fetcher.stopped():
            raise Stopped("reading was stopped", hint="run the same command again, it goes on from there")

    def _mend(self, index: int) -> None:
        """Read a block again that an earlier run had written and the disk lost."""
        self._progress(f"block {index} on disk is not what was written; reading it again")
        reader: Reader = self._fetcher.reader()
        try:
            token = self._fetcher.listing.token(index)
            if token is None:
                raise IntegrityError(
                    f"block {index} on disk is not what was written, and AWS does not list it",
                    hint="remove the working folder and run the same command again",
                )
            data, digest = reader.read(Block(index, token))
            self._working.put(index, data, digest)
            self._working.flush()
        finally:
            reader.close()

    def _watch(self, threads: list[threading.Thread]) -> None:
        """Say how far it is, once a second, until the threads have ended."""
        block = self._working.shape.block_size
        seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)], maxlen=_WINDOW)
        while any(t.is_alive() for t in threads):
            end = time.monotonic() + _SECOND
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
            self._fetcher.pace.look()
            read = self._read
            seen.append((time.monotonic(), read))
            rate = (read - seen[0][1]) / max(seen[-1][0] - seen[0][0], 1e-6)
            left = f", {duration((self._total - read) / rate)} left" if rate > 0 else ""
            self._progress(
                f"{size(read * block)} of {size(self._total * block)}, {size(int(rate * block))}/s{left}"
            )

    def _await_hash(self) -> None:
        self._follower.hurry()
        while self._follower.is_alive():
            self._follower.join(_SECOND)
            if self._follower.is_alive():
                part = 100 * self._follower.position // max(1, self._working.shape.blocks)
                self._progress(f"all blocks are here, hashing the whole image: {part} %")
            if self._fetcher.stopped():
                self._follower.abandon()
        if self._follower.error is not None:
            raise self._follower.error
        if not self._follower.sha256:
            raise Stopped("hashing was stopped", hint="run the same command again, no block is read twice")


def size(count: int) -> str:
    """Bytes as a person reads them: 512 MiB, 1.5 GiB."""
    amount, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if amount >= 100 or units[0] == "B" else f"{amount:.1f} {units[0]}"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 40 s, 5 min, 2.5 h."""
    if seconds < 90:
        return f"{max(1, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
