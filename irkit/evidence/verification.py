"""Is the case still what was recorded? Answered from its folder alone: no AWS, no network, no database.

Checked are the journal's chain, `case.json` against the journal, every item's size and SHA-256, the manifest byte by
byte against what the journal says, and that the intake holds nothing that nobody recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irkit import journal as journals
from irkit.durable import storage
from irkit.errors import NotFound
from irkit.escape import for_terminal
from irkit.evidence import manifest, seal
from irkit.evidence.items import Item
from irkit.journal import Entry, Kind, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of `verify`: `problems` name a file or an entry each; `notes` are worth knowing and no fault."""

    case: str
    entries: int
    items: int
    bytes: int
    head: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The verdict for `--json`."""
        return {
            "case": self.case,
            "sound": self.sound,
            "entries": self.entries,
            "items": self.items,
            "bytes": self.bytes,
            "head": self.head,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }


def verify(
    root: Path, *, public_key: Path | None = None, progress: Callable[[str], None] = lambda _: None
) -> Verdict:
    """Hold the case folder `root` against its journal and its seals. Raises `NotFound` when there is no case in it.

    `public_key` is a PEM file that the seals must have been signed with.
    """
    if not (root / "journal.jsonl").is_file():
        raise NotFound(
            f"no case in {root}", hint="give the folder that holds journal.jsonl, or --case with --cases"
        )
    # Between two writes, or a case that is being worked on would be taken for a damaged one.
    with journals.undisturbed(root / "journal.jsonl"):
        found = _intake(root)
        written = {name: _content(root / name) for name in (manifest.SUMS, manifest.MANIFEST)}
        reading = journals.read(root / "journal.jsonl")
    items, problems = _items(reading)
    problems = [f"journal.jsonl: {p}" for p in reading.problems] + problems
    if reading.torn:
        problems.append(
            f"journal.jsonl: {len(reading.torn)} bytes after entry {len(reading.entries) - 1} are not a whole "
            "entry (a crash, or the file was cut); `irkit case resume` records them and goes on"
        )
    problems += [
        f"journal.jsonl: entry {e.seq}: {for_terminal(e.body.get('what', ''))}"
        for e in reading.entries
        if e.kind is Kind.NOTE and "misfit" in e.body
    ]
    notes = [
        f"journal.jsonl: entry {e.seq} records a torn write of {_length(e)} bytes, kept in place"
        for e in reading.entries
        if e.kind is Kind.RECOVERED
    ]
    problems += _case_file(root, reading)
    with ThreadPoolExecutor(max_workers=4) as pool:
        for item, fault in zip(items, pool.map(lambda i: _fault(root, i), items), strict=True):
            progress(item.path)
            if fault:
                problems.append(f"{for_terminal(item.path)}: {fault} (item {item.id})")
    problems += _manifest(written, reading, items)
    listed = {i.path for i in items}
    problems += [
        f"{for_terminal(name)}: nobody recorded it (added, or left by an interrupted capture; "
        "`irkit case resume` settles the latter)"
        for name in found
        if name not in listed
    ]
    faults, remarks = seal.problems(root, reading, public_key=public_key)
    problems += faults
    notes += remarks
    case_id = next((str(e.body.get("case")) for e in reading.entries if e.kind is Kind.OPENED), root.name)
    return Verdict(
        case=case_id,
        entries=len(reading.entries),
        items=len(items),
        bytes=sum(i.size for i in items),
        head=reading.entries[-1].hash if reading.entries else journals.GENESIS,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _intake(root: Path) -> list[str]:
    """Everything in the intake that is no folder; links are not followed."""
    return [
        str(p.relative_to(root))
        for p in sorted((root / "intake").rglob("*"))
        if p.is_symlink() or not p.is_dir()
    ]


def _content(path: Path) -> bytes | None:
    with storage("read the manifest", path):
        return path.read_bytes() if path.is_file() else None


def _items(reading: Reading) -> tuple[list[Item], list[str]]:
    """The recorded items, and entries that claim to record some and cannot be read: someone made up the chain."""
    items: list[Item] = []
    problems = []
    for entry in (e for e in reading.entries if e.kind is Kind.ITEMS):
        try:
            items += [Item.from_dict(raw) for raw in manifest.recorded([entry])]
        except (KeyError, TypeError, ValueError):
            problems.append(f"journal.jsonl: entry {entry.seq} records items that irkit did not write")
    return items, problems


def _length(entry: Entry) -> Any:
    torn = entry.body.get("torn")
    return torn.get("length") if isinstance(torn, dict) else "unknown"


def _case_file(root: Path, reading: Reading) -> list[str]:
    opened = next((e for e in reading.entries if e.kind is Kind.OPENED), None)
    if opened is None:
        return ["journal.jsonl: entry 0 (the opening of the case) is missing"]
    path = root / "case.json"
    if not path.is_file():
        return ["case.json: missing"]
    with storage("read the case", path):
        content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != opened.body.get("case_file"):
        return ["case.json: changed since the case was opened"]
    return []


def _fault(root: Path, item: Item) -> str | None:
    try:
        path = root / item.path
        if not path.resolve().is_relative_to(root.resolve()):
            return "lies outside the case folder"
        if path.resolve() != root.resolve() / item.path:
            return "was replaced by a symbolic link"
        if not path.is_file():
            return "missing; `irkit case resume` puts it there if a capture was killed at that moment"
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if size != item.size:
        return f"{size} bytes, recorded were {item.size}"
    return None if found == item.sha256 else f"changed: SHA-256 is {found}, recorded was {item.sha256}"


def _manifest(written: Mapping[str, bytes | None], reading: Reading, items: list[Item]) -> list[str]:
    content, sums = written[manifest.MANIFEST], written[manifest.SUMS]
    if content is None or sums is None:
        missing = [name for name, held in written.items() if held is None]
        return [f"{name}: missing; `irkit case resume` writes it" for name in missing] if items else []
    count = manifest.known_entries(content)
    if reading.problems and (count is None or count > len(reading.entries)):
        return [f"{manifest.MANIFEST}: cannot be compared while the journal is damaged"]
    try:
        wrong = manifest.fault(content, reading.entries)
        _, later = manifest.rendered("", manifest.recorded(reading.entries), (-1, ""))
        _, expected = manifest.rendered("", manifest.recorded(reading.entries[:count]), (-1, ""))
    except (KeyError, TypeError, ValueError):
        return [f"{manifest.MANIFEST}: cannot be compared with what the journal records"]
    problems = [wrong] if wrong else []
    whole_lines = later.startswith(sums) and (sums.endswith(b"\n") or not sums)
    if not whole_lines or not (wrong or sums.startswith(expected)):
        problems.append(f"{manifest.SUMS}: changed: {_line_difference(sums, later if wrong else expected)}")
    elif sums != expected and not wrong:
        problems.append(
            f"{manifest.SUMS}: newer than {manifest.MANIFEST} (a crash); `irkit case resume` writes both"
        )
    newer = later.count(b"\n") - expected.count(b"\n")
    if newer and not wrong:
        problems.append(
            f"{manifest.MANIFEST}: {newer} newer items are not in it yet; `irkit case resume` writes it"
        )
    return problems


def _line_difference(found: bytes, expected: bytes) -> str:
    lines, due = found.split(b"\n"), expected.split(b"\n")
    number = next(
        (n for n, (a, b) in enumerate(zip(lines, due, strict=False), 1) if a != b),
        min(len(lines), len(due)) + 1,
    )
    return f"line {number} is not as the journal has it"
