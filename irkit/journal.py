"""The journal: everything that was meant and everything that happened, in one append-only file.

One entry a line, canonical JSON (`irkit.canonical`), written with `O_APPEND` and forced to disk before `append`
returns. Every entry carries its own SHA-256 (`hash`, over the line without it) and that of the entry before it
(`prev`), so a changed bit anywhere is found and named, also in the last line.

The rules that everything else builds on:

* **Write-ahead.** An action is `intended` before the call and `done`, `failed` or `skipped` after it.
* **An entry counts when its line ends in a newline.** A crash can leave bytes after the last newline: the *torn
  tail*. They stay in the file. Where only the newline is missing, the next writer adds it; else it cancels them (the
  control character CAN and a newline) and appends a `recovered` entry that names their offset, length and SHA-256.
  Until then `read` reports them as torn. Bytes that are neither an entry nor so accounted for are damage.
* **One writer at a time.** A lock on the file orders threads and processes; a writer first reads what others added.
* **A failed write is taken back.** When the disk fills up in the middle of a line, the line is cut off again.

The chain proves order to whoever trusts its head; entries cut off the end are noticed because the manifest and every
seal record the head at their time (`irkit.evidence`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from irkit._version import __version__
from irkit.canonical import Json, dumps, plain, timestamp
from irkit.durable import append_all, create, storage
from irkit.errors import JournalDamaged

GENESIS = "0" * 64
# No entry can hold the byte, so a line that was cut short and cancelled is never taken for one that was changed.
_CANCELLED = b"\x18\n"


class Kind(StrEnum):
    """What an entry records."""

    OPENED = "opened"  # the case began; holds the hash of case.json
    RUN = "run"  # a capture, containment or playbook began: what and with which arguments
    ENDED = "ended"  # …and how it ended
    INTENDED = "intended"  # a step is about to be tried
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNDONE = "undone"  # a step's effect was taken back
    ITEMS = "items"  # evidence was stored
    NOTE = "note"  # something a reader of the case must know
    RECOVERED = "recovered"  # a torn tail was found and left where it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the journal. `body` depends on `kind`; `actor` is who acted, as AWS or the machine knows them."""

    seq: int
    at: str
    kind: Kind
    actor: str
    body: Mapping[str, Any]
    prev: str
    hash: str
    tool: str = f"irkit/{__version__}"

    @property
    def step(self) -> str | None:
        """Id of the step that this entry is about, if it is about one."""
        step = self.body.get("step")
        return step if isinstance(step, str) else None

    def to_dict(self) -> dict[str, Any]:
        """The entry as the dictionary that its line holds."""
        sealed = _sealed(self.seq, self.at, self.kind, self.actor, self.body, self.prev)
        return sealed | {"tool": self.tool, "hash": self.hash}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a journal file holds: good entries, a torn tail not yet recorded, and damage."""

    entries: tuple[Entry, ...]
    end: int  # offset after the last good entry
    torn: bytes = b""
    problems: tuple[str, ...] = ()


def _sealed(seq: int, at: str, kind: Kind, actor: str, body: Mapping[str, Any], prev: str) -> dict[str, Any]:
    return {
        "v": 1,
        "seq": seq,
        "at": at,
        "kind": kind.value,
        "actor": actor,
        "body": body,
        "prev": prev,
        "tool": f"irkit/{__version__}",
    }


def _parse(line: bytes) -> Entry | None:
    """The entry in `line`, or None when the line is not exactly what `append` would have written."""
    try:
        raw = json.loads(line)
        if not isinstance(raw, dict) or dumps(raw).encode("ascii") != line:
            return None
        claimed = raw.pop("hash")
        if hashlib.sha256(dumps(raw).encode("ascii")).hexdigest() != claimed or raw.pop("v") != 1:
            return None
        entry = Entry(**(raw | {"kind": Kind(raw["kind"])}), hash=claimed)
        return entry if _shaped(raw) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _shaped(raw: Mapping[str, Any]) -> bool:
    texts = (raw["at"], raw["actor"], raw["prev"], raw["tool"])
    return (
        isinstance(raw["seq"], int)
        and isinstance(raw["body"], dict)
        and all(isinstance(t, str) for t in texts)
    )


def scan(data: bytes, *, base: int = 0, seq: int = 0, prev: str = GENESIS) -> Reading:
    """What `data` holds, which begins at offset `base` of the file, where entry `seq` after hash `prev` is due."""
    entries: list[Entry] = []
    pos = end = 0
    while (newline := data.find(b"\n", pos)) >= 0:
        entry = _parse(data[pos:newline])
        if entry is not None and (pos == end or _accounts_for(entry, base + end, data, end, pos)):
            due = (seq + len(entries), entries[-1].hash if entries else prev)
            if (entry.seq, entry.prev) != due:
                return _damaged(
                    entries, base + end, due[0], f"is entry {entry.seq} of another order or chain"
                )
            entries.append(entry)
            end = newline + 1
        elif not data.endswith(_CANCELLED, pos, newline + 1):
            break
        pos = newline + 1
    due = (seq + len(entries), entries[-1].hash if entries else prev)
    # The newline is the last byte of every write, so what a crash cut short has none unless it was cancelled.
    last = None if b"\n" in data[pos:] else _parse(data[pos:])
    if b"\n" in data[pos:] or (last is not None and (last.seq, last.prev) != due):
        return _damaged(entries, base + end, due[0], "is not what was written (changed, cut or inserted)")
    return Reading(entries=tuple(entries), end=base + end, torn=data[end:])


def _damaged(entries: list[Entry], offset: int, number: int, what: str) -> Reading:
    problem = f"entry {number}: the line at byte {offset} {what}"
    return Reading(entries=tuple(entries), end=offset, problems=(problem,))


def _accounts_for(entry: Entry, offset: int, data: bytes, start: int, pos: int) -> bool:
    """Whether `entry`, at `pos` of `data`, records what was torn at `start`, which is `offset` in the file."""
    torn = data[start : pos - len(_CANCELLED)]
    return (
        entry.kind is Kind.RECOVERED
        and data.endswith(_CANCELLED, start, pos)
        and entry.body.get("torn") == _torn_bytes(offset, torn)
    )


def _torn_bytes(offset: int, torn: bytes) -> dict[str, Any]:
    return {"offset": offset, "length": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}


class Journal:
    """The journal of one case, open for reading and appending.

    Raises `StorageError` when the file cannot be read or written and `JournalDamaged` when its chain is broken.
    """

    def __init__(self, path: Path, *, actor: str, clock: Callable[[], datetime] | None = None) -> None:
        self.path = path
        self.actor = actor
        self._clock = clock or (lambda: datetime.now(UTC))
        # Evidence shares this lock: two locks over one file would have an order to get wrong.
        self.lock = threading.RLock()
        self._entries: list[Entry] = []
        self._end = 0
        self._torn = b""
        self._fd = -1
        self.refresh()

    @classmethod
    def create(cls, path: Path, *, actor: str) -> Journal:
        """A new, empty journal at `path`, which must not exist."""
        create(path, b"")
        return cls(path, actor=actor)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries read or written so far, oldest first."""
        with self.lock:
            return tuple(self._entries)

    @property
    def head(self) -> tuple[int, str]:
        """Sequence number and hash of the last entry; (-1, 64 zeros) before the first."""
        with self.lock:
            return (self._entries[-1].seq, self._entries[-1].hash) if self._entries else (-1, GENESIS)

    @property
    def torn(self) -> bytes:
        """Bytes that a crash left after the last entry and that no entry accounts for yet."""
        with self.lock:
            return self._torn

    def refresh(self) -> None:
        """Read what others appended since."""
        with self.lock:
            if self._fd >= 0:
                self._read(self._fd)
                return
            with storage("read the journal", self.path):
                fd = os.open(self.path, os.O_RDONLY)
            try:
                self._read(fd)
            except JournalDamaged:
                # Perhaps another process is in the middle of a write: look again when it is not.
                with storage("lock the journal", self.path):
                    fcntl.flock(fd, fcntl.LOCK_SH)
                self._read(fd)
            finally:
                os.close(fd)

    def _read(self, fd: int) -> None:
        with storage("read the journal", self.path):
            size = os.fstat(fd).st_size
            data = os.pread(fd, size - self._end, self._end) if size > self._end else b""
            while len(data) < size - self._end and (more := os.pread(fd, size, self._end + len(data))):
                data += more
        if size < self._end:
            raise JournalDamaged(
                f"{self.path} became shorter while it was open",
                hint="restore it from a copy, then run `irkit case verify`",
            )
        self._take(data)

    def _take(self, data: bytes) -> None:
        seq, prev = self.head
        reading = scan(data, base=self._end, seq=seq + 1, prev=prev)
        if reading.problems:
            raise JournalDamaged(
                f"{self.path}: {reading.problems[0]}",
                hint="run `irkit case verify`; restore the file from a copy before going on",
            )
        self._entries.extend(reading.entries)
        self._end = reading.end
        self._torn = reading.torn

    def append(self, kind: Kind, **body: Any) -> Entry:
        """Write one entry and return it once it is on disk."""
        with self.exclusive():
            return self._append(kind, body)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the journal against other threads and processes, up to date with what they wrote."""
        with self.lock:
            if self._fd >= 0:  # held already by this thread, further out
                yield
                return
            with storage("write the journal", self.path):
                fd = os.open(self.path, os.O_RDWR | os.O_APPEND)
            try:
                with storage("lock the journal", self.path):
                    fcntl.flock(fd, fcntl.LOCK_EX)
                self._fd = fd
                self.refresh()
                yield
            finally:
                self._fd = -1
                os.close(fd)

    def _append(self, kind: Kind, body: Mapping[str, Any]) -> Entry:
        if self._torn and kind is not Kind.RECOVERED:
            self._settle_torn()
        seq, prev = self.head
        at = timestamp(self._clock())
        sealed = _sealed(seq + 1, at, kind, self.actor, _object(plain(body)), prev)
        digest = hashlib.sha256(dumps(sealed).encode("ascii")).hexdigest()
        line = dumps(sealed | {"hash": digest}).encode("ascii") + b"\n"
        if self._torn:
            line = _CANCELLED + line
        self._write(line)
        self._end += len(self._torn) + len(line)
        self._torn = b""
        entry = Entry(
            seq=seq + 1, at=at, kind=kind, actor=self.actor, body=sealed["body"], prev=prev, hash=digest
        )
        self._entries.append(entry)
        return entry

    def _settle_torn(self) -> None:
        seq, prev = self.head
        whole = scan(self._torn + b"\n", base=self._end, seq=seq + 1, prev=prev)
        if whole.entries and not whole.torn:
            self._write(b"\n")
            self._take(self._torn + b"\n")
            return
        self._append(
            Kind.RECOVERED,
            {
                "torn": _torn_bytes(self._end, self._torn),
                "what": "a write that a crash cut short; left in place",
            },
        )

    def _write(self, data: bytes) -> None:
        with storage("write the journal", self.path):
            append_all(self._fd, data)

    def now(self) -> datetime:
        """The time by the journal's clock, aware, in UTC."""
        return self._clock()

    def of_step(self, step: str) -> tuple[Entry, ...]:
        """The entries about the step with id `step`, oldest first."""
        return tuple(e for e in self.entries if e.step == step)

    def __repr__(self) -> str:
        return f"<Journal {self.path.name}: {len(self.entries)} entries>"


def read(path: Path) -> Reading:
    """What the journal file at `path` holds, whether sound or not; needs nothing but the file."""
    with storage("read the journal", path):
        return scan(path.read_bytes())


@contextmanager
def undisturbed(path: Path) -> Iterator[None]:
    """Nobody writes to the journal at `path`, or moves what it records, while the block runs."""
    with storage("read the journal", path):
        fd = os.open(path, os.O_RDONLY)
    try:
        with suppress(
            OSError
        ):  # a file system without locks has no other writers to wait for, as far as anyone knows
            fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TypeError("a journal entry's body is an object")
    return value
