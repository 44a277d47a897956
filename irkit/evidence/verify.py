"""Is the case still what was recorded? Answered from its folder alone: no AWS, no network, no database.

Checked are the journal's chain, `case.json` against the journal, every item's size and SHA-256, the manifest byte by
byte against what the journal says, and that the intake holds nothing that nobody recorded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irkit import journal as journals
from irkit.durable import storage
from irkit.errors import NotFound
from irkit.escape import for_terminal
from irkit.evidence import manifest
from irkit.evidence.items import Item
from irkit.journal import Kind, Reading


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


def verify(root: Path, *, progress: Callable[[str], None] = lambda _: None) -> Verdict:
    """Hold the case folder `root` against its journal. Raises `NotFound` when there is no case in it."""
    if not (root / "journal.jsonl").is_file():
        raise NotFound(
            f"no case in {root}", hint="give the folder that holds journal.jsonl, or --case with --cases"
        )
    reading = journals.read(root / "journal.jsonl")
    items = [Item.from_dict(raw) for e in reading.entries if e.kind is Kind.ITEMS for raw in e.body["items"]]
    problems = [f"journal.jsonl: {p}" for p in reading.problems]
    notes: list[str] = []
    if reading.torn:
        problems.append(
            f"journal.jsonl: {len(reading.torn)} bytes after entry {len(reading.entries) - 1} are not a whole "
            "entry (a crash, or the file was cut); `irkit case resume` records them and goes on"
        )
    notes += [
        f"journal.jsonl: entry {e.seq} records a torn write of {e.body['torn']['length']} bytes, kept in place"
        for e in reading.entries
        if e.kind is Kind.RECOVERED
    ]
    problems += _case_file(root, reading)
    with ThreadPoolExecutor(max_workers=4) as pool:
        for item, fault in zip(items, pool.map(lambda i: _fault(root, i), items), strict=True):
            progress(item.path)
            if fault:
                problems.append(f"{for_terminal(item.path)}: {fault} (item {item.id})")
    problems += _manifest(root, reading, items)
    problems += _unlisted(root, items)
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


def _case_file(root: Path, reading: Reading) -> list[str]:
    opened = next((e for e in reading.entries if e.kind is Kind.OPENED), None)
    if opened is None:
        return ["journal.jsonl: entry 0 (the opening of the case) is missing"]
    path = root / "case.json"
    if not path.is_file():
        return ["case.json: missing"]
    if hashlib.sha256(path.read_bytes()).hexdigest() != opened.body.get("case_file"):
        return ["case.json: changed since the case was opened"]
    return []


def _fault(root: Path, item: Item) -> str | None:
    path = root / item.path
    if not path.resolve().is_relative_to(root.resolve()):
        return "lies outside the case folder"
    if not path.is_file():
        return "missing"
    with storage("read evidence", path), path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    if size != item.size:
        return f"{size} bytes, recorded were {item.size}"
    return None if found == item.sha256 else f"changed: SHA-256 is {found}, recorded was {item.sha256}"


def _manifest(root: Path, reading: Reading, items: list[Item]) -> list[str]:
    path, sums = root / manifest.MANIFEST, root / manifest.SUMS
    if not path.is_file() or not sums.is_file():
        missing = [p.name for p in (path, sums) if not p.is_file()]
        return [f"{name}: missing; `irkit case resume` writes it" for name in missing] if items else []
    written = path.read_bytes()
    try:
        document = json.loads(written)
        count, head = int(document["journal"]["entries"]), str(document["journal"]["head"])
        known = list(document["items"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ["manifest.json: changed: it is no manifest any more"]
    if not 0 <= count <= len(reading.entries):
        lost = (
            []
            if reading.problems
            else [
                f"journal.jsonl: {count - len(reading.entries)} entries that manifest.json knew are gone from its end"
            ]
        )
        return lost or ["manifest.json: cannot be compared while the journal is damaged"]
    if count and reading.entries[count - 1].hash != head:
        return ["manifest.json: changed: it names another journal than journal.jsonl"]
    due = [
        Item.from_dict(raw)
        for e in reading.entries[:count]
        if e.kind is Kind.ITEMS
        for raw in e.body["items"]
    ]
    expected, expected_sums = manifest.rendered(str(document.get("case")), due, (count - 1, head))
    case_id = next((e.body.get("case") for e in reading.entries if e.kind is Kind.OPENED), None)
    problems = []
    if written != expected or document.get("case") != case_id:
        problems.append(f"manifest.json: changed: {_difference(known, due)}")
    if sums.read_bytes() != expected_sums:
        problems.append(f"{manifest.SUMS}: changed: {_line_difference(sums.read_bytes(), expected_sums)}")
    if len(due) < len(items):
        problems.append(
            f"manifest.json: {len(items) - len(due)} newer items are not in it yet; `irkit case resume` writes it"
        )
    return problems


def _difference(known: list[Any], due: list[Item]) -> str:
    for number, item in enumerate(due):
        if number >= len(known) or known[number] != item.to_dict():
            return f"item {item.id} is not as the journal has it"
    return "an item was added" if len(known) > len(due) else "not as the journal renders it"


def _line_difference(found: bytes, expected: bytes) -> str:
    lines, due = found.split(b"\n"), expected.split(b"\n")
    number = next(
        (n for n, (a, b) in enumerate(zip(lines, due, strict=False), 1) if a != b),
        min(len(lines), len(due)) + 1,
    )
    return f"line {number} is not as the journal has it"


def _unlisted(root: Path, items: Iterable[Item]) -> list[str]:
    listed = {i.path for i in items}
    found = (p for p in sorted((root / "intake").rglob("*")) if p.is_file() or p.is_symlink())
    return [
        f"{for_terminal(p.relative_to(root))}: nobody recorded it (added, or left by an interrupted capture; "
        "`irkit case resume` settles the latter)"
        for p in found
        if str(p.relative_to(root)) not in listed
    ]
