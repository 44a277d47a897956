"""From a casebook to one HTML page: everything is prepared here, the template only lays it out.

Text from outside goes through two gates: `_shown` makes control and bidirectional characters visible, and Jinja's
autoescape makes the rest plain text. Neither can be left out by a template: `_shown` is the environment's `finalize`.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from irkit import hunt
from irkit._version import __version__
from irkit.errors import IrkitError
from irkit.escape import for_terminal
from irkit.evidence import Item
from irkit.findings import SEVERITIES
from irkit.journal import Entry, Kind
from irkit.report.artifacts import Told
from irkit.report.attack import technique
from irkit.report.casebook import Casebook
from irkit.report.events import timeline_of
from irkit.report.gallery import Picture
from irkit.report.gaps import gaps
from irkit.report.next_steps import suggestions
from irkit.report.steps import StepRecord
from irkit.report.summary import metrics, replies
from irkit.report.words import counted, volume
from irkit.tables import iso

_MOST_ROWS = 200  # of an answer; the artifact holds the rest
_LISTED = 6  # items of a kind that are listed openly; more are folded
_LONGEST = 500
_UNBOUND = {"1900-01-01T00:00:00Z": "no limit", "9999-01-01T00:00:00Z": "no limit", "[]": "all", "": "all"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A reference inside the report; `anchor` is empty where there is nothing to point to."""

    text: str
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Annex:
    """A question with its answer, as it is printed."""

    anchor: str
    told: Told
    doc: str
    sql: tuple[str, ...]
    params: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    more: int


def rendered(book: Casebook, pictures: Sequence[Picture], lacking: list[str], *, at: datetime) -> str:
    """The report as HTML. The same casebook and figures give the same text, but for the line that says when."""
    annexes = [_annex(told) for told in book.artifacts.answers]
    known = _anchors(book, annexes)
    template = _environment().get_template("report.html.j2")
    findings = [
        (f, [(t, *technique(t)) for t in f.attack], [_link(b, known) for b in f.basis]) for f in book.findings
    ]
    return template.render(
        book=book,
        facts=book.facts,
        pictures={picture.name: picture for picture in pictures},
        replies=replies(book),
        metrics=metrics(book),
        severities=_severities(book),
        numbers={f.id: f"F{number}" for number, f in enumerate(book.findings, 1)},
        findings=findings,
        events=[(event, [_link(basis, known) for basis in event.basis]) for event in timeline_of(book)],
        changes=[step for step in book.steps if step.changes and not step.notebook],
        readings=[step for step in book.steps if not step.changes and not step.notebook],
        notebooks=[step for step in book.steps if step.notebook],
        proof=_table(book.artifacts.proof),
        preflight=_leaves(book.artifacts.preflight),
        suggestions=suggestions(book),
        gaps=_by_topic(book, lacking),
        kinds=_kinds(book.items),
        annexes=annexes,
        entries=[(entry, _told(entry)) for entry in book.entries],
        tools=_tools(book),
        at=iso(at),
        version=__version__,
    )  # fmt: skip


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "iso": _iso,
        "volume": volume,
        "counted": counted,
        "finding": _finding_anchor,
        "undo": _undo,
    }
    return environment


def _shown(value: object) -> object:
    return value if isinstance(value, Markup) else for_terminal("" if value is None else value)


def _iso(moment: datetime | str | None) -> str:
    if moment is None:
        return ""
    return iso(moment if isinstance(moment, datetime) else datetime.fromisoformat(moment))


def _anchor(kind: str, name: str) -> str:
    return f"{kind}-" + re.sub(r"[^A-Za-z0-9_-]+", "-", name)


def _finding_anchor(ident: str) -> str:
    return _anchor("finding", ident)


def _anchors(book: Casebook, annexes: Sequence[Annex]) -> Mapping[str, str]:
    """What a basis may name, and where in the report that is."""
    known = {f"entry {entry.seq}": _anchor("entry", str(entry.seq)) for entry in book.entries}
    for item in book.items:
        known.setdefault(item.name, _anchor("item", item.id))
        known[item.id] = _anchor("item", item.id)
    known |= {annex.told.question: annex.anchor for annex in reversed(annexes)}
    return known | {annex.told.name: annex.anchor for annex in annexes}


def _link(basis: str, known: Mapping[str, str]) -> Link:
    return Link(text=basis, anchor=known.get(basis, ""))


def _severities(book: Casebook) -> list[tuple[str, int]]:
    counts = [
        (severity, sum(f.severity == severity for f in book.findings)) for severity in reversed(SEVERITIES)
    ]
    return [(severity, count) for severity, count in counts if count]


def _annex(told: Told) -> Annex:
    doc: str
    sql: tuple[str, ...] = ()
    try:
        asked = hunt.question(told.question)
        doc = " ".join(asked.doc.replace("`", "").split())
        sql = tuple(line.rstrip() for line in asked.sql.strip().splitlines())
    except IrkitError:
        doc = "This version of irkit does not know the question."
    return Annex(
        anchor=_anchor("answer", told.name),
        told=told,
        doc=doc,
        sql=sql,
        params=tuple(
            (str(name), _UNBOUND.get(_cell(value), _cell(value))) for name, value in told.params.items()
        ),
        rows=tuple(tuple(_cell(row.get(name)) for name in told.columns) for row in told.rows[:_MOST_ROWS]),
        more=told.total - min(_MOST_ROWS, len(told.rows)),
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = (
        value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    )
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def _kinds(items: Sequence[Item]) -> list[tuple[str, list[Item], bool, str]]:
    """Items by kind, in the order in which the kinds first came; whether they are folded, and their bytes."""
    by_kind: dict[str, list[Item]] = {}
    for item in items:
        by_kind.setdefault(item.kind, []).append(item)
    return [
        (kind, those, len(those) > _LISTED, volume(sum(i.size for i in those)))
        for kind, those in by_kind.items()
    ]


def _by_topic(book: Casebook, lacking: list[str]) -> dict[str, list[str]]:
    topics: dict[str, list[str]] = {}
    for gap in gaps(book, lacking):
        topics.setdefault(gap.topic, []).append(gap.text)
    return topics


def _told(entry: Entry) -> str:
    """The body of a journal entry on one line, without what the inventory tells better."""
    body = dict(entry.body)
    if entry.kind is Kind.ITEMS:
        names = [str(raw.get("id", "")) for raw in body.pop("items", ()) if isinstance(raw, Mapping)]
        body = {"items": names if len(names) <= 12 else f"{names[0]} to {names[-1]}"} | body
        body.pop("staged", None)
    return _cell(body)


def _table(raw: Mapping[str, Any] | None) -> tuple[list[tuple[str, str]], list[str], list[list[str]]]:
    """A document as pairs and, where it holds a list of records, the table of the first such list."""
    if raw is None:
        return [], [], []
    listed = next(
        (v for v in raw.values() if isinstance(v, list) and v and all(isinstance(e, Mapping) for e in v)), []
    )
    columns = list(dict.fromkeys(str(name) for record in listed for name in record))
    pairs = [(str(name), _cell(value)) for name, value in raw.items() if value is not listed]
    return pairs, columns, [[_cell(record.get(name)) for name in columns] for record in listed]


def _leaves(raw: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """A document as pairs; problems and warnings stand in their own place."""
    told = []
    for name, value in (raw or {}).items():
        if name in {"problems", "warnings"}:
            continue
        if isinstance(value, Mapping):
            told += [(f"{name} {inner}", _cell(leaf)) for inner, leaf in value.items()]
        else:
            told.append((str(name), _cell(value)))
    return told


def _tools(book: Casebook) -> list[tuple[str, str]]:
    """What the report and the evidence were made with."""
    from importlib.metadata import PackageNotFoundError, version

    named = [("irkit", __version__), ("Python", platform.python_version())]
    for package in (
        "boto3",
        *(["moto"] if book.simulated else []),
        "duckdb",
        "pandas",
        "matplotlib",
        "papermill",
    ):
        try:
            named.append((package, version(package)))
        except PackageNotFoundError:
            continue
    captured = sorted({item.tool for item in book.items})
    return [*named, ("evidence was taken with", ", ".join(captured))] if captured else named


def _undo(step: StepRecord) -> str:
    if step.undo or not step.changes:
        return step.undo
    return "nothing to take back" if step.standing in {"failed", "skipped"} else "not recorded"
