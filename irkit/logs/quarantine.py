"""What could not be taken: broken files as they were, broken records as text, each with its reason.

`quarantine/files.jsonl` and `quarantine/records.jsonl` list them; the files' bytes lie beside, named by their hash, so
that no name from outside becomes a path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import copyfile

from irkit.durable import replace, storage
from irkit.logs.lost import LostRecord
from irkit.logs.unpack import Content

_TEXT_KEPT = 64 * 1024
_PLAIN = re.compile(r"[^\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedFile:
    """A file that was broken; `kept` is where its bytes lie. Records that could be read were taken all the same."""

    uri: str
    reason: str
    size: int
    sha256: str
    kept: str


class Quarantine:
    """The quarantine of one tables folder."""

    def __init__(self, tables: Path) -> None:
        self.folder = tables / "quarantine"

    def file(self, uri: str, raw: Content, sha256: str, reason: str) -> QuarantinedFile:
        """Keep `raw`, bytes or a file, aside."""
        tail = _PLAIN.sub("_", uri.rsplit("/", 1)[-1])[-80:].lstrip(".")
        name = f"{sha256[:16]}-{tail}"
        size = self._keep(self.folder / name, raw)
        entry = QuarantinedFile(uri=uri, reason=reason, size=size, sha256=sha256, kept=f"quarantine/{name}")
        self._append("files.jsonl", [asdict(entry)])
        return entry

    def _keep(self, place: Path, raw: Content) -> int:
        if isinstance(raw, bytes):
            replace(place, raw)
            return len(raw)
        with storage("write the quarantine", place):
            place.parent.mkdir(parents=True, exist_ok=True)
            copyfile(raw, place)
        return raw.stat().st_size

    def records(self, lost: Iterable[LostRecord]) -> None:
        """Keep the text of `lost`, each up to 64 KiB."""
        self._append("records.jsonl", ({**asdict(one), "text": one.text[:_TEXT_KEPT]} for one in lost))

    def _append(self, name: str, entries: Iterable[dict[str, object]]) -> None:
        lines = "".join(json.dumps(entry, ensure_ascii=True) + "\n" for entry in entries)
        if not lines:
            return
        with storage("write the quarantine", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / name).open("a", encoding="ascii") as file:
                file.write(lines)
