"""An image on its way: a sparse file, and beside it the SHA-256 of every block that is in it for good.

The digests are one file of 32 bytes a block, at the block's number: a hole where nothing was read. A digest is written
only after its block's data were forced to disk, so whatever has a digest need not be fetched again, after a kill or a
power cut alike; and since it is the digest, that can be checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from irkit.canonical import digest as canonical_digest
from irkit.durable import replace, storage
from irkit.errors import IntegrityError, StorageError

_DIGEST = 32
_UNREAD = bytes(_DIGEST)
# A kill costs the blocks since the last time that all was forced to disk: at most so many, or of so many seconds.
_FLUSH_BLOCKS = 512
_FLUSH_SECONDS = 2.0
_COPIED_AT_ONCE = 64 << 20
IMAGE = "image.raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the image is of: a snapshot (and the one it is compared with), the disk's size and a block's, in bytes."""

    snapshot: str
    since: str | None
    size: int
    block_size: int

    @property
    def blocks(self) -> int:
        """Blocks of the disk, holes among them."""
        return -(-self.size // self.block_size)

    def to_json(self) -> bytes:
        """The shape as it lies beside the image."""
        told = {"schema": "irkit/image-working/1", "snapshot": self.snapshot, "since": self.since}
        return (json.dumps(told | {"size": self.size, "block_size": self.block_size}) + "\n").encode("ascii")


class Working:
    """The two files, open. Threads may `put` at the same time."""

    def __init__(self, folder: Path, shape: Shape) -> None:
        """Open the files in `folder`, or make them. Raises `StorageError`, `IntegrityError` for another image's.

        `based` says that the file began as a copy of another image; `flushed` is told what is on disk for good.
        """
        self.folder = folder
        self.shape = shape
        self._zeros = hashlib.sha256(bytes(shape.block_size)).digest()
        self._pending: list[tuple[int, bytes]] = []
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._flushed = time.monotonic()
        self.based = False
        self.flushed: Callable[[Iterable[int]], None] = lambda _: None
        with storage("prepare a disk image", folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._check_shape(folder / "shape.json")
        self._image = _opened(self.image, shape.size)
        self._digests = _opened(folder / "digests", shape.blocks * _DIGEST)

    @property
    def image(self) -> Path:
        """The image's file."""
        return self.folder / IMAGE

    def digest(self, index: int) -> bytes | None:
        """SHA-256 of a block that is on disk for good; None for a hole, or one that is not read yet."""
        found = os.pread(self._digests, _DIGEST, index * _DIGEST)
        return None if found == _UNREAD else found

    def digests(self, start: int, count: int) -> list[bytes | None]:
        """The digests of `count` blocks from `start`."""
        raw = os.pread(self._digests, _DIGEST * count, start * _DIGEST)
        cut = (raw[i : i + _DIGEST] for i in range(0, len(raw), _DIGEST))
        return [None if d == _UNREAD else d for d in cut]

    def done(self) -> Iterator[tuple[int, bytes]]:
        """Number and digest of every block that is on disk for good, ascending."""
        for start in self._stretches():
            for number, found in enumerate(self.digests(start, 4096), start):
                if found is not None:
                    yield number, found

    def read_into(self, buffer: memoryview, index: int) -> int:
        """Fill `buffer` from block `index` on; returns the bytes read, fewer only at the disk's end."""
        with storage("read the disk image", self.image):
            return os.preadv(self._image, [buffer], index * self.shape.block_size)

    def put(self, index: int, data: memoryview, digest: bytes) -> None:
        """Keep a block, and from time to time force all to disk. Zeros are not written where the file has a hole."""
        if self.based or digest != self._zeros or len(data) != self.shape.block_size:
            with storage("write the disk image", self.image):
                _write_all(self._image, data, index * self.shape.block_size)
        with self._lock:
            self._pending.append((index, digest))
            due = len(self._pending) >= _FLUSH_BLOCKS or time.monotonic() - self._flushed > _FLUSH_SECONDS
        if due and self._flushing.acquire(blocking=False):
            try:
                self._flush()
            finally:
                self._flushing.release()

    def forget(self, index: int, *, zero: bool = False) -> None:
        """Drop a block's digest: it is to be read again, or with `zero` is a hole now."""
        with storage("write the disk image", self.image):
            os.pwrite(self._digests, _UNREAD, index * _DIGEST)
            if zero:
                _write_all(
                    self._image, memoryview(bytes(self.shape.block_size)), index * self.shape.block_size
                )

    def adopt(self, index: int, digest: bytes) -> None:
        """Take a block as read that lies in the file already, with this digest."""
        os.pwrite(self._digests, digest, index * _DIGEST)

    def copy_in(self, source: Path) -> None:
        """Begin with the content of another image; its holes stay holes."""
        with storage("copy a disk image", source), source.open("rb") as other:
            os.ftruncate(self._image, 0)  # what a copy left that was cut short
            os.ftruncate(self._image, self.shape.size)
            position, end = 0, min(self.shape.size, os.fstat(other.fileno()).st_size)
            while position < end:
                try:
                    position = os.lseek(other.fileno(), position, os.SEEK_DATA)
                except OSError:  # ENXIO: only a hole follows
                    return
                stop = min(end, os.lseek(other.fileno(), position, os.SEEK_HOLE))
                while position < stop:
                    count = min(stop - position, _COPIED_AT_ONCE)
                    position += os.copy_file_range(other.fileno(), self._image, count, position, position)

    def flush(self) -> None:
        """Force everything that was put to disk, data before digests."""
        with self._flushing:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, []
            self._flushed = time.monotonic()
        with storage("write the disk image", self.image):
            os.fdatasync(self._image)
            for index, digest in pending:
                os.pwrite(self._digests, digest, index * _DIGEST)
            os.fdatasync(self._digests)
        self.flushed(index for index, _ in pending)

    def close(self) -> None:
        """Let go of the files. What was put and not flushed is read again the next time."""
        os.close(self._image)
        os.close(self._digests)

    def _check_shape(self, path: Path) -> None:
        with storage("prepare a disk image", path):
            known = path.read_bytes() if path.exists() else None
        if known is None:
            replace(path, self.shape.to_json())
        elif known != self.shape.to_json():
            raise IntegrityError(
                f"{self.folder} holds the beginning of another image",
                hint="move it away, or choose another place with --to",
            )

    def _stretches(self) -> Iterator[int]:
        """Where, at every 4096 blocks, digests lie: most of a sparse disk is stepped over."""
        position, end = 0, self.shape.blocks * _DIGEST
        while position < end:
            try:
                position = os.lseek(self._digests, position, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole follows
                return
            start = position // _DIGEST // 4096 * 4096
            yield start
            position = (start + 4096) * _DIGEST


def identity(*parts: str | None) -> str:
    """16 hexadecimal digits that name a working folder."""
    return canonical_digest(list(parts))[:16]


def _opened(path: Path, size: int) -> int:
    with storage("prepare a disk image", path):
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError:
            file = os.open(
                path, os.O_RDONLY
            )  # finished and read-only already, when a kill came before the journal
        if os.fstat(file).st_size != size:
            os.ftruncate(file, size)
    return file


def _write_all(file: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        if written == 0:
            raise StorageError(
                "nothing can be written to the disk image", hint="see that its disk is not full"
            )
        data, offset = data[written:], offset + written
