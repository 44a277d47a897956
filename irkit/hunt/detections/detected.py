"""What the rules found: findings with ATT&CK ids and the matching events, and what was not looked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit.findings import Finding, Findings
from irkit.findings.wording import counted
from irkit.hunt.detections.reading import read_rules, shipped_rules
from irkit.hunt.detections.rule import Correlation, RefusedRule, RuleSet
from irkit.hunt.detections.scan import EVENT, Match, matches
from irkit.hunt.question import EARLIEST, LATEST, moment
from irkit.markup import table
from irkit.tables import HasTables, Tables, iso

if TYPE_CHECKING:
    import pandas as pd

_MANY = 5
_FACTS = {
    "access_key": "access_key_id",
    "address": "source_ip",
    "principal": "principal",
    "session": "ui_arn",
    "event": "event_id",
}
_HEAD = ("severity", "rule", "events", "principals", "addresses", "first seen", "last seen", "attack", "file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """What a set of rules found in the tables that `coverage` describes.

    `matches` has one entry for each rule that matched, and one for each group of a correlation. `rules.refused` are the
    rules that were not run; all others were, and those that are not in `matches` matched nothing.
    """

    rules: RuleSet
    matches: tuple[Match, ...]
    coverage: str

    def __len__(self) -> int:
        return len(self.matches)

    @property
    def refused(self) -> tuple[RefusedRule, ...]:
        """The rules that were not run, and why."""
        return self.rules.refused

    def findings(self) -> list[Finding]:
        """One finding for each match, the most severe first; facts are those of the events that were kept."""
        return [_finding(match) for match in self._sorted()]

    def events(self) -> pd.DataFrame:
        """The kept events of all matches, with the rule that each is of; times are aware UTC."""
        import pandas as pd

        names = [column.name for column in EVENT]
        rows = [
            {"rule": match.rule.about.title, **event} for match in self._sorted() for event in match.events
        ]
        frame = pd.DataFrame(rows, columns=["rule", *names])
        frame["event_time"] = pd.to_datetime(frame["event_time"], utc=True)
        return frame

    def to_frame(self) -> pd.DataFrame:
        """One row for each match."""
        import pandas as pd

        return pd.DataFrame([dict(zip(_HEAD, row, strict=True)) for row in self.rows()], columns=list(_HEAD))

    def rows(self) -> list[tuple[Any, ...]]:
        """The rows of the table, the most severe first."""
        return [
            (
                match.rule.about.level,
                match.rule.about.title + (f" ({', '.join(match.group)})" if match.group else ""),
                match.count,
                match.principals,
                match.addresses,
                iso(match.first),
                iso(match.last),
                ", ".join(match.rule.about.attack),
                match.rule.about.file,
            )
            for match in self._sorted()
        ]

    @property
    def head(self) -> tuple[str, ...]:
        """The names of what `rows` holds."""
        return _HEAD

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {
            "rules": len(self.rules.rules),
            "correlations": len(self.rules.correlations),
            "for_other_logs": self.rules.elsewhere,
            "coverage": self.coverage,
            "findings": Findings.of(self.findings()).to_dict(),
            "matches": [
                {
                    "rule": match.rule.about.key,
                    "title": match.rule.about.title,
                    "file": match.rule.about.file,
                    "level": match.rule.about.level,
                    "attack": list(match.rule.about.attack),
                    "group": list(match.group),
                    "count": match.count,
                    "first_seen": iso(match.first),
                    "last_seen": iso(match.last),
                    "events": [{**event, "event_time": iso(event["event_time"])} for event in match.events],
                }
                for match in self._sorted()
            ],
            "refused": [{"file": one.file, "title": one.title, "reason": one.reason} for one in self.refused],
            "never_matching": [
                {"file": rule.about.file, "title": rule.about.title, "fields": list(rule.strange)}
                for rule in self.rules.rules
                if rule.strange
            ],
        }

    def summary(self) -> str:
        """One line: how many rules were run, how many matched, what was left out."""
        found = len({match.rule.about.key for match in self.matches})
        return (
            f"{counted(len(self.rules), 'rule')} run, {found:,} matched; {len(self.refused):,} refused,"
            f" {self.rules.elsewhere:,} for other logs"
        )

    def __repr__(self) -> str:
        return f"Detections({self.summary()})"

    def _repr_html_(self) -> str:
        return table(_HEAD, self.rows(), caption=self.summary(), note=f"Asked of {self.coverage}.")

    def _sorted(self) -> list[Match]:
        order = ("critical", "high", "medium", "low", "informational")
        return sorted(
            self.matches, key=lambda m: (order.index(m.rule.about.level), m.first, m.rule.about.key)
        )


def detect(
    where: Tables | HasTables | Path | str,
    rules: RuleSet | Iterable[Path | str] | None = None,
    *,
    since: datetime | str = EARLIEST,
    until: datetime | str = LATEST,
    most: int = 100,
) -> Detections:
    """What Sigma rules find in open tables, a tables folder or a case.

    `rules` are read rules, or files and folders of them; None means those that come with irkit. Of each rule the `most`
    first events are kept; counts and times are of all.
    """
    chosen = (
        rules if isinstance(rules, RuleSet) else read_rules([shipped_rules()] if rules is None else rules)
    )
    begin, end = moment(since), moment(until)
    with nullcontext(where) if isinstance(where, Tables) else Tables.open(where) as tables:
        found = matches(tables, chosen, since=begin, until=end, most=most)
        return Detections(rules=chosen, matches=tuple(found), coverage=tables.extent.sentence())


def _finding(match: Match) -> Finding:
    about = match.rule.about
    apis = _distinct(f"{_service(event)}:{event['event_name']}" for event in match.events)
    span = (
        f"at {iso(match.first)}"
        if match.first == match.last
        else f"between {iso(match.first)} and {iso(match.last)}"
    )
    statement = (
        f"{counted(match.count, 'call')} of {counted(match.principals, 'principal')} from"
        f" {counted(match.addresses, 'address', 'addresses')} {span}: {', '.join(apis[:_MANY])}"
        + (f" and {len(apis) - _MANY} more" if len(apis) > _MANY else "")
        + "."
    )
    if isinstance(match.rule, Correlation):
        within = f" within {counted(match.rule.seconds, 'second')}"
        statement += f" The rules {', '.join(r.about.title for r in match.rule.rules)} matched{within}."
    if match.count > len(match.events):
        statement += f" The first {len(match.events):,} are listed."
    facts = {
        kind: values
        for kind, column in _FACTS.items()
        if (values := _distinct(event[column] for event in match.events))
    }
    facts["api_call"] = apis
    facts |= {"group": match.group} if match.group else {}
    return Finding(
        id=_id(match),
        title=about.title,
        statement=statement,
        severity=about.level,
        confidence=about.confidence,
        first_seen=match.first,
        last_seen=match.last,
        attack=about.attack,
        facts=facts,
        basis=(f"sigma:{about.key}",),
        source="sigma",
    )


def _id(match: Match) -> str:
    text = "-".join(("sigma", match.rule.about.key, *match.group))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:120]


def _service(event: dict[str, Any]) -> str:
    return str(event["event_source"] or "").removesuffix(".amazonaws.com")


def _distinct(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(value) for value in values if value))
