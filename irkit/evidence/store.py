"""The evidence store of a case: a folder that keeps each item once, whole, and never changes it.

An item is written to a staging file and hashed on the way; then one journal entry commits it, and only then the file
moves to its place. A kill before the entry leaves a staging file, which `recover` keeps as an interrupted item; a
kill after it leaves a move, which the next writer finishes. Each process stages in a folder of its own that it holds
locked while it lives, so that nobody takes the file of a capture that is still running; these folders come and go only
under the journal's lock. Nothing is ever overwritten.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO

from irkit._version import __version__
from irkit.canonical import timestamp
from irkit.durable import replace, storage, sync_folder, try_lock
from irkit.errors import StorageError
from irkit.evidence import manifest
from irkit.evidence.items import Item, Place, safe_name
from irkit.journal import Journal, Kind

_CHUNK = 1 << 20
_LOCK = ".lock"
ORIGINAL_NAME = (
    "original_name"  # the note that holds an item's name as it was given, where that is no file name
)


@dataclass(kw_only=True, slots=True)
class Staged:
    """Bytes on their way in: written and hashed, not yet an item."""

    kind: str
    name: str
    source: str
    file: str
    step: str | None
    place: Place
    media_type: str
    notes: Mapping[str, Any] = field(default_factory=dict)
    partial: bool = False
    sha256: str = ""
    size: int = 0


class Writer:
    """A file being captured: everything written is hashed before it reaches the disk."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self._path = path
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Take `data`; returns its length, so that a Writer serves where a binary file is wanted."""
        self._hash.update(data)
        with storage("write evidence", self._path):
            self._file.write(data)
        self.size += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        """SHA-256, in hex, of all that was written so far."""
        return self._hash.hexdigest()


class Evidence:
    """The items of one case. `journal` is where they are committed; `root` is the case folder."""

    def __init__(self, root: Path, case_id: str, journal: Journal) -> None:
        self.root = root
        self.case_id = case_id
        self.journal = journal
        self._lock = journal.lock
        self._seen = 0
        self._items: list[Item] = []
        self._pending: list[tuple[Item, str]] = []
        self._own: tuple[Path, int] | None = None

    # -- reading ---------------------------------------------------------------------------------------------------

    def items(
        self, *, kind: str | None = None, place: Place | None = None, step: str | None = None
    ) -> list[Item]:
        """The items, in the order in which they were taken; filtered by kind, place or step when given."""
        self._catch_up()
        return [
            i
            for i in self._items
            if kind in (None, i.kind) and place in (None, i.place) and step in (None, i.step)
        ]

    def path(self, item: Item) -> Path:
        """Where the item's bytes are."""
        return self.root / item.path

    def read(self, item: Item) -> bytes:
        """The item's bytes; for items that fit in memory."""
        if not self.path(item).exists():
            with suppress(StorageError):  # a case on read-only media can be read all the same
                self._settle()
        with storage(f"read evidence item {item.id}", self.path(item)):
            return self.path(item).read_bytes()

    # -- writing ---------------------------------------------------------------------------------------------------

    @contextmanager
    def stage(
        self,
        *,
        kind: str,
        name: str,
        source: str,
        step: str | None = None,
        place: Place = Place.INTAKE,
        media_type: str = "application/octet-stream",
        notes: Mapping[str, Any] | None = None,
    ) -> Iterator[tuple[Writer, Staged]]:
        """A `Writer` and the `Staged` it fills; on leaving, the bytes are on disk and hashed but not yet an item.

        When the block raises, the bytes are removed, or kept for `recover` where `Staged.partial` was set.
        """
        folder = self._own_staging()
        clean = safe_name(name)
        staged = Staged(
            kind=kind,
            name=clean,
            source=source,
            file=f"{folder.name}/{uuid.uuid4().hex}",
            step=step,
            place=place,
            media_type=media_type,
            # Two names can become the same when they are made safe; the given one tells them apart.
            notes=dict(notes or {}) | ({} if clean == name else {ORIGINAL_NAME: name}),
        )
        target = self._staging / staged.file
        with storage("write evidence", target):
            file = target.open("xb", buffering=_CHUNK)
        try:
            try:
                writer = Writer(file, target)
                yield writer, staged
            finally:
                # What the block itself raises (a connection that broke) is not an error of this disk.
                with storage("write evidence", target), file:
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException:
            if not staged.partial:
                target.unlink(missing_ok=True)
            raise
        staged.sha256, staged.size = writer.sha256, writer.size

    def commit(self, staged: Iterable[Staged]) -> list[Item]:
        """Make items of what was staged: one journal entry for all, then the files move to their places."""
        batch = list(staged)
        if not batch:
            return []
        for folder in {(self._staging / s.file).parent for s in batch}:
            with storage("write evidence", folder):
                sync_folder(folder)
        with self.journal.exclusive():
            self._catch_up()
            items = [self._numbered(s, len(self._items) + n) for n, s in enumerate(batch, 1)]
            self.journal.append(
                Kind.ITEMS,
                items=[i.to_dict() for i in items],
                staged=[s.file for s in batch],
                **({"step": batch[0].step} if batch[0].step else {}),
            )
            self._settle()
        return items

    def add(
        self,
        data: bytes | BinaryIO | Iterable[bytes],
        *,
        kind: str,
        name: str,
        source: str,
        step: str | None = None,
        place: Place = Place.INTAKE,
        media_type: str = "application/octet-stream",
        partial: bool = False,
        notes: Mapping[str, Any] | None = None,
    ) -> Item:
        """Store `data` (bytes, a binary file or chunks) as one item and return it once it is on disk and journaled."""
        with self.stage(
            kind=kind, name=name, source=source, step=step, place=place, media_type=media_type, notes=notes
        ) as (writer, staged):
            staged.partial = partial
            for chunk in _chunks(data):
                writer.write(chunk)
        return self.commit([staged])[0]

    def adopt(self, file: Path, *, sha256: str, size: int, **about: Any) -> Staged:
        """`file`, finished and hashed while it was written, as `Staged` without a copy; `about` as `stage` takes it.

        It is linked: until the caller removes it there, after `commit`, no kill can lose it.
        """
        with self.stage(**about) as (_, staged):
            target = self._staging / staged.file
            with storage("take over a finished file", file):
                target.unlink()
                target.hardlink_to(file)
        staged.sha256, staged.size = sha256, size
        return staged

    def recover(self, *, note: Callable[[str], None] = lambda _: None) -> None:
        """Finish what a kill interrupted: moves that were committed, and bytes that were staged but not committed."""
        with self.journal.exclusive():
            self._settle()
            abandoned = self._abandoned()
        try:
            # Not under the journal's lock: hashing gigabytes would hold up everyone else's containment.
            self.commit([s for folder, _ in abandoned for s in self._interrupted(folder, note)])
        finally:
            with self.journal.exclusive():
                for folder, lock in abandoned:
                    _give_back(folder, lock)

    def write_manifest(self) -> None:
        """Render `manifest.json` and `manifest-sha256.txt` from the journal as it stands.

        A manifest that does not fit the journal is set aside and journaled first: it may be all that tells of entries
        that were cut off.
        """
        with self.journal.exclusive():
            self._settle()
            found = manifest.misfit(self.root, self.journal.entries)
            if found is not None:
                self._set_aside(*found)
            manifest.write(self.root, self.case_id, self.journal.entries)

    # -- inside ----------------------------------------------------------------------------------------------------

    @property
    def _staging(self) -> Path:
        return self.root / "staging"

    def _own_staging(self) -> Path:
        with self._lock:
            if self._own is not None:
                return self._own[0]
            folder = self._staging / uuid.uuid4().hex
            with self.journal.exclusive(), storage("create a folder for evidence", self._staging):
                folder.mkdir(parents=True)
                lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._own = (folder, lock)
            return folder

    def close(self) -> None:
        """Give the staging folder back unless something is still in it. Using the store afterwards is fine."""
        with self._lock:
            if self._own is None:
                return
            with self.journal.exclusive(), storage("give back the folder for evidence", self._own[0]):
                if any(p.name != _LOCK for p in self._own[0].iterdir()):
                    return  # a step that missed its deadline may still be writing here
                _give_back(*self._own)
                self._own = None

    def _set_aside(self, why: str, content: bytes) -> None:
        name = f"manifest-{hashlib.sha256(content).hexdigest()[:16]}.set-aside.json"
        replace(self.root / name, content)
        self.journal.append(Kind.NOTE, what=f"{why}; it was set aside as {name}", misfit=name)

    def _settle(self) -> None:
        with self.journal.exclusive():
            self._catch_up()
            self._finish_moves()

    def _catch_up(self) -> None:
        with self._lock:
            self.journal.refresh()
            entries = self.journal.entries
            for entry in entries[self._seen :]:
                if entry.kind is Kind.ITEMS:
                    for raw, file in zip(entry.body["items"], entry.body["staged"], strict=True):
                        item = Item.from_dict(raw)
                        self._items.append(item)
                        self._pending.append((item, file))
            self._seen = len(entries)

    def _numbered(self, staged: Staged, number: int) -> Item:
        ident = f"E{number:04d}"
        folder = "cases/" + self.case_id + "/" + safe_name(f"{ident}-{staged.kind}")
        return Item(
            id=ident,
            kind=staged.kind,
            name=staged.name,
            path=f"{staged.place.value}/{folder}/{staged.name}",
            sha256=staged.sha256,
            size=staged.size,
            source=staged.source,
            acquired_at=timestamp(self.journal.now()),
            tool=f"irkit/{__version__}",
            step=staged.step,
            place=staged.place,
            media_type=staged.media_type,
            partial=staged.partial,
            notes=dict(staged.notes),
        )

    def _finish_moves(self) -> None:
        made: set[Path] = set()
        with self._lock:
            for item, file in self._pending:
                source, target = self._staging / file, self.path(item)
                if not source.exists() or target.exists():
                    continue  # moved already: the entry was read back from an earlier run
                with storage(f"store evidence item {item.id}", target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source.rename(target)
                    target.chmod(0o400)
                    sync_folder(target.parent)
                    made.add(target.parent.parent)
            for folder in made:
                with storage("store evidence items", folder):
                    sync_folder(folder)
            self._pending.clear()

    def _abandoned(self) -> list[tuple[Path, int]]:
        """The staging folders of processes that are gone, each with its lock, which is ours now."""
        found = []
        with storage("look for interrupted captures", self._staging):
            for folder in sorted(self._staging.iterdir()) if self._staging.is_dir() else []:
                if folder.is_symlink() or not folder.is_dir() or (self._own and folder == self._own[0]):
                    continue
                lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
                if try_lock(lock):
                    found.append((folder, lock))
                else:
                    os.close(lock)
        return found

    def _interrupted(self, folder: Path, note: Callable[[str], None]) -> Iterator[Staged]:
        for path in sorted(p for p in folder.iterdir() if p.name != _LOCK):
            with storage("read an interrupted capture", path):
                size = path.stat().st_size
                if size == 0:
                    path.unlink()
                    continue
                note(f"keeping {size} bytes of a capture that was interrupted")
                with path.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            yield Staged(
                kind="interrupted",
                name=f"{path.name}.part",
                source="an interrupted capture",
                file=f"{folder.name}/{path.name}",
                step=None,
                place=Place.INTAKE,
                media_type="application/octet-stream",
                partial=True,
                sha256=sha256,
                size=size,
                notes={"why": "the capture was killed before it ended; kept as found"},
            )

    def __repr__(self) -> str:
        items = self.items()
        return f"<Evidence of {self.case_id}: {len(items)} items, {sum(i.size for i in items)} bytes>"


def _chunks(data: bytes | BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    if isinstance(data, bytes):
        yield data
    elif hasattr(data, "read"):
        while chunk := data.read(_CHUNK):
            yield chunk
    else:
        yield from data


def _give_back(folder: Path, lock: int) -> None:
    """Let go of a staging folder; it goes too unless something is left in it."""
    left = any(p.name != _LOCK for p in folder.iterdir())
    if not left:
        (folder / _LOCK).unlink(missing_ok=True)
    os.close(lock)
    if not left:
        folder.rmdir()
