"""One thing captured, and what must be known of it to stand up for it later (ISO/IEC 27037)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any


class Place(StrEnum):
    """The places of the store: originals, work, legal hold."""

    INTAKE = "intake"  # originals: written once, never modified
    ACTIVE = "active"  # working copies, executed notebooks, reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An evidence item. `path` is relative to the case folder; `size` is in bytes; `acquired_at` is ISO 8601 UTC.

    `partial` says that less was captured than exists, and `notes` why. `step` names the journal's step that made it.
    """

    id: str
    kind: str
    name: str
    path: str
    sha256: str
    size: int
    source: str
    acquired_at: str
    tool: str
    step: str | None = None
    place: Place = Place.INTAKE
    media_type: str = "application/octet-stream"
    partial: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The item as the manifest and the journal hold it."""
        return asdict(self) | {"place": self.place.value, "notes": dict(self.notes)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Item:
        """The item that `to_dict` wrote, here or in a later irkit.

        Raises `ValueError`, `KeyError` or `TypeError` for anything else.
        """
        texts = (raw[name] for name in ("id", "kind", "name", "path", "sha256", "source"))
        if not all(isinstance(t, str) for t in texts) or not isinstance(raw["size"], int):
            raise ValueError("not an item")
        mine = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        return cls(**(mine | {"place": Place(raw["place"])}))

    def __repr__(self) -> str:
        return f"<Item {self.id} {self.kind}: {self.name}, {self.size} bytes, sha256 {self.sha256[:12]}…>"


_UNSAFE = re.compile(r"[^A-Za-z0-9._=@+-]+")


def safe_name(text: str, *, most: int = 120) -> str:
    """`text` as one file name: no separators, no control characters, never hidden, never `..`."""
    name = _UNSAFE.sub("_", text).strip("._") or "item"
    return name if len(name) <= most else f"{name[: most - 20]}__{name[-18:]}"
