"""The questions that a report is read for: what was accessed, by whom, how, when, and did data leave?

Each answer is put together by rule from the findings, and names them; nothing is concluded that no finding says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from irkit.findings import SEVERITIES, Finding
from irkit.report.attack import tactics
from irkit.report.incident import facts
from irkit.report.words import counted, volume
from irkit.tables import iso

if TYPE_CHECKING:
    from irkit.report.casebook import Casebook

Exfiltration = Literal["confirmed", "suspected", "no evidence", "not assessable"]
_MOVED = {"T1530", "T1041", "T1048", "T1537", "T1567"}
_MEASURED = ("object_count", "bytes_read", "bytes_out")
_ENTRY = ("Initial Access", "Execution", "Credential Access", "Privilege Escalation", "Lateral Movement")
_MOST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One thing said, and the ids of the findings that say it."""

    text: str
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to one question of the report. `verdict` is set for exfiltration only."""

    question: str
    points: tuple[Point, ...]
    verdict: Exfiltration | None = None


def replies(book: Casebook) -> tuple[Reply, ...]:
    """The five answers, in the order in which they are asked."""
    if book.artifacts.findings is None:
        unknown = (
            Point(text="Not assessable: no analysis has been run, or its findings could not be read."),
        )
        asked = ("Was data exfiltrated?", "What was accessed?", "By whom?", "How?", "When?")
        return tuple(
            Reply(question=q, points=unknown, verdict="not assessable" if not n else None)
            for n, q in enumerate(asked)
        )
    verdict, because = exfiltration(book)
    nothing = (Point(text="The findings name nothing."),)
    return (
        Reply(question="Was data exfiltrated?", points=because, verdict=verdict),
        Reply(question="What was accessed?", points=_accessed(book.findings) or nothing),
        Reply(question="By whom?", points=_whom(book.findings) or nothing),
        Reply(question="How?", points=_how(book.findings) or nothing),
        Reply(question="When?", points=_when(book) or nothing),
    )


def exfiltration(book: Casebook) -> tuple[Exfiltration, tuple[Point, ...]]:
    """Whether data left, and why that is said.

    Confirmed: a finding of an exfiltration or collection technique, held with high confidence, measured what moved.
    Suspected: any other finding of such a technique. Without one, the absence counts only where data events and flow
    records were there to show it.
    """
    moved = [finding for finding in book.findings if _MOVED & {t[:5] for t in finding.attack}]
    sure = [f for f in moved if f.confidence == "high" and any(f.facts.get(kind) for kind in _MEASURED)]
    if moved:
        told = tuple(Point(text=finding.statement, findings=(finding.id,)) for finding in (sure or moved))
        rest = tuple(Point(text=f.statement, findings=(f.id,)) for f in moved if sure and f not in sure)
        return ("confirmed" if sure else "suspected"), told + rest
    lacking = []
    if book.traces is None or not book.traces.data_events:
        lacking.append("no data events (reads of objects) were among the logs")
    if book.traces is None or not book.traces.extent.flows:
        lacking.append("no flow records were ingested")
    if lacking:
        return "not assessable", (Point(text=f"Nothing shows it, but {' and '.join(lacking)}."),)
    return "no evidence", (
        Point(text="Data events and flow records were analysed and show no data leaving."),
    )


def _named(findings: Iterable[Finding], kind: str, what: str) -> tuple[Point, ...]:
    those = [finding for finding in findings if finding.facts.get(kind)]
    values = facts(those, kind)
    if not values:
        return ()
    more = f" and {len(values) - _MOST} more" if len(values) > _MOST else ""
    return (Point(text=f"{what}: {', '.join(values[:_MOST])}{more}", findings=tuple(f.id for f in those)),)


def _accessed(findings: tuple[Finding, ...]) -> tuple[Point, ...]:
    said = [*_named(findings, "bucket", "Buckets")]
    for finding in findings:
        for count in finding.facts.get("object_count", ())[:1]:
            size = next((volume(int(b)) for b in finding.facts.get("bytes_read", ()) if b.isdigit()), "")
            objects = counted(int(count), "object") if count.isdigit() else f"{count} objects"
            said.append(Point(text=f"{objects} read{f', {size}' if size else ''}", findings=(finding.id,)))
    said += _named(findings, "snapshot", "Snapshots")
    said += _named(findings, "account", "Shared with the account")
    said += _named(findings, "user", "Users")
    said += _named(findings, "file", "Files on the instance")
    said += _named(findings, "process", "Processes on the instance")
    return tuple(said)


def _whom(findings: tuple[Finding, ...]) -> tuple[Point, ...]:
    names = {
        "address": "From",
        "access_key": "With the keys",
        "session": "In the sessions",
        "principal": "As",
        "pool": "To",
    }
    return tuple(point for kind, what in names.items() for point in _named(findings, kind, what))


def _how(findings: tuple[Finding, ...]) -> tuple[Point, ...]:
    steps = [f for f in findings if set(_ENTRY) & set(tactics(f.attack))]
    ordered = sorted(steps or findings, key=lambda f: (f.first_seen is None, str(f.first_seen), f.id))
    worst = [f for f in ordered if SEVERITIES.index(f.severity) >= SEVERITIES.index("medium")] or ordered
    return tuple(Point(text=finding.statement, findings=(finding.id,)) for finding in worst[:8])


def _when(book: Casebook) -> tuple[Point, ...]:
    names = {
        "time_entry": "First entry",
        "time_first_use": "Stolen credentials first used",
        "time_last_use": "…and last used",
    }
    said = [point for kind, what in names.items() for point in _named(book.findings, kind, what)]
    if book.incident.first and book.incident.last:
        span = f"Signs from {iso(book.incident.first)} to {iso(book.incident.last)}"
        said.insert(0, Point(text=f"{span} ({lasted(book.incident.last - book.incident.first)})"))
    return tuple(said)


def lasted(span: timedelta) -> str:
    """`span` for people: 45 s, 12 min, 5.2 h, 3.1 days."""
    seconds = span.total_seconds()
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if abs(seconds) < limit:
            return f"{seconds / size:.0f} {unit}" if size < 3600 else f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86400:.1f} days"


def metrics(book: Casebook) -> list[tuple[str, str]]:
    """How fast it went, as name and value: what incident reviews ask for."""
    from irkit.report.incident import moment_or_none

    opened = moment_or_none(book.facts.opened_at)
    first, rows = book.incident.first, []
    changed = [step for step in book.steps if step.changes and step.standing in {"done", "done in part"}]
    if first and opened:
        rows.append(("first sign to case opened", lasted(opened - first)))
    if opened and book.steps:
        rows.append(("case opened to first step", lasted(min(s.began for s in book.steps) - opened)))
    if opened and changed:
        rows.append(("case opened to last change in AWS", lasted(max(s.ended for s in changed) - opened)))
    return rows
