# ruff: noqa: S608 - SQL is put together from our own columns and quoted literals; times are bound
"""All rules over the table `cloudtrail`, in one query; correlations over what their rules match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from irkit.hunt.detections.condition import Condition, Known
from irkit.hunt.detections.dictionary import Dictionary
from irkit.hunt.detections.fields import place
from irkit.hunt.detections.predicate import predicate
from irkit.hunt.detections.rule import Correlation, Rule, RuleSet
from irkit.hunt.questions.fragments import WINDOW
from irkit.tables import Column, columns

if TYPE_CHECKING:
    from irkit.tables import Tables

# What is kept of an event; the record itself lies at `rec_no` in `src_file`.
EVENT: tuple[Column, ...] = columns(
    "event_time:TIMESTAMP event_source event_name aws_region principal ui_arn access_key_id source_ip user_agent"
    " error_code event_id recipient_account_id src_file rec_no:INTEGER"
)
_EVENT_SQL = ", ".join(column.name for column in EVENT)
_EVENTS = f"min_by({{{', '.join(f'{c.name!r}: {c.name}' for c in EVENT)}}}, event_time, $most)"
_SUMS = f"""count(*), min(event_time), max(event_time), count(distinct principal), count(distinct access_key_id),
       count(distinct source_ip), {_EVENTS}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What one rule matched, or one group of a correlation: totals, and the first events."""

    rule: Rule | Correlation
    count: int
    first: datetime
    last: datetime
    principals: int
    access_keys: int
    addresses: int
    events: tuple[dict[str, Any], ...]
    group: tuple[str, ...] = ()
    strongest: int | None = None


def matches(
    tables: Tables, rules: RuleSet, *, since: datetime, until: datetime, most: int = 100
) -> list[Match]:
    """What the rules match, each with its `most` first events, in the order of the rules, correlations last."""
    needed = [rule.condition for rule in (*rules.rules, *(r for c in rules.correlations for r in c.rules))]
    known = Dictionary(tables, needed)
    bound = {"since": since, "until": until, "most": most}
    found = _single(tables, [rule for rule in rules.rules if not rule.silent], known, bound)
    for correlation in rules.correlations:
        found += _correlated(tables, correlation, known, bound)
    return found


def _single(tables: Tables, rules: Sequence[Rule], known: Dictionary, bound: dict[str, Any]) -> list[Match]:
    alive = [(number, known.resolved(rule.condition)) for number, rule in enumerate(rules)]
    parts = [
        f"select {number} as rule, {_EVENT_SQL} from cloudtrail where {predicate(condition)} and {WINDOW}"
        for number, condition in alive
        if not _never(condition)
    ]
    if not parts:
        return []
    sql = f"select rule, {_SUMS} from ({' union all '.join(parts)}) h group by rule order by rule"
    return [_match(rules[row[0]], row[1:]) for row in tables.rows(sql, bound)]


def _correlated(
    tables: Tables, correlation: Correlation, known: Dictionary, bound: dict[str, Any]
) -> list[Match]:
    conditions = [known.resolved(rule.condition) for rule in correlation.rules]
    if all(_never(one) for one in conditions):
        return []
    groups = [f"g{number}" for number in range(len(correlation.group_by))]
    hits: list[str] = []
    for number, (rule, condition) in enumerate(zip(correlation.rules, conditions, strict=True)):
        named = [place(correlation.field_of(rule, name)).text for name in correlation.group_by]
        counted = (
            place(correlation.field_of(rule, correlation.counted)).text if correlation.counted else "null"
        )
        chosen = "".join(f"{text} as {name}, " for text, name in zip(named, groups, strict=True))
        # An event without the field belongs to no group.
        there = "".join(f" and {text} is not null" for text in named)
        hits.append(
            f"select {number} as rule, {chosen}cast({counted} as varchar) as v, {_EVENT_SQL} from cloudtrail"
            f" where {predicate(condition)} and {WINDOW}{there}"
        )
    by = ", ".join(groups) or "1"
    window = f"(partition by {by} order by event_time range between"
    behind = f"{window} interval '{correlation.seconds}' second preceding and current row)"
    ahead = f"{window} current row and interval '{correlation.seconds}' second following)"
    sql = f"""with {_able(correlation, hits, groups)},
        counted as ({_counted(correlation, behind, f"{window} unbounded preceding and current row)")}),
        judged as (select *, max(case when {_fires(correlation)} then 1 else 0 end) over {ahead} as inside,
                          case when {_fires(correlation)} then n end as strength from counted)
        select {"".join(f"{g}, " for g in groups)}max(strength), {_SUMS} from judged where inside = 1
        {f"group by {', '.join(groups)}" if groups else "having count(*) > 0"}
        order by {", ".join([*groups, "2"])}"""
    width = len(groups)
    return [
        _match(
            correlation,
            row[width + 1 :],
            group=tuple(str(value) for value in row[:width]),
            strongest=row[width],
        )
        for row in tables.rows(sql, bound)
    ]


def _able(correlation: Correlation, parts: Sequence[str], groups: Sequence[str]) -> str:
    """The hits as `hits`, without the groups that can never fire: those that hold too little in all of their time."""
    every = " union all ".join(parts)
    enough = {
        "event_count": "count(*)",
        "value_count": "count(distinct v)",
        "temporal": "count(distinct rule)",
        "temporal_ordered": "count(distinct rule)",
    }[correlation.kind]
    if not groups or correlation.operator not in {">=", ">"}:
        return f"hits as ({every})"
    by = ", ".join(groups)
    return f"""matched as not materialized ({every}),
        able as (select {by} from matched group by {by} having {enough} {correlation.operator} {correlation.count}),
        hits as (select * from matched join able using ({by}))"""


def _counted(correlation: Correlation, behind: str, before: str) -> str:
    """The hits with `n`, what the correlation counts in the time before each."""
    match correlation.kind:
        case "event_count":
            return f"select *, count(*) over {behind} as n from hits"
        case "value_count":
            return f"select *, count(distinct v) over {behind} as n from hits"
        case "temporal":
            seen = " + ".join(
                f"max(case when rule = {number} then 1 else 0 end) over {behind}"
                for number in range(len(correlation.rules))
            )
            return f"select *, {seen} as n from hits"
        case "temporal_ordered":
            # s0 is when the latest sequence that has come to this rule began.
            sql = "select *, case when rule = 0 then event_time end as s0 from hits"
            for number in range(1, len(correlation.rules)):
                began = f"case when rule = {number} then max(s{number - 1}) over {before} end as s{number}"
                sql = f"select *, {began} from ({sql}) r{number}"
            last = len(correlation.rules) - 1
            return f"select *, date_diff('second', s{last}, event_time) as n from ({sql}) s"


def _fires(correlation: Correlation) -> str:
    if correlation.kind == "temporal_ordered":
        return f"n <= {correlation.seconds}"
    return f"n {correlation.operator} {correlation.count}"


def _never(condition: Condition) -> bool:
    return isinstance(condition, Known) and not condition.value


def _match(
    rule: Rule | Correlation, row: tuple[Any, ...], group: tuple[str, ...] = (), strongest: int | None = None
) -> Match:
    count, first, last, principals, keys, addresses, events = row
    shown = sorted(events, key=lambda event: (event["event_time"], event["event_id"] or ""))
    return Match(
        rule=rule,
        count=count,
        first=first.replace(tzinfo=UTC),
        last=last.replace(tzinfo=UTC),
        principals=principals,
        access_keys=keys,
        addresses=addresses,
        events=tuple({**event, "event_time": event["event_time"].replace(tzinfo=UTC)} for event in shown),
        group=group,
        strongest=None if strongest is None else int(strongest),
    )
