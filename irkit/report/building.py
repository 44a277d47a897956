"""Make the report of a case, keep it as evidence, and put a copy where people look for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit import durable
from irkit.evidence import Item, Place
from irkit.markup import table

if TYPE_CHECKING:
    from datetime import datetime

    from irkit.case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A report that was made. `path` is the copy to open, `item` what the case keeps; `size` is in bytes.

    `warnings` tell what the report lacks that it should have had.
    """

    path: Path
    item: Item
    sha256: str
    size: int
    figures: tuple[str, ...]
    findings: int
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {
            "path": str(self.path),
            "item": self.item.id,
            "sha256": self.sha256,
            "size": self.size,
            "figures": list(self.figures),
            "findings": self.findings,
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        return (
            f"<Built {self.path}: {self.findings} findings, {len(self.figures)} figures, {self.size:,} bytes>"
        )

    def _repr_html_(self) -> str:
        rows = [(name, value) for name, value in self.to_dict().items() if name != "warnings"]
        return table(("report", ""), [*rows, *(("warning", warning) for warning in self.warnings)])


def build(case: Case, *, into: Path | None = None, at: datetime | None = None) -> Built:
    """The report of `case` as it stands, read from the case alone: one HTML file that needs nothing else.

    It becomes an evidence item of the kind `report`; a copy goes to `report.html` in `into` (default: the case's
    `reports` folder). `at` is the time that it says it was made; now, unless said otherwise.

    Raises `StorageError` when it cannot be kept. What the case lacks is a warning, never an error.
    """
    from irkit.report import casebook, gallery, page

    case.journal.refresh()
    book = casebook.read(case)
    pictures, lacking = gallery.drawn(book)
    html = page.rendered(book, pictures, lacking, at=at or case.journal.now()).encode("utf-8")
    item = case.evidence.add(
        html,
        kind=casebook.REPORT,
        name="report.html",
        source=f"the case {case.id}: {len(book.entries)} journal entries, head {book.verdict.head}",
        place=Place.ACTIVE,
        media_type="text/html",
    )
    case.evidence.write_manifest()
    path = (into or case.active / "reports") / "report.html"
    with durable.storage("write the report", path):
        path.parent.mkdir(parents=True, exist_ok=True)
    durable.replace(path, html)
    return Built(
        path=path,
        item=item,
        sha256=hashlib.sha256(html).hexdigest(),
        size=len(html),
        figures=tuple(picture.name for picture in pictures),
        findings=len(book.findings),
        warnings=(*book.verdict.problems, *book.problems, *lacking),
    )
