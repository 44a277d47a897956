"""A snapshot as a disk to look into: only the blocks that someone reads are fetched, checked and kept.

A file system's tables and a few hundred files are a small part of a disk, so a terabyte can be searched in minutes.
What comes of it is not an image and never called one: it proves the blocks that were read, and nothing about the
others. The snapshot stays what it is, for the day when the whole of it is wanted.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from irkit.canonical import timestamp
from irkit.capture.image.blocks import Block, Listing, Page
from irkit.capture.image.fetching import Fetcher, Pace
from irkit.capture.image.planning import readable
from irkit.capture.image.transport import chosen, endpoint
from irkit.capture.image.working import Shape, Working
from irkit.durable import locked

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.evidence import Item

KIND = "disk-partial-reading"
_CACHED_BLOCKS = 128
_PATIENCE = 5.0


class LazyDisk(io.RawIOBase):
    """A read-only, seekable file of the size of the disk; made by `open_lazy`. Threads may share it.

    `partial` is True for ever. Blocks that were read lie in the case's folder and are not fetched a second time, also
    by another process later; `keep` makes evidence of which they were and of their digests. Closing keeps, too.
    """

    partial = True

    def __init__(
        self, case: Case, snapshot_id: str, *, transport: str = "boto3", cached: int = _CACHED_BLOCKS
    ) -> None:
        super().__init__()
        self._case = case
        self.snapshot_id = snapshot_id
        self.described = readable(case, snapshot_id)
        self._listing = Listing(case.client("ebs"), snapshot_id)
        first: Page = next(self._listing.pages())
        self._block = first.block_size
        self._folder = case.active / "artifacts" / "images" / f"lazy-{snapshot_id}"
        self._held = locked(self._folder.with_suffix(".lock"), waiting=lambda: None, patience=_PATIENCE)
        self._held.__enter__()
        shape = Shape(snapshot=snapshot_id, since=None, size=first.volume_bytes, block_size=self._block)
        self._working = Working(self._folder, shape)
        way, _ = chosen(transport, endpoint(case), block_size=self._block, workers=4)
        self._fetcher = Fetcher(listing=self._listing, transport=way, pace=Pace(4))
        self._reader = self._fetcher.reader()
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cached = cached
        self._lock = threading.RLock()
        self._position = 0
        self._read: dict[int, bytes] = {}
        self._holes_read: set[int] = set()
        self._begun = datetime.now(UTC)
        self._noted = 0
        self.fetched = 0
        case.note("reading parts of a snapshot", snapshot=snapshot_id, partial=True)

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._working.shape.size

    @property
    def bytes_read(self) -> int:
        """Bytes of the distinct blocks that were read so far, holes not counted."""
        return len(self._read) * self._block

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to `offset`; see `io.IOBase.seek`."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError("before the beginning of the disk")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer` from the position on; returns the bytes read, 0 at the end."""
        view = memoryview(buffer).cast("B")
        with self._lock:
            count = self._fill(view, self._position)
            self._position += count
        return count

    def read_at(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`, fewer at the end, without moving: what forensic libraries ask for."""
        room = bytearray(max(0, min(count, self.size - offset)))
        with self._lock:
            self._fill(memoryview(room), offset)
        return bytes(room)

    def _fill(self, view: memoryview, position: int) -> int:
        if self.closed:
            raise ValueError("the disk is closed")
        wanted = max(0, min(len(view), self.size - position))
        filled = 0
        while filled < wanted:
            index, within = divmod(position + filled, self._block)
            part = self.block(index)[within : within + wanted - filled]
            view[filled : filled + len(part)] = part
            filled += len(part)
        return wanted

    def block(self, index: int) -> bytes:
        """The bytes of one block: from memory, from the case's folder, or from AWS, and checked on the way."""
        with self._lock:
            if index in self._cache:
                self._cache.move_to_end(index)
                return self._cache[index]
            data = self._kept(index) or self._new(index)
            self._cache[index] = data
            if len(self._cache) > self._cached:
                self._cache.popitem(last=False)
            return data

    def _kept(self, index: int) -> bytes | None:
        digest = self._working.digest(index)
        if digest is None and index not in self._read:
            return None
        digest = digest or self._read[index]
        room = bytearray(self._block)
        self._working.read_into(memoryview(room), index)
        if hashlib.sha256(room).digest() != digest:
            return None
        self._read[index] = digest
        return bytes(room)

    def _new(self, index: int) -> bytes:
        token = self._listing.token(index)
        if token is None:
            self._holes_read.add(index)
            return bytes(self._block)
        data, digest = self._reader.read(Block(index, token))
        self._working.put(index, data, digest)
        self._read[index] = digest
        self.fetched += 1
        return bytes(data).ljust(self._block, b"\0")

    def keep(self) -> Item | None:
        """Make an evidence item of which blocks were read so far, and their digests; None when nothing is new."""
        with self._lock:
            if len(self._read) + len(self._holes_read) == self._noted:
                return None
            self._working.flush()
            told = {
                "schema": "irkit/disk-partial-reading/1",
                "what": "blocks that were looked at; not an image: nothing is said about any other block",
                "partial": True,
                "snapshot": self.snapshot_id,
                "size": self.size,
                "block_size": self._block,
                "begun_at": timestamp(self._begun),
                "ended_at": timestamp(datetime.now(UTC)),
                "fetched": self.fetched,
                "tried_again": self._fetcher.tries.to_dict(),
                "blocks": {str(n): d.hex() for n, d in sorted(self._read.items())},
                "zeros": sorted(self._holes_read),
            }
            item = self._case.evidence.add(
                (json.dumps(told, indent=1) + "\n").encode("ascii"),
                kind=KIND,
                name=f"{self.snapshot_id}.partial.json",
                source=self.snapshot_id,
                media_type="application/json",
                partial=True,
                notes={"snapshot": self.snapshot_id, "blocks": len(self._read), "of_bytes": self.size},
            )
            self._noted = len(self._read) + len(self._holes_read)
            return item

    def close(self) -> None:
        """Keep what was read as evidence and let go of everything."""
        if self.closed:
            return
        try:
            self.keep()
        finally:
            self._reader.close()
            self._working.close()
            self._held.__exit__(None, None, None)
            super().close()

    def __repr__(self) -> str:
        return f"<LazyDisk {self.snapshot_id}: {self.bytes_read} of {self.size} bytes read, partial, not an image>"


def open_lazy(case: Case, snapshot_id: str, **options: Any) -> LazyDisk:
    """The snapshot as a file to read from, of which only the blocks that are read are fetched.

    Options are `transport` (`boto3`, `raw`) and `cached`, the number of blocks (512 KiB each) held in memory. Raises
    `NotFound`, `WrongState` and `Refused` as `plan` does, and irkit's errors while reading.
    """
    return LazyDisk(case, snapshot_id, **options)
