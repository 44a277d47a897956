"""The comparisons of IAM conditions, each from one value of the request and one of the policy to yes or no.

IAM User Guide, "IAM JSON policy elements: Condition operators". A value that cannot be compared (no number where a
number is asked for) is an error, not a no: under a negated operator a no would be a yes.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from irkit.errors import BadInput
from irkit.escape import for_terminal
from irkit.policy.arns import segments, split
from irkit.policy.patterns import ANY, matches

Tokens = tuple[str, ...]
Compare = Callable[[str, Tokens], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A comparison by name; `negated` operators hold when no value of the policy matches."""

    name: str
    family: str
    negated: bool
    compare: Compare

    @property
    def wildcards(self) -> bool:
        """Whether `*` and `?` in the policy's value are wildcards."""
        return self.family in {"like", "arn"}


def _text(tokens: Tokens) -> str:
    return "".join(tokens)


def _equals(value: str, tokens: Tokens) -> bool:
    return value == _text(tokens)


def _equals_any_case(value: str, tokens: Tokens) -> bool:
    return value.casefold() == _text(tokens).casefold()


def _like(value: str, tokens: Tokens) -> bool:
    return matches(tokens, value)


def _arn(value: str, tokens: Tokens) -> bool:
    if tokens == (ANY,):
        return True
    wanted, found = split(tokens), segments(value)
    if len(wanted) != 6:
        raise BadInput(
            f"{for_terminal(''.join(t[-1] for t in tokens))!r} is compared as an ARN",
            hint="give all six parts",
        )
    return found is not None and all(matches(one, part) for one, part in zip(wanted, found, strict=True))


@lru_cache(maxsize=4096)
def number(text: str) -> Decimal:
    """`text` as a number; raises `BadInput` when it is none."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise BadInput(f"{for_terminal(text)!r} is compared as a number", hint="give one") from None
    if not found.is_finite():
        raise BadInput(f"{for_terminal(text)!r} is compared as a number", hint="give a finite one")
    return found


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:\d{2})?)?")


@lru_cache(maxsize=4096)
def moment(text: str) -> datetime:
    """`text` as a moment: ISO 8601 as in W3C's profile, or seconds since 1970; raises `BadInput` when it is neither."""
    try:
        if re.fullmatch(r"-?\d{5,11}", text):
            return datetime.fromtimestamp(int(text), UTC)
        if _DATE.fullmatch(text):
            found = datetime.fromisoformat(text)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    raise BadInput(f"{for_terminal(text)!r} is compared as a date", hint="such as 2026-11-23T12:00:00Z")


@lru_cache(maxsize=4096)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise BadInput(
            f"{for_terminal(text)!r} is compared as an address", hint="such as 203.0.113.0/24"
        ) from None


def _in_network(value: str, tokens: Tokens) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise BadInput(
            f"{for_terminal(value)!r} is compared as an address", hint="give an IP address"
        ) from None
    return address in _network(_text(tokens))


def _bool(value: str, tokens: Tokens) -> bool:
    for text in (value, _text(tokens)):
        if text.lower() not in {"true", "false"}:
            raise BadInput(f"{for_terminal(text)!r} is compared as a boolean", hint="true or false")
    return value.lower() == _text(tokens).lower()


def _binary(value: str, tokens: Tokens) -> bool:
    try:
        return base64.b64decode(value, validate=True) == base64.b64decode(_text(tokens), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput(
            f"{for_terminal(value)!r} is compared as binary", hint="both sides are base64"
        ) from None


def _numeric(test: Callable[[Decimal, Decimal], bool]) -> Compare:
    return lambda value, tokens: test(number(value), number(_text(tokens)))


def _dated(test: Callable[[datetime, datetime], bool]) -> Compare:
    return lambda value, tokens: test(moment(value), moment(_text(tokens)))


def _all_operators() -> dict[str, Operator]:
    def pair(stem: str, family: str, compare: Compare) -> list[tuple[str, str, bool, Compare]]:
        return [
            (stem, family, False, compare),
            (stem.replace("Equals", "NotEquals", 1), family, True, compare),
        ]

    rows = [
        *pair("StringEquals", "text", _equals),
        *pair("StringEqualsIgnoreCase", "text", _equals_any_case),
        ("StringLike", "like", False, _like),
        ("StringNotLike", "like", True, _like),
        *pair("NumericEquals", "number", _numeric(lambda a, b: a == b)),
        ("NumericLessThan", "number", False, _numeric(lambda a, b: a < b)),
        ("NumericLessThanEquals", "number", False, _numeric(lambda a, b: a <= b)),
        ("NumericGreaterThan", "number", False, _numeric(lambda a, b: a > b)),
        ("NumericGreaterThanEquals", "number", False, _numeric(lambda a, b: a >= b)),
        *pair("DateEquals", "date", _dated(lambda a, b: a == b)),
        ("DateLessThan", "date", False, _dated(lambda a, b: a < b)),
        ("DateLessThanEquals", "date", False, _dated(lambda a, b: a <= b)),
        ("DateGreaterThan", "date", False, _dated(lambda a, b: a > b)),
        ("DateGreaterThanEquals", "date", False, _dated(lambda a, b: a >= b)),
        ("Bool", "bool", False, _bool),
        ("BinaryEquals", "binary", False, _binary),
        ("IpAddress", "address", False, _in_network),
        ("NotIpAddress", "address", True, _in_network),
        *pair("ArnEquals", "arn", _arn),
        ("ArnLike", "arn", False, _arn),
        ("ArnNotLike", "arn", True, _arn),
    ]
    return {
        name.lower(): Operator(name=name, family=family, negated=negated, compare=compare)
        for name, family, negated, compare in rows
    }


OPERATORS = _all_operators()
