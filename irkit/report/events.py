"""One timeline out of everything: what was found, what the intruder's credentials did, what the responders did."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal

from irkit.escape import for_csv
from irkit.findings import Finding
from irkit.journal import Entry, Kind
from irkit.report.steps import StepRecord, moment
from irkit.report.words import short_arn
from irkit.tables import iso

if TYPE_CHECKING:
    import pandas as pd

    from irkit.case import Case
    from irkit.report.casebook import Casebook

Source = Literal["finding", "cloudtrail", "journal"]
_ORDER: tuple[Source, ...] = ("finding", "cloudtrail", "journal")
_PAUSE = timedelta(minutes=10)  # calls of one kind that pause longer are told as two events
COLUMNS = ("time", "until", "what", "who", "source", "count", "basis")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened. `until` is None for a moment; `count` tells how many calls are told as one.

    `basis` names questions, evidence items or journal entries (`entry 12`) that show it.
    """

    time: datetime
    what: str
    who: str
    source: Source
    basis: tuple[str, ...] = ()
    until: datetime | None = None
    count: int = 1

    def row(self) -> tuple[str, ...]:
        """The event as text, in the order of `COLUMNS`."""
        until = iso(self.until) if self.until else ""
        return (
            iso(self.time),
            until,
            self.what,
            self.who,
            self.source,
            str(self.count),
            " ".join(self.basis),
        )


def timeline(case: Case) -> list[Event]:
    """Every event of the case, oldest first."""
    from irkit.report.casebook import read

    return timeline_of(read(case))


def timeline_of(book: Casebook) -> list[Event]:
    """As `timeline`, of a case that was read already."""
    events = [event for finding in book.findings if (event := _found(finding))]
    events += _calls(book.traces.calls) if book.traces else []
    events += [_step(step) for step in book.steps if not step.notebook]
    events += [event for entry in book.entries if (event := _entry(entry))]
    return sorted(events, key=lambda event: (event.time, _ORDER.index(event.source), event.what, event.who))


def to_csv(events: Iterable[Event]) -> str:
    """The events as CSV that a spreadsheet shows and never runs."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([for_csv(cell) for cell in event.row()] for event in events)
    return text.getvalue()


def to_frame(events: Sequence[Event]) -> pd.DataFrame:
    """The events as a DataFrame with aware times."""
    import pandas as pd

    return pd.DataFrame(
        [{name: getattr(event, name) for name in COLUMNS} for event in events], columns=list(COLUMNS)
    )


def _found(finding: Finding) -> Event | None:
    if finding.first_seen is None:
        return None
    until = finding.last_seen if finding.last_seen and finding.last_seen > finding.first_seen else None
    who = next(
        (v[0] for k in ("session", "principal", "access_key", "address") if (v := finding.facts.get(k))), ""
    )
    return Event(
        time=finding.first_seen,
        until=until,
        what=finding.title,
        who=short_arn(who),
        source="finding",
        basis=finding.basis,
    )


def _calls(frame: pd.DataFrame) -> list[Event]:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    told: list[Event] = []
    names = ("api", "principal", "access_key_id", "source_ip")
    for row in frame.to_dict(orient="records"):
        key = tuple(str(row[name]) if isinstance(row[name], str) else "" for name in names)
        group = groups.setdefault(key, [])
        if group and row["first_seen"] - group[-1]["last_seen"] > _PAUSE:
            told.append(_call(key, group))
            group.clear()
        group.append({str(name): value for name, value in row.items()})
    return [*told, *(_call(key, group) for key, group in groups.items())]


def _call(key: tuple[str, ...], group: list[dict[str, Any]]) -> Event:
    api, principal, access_key, address = key
    calls, denied = sum(int(row["calls"]) for row in group), sum(int(row["denied"]) for row in group)
    first, last = group[0]["first_seen"].to_pydatetime(), group[-1]["last_seen"].to_pydatetime()
    refused = "" if not denied else ", refused" if denied == calls else f", {denied} of them refused"
    return Event(
        time=first,
        until=last if last > first else None,
        what=f"{api}{f' × {calls}' if calls > 1 else ''} from {address or 'an unknown address'}{refused}",
        who=f"{short_arn(principal)} with {access_key}" if access_key else short_arn(principal),
        source="cloudtrail",
        basis=("calls_of_access_key",),
        count=calls,
    )


def _step(step: StepRecord) -> Event:
    why = f": {step.why}" if step.why and step.standing != "done" else ""
    return Event(
        time=step.began,
        until=step.ended if step.ended > step.began else None,
        what=f"{_titled(step)}: {step.standing}{why}",
        who=step.actor,
        source="journal",
        basis=tuple(f"entry {seq}" for seq in step.entries),
    )


def _titled(step: StepRecord) -> str:
    return step.title if step.target in step.title else f"{step.title} ({step.target})"


def _entry(entry: Entry) -> Event | None:
    what = {
        Kind.OPENED: "the case was opened",
        Kind.RUN: f"began: {entry.body.get('what', 'a run')}",
        Kind.ENDED: f"ended: {entry.body.get('what', 'a run')}",
        Kind.NOTE: f"note: {entry.body.get('what', '')}",
        Kind.RECOVERED: "a write that a crash had cut short was recorded",
    }.get(entry.kind)
    if what is None:
        return None
    return Event(
        time=moment(entry.at), what=what, who=entry.actor, source="journal", basis=(f"entry {entry.seq}",)
    )
