"""What other tools read of a case: the timeline, the indicators, the chain of custody, the report on paper.

Each format is a module with one function from a casebook to bytes; `export` writes what is asked for and keeps it as
evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit import durable
from irkit.errors import InvalidParameter
from irkit.evidence import Item, Place
from irkit.markup import table

if TYPE_CHECKING:
    from datetime import datetime

    from irkit.case import Case
    from irkit.report.casebook import Casebook

Made = Callable[["Casebook", "datetime"], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format by the file it becomes. `module` has `made(book, at)`, which returns the file's bytes."""

    file: str
    media_type: str
    module: str
    what: str

    def made(self) -> Made:
        """The function that writes it, imported now."""
        found: Made = import_module(f"{__name__}.{self.module}").made
        return found


FORMATS: Mapping[str, Format] = {
    "timesketch": Format(
        file="timeline.jsonl",
        media_type="application/jsonl",
        module="timesketch",
        what="the timeline, ready for Timesketch",
    ),
    "csv": Format(
        file="timeline.csv",
        media_type="text/csv",
        module="spreadsheet",
        what="the timeline as CSV that is safe to open in a spreadsheet",
    ),
    "stix": Format(
        file="indicators.json",
        media_type="application/stix+json;version=2.1",
        module="stix",
        what="findings and indicators as a STIX 2.1 bundle",
    ),
    "case-uco": Format(
        file="custody.jsonld",
        media_type="application/ld+json",
        module="custody",
        what="evidence, its hashes and who did what to it, as CASE/UCO",
    ),
    "pdf": Format(
        file="report.pdf",
        media_type="application/pdf",
        module="paper",
        what="the report as PDF; needs chromium",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A file that was written: where, and the item that the case keeps of it."""

    format: str
    path: Path
    item: Item

    def to_dict(self) -> dict[str, Any]:
        """The export as JSON types; `size` is in bytes."""
        return {
            "format": self.format,
            "path": str(self.path),
            "item": self.item.id,
            "sha256": self.item.sha256,
            "size": self.item.size,
        }

    def _repr_html_(self) -> str:
        return table(("export", ""), list(self.to_dict().items()))


def export(
    case: Case, formats: Iterable[str] | None = None, *, into: Path | None = None, at: datetime | None = None
) -> list[Exported]:
    """Write `case` in each of `formats` (names out of `FORMATS`; all but PDF when None) and keep each as evidence.

    Copies go to `into`, by default the case's `reports` folder. The same case and `at` give the same bytes, PDF apart.

    Raises `InvalidParameter` for an unknown format, `Refused` for PDF where there is no chromium, `StorageError` when a
    file cannot be written.
    """
    from irkit.report import casebook

    wanted = list(dict.fromkeys(formats if formats is not None else (f for f in FORMATS if f != "pdf")))
    if unknown := [name for name in wanted if name not in FORMATS]:
        raise InvalidParameter(
            f"a case cannot be exported as {unknown[0]!r}", hint=f"choose from {', '.join(FORMATS)}"
        )
    case.journal.refresh()
    book = casebook.read(case)
    moment = at or case.journal.now()
    made = [(name, FORMATS[name].made()(book, moment)) for name in wanted]
    folder = into or case.active / "reports"
    written = [_written(case, name, content, folder) for name, content in made]
    case.evidence.write_manifest()
    return written


def _written(case: Case, name: str, content: bytes, folder: Path) -> Exported:
    form = FORMATS[name]
    item = case.evidence.add(
        content,
        kind="export",
        name=form.file,
        source=f"the case {case.id}",
        place=Place.ACTIVE,
        media_type=form.media_type,
        notes={"format": name},
    )
    path = folder / form.file
    with durable.storage("write the export", path):
        path.parent.mkdir(parents=True, exist_ok=True)
    durable.replace(path, content)
    return Exported(format=name, path=path, item=item)
