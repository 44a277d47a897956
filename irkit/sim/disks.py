"""Volumes and snapshots over real image files.

A volume is backed by a raw, sparse image; a snapshot is a copy of it at the moment of the call, extents only; the EBS
direct API reads that copy in blocks of 512 KiB. What was never written is a hole and is not listed, as in AWS.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from pathlib import Path

BLOCK = 512 * 1024
GIB = 1 << 30
ZERO_BLOCK = bytes(BLOCK)


class Disks:
    """The image behind each volume and each snapshot of the world."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._volumes: dict[str, Path] = {}
        self._snapshots: dict[str, Path] = {}
        self._listed: dict[str, list[int]] = {}
        self._lineage: dict[str, str] = {}
        self._spoiled: dict[tuple[str, int], int] = {}
        self._generation: dict[str, int] = {}
        self._lock = threading.RLock()

    def back(self, volume_id: str, image: Path) -> None:
        """Let the volume read from `image`, a raw file; later changes of the file are changes of the volume."""
        with self._lock:
            self._volumes[volume_id] = Path(image)

    def volume_image(self, volume_id: str) -> Path | None:
        """The image behind a volume; None for a blank one."""
        return self._volumes.get(volume_id)

    def snapshot_image(self, snapshot_id: str) -> Path | None:
        """The image behind a snapshot; None for one of a blank volume."""
        return self._snapshots.get(snapshot_id)

    def snapshot(self, snapshot_id: str, volume_id: str) -> None:
        """Keep the volume's image as it is now."""
        with self._lock:
            self._lineage[snapshot_id] = volume_id
        image = self._volumes.get(volume_id)
        if image is None:
            return
        kept = self._path(snapshot_id)
        clone(image, kept)
        with self._lock:
            self._snapshots[snapshot_id] = kept

    def begin(self, snapshot_id: str, size_gib: int) -> None:
        """An empty snapshot image that blocks are put into."""
        path = self._path(snapshot_id)
        with path.open("wb") as blank:
            blank.truncate(size_gib * GIB)
        with self._lock:
            self._snapshots[snapshot_id] = path

    def put(self, snapshot_id: str, index: int, data: bytes) -> None:
        """Write one block of a snapshot that was begun."""
        with self._snapshots[snapshot_id].open("r+b") as image:
            image.seek(index * BLOCK)
            image.write(data)
        with self._lock:
            self._listed.pop(snapshot_id, None)

    def copy(self, source_id: str, copy_id: str) -> None:
        """Let a copied snapshot read what its source reads (a snapshot never changes)."""
        with self._lock:
            if source_id in self._lineage:
                self._lineage[copy_id] = self._lineage[source_id]
            if source_id in self._snapshots:
                self._snapshots[copy_id] = self._snapshots[source_id]

    def restore(self, snapshot_id: str, volume_id: str) -> None:
        """Give a new volume its own image, equal to the snapshot's."""
        source = self._snapshots.get(snapshot_id)
        if source is None:
            return
        path = self._path(volume_id)
        clone(source, path)
        self.back(volume_id, path)

    def forget(self, snapshot_id: str) -> None:
        """Drop a deleted snapshot; its file goes when no copy reads it."""
        with self._lock:
            path = self._snapshots.pop(snapshot_id, None)
            self._listed.pop(snapshot_id, None)
            if path is not None and path not in self._snapshots.values():
                path.unlink(missing_ok=True)

    def blocks(self, snapshot_id: str) -> list[int]:
        """Indexes of the blocks that hold data, ascending."""
        with self._lock:
            listed = self._listed.get(snapshot_id)
        if listed is None:
            image = self._snapshots.get(snapshot_id)
            listed = allocated(image) if image is not None else []
            with self._lock:
                self._listed[snapshot_id] = listed
        return listed

    def read(self, snapshot_id: str, index: int) -> bytes:
        """One block, padded with zeros at the image's end."""
        image = self._snapshots.get(snapshot_id)
        if image is None:
            return ZERO_BLOCK
        with image.open("rb") as stream:
            stream.seek(index * BLOCK)
            return stream.read(BLOCK).ljust(BLOCK, b"\0")

    def changed(self, first: str | None, second: str) -> list[int]:
        """Indexes of blocks that differ between two snapshots; without a first one, all of the second's."""
        later = self.blocks(second)
        if first is None:
            return later
        if self._snapshots.get(first) == self._snapshots.get(second):
            return []
        union = sorted({*self.blocks(first), *later})
        return [index for index in union if self.read(first, index) != self.read(second, index)]

    def related(self, first: str, second: str) -> bool:
        """Whether two snapshots are of one volume, or copies of such."""
        with self._lock:
            return self._lineage.get(first, first) == self._lineage.get(second, second)

    def spoil(self, snapshot_id: str, index: int, *, times: int = 1) -> None:
        """Let the next `times` readers of the block get other bytes than its checksum says, as from a bad link."""
        with self._lock:
            self._spoiled[snapshot_id, index] = times

    def sent(self, snapshot_id: str, index: int, data: bytes) -> bytes:
        """What arrives of `data`, the content of the block: itself unless it was spoiled."""
        with self._lock:
            left = self._spoiled.get((snapshot_id, index), 0)
            if left == 0:
                return data
            self._spoiled[snapshot_id, index] = left - 1
        return bytes([data[0] ^ 0xFF]) + data[1:]

    def expire_tokens(self, snapshot_id: str) -> None:
        """Let no token that was listed so far read the snapshot any more, as after AWS's seven days."""
        with self._lock:
            self._generation[snapshot_id] = self._generation.get(snapshot_id, 0) + 1

    def token(self, snapshot_id: str, index: int) -> str:
        """The token that reading one block needs at present."""
        generation = self._generation.get(snapshot_id, 0)
        return base64.b64encode(
            hashlib.sha256(f"{snapshot_id}/{index}/{generation}".encode()).digest()
        ).decode()

    def _path(self, name: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{name}.img"


def checksum(data: bytes) -> str:
    """SHA-256 as the EBS direct API writes it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def extents(image: Path) -> list[tuple[int, int]]:
    """(start, end) of each stretch of the file that is not a hole."""
    size = image.stat().st_size
    found = []
    descriptor = os.open(image, os.O_RDONLY)
    try:
        position = 0
        while position < size:
            try:
                start = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole follows
                break
            position = os.lseek(descriptor, start, os.SEEK_HOLE)
            found.append((start, position))
    finally:
        os.close(descriptor)
    return found


def allocated(image: Path) -> list[int]:
    """Indexes of the 512 KiB blocks that hold data."""
    indexes: set[int] = set()
    for start, end in extents(image):
        indexes.update(range(start // BLOCK, -(-end // BLOCK)))
    return sorted(indexes)


def clone(source: Path, target: Path) -> None:
    """Copy a sparse file without filling its holes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("wb") as writer:
        writer.truncate(source.stat().st_size)
        for start, end in extents(source):
            position = start
            while position < end:
                count = min(end - position, 1 << 24)
                sent = os.copy_file_range(reader.fileno(), writer.fileno(), count, position, position)
                if sent == 0:
                    break
                position += sent
