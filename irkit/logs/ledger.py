"""Which files have been taken, so that a second ingest takes only what is new.

`ledger.jsonl` in the tables folder has one line a batch, written after the batch's Parquet parts are in place: the line
is the commit. Parts that no line names are left from a run that was killed; they are removed at the next start.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from irkit.durable import append_all, storage
from irkit.errors import Refused
from irkit.tables import SCHEMAS

_NAME = "ledger.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One file that was read: what it was and what came of it."""

    uri: str
    size: int
    etag: str
    sha256: str
    kind: str
    fault: str | None = None
    lost_records: int = 0
    kept_as: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Files that became rows together."""

    id: str
    parts: list[str]
    files: list[Taken]
    rows: int = 0
    duplicates: int = 0


@dataclass(slots=True)
class Ledger:
    """The ledger of one tables folder, open for writing; `opened` makes one."""

    folder: Path
    _fd: int
    seen: set[tuple[str, int, str]] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)

    def has(self, uri: str, size: int, etag: str) -> bool:
        """Whether this very file was taken before, told without reading it."""
        return bool(etag) and (uri, size, etag) in self.seen

    def has_content(self, sha256: str) -> bool:
        """Whether a file with the same content was taken before, under whatever name."""
        return sha256 in self.hashes

    def commit(self, batch: Batch) -> None:
        """Record `batch` for good; its parts must be in place."""
        line = json.dumps(asdict(batch), ensure_ascii=True) + "\n"
        with storage("write the ledger", self.folder / _NAME):
            append_all(self._fd, line.encode("ascii"))
        self._learn(batch)

    def _learn(self, batch: Batch) -> None:
        self.parts.update(batch.parts)
        for file in batch.files:
            self.seen.add((file.uri, file.size, file.etag))
            self.hashes.add(file.sha256)

    def load(self) -> None:
        """Read what is recorded and still there; a torn last line is cut off."""
        path = self.folder / _NAME
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._fd, whole)
        for line in content[:whole].splitlines():
            found = json.loads(line)
            batch = Batch(**{**found, "files": [Taken(**file) for file in found["files"]]})
            # Where a part was removed, what the batch held is taken again from its files.
            if all((self.folder / part).is_file() for part in batch.parts):
                self._learn(batch)

    def sweep(self) -> None:
        """Remove Parquet parts that no batch names."""
        for table in SCHEMAS:
            for part in (self.folder / table).glob("**/*.parquet"):
                if str(part.relative_to(self.folder)) not in self.parts:
                    part.unlink()


@contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    """The ledger of `folder`, locked against a second ingest; torn lines and orphaned parts are cleared first."""
    path = folder / _NAME
    with storage("open the ledger", path):
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as busy:
            raise Refused(f"another ingest is writing to {folder}", hint="wait until it is done") from busy
        ledger = Ledger(folder, fd)
        ledger.load()
        ledger.sweep()
        yield ledger
    finally:
        os.close(fd)
