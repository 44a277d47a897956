"""The manifest: what the case holds, rendered from the journal so that the two can be held against each other.

`manifest.json` has every item with all that is known of it and the journal's head at the time; `manifest-sha256.txt`
is the same in the form that `sha256sum --check` and BagIt (RFC 8493, section 2.1.3) read, so that a stranger can verify
the files with nothing of irkit at hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from irkit.durable import replace, storage
from irkit.journal import GENESIS, Entry, Kind

MANIFEST = "manifest.json"
SUMS = "manifest-sha256.txt"


def rendered(case_id: str, items: Sequence[Mapping[str, Any]], head: tuple[int, str]) -> tuple[bytes, bytes]:
    """The bytes of `manifest.json` and of `manifest-sha256.txt`; `items` as the journal holds them.

    Not as today's `Item` has them: a manifest must not look changed to an irkit that knows more fields.
    """
    document: dict[str, Any] = {
        "schema": "irkit/manifest/1",
        "case": case_id,
        "journal": {"entries": head[0] + 1, "head": head[1]},
        "items": list(items),
    }
    sums = "".join(f"{i['sha256']}  {i['path']}\n" for i in items)
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode("ascii"), sums.encode(
        errors="backslashreplace"
    )


def write(root: Path, case_id: str, entries: Sequence[Entry]) -> None:
    """Put both files, as they follow from the journal's `entries`, into the case folder, each in one move."""
    head = (entries[-1].seq, entries[-1].hash) if entries else (-1, GENESIS)
    document, sums = rendered(case_id, recorded(entries), head)
    replace(root / SUMS, sums)
    replace(root / MANIFEST, document)


def recorded(entries: Sequence[Entry]) -> list[Mapping[str, Any]]:
    """The items that journal entries record, as they hold them, oldest first."""
    return [raw for e in entries if e.kind is Kind.ITEMS for raw in e.body["items"]]


def known_entries(content: bytes) -> int | None:
    """How many journal entries the manifest `content` was made from; None when it is no manifest."""
    try:
        return int(json.loads(content)["journal"]["entries"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def fault(content: bytes, entries: Sequence[Entry]) -> str | None:
    """In which way the manifest `content` is not what the journal says that it was; None when it is."""
    count = known_entries(content)
    if count is None or count < 0:
        return f"{MANIFEST}: changed: it is no manifest any more"
    if count > len(entries):
        lost = count - len(entries)
        return f"journal.jsonl: {lost} entries that {MANIFEST} knew are gone from its end"
    document = json.loads(content)
    if document["journal"].get("head") != (entries[count - 1].hash if count else GENESIS):
        return f"{MANIFEST}: changed: it names another journal than journal.jsonl"
    due = recorded(entries[:count])
    case_id = next((e.body.get("case") for e in entries if e.kind is Kind.OPENED), document.get("case"))
    expected, _ = rendered(str(case_id), due, (count - 1, document["journal"]["head"]))
    if content != expected:
        return f"{MANIFEST}: changed: {_difference(document.get('items'), due)}"
    return None


def misfit(root: Path, entries: Sequence[Entry]) -> tuple[str, bytes] | None:
    """What is wrong with the manifest that lies in the case folder, and its bytes; None when it fits or is missing."""
    path = root / MANIFEST
    if not path.is_file():
        return None
    with storage("read the manifest", path):
        content = path.read_bytes()
    why = fault(content, entries)
    return (why, content) if why else None


def _difference(known: Any, due: Sequence[Mapping[str, Any]]) -> str:
    listed = known if isinstance(known, list) else []
    for number, item in enumerate(due):
        if number >= len(listed) or listed[number] != item:
            return f"item {item['id']} is not as the journal has it"
    return "an item was added" if len(listed) > len(due) else "not as the journal renders it"
