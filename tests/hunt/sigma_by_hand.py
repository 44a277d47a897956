"""Sigma over CloudTrail records in plain Python: no SQL, no pySigma. What the rules' hits are held against.

Written from the specification alone, and as simply as can be: a record is a dict, a rule is what YAML says.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

Record = dict[str, Any]
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# Top-level fields that CloudTrail's record has; a rule that asks for another never matches.
TEXTS = [
    "eventID",
    "eventName",
    "eventSource",
    "eventType",
    "eventCategory",
    "eventVersion",
    "awsRegion",
    "recipientAccountId",
    "sourceIPAddress",
    "userAgent",
    "errorCode",
    "errorMessage",
    "requestID",
    "sharedEventID",
    "vpcEndpointId",
    "apiVersion",
    "vpcEndpointAccountId",
]
NESTED = [
    "userIdentity",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "resources",
    "tlsDetails",
    "serviceEventDetails",
    "insightDetails",
    "addendum",
    "eventContext",
    "edgeDeviceDetails",
]
OTHERS = ["eventTime", "readOnly", "managementEvent", "sessionCredentialFromConsole"]


def matches(rule: dict[str, Any], record: Record) -> bool:
    """Whether the rule's condition holds for the record."""
    detection = dict(rule["detection"])
    conditions = detection.pop("condition")
    named = {name: _selection(body, record) for name, body in detection.items() if name != "timeframe"}
    texts = conditions if isinstance(conditions, list) else [conditions]
    return any(_Condition(text, named).value() for text in texts)


def correlated(
    rule: dict[str, Any], bases: list[dict[str, Any]], records: list[Record]
) -> dict[tuple[str, ...], set[str]]:
    """The event ids, by group, that lie in a window in which the correlation holds."""
    told = rule["correlation"]
    span = timedelta(seconds=_seconds(told["timespan"]))
    groups: dict[tuple[str, ...], list[tuple[datetime, int, Record]]] = {}
    for number, base in enumerate(bases):
        for record in records:
            if not matches(base, record):
                continue
            key = tuple(
                _single(record, told.get("aliases", {}).get(f, {}).get(base["name"], f))
                for f in told.get("group-by", [])
            )
            if None not in key:
                groups.setdefault(key, []).append((_time(record), number, record))
    found: dict[tuple[str, ...], set[str]] = {}
    for key, hits in groups.items():
        for end, _, _ in hits:
            window = [hit for hit in hits if end - span <= hit[0] <= end]
            if _holds(told, window, len(bases), [h for h in hits if h[0] == end]):
                found.setdefault(key, set()).update(hit[2]["eventID"] for hit in window)
    return found


def _holds(told: dict[str, Any], window: list[Any], bases: int, last: list[Any]) -> bool:
    kind = told["type"]
    if kind == "temporal_ordered":
        return any(_sequence(window, bases, hit[0]) for hit in last if hit[1] == bases - 1)
    if kind == "event_count":
        number = len(window)
    elif kind == "value_count":
        values = {_single(hit[2], told["condition"]["field"]) for hit in window}
        number = len(values - {None})
    else:
        number = len({hit[1] for hit in window})
    condition = told.get("condition") or {"gte": bases}
    ((operator, limit),) = [(o, n) for o, n in condition.items() if o != "field"]
    return {
        "gte": number >= limit, "gt": number > limit, "lte": number <= limit, "lt": number < limit,
        "eq": number == limit, "neq": number != limit,
    }[operator]  # fmt: skip


def _sequence(window: list[Any], bases: int, end: datetime) -> bool:
    """Whether the rules matched one after the other, the last of them at `end`."""
    limit = end
    for number in reversed(range(bases)):
        times = [hit[0] for hit in window if hit[1] == number and hit[0] <= limit]
        if not times:
            return False
        limit = end if number == bases - 1 else max(times)
    return True


def _seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]]


def _time(record: Record) -> datetime:
    return datetime.strptime(record["eventTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _single(record: Record, field: str) -> str | None:
    """The field's value as one text."""
    value: Any = record
    for step in field.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return None if value is None else _text(value)


class _Condition:
    """`a and not 1 of b*`: a condition's text, read from left to right by precedence."""

    def __init__(self, text: str, named: dict[str, bool]) -> None:
        self.words = re.findall(r"[()]|[^\s()]+", text)
        self.named = named

    def value(self) -> bool:
        result = self._or()
        assert not self.words, self.words
        return result

    def _or(self) -> bool:
        result = self._and()
        while self.words and self.words[0].lower() == "or":
            self.words.pop(0)
            result = self._and() or result
        return result

    def _and(self) -> bool:
        result = self._not()
        while self.words and self.words[0].lower() == "and":
            self.words.pop(0)
            result = self._not() and result
        return result

    def _not(self) -> bool:
        word = self.words.pop(0)
        if word.lower() == "not":
            return not self._not()
        if word == "(":
            result = self._or()
            assert self.words.pop(0) == ")"
            return result
        if self.words and self.words[0].lower() == "of":
            self.words.pop(0)
            pattern = self.words.pop(0)
            pattern = "*" if pattern == "them" else pattern
            values = [v for name, v in self.named.items() if fnmatch.fnmatchcase(name, pattern)]
            return all(values) if word.lower() == "all" else any(values)
        return self.named[word]


def _selection(body: Any, record: Record) -> bool:
    if isinstance(body, list):
        return any(_selection(b, record) if isinstance(b, dict) else _keyword(b, record) for b in body)
    if not isinstance(body, dict):
        return _keyword(body, record)
    return all(_item(key, value, record) for key, value in body.items())


def _item(key: str, value: Any, record: Record) -> bool:
    field, *modifiers = key.split("|")
    values = value if isinstance(value, list) else [value]
    if not field:
        found = [_keyword(one, record) for one in values]
    else:
        found = [_value(field, modifiers, one, record) for one in values]
    result = all(found) if "all" in modifiers else any(found)
    return not result if "neq" in modifiers else result


def _value(field: str, modifiers: list[str], wanted: Any, record: Record) -> bool:
    values = list(_values(record, field))
    if "exists" in modifiers:
        return _exists(record, field) is wanted
    if wanted is None:
        return not values
    if wanted == "*" and not set(modifiers) & {"re", "fieldref"}:
        return bool(values)
    nested = field.split(".", maxsplit=1)[0] in NESTED and field not in _COLUMNS
    test = _test(modifiers, wanted, record)
    texts = [_text(value) for value in values]
    if nested and _searches(modifiers, wanted):
        texts += [text.replace('\\"', '"') for text in texts]
    return any(test(text) for text in texts)


# Parts of the identity that have a column of their own and hold plain text.
_COLUMNS = {
    "userIdentity.type", "userIdentity.arn", "userIdentity.userName", "userIdentity.principalId",
    "userIdentity.accountId", "userIdentity.invokedBy", "responseElements.ConsoleLogin",
}  # fmt: skip


def _searches(modifiers: list[str], wanted: Any) -> bool:
    """Whether the test looks for a part of the value."""
    if "re" in modifiers:
        return True
    plain = {"contains", "startswith", "endswith"} & set(modifiers) and "fieldref" not in modifiers
    return bool(plain) or (
        isinstance(wanted, str) and not modifiers and bool(re.search(r"(?<!\\)[*?]", wanted))
    )


def _test(modifiers: list[str], wanted: Any, record: Record) -> Callable[[str], bool]:
    if "fieldref" in modifiers:
        other = [_text(v).lower() for v in [_single(record, wanted)] if v is not None]
        compare: Callable[[str, str], bool] = str.__eq__
        if "startswith" in modifiers:
            compare = str.startswith
        elif "endswith" in modifiers:
            compare = str.endswith
        elif "contains" in modifiers:
            compare = str.__contains__
        return lambda text: any(compare(text.lower(), one) for one in other)
    if "re" in modifiers:
        flags = sum(
            {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}[m] for m in modifiers if m in "ims"
        )
        pattern = re.compile(wanted, flags)
        return lambda text: bool(pattern.search(text))
    if "cidr" in modifiers:
        network = ipaddress.ip_network(wanted)
        return lambda text: _inside(text, network)
    for name, compared in (
        ("lte", float.__le__),
        ("lt", float.__lt__),
        ("gte", float.__ge__),
        ("gt", float.__gt__),
    ):
        if name in modifiers:
            return lambda text: (n := _number(text)) is not None and compared(n, float(wanted))
    if "hour" in modifiers:
        return lambda text: datetime.fromisoformat(text).hour == wanted
    if isinstance(wanted, bool):
        return lambda text: text.lower() == str(wanted).lower()
    if isinstance(wanted, int | float):
        return lambda text: text == str(wanted) or _number(text) == wanted
    before = ".*" if {"contains", "endswith"} & set(modifiers) else ""
    after = ".*" if {"contains", "startswith"} & set(modifiers) else ""
    pattern = _compiled(before, wanted, after, 0 if "cased" in modifiers else re.IGNORECASE)
    return lambda text: bool(pattern.fullmatch(text))


@cache
def _compiled(before: str, wanted: str, after: str, flags: int) -> re.Pattern[str]:
    return re.compile(before + _pattern(wanted) + after, re.DOTALL | flags)


def _pattern(wanted: str) -> str:
    """A Sigma value as a regular expression: `*` and `?` are wildcards unless a backslash stands before them."""
    made, rest = "", wanted
    while rest:
        if rest[0] == "\\" and rest[1:2] in ("*", "?", "\\"):
            made, rest = made + re.escape(rest[1]), rest[2:]
        else:
            made, rest = made + {"*": ".*", "?": "."}.get(rest[0], re.escape(rest[0])), rest[1:]
    return made


def _keyword(wanted: Any, record: Record) -> bool:
    pattern = _compiled(".*", str(wanted), ".*", re.IGNORECASE)
    texts = [str(record[name]) for name in TEXTS if record.get(name) is not None]
    for name in NESTED:
        if record.get(name) is not None:
            text = _text(record[name])
            texts += [text, text.replace('\\"', '"')]
    return any(pattern.fullmatch(text) for text in texts)


def _values(record: Record, field: str) -> Iterator[Any]:
    """The values of a field that are not null, one for each member where a list stands on the way."""
    first, *steps = field.split(".")
    if first not in TEXTS + NESTED + OTHERS:
        return
    yield from _walk(record.get(first), steps)


def _walk(value: Any, steps: list[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for member in value:
            yield from _walk(member, steps)
    elif steps:
        if isinstance(value, dict):
            yield from _walk(value.get(steps[0]), steps[1:])
    elif value is not None:
        yield value


def _exists(record: Record, field: str) -> bool:
    first, *steps = field.split(".")
    if not steps:
        return record.get(first) is not None
    return _reached(record.get(first), steps)


def _reached(value: Any, steps: list[str]) -> bool:
    if not steps:
        return True
    if isinstance(value, list):
        return any(_reached(member, steps) for member in value)
    return isinstance(value, dict) and steps[0] in value and _reached(value[steps[0]], steps[1:])


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _inside(text: str, network: Any) -> bool:
    try:
        return ipaddress.ip_address(text) in network
    except ValueError:
        return False
