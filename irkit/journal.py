"""The journal: everything that was meant and everything that happened, in one append-only file.

One entry a line, canonical JSON (`irkit.canonical`), written with `O_APPEND` and forced to disk before `append`
returns. Every entry carries its own SHA-256 (`hash`, over the line without it) and that of the entry before it
(`prev`), so a changed bit anywhere is found and named, also in the last line.

The rules that everything else builds on:

* **Write-ahead.** An action is `intended` before the call and `done`, `failed` or `skipped` after it.
* **An entry counts when its line ends in a newline.** A crash can leave bytes after the last newline: the *torn
  tail*. They stay in the file. The next writer appends a `recovered` entry that names their offset, length and
  SHA-256; until then `read` reports them as torn. Bytes that are neither an entry nor so accounted for are damage.
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
import platform
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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

    @property
    def step(self) -> str | None:
        """Id of the step that this entry is about, if it is about one."""
        step = self.body.get("step")
        return step if isinstance(step, str) else None

    def to_dict(self) -> dict[str, Any]:
        """The entry as the dictionary that its line holds."""
        return _sealed(self.seq, self.at, self.kind, self.actor, self.body, self.prev) | {"hash": self.hash}


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
        if hashlib.sha256(dumps(raw).encode("ascii")).hexdigest() != claimed:
            return None
        return Entry(
            seq=raw["seq"],
            at=raw["at"],
            kind=Kind(raw["kind"]),
            actor=raw["actor"],
            body=raw["body"],
            prev=raw["prev"],
            hash=claimed,
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def scan(data: bytes, *, base: int = 0, seq: int = 0, prev: str = GENESIS) -> Reading:
    """What `data` holds, which begins at offset `base` of the file, where entry `seq` after hash `prev` is due."""
    entries: list[Entry] = []
    pos = end = 0
    while (newline := data.find(b"\n", pos)) >= 0:
        entry = _parse(data[pos:newline])
        if entry is not None and (pos == end or _accounts_for(entry, base + end, data[end : pos - 1])):
            due = (seq + len(entries), entries[-1].hash if entries else prev)
            if (entry.seq, entry.prev) != due:
                return _damaged(
                    entries, base + end, due[0], f"is entry {entry.seq} of another order or chain"
                )
            entries.append(entry)
            end = newline + 1
        pos = newline + 1
    rest = data[end:]
    # The newline is the last byte of every write, so what a crash cut short never ends in one.
    if rest.endswith(b"\n") or any(_parse(line) for line in rest.split(b"\n")[:-1]):
        return _damaged(
            entries, base + end, seq + len(entries), "is not what was written (changed, cut or inserted)"
        )
    return Reading(entries=tuple(entries), end=base + end, torn=rest)


def _damaged(entries: list[Entry], offset: int, number: int, what: str) -> Reading:
    problem = f"entry {number}: the line at byte {offset} {what}"
    return Reading(entries=tuple(entries), end=offset, problems=(problem,))


def _accounts_for(entry: Entry, offset: int, torn: bytes) -> bool:
    expected = {"offset": offset, "length": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
    return entry.kind is Kind.RECOVERED and entry.body.get("torn") == expected


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
        with self.lock, storage("read the journal", self.path):
            size = self.path.stat().st_size
            if size == self._end:
                self._torn = b""
                return
            if size < self._end:
                raise JournalDamaged(
                    f"{self.path} became shorter while it was open",
                    hint="restore it from a copy, then run `irkit case verify`",
                )
            with self.path.open("rb") as file:
                file.seek(self._end)
                self._take(file.read())

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
        with self.lock, storage("write the journal", self.path):
            if self._fd >= 0:  # held already by this thread, further out
                yield
                return
            fd = os.open(self.path, os.O_RDWR | os.O_APPEND)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                self.refresh()
                self._fd = fd
                yield
            finally:
                self._fd = -1
                os.close(fd)

    def _append(self, kind: Kind, body: Mapping[str, Any]) -> Entry:
        if self._torn and kind is not Kind.RECOVERED:
            torn = {
                "offset": self._end,
                "length": len(self._torn),
                "sha256": hashlib.sha256(self._torn).hexdigest(),
            }
            self._append(
                Kind.RECOVERED, {"torn": torn, "what": "a write that a crash cut short; left in place"}
            )
        seq, prev = self.head
        at = timestamp(self._clock())
        sealed = _sealed(seq + 1, at, kind, self.actor, _object(plain(body)), prev)
        digest = hashlib.sha256(dumps(sealed).encode("ascii")).hexdigest()
        line = dumps(sealed | {"hash": digest}).encode("ascii") + b"\n"
        append_all(self._fd, (b"\n" if self._torn else b"") + line)
        self._end += len(self._torn) + bool(self._torn) + len(line)
        self._torn = b""
        entry = Entry(
            seq=seq + 1, at=at, kind=kind, actor=self.actor, body=sealed["body"], prev=prev, hash=digest
        )
        self._entries.append(entry)
        return entry

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


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TypeError("a journal entry's body is an object")
    return value


def machine_actor() -> str:
    """Who acts when AWS has not said yet: user and host of this machine."""
    return f"{os.environ.get('USER') or os.getuid()}@{platform.node() or 'localhost'}"
