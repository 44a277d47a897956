"""The SHA-256 of the whole image, taken while it is still being read: a thread follows behind the last gap.

Blocks arrive in any order and a hash takes them in one, so the thread reads back what is on disk, up to the first block
that is missing. Holes count as zeros, as `sha256sum image.raw` counts them. Memory does not grow with the disk.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from irkit.capture.image.working import Working
from irkit.durable import storage

_STRETCH = 4096
_AT_ONCE = 4 << 20
LIST = "blocks.txt"


class Frontier:
    """How far the image is whole: every block below `limit` is on disk for good, or is a hole."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._awaited: set[int] = set()
        self._next = 0
        self._lock = threading.Lock()

    def expect(self, index: int) -> None:
        """The next block to be read is `index`; called in ascending order."""
        with self._lock:
            self._awaited.add(index)
            self._next = index + 1

    def arrived(self, indexes: Iterable[int]) -> None:
        """These blocks are on disk for good."""
        with self._lock:
            self._awaited.difference_update(indexes)

    def no_more(self) -> None:
        """Nothing more will be expected."""
        with self._lock:
            self._next = self._blocks

    @property
    def limit(self) -> int:
        """The first block that may still change."""
        with self._lock:
            return min(self._awaited, default=self._next)


class Bits:
    """A set of block numbers, one bit each: 4 MiB for the largest volume."""

    def __init__(self, size: int) -> None:
        self._bits = bytearray(-(-size // 8))
        self.count = 0

    def add(self, index: int) -> None:
        """Put a number in that is not in yet."""
        self._bits[index >> 3] |= 1 << (index & 7)
        self.count += 1

    def __contains__(self, index: int) -> bool:
        return bool(self._bits[index >> 3] >> (index & 7) & 1)


class Follower(threading.Thread):
    """Hashes `working` up to the frontier and writes the list of its blocks; `sha256` is set when it has ended well.

    Blocks in `earlier` were read by another run: they are held against their digests, and `mend` reads one again that
    is not what it was.
    """

    def __init__(
        self, working: Working, frontier: Frontier, earlier: Bits, mend: Callable[[int], None]
    ) -> None:
        super().__init__(name="irkit-image-hash", daemon=True)
        self._working = working
        self._frontier = frontier
        self._earlier = earlier
        self._mend = mend
        self._wake = threading.Event()
        self._hash = hashlib.sha256()
        self._list_hash = hashlib.sha256()
        self._zeros = memoryview(bytes(_AT_ONCE))
        self._buffer = memoryview(bytearray(max(_AT_ONCE, working.shape.block_size)))
        self._abandoned = False
        self.position = 0
        self.blocks = 0
        self.mended = 0
        self.list_size = 0
        self.sha256 = ""
        self.list_sha256 = ""
        self.error: BaseException | None = None

    @property
    def listed(self) -> Path:
        """The file with one line a block: its number and its SHA-256."""
        return self._working.folder / LIST

    def abandon(self) -> None:
        """End without a hash: the image will not be whole."""
        self._abandoned = True
        self._wake.set()

    def hurry(self) -> None:
        """Look at the frontier now."""
        self._wake.set()

    def run(self) -> None:
        """Follow until the image is hashed; what goes wrong is left in `error`."""
        try:
            self._follow()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for the thread
            self.error = error

    def _follow(self) -> None:
        shape = self._working.shape
        with storage("write the list of blocks", self.listed), self.listed.open("wb") as listing:
            head = {"snapshot": shape.snapshot, "size": shape.size, "block_size": shape.block_size}
            told = " ".join(f"{k}={v}" for k, v in head.items())
            self._note(
                listing, f"# irkit/image-blocks/1 {told}: block number, SHA-256; others are zeros\n".encode()
            )
            while self.position < shape.blocks and not self._abandoned:
                limit = self._frontier.limit
                while self.position < limit and not self._abandoned:
                    self._advance(listing, min(limit, self.position + _STRETCH))
                if self.position < shape.blocks:
                    self._wake.wait(0.1)
                    self._wake.clear()
            listing.flush()
            os.fsync(listing.fileno())
        if not self._abandoned:
            self.list_sha256 = self._list_hash.hexdigest()
            self.sha256 = self._hash.hexdigest()

    def _note(self, listing: BinaryIO, line: bytes) -> None:
        self._list_hash.update(line)
        self.list_size += len(line)
        listing.write(line)

    def _advance(self, listing: BinaryIO, end: int) -> None:
        """Hash blocks `position` to `end`, in runs of data and runs of holes."""
        digests = self._working.digests(self.position, end - self.position)
        first, start = self.position, self.position
        while start < end and not self._abandoned:
            hole = digests[start - first] is None
            stop = start + 1
            while stop < end and (digests[stop - first] is None) is hole:
                stop += 1
            if hole:
                self._hash_zeros(start, stop)
            else:
                run = [d for d in digests[start - first : stop - first] if d is not None]
                self._hash_data(start, run)
                lines = "".join(f"{n} {d.hex()}\n" for n, d in enumerate(run, start))
                self._note(listing, lines.encode("ascii"))
                self.blocks += len(run)
            start = stop
            self.position = start

    def _hash_zeros(self, start: int, stop: int) -> None:
        shape = self._working.shape
        left = min(stop * shape.block_size, shape.size) - start * shape.block_size
        while left > 0 and not self._abandoned:
            self._hash.update(self._zeros[: min(left, _AT_ONCE)])
            left -= _AT_ONCE

    def _hash_data(self, start: int, run: list[bytes]) -> None:
        """Hash the blocks from `start` on; `run` has their digests, and gets those of blocks that are read again."""
        size = self._working.shape.block_size
        many = max(1, _AT_ONCE // size)
        for first in range(0, len(run), many):
            if self._abandoned:
                return
            count = min(many, len(run) - first)
            buffer = self._buffer[: count * size]
            got = self._working.read_into(buffer, start + first)
            changed = [
                n
                for n in range(first, first + count)
                if start + n in self._earlier
                and hashlib.sha256(buffer[(n - first) * size : (n - first + 1) * size]).digest() != run[n]
            ]
            for number in changed:
                self._mend(start + number)
                run[number] = self._working.digest(start + number) or run[number]
            if changed:
                self.mended += len(changed)
                got = self._working.read_into(buffer, start + first)
            self._hash.update(buffer[:got])
